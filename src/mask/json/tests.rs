#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use crate::mask::Plan;
use serde_json::{Value, json};

const MASK: &str = "W21hc2tlZCBieSBjaGFwZXJvbmVd";
const PLAIN: &str = "[masked by chaperone]";

fn plan(taken: Taken, watch: bool) -> Plan {
    Plan { taken, watch }
}

const SECRETS: Plan = Plan { taken: Taken::Secrets, watch: false };
const BY_KIND: Plan = Plan { taken: Taken::ByKind, watch: false };

fn mask_chunks<'a>(
    plan: Plan,
    chunks: impl Iterator<Item = &'a [u8]>,
) -> Result<(Vec<u8>, MaskedPaths), JsonError> {
    let mut masker = JsonMasker::new(plan, Rc::new(Replacement::default()));
    let mut out = Vec::new();
    for chunk in chunks {
        masker.push(chunk, &mut out)?;
    }
    masker.finish(&mut out)?;
    Ok((out, masker.masked().clone()))
}

/// Masks a body, in one chunk and cut at every byte: the cut changes nothing, neither output nor error.
fn mask(plan: Plan, body: &str) -> Result<String, JsonError> {
    let whole = mask_chunks(plan, [body.as_bytes()].into_iter()).map(|(out, _)| out);
    let bytes = mask_chunks(plan, body.as_bytes().chunks(1)).map(|(out, _)| out);
    assert_eq!(whole, bytes, "{body}");
    for at in 0..body.len() {
        let (a, b) = body.as_bytes().split_at(at);
        assert_eq!(mask_chunks(plan, [a, b].into_iter()).map(|(out, _)| out), whole, "{body} at {at}");
    }
    whole.map(|out| String::from_utf8(out).unwrap())
}

