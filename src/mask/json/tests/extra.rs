//! What the configuration adds: fields by their place, credentials in any string.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use crate::mask::Extra;
use crate::mask::fields::Fields;
use crate::mask::text::{CustomPattern, NAMES, TextPatterns};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const TOKEN: &str = "ghp_0123456789abcdefghijABCDEFGHIJ012345";

fn fields(paths: &[&str]) -> Extra {
    let mut fields = Fields::default();
    paths.iter().for_each(|path| fields.add(path).unwrap());
    Extra { fields: Some(Rc::new(fields)), patterns: None }
}

fn patterns() -> Extra {
    let all: Vec<String> = NAMES.iter().map(|name| (*name).to_owned()).collect();
    let custom = CustomPattern { name: "ticket".to_owned(), regex: "TICKET-[0-9]{4}".to_owned() };
    let patterns = TextPatterns::new(&all, &[custom], &Replacement::default()).unwrap();
    Extra { fields: None, patterns: Some(Rc::new(patterns)) }
}

fn run<'a>(
    plan: Plan,
    extra: &Extra,
    chunks: impl Iterator<Item = &'a [u8]>,
) -> Result<(String, MaskedPaths), JsonError> {
    let mut masker =
        JsonMasker::new(plan, Rc::new(Replacement::default())).with(extra.clone()).keeping_originals();
    let mut out = Vec::new();
    for chunk in chunks {
        masker.push(chunk, &mut out)?;
    }
    masker.finish(&mut out)?;
    Ok((String::from_utf8(out).unwrap(), masker.take_masked()))
}

/// Masks a body; however it is cut, the output is the same.
fn mask(plan: Plan, extra: &Extra, body: &str) -> (String, MaskedPaths) {
    let whole = run(plan, extra, [body.as_bytes()].into_iter()).unwrap();
    for at in 0..body.len() {
        let (a, b) = body.as_bytes().split_at(at);
        let cut = run(plan, extra, [a, b].into_iter()).unwrap();
        assert_eq!(cut.0, whole.0, "{body} at {at}");
        assert_eq!(cut.1.paths(), whole.1.paths(), "{body} at {at}");
    }
    assert_eq!(run(plan, extra, body.as_bytes().chunks(1)).unwrap().0, whole.0);
    whole
}

fn paths(masked: &MaskedPaths) -> Vec<(&str, u64)> {
    masked.paths().iter().map(|one| (one.path.as_str(), one.count)).collect()
}

#[test]
fn fields_are_masked_where_they_stand() {
    let extra = fields(&["$.spec.token", "$.spec.users[*].password", "$.spec.all", "$.data['a.b']"]);
    for (name, body, masked) in [
        (
            "get",
            r#"{"kind":"Foo","spec":{"token":"t","other":"o","users":[{"password":"p","name":"n"}]}}"#,
            r#"{"kind":"Foo","spec":{"token":"PLAIN","other":"o","users":[{"password":"PLAIN","name":"n"}]}}"#,
        ),
        (
            "list",
            r#"{"kind":"FooList","items":[{"spec":{"token":"t"}},{"spec":{"token":null,"x":"t"}}]}"#,
            r#"{"kind":"FooList","items":[{"spec":{"token":"PLAIN"}},{"spec":{"token":null,"x":"t"}}]}"#,
        ),
        (
            "table",
            r#"{"kind":"Table","rows":[{"cells":["t"],"object":{"kind":"Foo","spec":{"token":"t"}}}]}"#,
            r#"{"kind":"Table","rows":[{"cells":["t"],"object":{"kind":"Foo","spec":{"token":"PLAIN"}}}]}"#,
        ),
        (
            "everything below",
            r#"{"kind":"Foo","spec":{"all":{"a":["x",1,{"b":"y"}]},"z":"z"}}"#,
            r#"{"kind":"Foo","spec":{"all":{"a":["PLAIN",1,{"b":"PLAIN"}]},"z":"z"}}"#,
        ),
        (
            "quoted key, kind last",
            r#"{"data":{"a.b":"x","c":"y"},"kind":"Foo","spec":{"token":"t"}}"#,
            r#"{"data":{"a.b":"PLAIN","c":"y"},"kind":"Foo","spec":{"token":"PLAIN"}}"#,
        ),
        (
            "spec before kind",
            r#"{"metadata":{"name":"n"},"spec":{"token":"t","x":"y"},"kind":"Foo"}"#,
            r#"{"metadata":{"name":"n"},"spec":{"token":"PLAIN","x":"y"},"kind":"Foo"}"#,
        ),
        (
            "escaped key",
            r#"{"kind":"Foo","spec":{"tok\u0065n":"t"}}"#,
            r#"{"kind":"Foo","spec":{"tok\u0065n":"PLAIN"}}"#,
        ),
    ] {
        let (out, _) = mask(BY_KIND, &extra, body);
        assert_eq!(out, masked.replace("PLAIN", PLAIN), "{name}");
    }
    let body = "{\"type\":\"ADDED\",\"object\":{\"kind\":\"Foo\",\"spec\":{\"token\":\"t\"}}}\n";
    let (out, masked) = mask(plan(Taken::ByKind, true), &extra, &body.repeat(2));
    assert_eq!(out, body.replace("\"t\"", &format!("\"{PLAIN}\"")).repeat(2));
    assert_eq!(paths(&masked), [("$.object.spec.token", 2)]);
}