#[test]
fn values_of_a_secret_are_masked_wherever_they_stand() {
    for (name, body, masked) in [
        (
            "data",
            r#"{"kind":"Secret","data":{"a":"eA==","b":""}}"#,
            r#"{"kind":"Secret","data":{"a":"MASK","b":"MASK"}}"#,
        ),
        ("stringData", r#"{"stringData":{"a":"x\"y"}}"#, r#"{"stringData":{"a":"PLAIN"}}"#),
        ("null", r#"{"data":null,"kind":"Secret"}"#, r#"{"data":null,"kind":"Secret"}"#),
        ("null value", r#"{"data":{"a":null}}"#, r#"{"data":{"a":null}}"#),
        (
            "data before kind",
            r#"{"data":{"a":"eA=="},"kind":"Secret"}"#,
            r#"{"data":{"a":"MASK"},"kind":"Secret"}"#,
        ),
        ("escaped key", r#"{"d\u0061ta":{"a":"eA=="}}"#, r#"{"d\u0061ta":{"a":"MASK"}}"#),
        (
            "list",
            r#"{"kind":"SecretList","items":[{"data":{"a":"eA=="}},{"data":{"b":"eQ=="}}]}"#,
            r#"{"kind":"SecretList","items":[{"data":{"a":"MASK"}},{"data":{"b":"MASK"}}]}"#,
        ),
        (
            "table",
            r#"{"kind":"Table","rows":[{"cells":["db","Opaque",2],"object":{"kind":"Secret","data":{"a":"eA=="}}}]}"#,
            r#"{"kind":"Table","rows":[{"cells":["db","Opaque",2],"object":{"kind":"Secret","data":{"a":"MASK"}}}]}"#,
        ),
        (
            "white space",
            "{ \"data\" : {\n \"a\" :\t\"eA==\" } }\n",
            "{ \"data\" : {\n \"a\" :\t\"MASK\" } }\n",
        ),
        (
            "status",
            r#"{"kind":"Status","message":"Invalid value: \"eA==\"","details":{"name":"db","causes":[{"reason":"r","message":"eA==","field":"f"}]},"code":422}"#,
            r#"{"kind":"Status","message":"TEXT","details":{"name":"db","causes":[{"reason":"r","message":"TEXT","field":"f"}]},"code":422}"#,
        ),
        (
            "managed fields stay",
            r#"{"metadata":{"managedFields":[{"fieldsV1":{"f:data":{"f:a":{}}}}],"name":"data"}}"#,
            r#"{"metadata":{"managedFields":[{"fieldsV1":{"f:data":{"f:a":{}}}}],"name":"data"}}"#,
        ),
    ] {
        let masked = masked.replace("MASK", MASK).replace("PLAIN", PLAIN).replace("TEXT", WITHHELD);
        assert_eq!(mask(SECRETS, body).as_deref(), Ok(masked.as_str()), "{name}");
    }
}

#[test]
fn annotations_that_may_hold_a_copy_are_masked() {
    let applied =
        json!({"kind": "Secret", "stringData": {"a": "hidden"}, "metadata": {"name": "db"}}).to_string();
    let body = json!({"metadata": {
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": applied, "note": "kept", "copy": "x".repeat(300),
            "b64": "cGFzc3dvcmQtZDM3MWMzYmE4ZDE5ZDdkNGM5OTQ="},
        "labels": {"app": "db"}}});
    let out: Value = serde_json::from_str(&mask(SECRETS, &body.to_string()).unwrap()).unwrap();
    let annotations = &out["metadata"]["annotations"];
    assert_eq!(annotations["note"], "kept");
    assert_eq!((&annotations["copy"], &annotations["b64"]), (&json!(PLAIN), &json!(PLAIN)));
    let inner: Value = serde_json::from_str(
        annotations["kubectl.kubernetes.io/last-applied-configuration"].as_str().unwrap(),
    )
    .unwrap();
    assert_eq!(inner, json!({"kind": "Secret", "stringData": {"a": PLAIN}, "metadata": {"name": "db"}}));
    assert_eq!(out["metadata"]["labels"]["app"], "db");
}

#[test]
fn by_kind_a_secret_is_found_and_everything_else_passes() {
    for (name, body, masked) in [
        (
            "config map",
            r#"{"kind":"ConfigMap","data":{"a":"x"}}"#,
            r#"{"kind":"ConfigMap","data":{"a":"x"}}"#,
        ),
        ("secret", r#"{"kind":"Secret","data":{"a":"eA=="}}"#, r#"{"kind":"Secret","data":{"a":"MASK"}}"#),
        (
            "secret, kind last",
            r#"{"apiVersion":"v1","data":{"a":"eA=="},"kind":"Secret"}"#,
            r#"{"apiVersion":"v1","data":{"a":"MASK"},"kind":"Secret"}"#,
        ),
        (
            "other, kind last",
            r#"{"apiVersion":"x/v1","data":{"a":"x"},"kind":"Foo"}"#,
            r#"{"apiVersion":"x/v1","data":{"a":"x"},"kind":"Foo"}"#,
        ),
        (
            "other shape, kind last",
            r#"{"data":[1,"x",{"data":2}],"kind":"Foo"}"#,
            r#"{"data":[1,"x",{"data":2}],"kind":"Foo"}"#,
        ),
        (
            "mixed list",
            r#"{"kind":"List","items":[{"kind":"Pod","data":{"a":"x"}},{"kind":"Secret","data":{"a":"eA=="}}]}"#,
            r#"{"kind":"List","items":[{"kind":"Pod","data":{"a":"x"}},{"kind":"Secret","data":{"a":"MASK"}}]}"#,
        ),
        (
            "items before kind",
            r#"{"apiVersion":"v1","items":[{"data":{"a":"eA=="},"kind":"Secret"},{"kind":"Foo","data":1}],"kind":"List"}"#,
            r#"{"apiVersion":"v1","items":[{"data":{"a":"MASK"},"kind":"Secret"},{"kind":"Foo","data":1}],"kind":"List"}"#,
        ),
        (
            "typed list",
            r#"{"kind":"PodList","items":[{"metadata":{"annotations":{"a":"{}"}},"data":{"a":"x"}}]}"#,
            r#"{"kind":"PodList","items":[{"metadata":{"annotations":{"a":"{}"}},"data":{"a":"x"}}]}"#,
        ),
        ("never says", r#"{"data":{"a":"eA=="}}"#, r#"{"data":{"a":"MASK"}}"#),
        (
            "status passes",
            r#"{"kind":"Status","message":"m","status":"Failure"}"#,
            r#"{"kind":"Status","message":"m","status":"Failure"}"#,
        ),
        (
            "token",
            r#"{"kind":"TokenRequest","status":{"token":"t","x":1}}"#,
            r#"{"kind":"TokenRequest","status":{"token":"PLAIN","x":1}}"#,
        ),
        (
            "items that are none",
            r#"{"kind":"Foo","items":{"a":"b"},"rows":"x"}"#,
            r#"{"kind":"Foo","items":{"a":"b"},"rows":"x"}"#,
        ),
        ("no object", r#"["a",1,true,null]"#, r#"["a",1,true,null]"#),
        ("bare number", "-1.5e+3", "-1.5e+3"),
        ("empty", "", ""),
    ] {
        let masked = masked.replace("MASK", MASK).replace("PLAIN", PLAIN);
        assert_eq!(mask(BY_KIND, body).as_deref(), Ok(masked.as_str()), "{name}");
    }
}

#[test]
fn watches_are_masked_event_by_event() {
    let body = concat!(
        r#"{"type":"ADDED","object":{"kind":"Secret","data":{"a":"eA=="}}}"#,
        "\n",
        r#"{"type":"ERROR","object":{"kind":"Status","message":"eA=="}}"#,
        "\n",
        r#"{"type":"BOOKMARK","object":{"kind":"Secret","metadata":{"resourceVersion":"7"}}}"#,
        "\n",
    );
    let masked = body
        .replace(r#""a":"eA==""#, &format!(r#""a":"{MASK}""#))
        .replace(r#""message":"eA==""#, &format!(r#""message":"{WITHHELD}""#));
    assert_eq!(mask(plan(Taken::Secrets, true), body), Ok(masked));
    let by_kind = body.replace(r#""a":"eA==""#, &format!(r#""a":"{MASK}""#));
    assert_eq!(mask(plan(Taken::ByKind, true), body), Ok(by_kind));
}

#[test]
fn what_readers_understand_differently_is_refused() {
    use JsonError::{Depth, DuplicateKey, Kind, LateKind, Shape, Syntax, TooLong, Truncated};
    let deep = format!("{}{}", r#"{"a":"#.repeat(200), "}".repeat(200));
    let late = r#"{"metadata":{},"items":[{"kind":"Secret","data":{"a":"eA=="}}],"kind":"List"}"#;
    let number = format!("{{\"a\":{}}}", "1".repeat(400));
    for (plan, body, error) in [
        (SECRETS, r#"{"data":{"a":"eA=="},"data":{"b":"eQ=="}}"#, DuplicateKey),
        (SECRETS, r#"{"data":{},"d\u0061ta":{"b":"eQ=="}}"#, DuplicateKey),
        (SECRETS, r#"{"data":{"a":{"b":"eQ=="}}}"#, Shape),
        (SECRETS, r#"{"data":["eQ=="]}"#, Shape),
        (SECRETS, r#"{"data":"eQ=="}"#, Shape),
        (SECRETS, r#"{"data":{"a":5}}"#, Shape),
        (SECRETS, r#"["eQ=="]"#, Shape),
        (SECRETS, r#""eQ==""#, Shape),
        (SECRETS, r#"{"kind":"Pod"}"#, Kind),
        (SECRETS, r#"{"items":["eQ=="]}"#, Shape),
        (SECRETS, r#"{"message":["eQ=="]}"#, Shape),
        (BY_KIND, r#"{"data":[1],"kind":"Secret"}"#, Shape),
        (BY_KIND, late, LateKind),
        (
            BY_KIND,
            r#"{"kind":"PodList","items":[{"metadata":{},"data":{},"spec":{},"kind":"Secret"}]}"#,
            LateKind,
        ),
        (BY_KIND, r#"{"a":1"#, Truncated),
        (BY_KIND, r#"{"a":"x"#, Truncated),
        (BY_KIND, &deep, Depth),
        (BY_KIND, &number, TooLong),
        (plan(Taken::ByKind, true), "{}1", Shape),
        (plan(Taken::ByKind, true), "080", Shape),
        (BY_KIND, "{} {}", Syntax),
        (BY_KIND, "{}x", Syntax),
        (BY_KIND, "\u{feff}{}", Syntax),
        (BY_KIND, r#"{"a":01}"#, Syntax),
        (BY_KIND, r#"{"a":1.}"#, Syntax),
        (BY_KIND, r#"{"a":nul}"#, Syntax),
        (BY_KIND, r#"{"a":NaN}"#, Syntax),
        (BY_KIND, r#"{"a":1,}"#, Syntax),
        (BY_KIND, r#"[1,]"#, Syntax),
        (BY_KIND, r#"{a:1}"#, Syntax),
        (BY_KIND, r#"{'a':1}"#, Syntax),
        (BY_KIND, r#"{"a":"\x"}"#, Syntax),
        (BY_KIND, r#"{"a":"\ud800"}"#, Syntax),
        (BY_KIND, r#"{"a":"\udc00"}"#, Syntax),
        (BY_KIND, "{\"a\":\"\u{1}\"}", Syntax),
        (BY_KIND, "{\"a\":\"x\ny\"}", Syntax),
        (BY_KIND, "{\"a\":1}\u{0}", Syntax),
    ] {
        assert_eq!(mask(plan, body), Err(error), "{body}");
    }
    for bytes in
        [&b"\"\xff\""[..], b"\"\xc0\x80\"", b"\"\xed\xa0\x80\"", b"\"\xf5\x80\x80\x80\"", b"\"\xe2\x82\""]
    {
        assert_eq!(
            mask_chunks(BY_KIND, [bytes].into_iter()).map(|_| ()),
            Err(JsonError::Syntax),
            "{bytes:?}"
        );
    }
}

#[test]
fn after_an_error_nothing_more_passes() {
    let mut masker = JsonMasker::new(SECRETS, Rc::new(Replacement::default()));
    let mut out = Vec::new();
    assert_eq!(masker.push(br#"{"data":{"a":[""#, &mut out), Err(JsonError::Shape));
    let before = out.clone();
    assert_eq!(masker.push(br#"secret"]}}"#, &mut out), Err(JsonError::Shape));
    assert_eq!(masker.finish(&mut out), Err(JsonError::Shape));
    assert_eq!(out, before);
}

#[test]
fn the_report_counts_by_path() {
    let body = br#"{"items":[{"data":{"tls.crt":"eA==","b":"eA=="}},{"data":{"b":"eA=="}}]}"#;
    let (_, report) = mask_chunks(SECRETS, [&body[..]].into_iter()).unwrap();
    let paths: Vec<(String, u64)> = report.paths().iter().map(|one| (one.path.clone(), one.count)).collect();
    assert_eq!(paths, [("$.items[*].data['tls.crt']".to_owned(), 1), ("$.items[*].data.b".to_owned(), 2)]);
}

#[cfg(not(target_arch = "wasm32"))]
mod captures;
mod extra;
#[cfg(not(target_arch = "wasm32"))]
mod properties;