#[test]
fn a_copy_of_the_object_is_masked_inside() {
    let copy = json!({"kind": "Foo", "spec": {"token": "hidden", "x": "kept"}}).to_string();
    let key = "kubectl.kubernetes.io/last-applied-configuration";
    for head in [json!({"kind": "Foo"}), json!({})] {
        // With and without a kind before the metadata.
        let mut body = head;
        body["metadata"] = json!({"annotations": {key: copy, "other": "hidden in plain sight"}});
        body["spec"] = json!({"token": "hidden"});
        body["zkind"] = json!("last");
        let text = body.to_string().replace("zkind", if body["kind"].is_null() { "kind" } else { "zkind" });
        let (out, _) = mask(BY_KIND, &fields(&["$.spec.token"]), &text);
        let out: Value = serde_json::from_str(&out).unwrap();
        let inner: Value =
            serde_json::from_str(out["metadata"]["annotations"][key].as_str().unwrap()).unwrap();
        assert_eq!(inner, json!({"kind": "Foo", "spec": {"token": PLAIN, "x": "kept"}}));
        assert_eq!(out["spec"]["token"], PLAIN);
        assert_eq!(out["metadata"]["annotations"]["other"], "hidden in plain sight");
    }
}

#[test]
fn credentials_are_masked_in_any_string() {
    let key = "-----BEGIN PRIVATE KEY-----\\nMIIEvQ\\nAAAA\\n-----END PRIVATE KEY-----\\n";
    for (name, body, masked) in [
        (
            "config map",
            format!(r#"{{"kind":"ConfigMap","data":{{"a.conf":"x \"{TOKEN}\" y\n","b":"kept"}}}}"#),
            format!(r#"{{"kind":"ConfigMap","data":{{"a.conf":"x \"{PLAIN}\" y\n","b":"kept"}}}}"#),
        ),
        (
            "kind last",
            format!(r#"{{"apiVersion":"v1","data":{{"a":"{TOKEN}","b":"kept"}},"kind":"ConfigMap"}}"#),
            format!(r#"{{"apiVersion":"v1","data":{{"a":"{PLAIN}","b":"kept"}},"kind":"ConfigMap"}}"#),
        ),
        (
            "pem",
            format!(r#"{{"kind":"ConfigMap","data":{{"k":"before\n{key}after"}}}}"#),
            format!(r#"{{"kind":"ConfigMap","data":{{"k":"before\n{PLAIN}\nafter"}}}}"#),
        ),
        (
            "args",
            format!(r#"{{"kind":"Pod","spec":{{"containers":[{{"args":["--t={TOKEN}","ok"]}}]}}}}"#),
            format!(r#"{{"kind":"Pod","spec":{{"containers":[{{"args":["--t={PLAIN}","ok"]}}]}}}}"#),
        ),
        (
            "escaped",
            format!(r#"{{"kind":"Pod","a":"\u0067hp_{}"}}"#, &TOKEN[4..]),
            format!(r#"{{"kind":"Pod","a":"{PLAIN}"}}"#),
        ),
        (
            "connection string",
            r#"{"kind":"Pod","env":[{"name":"DB","value":"postgres://u:s3cret@db/x"}]}"#.to_owned(),
            format!(r#"{{"kind":"Pod","env":[{{"name":"DB","value":"postgres://u:{PLAIN}@db/x"}}]}}"#),
        ),
        (
            "the variable's name tells",
            format!(
                r#"{{"kind":"Pod","env":[{{"name":"AWS_SECRET_ACCESS_KEY","value":"{}"}}]}}"#,
                "a1B/".repeat(10)
            ),
            format!(r#"{{"kind":"Pod","env":[{{"name":"AWS_SECRET_ACCESS_KEY","value":"{PLAIN}"}}]}}"#),
        ),
        (
            "the key tells",
            format!(r#"{{"kind":"ConfigMap","data":{{"aws_secret_access_key":"{}"}}}}"#, "a1B/".repeat(10)),
            format!(r#"{{"kind":"ConfigMap","data":{{"aws_secret_access_key":"{PLAIN}"}}}}"#),
        ),
        (
            "custom",
            r#"{"kind":"Event","message":"see TICKET-1234 and TICKET-12"}"#.to_owned(),
            format!(r#"{{"kind":"Event","message":"see {PLAIN} and TICKET-12"}}"#),
        ),
        (
            "binary data",
            format!(
                r#"{{"kind":"ConfigMap","binaryData":{{"b":"{}"}}}}"#,
                STANDARD.encode(format!("\0{TOKEN}\n"))
            ),
            format!(
                r#"{{"kind":"ConfigMap","binaryData":{{"b":"{}"}}}}"#,
                STANDARD.encode(format!("\0{PLAIN}\n"))
            ),
        ),
        (
            "a secret among them",
            r#"{"kind":"List","items":[{"kind":"Secret","data":{"a":"eA=="}}]}"#.to_owned(),
            format!(r#"{{"kind":"List","items":[{{"kind":"Secret","data":{{"a":"{MASK}"}}}}]}}"#),
        ),
        (
            "nothing",
            r#"{"kind":"Pod","a":["x\u00e9\n","y",{"b":null,"c":[1.5,true]}], "d": "ghp_short" }"#.to_owned(),
            r#"{"kind":"Pod","a":["x\u00e9\n","y",{"b":null,"c":[1.5,true]}], "d": "ghp_short" }"#.to_owned(),
        ),
    ] {
        let (out, report) = mask(BY_KIND, &patterns(), &body);
        assert_eq!(out, masked, "{name}");
        assert_eq!(report.paths().is_empty(), name == "nothing", "{name}");
    }
}

#[test]
fn the_report_names_path_and_pattern_and_keeps_the_original() {
    let body =
        format!(r#"{{"kind":"PodList","items":[{{"a":1}},{{"spec":{{"args":["x","{TOKEN} {TOKEN}"]}}}}]}}"#);
    let (_, masked) = mask(BY_KIND, &patterns(), &body);
    assert_eq!(paths(&masked), [("$.items[*].spec.args[*] (github-token)", 2)]);
    let originals = serde_json::to_value(masked.originals().unwrap()).unwrap();
    assert_eq!(
        originals,
        json!({"values": [{"path": "$.items[1].spec.args[1]", "value": format!("{TOKEN} {TOKEN}")}], "omitted": 0})
    );
}

#[test]
fn a_secret_s_originals_are_kept_as_they_stood() {
    let body = r#"{"kind":"SecretList","items":[{"data":{"a.b":"eA==","c":"eQ=="}}]}"#;
    let (_, masked) = mask(SECRETS, &Extra::default(), body);
    assert_eq!(
        serde_json::to_value(masked.originals().unwrap()).unwrap(),
        json!({"values": [{"path": "$.items[0].data['a.b']", "value": "eA=="}, {"path": "$.items[0].data.c", "value": "eQ=="}], "omitted": 0})
    );
}
