//! Bodies: framing that two readers see differently, types that cannot be looked into, and what must not be written.

use super::request::{Request, get, patch, post, request};
use super::{Agent, Expect, Row, arrives, pods, row};
use crate::support::MASK;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use prost::Message;
use serde_json::json;

const PODS: &str = "/api/v1/namespaces/orders/pods";
const CONFIGMAPS: &str = "/api/v1/namespaces/orders/configmaps";
const SECRETS: &str = "/api/v1/namespaces/orders/secrets";
const SECRET: &str = "/api/v1/namespaces/orders/secrets/db";
/// What stands in for a value, as text.
const MASKED: &str = "[masked by chaperone]";

const AMBIGUOUS: Expect = Expect::Refused(400, "request", "ambiguous");
const PATCH_TYPE: Expect = Expect::Refused(415, "request", "patchType");
const WRITE_BACK: Expect = Expect::RefusedBody(422, "maskWriteBack");
const JSON_PATCH: Expect = Expect::RefusedBody(422, "secretJsonPatch");
const SECRET_TYPE: Expect = Expect::RefusedBody(422, "secretType");
const ACCOUNT: Expect = Expect::RefusedBody(403, "guard");

pub(super) fn rows(_: &Agent) -> Vec<Row> {
    [framing(), types(), masks(), json_patches(), secret_types()].into_iter().flatten().collect()
}

fn framing() -> Vec<Row> {
    let to = |method: &str| request(method, CONFIGMAPS).header("Content-Type: application/json");
    let second = "GET /smuggled HTTP/1.1\r\nHost: gateway\r\n\r\n";
    let chunked =
        |request: Request, body: &str| request.header("Transfer-Encoding: chunked").bytes_after(body);
    let envoy = |name: &str, request: Request| row(name, request, Expect::Envoy(400));
    vec![
        row("GET with a body", pods().body("application/json", "{}"), AMBIGUOUS),
        row("GET with a second request as its body", pods().body("", second), AMBIGUOUS),
        // Envoy takes Transfer-Encoding off before the filter sees the head, and frames the body anew.
        row("GET with a chunked body", chunked(pods(), "2\r\n{}\r\n0\r\n\r\n"), AMBIGUOUS),
        row("GET with an empty chunked body", chunked(pods(), "0\r\n\r\n"), AMBIGUOUS),
        row("HEAD with a body", request("HEAD", "/version").body("", "x"), AMBIGUOUS),
        row("GET with a request behind it", pods().bytes_after(second), arrives(PODS)),
        envoy(
            "length and chunks",
            chunked(to("POST").header("Content-Length: 4"), &format!("0\r\n\r\n{second}")),
        ),
        envoy(
            "chunks and length",
            to("POST")
                .header("Transfer-Encoding: chunked")
                .header("Content-Length: 4")
                .bytes_after(format!("0\r\n\r\n{second}")),
        ),
        envoy(
            "two lengths",
            to("POST")
                .header("Content-Length: 2")
                .header("Content-Length: 44")
                .bytes_after(format!("{{}}{second}")),
        ),
        envoy(
            "two lengths in a line",
            to("POST").header("Content-Length: 2, 44").bytes_after(format!("{{}}{second}")),
        ),
        envoy("length with a sign", to("POST").header("Content-Length: +2").bytes_after("{}")),
        envoy("length negative", to("POST").header("Content-Length: -1").bytes_after("{}")),
        envoy("length in hex", to("POST").header("Content-Length: 0x2").bytes_after("{}")),
        envoy("length empty", to("POST").header("Content-Length:").bytes_after("{}")),
        envoy(
            "length over 64 bits",
            to("POST").header("Content-Length: 18446744073709551617").bytes_after("{}"),
        ),
        row(
            "encoding that is not known",
            to("POST").header("Transfer-Encoding: gzip").bytes_after("{}"),
            Expect::Envoy(501),
        ),
        row(
            "encoding after chunked",
            to("POST").header("Transfer-Encoding: chunked, identity").bytes_after("0\r\n\r\n"),
            Expect::Envoy(501),
        ),
        row(
            "encoding with a tab in front",
            to("POST").header("Transfer-Encoding: \x0bchunked").bytes_after("0\r\n\r\n"),
            Expect::Envoy(400),
        ),
        row(
            "chunked twice",
            to("POST")
                .header("Transfer-Encoding: chunked")
                .header("Transfer-Encoding: chunked")
                .bytes_after("0\r\n\r\n"),
            Expect::Envoy(501),
        ),
        row(
            "encoding identity",
            to("POST").header("Transfer-Encoding: identity").bytes_after("{}"),
            Expect::Envoy(501),
        ),
        row(
            "content-encoding gzip",
            to("POST").header("Content-Encoding: gzip").header("Content-Length: 2").bytes_after("{}"),
            Expect::Refused(415, "request", "contentEncoding"),
        ),
        row(
            "content-encoding deflate, of a GET",
            pods().header("Content-Encoding: deflate"),
            Expect::Refused(415, "request", "contentEncoding"),
        ),
        row(
            "content-encoding twice",
            to("POST")
                .header("Content-Encoding: identity")
                .header("Content-Encoding: gzip")
                .header("Content-Length: 2")
                .bytes_after("{}"),
            Expect::Refused(415, "request", "contentEncoding"),
        ),
        row(
            "content-encoding identity",
            to("POST").header("Content-Encoding: identity").header("Content-Length: 2").bytes_after("{}"),
            arrives(CONFIGMAPS),
        ),
        row(
            "a Secret over 3 MiB",
            post(SECRETS, &format!("{{\"data\":\"{}\"}}", "x".repeat(3 << 20))),
            Expect::RefusedBody(413, "bodyTooLarge"),
        ),
    ]
}

/// Content types.
fn types() -> Vec<Row> {
    let mut rows = Vec::new();
    for kind in [
        "application/json",
        "application/Merge-Patch+json",
        "application/apply-patch+cbor",
        "text/plain",
        "application/merge-patch+json, application/json-patch+json",
    ] {
        let expect = match kind {
            kind if kind.contains(',') => AMBIGUOUS,
            kind if kind.contains("cbor") => Expect::Refused(415, "request", "contentType"),
            _ => PATCH_TYPE,
        };
        rows.push(row(format!("patch type {kind}"), patch(SECRET, kind, "{}"), expect));
    }
    let untyped = request("PATCH", SECRET).body("", "{}");
    rows.push(row("patch without a type", untyped, PATCH_TYPE));
    for kind in ["application/cbor", "Application/CBOR", "application/vnd.x+cbor-seq"] {
        let request = request("POST", CONFIGMAPS).body(kind, [0xa0]);
        rows.push(row(format!("a body of {kind}"), request, Expect::Refused(415, "request", "contentType")));
    }
    for kind in [
        "application/merge-patch+json",
        "application/merge-patch+json;charset=utf-8",
        "application/strategic-merge-patch+json",
    ] {
        rows.push(row(format!("good patch type {kind}"), patch(SECRET, kind, "{}"), arrives(SECRET)));
    }
    rows
}

/// Masks on their way back, in every form that a body has.
fn masks() -> Vec<Row> {
    let once = STANDARD.encode(MASKED);
    let object = |value: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"k": value}});
    let escaped: String = MASKED.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect();
    let mut rows = Vec::new();
    for (name, value) in [
        ("as text", MASKED.to_owned()),
        ("in base64", once.clone()),
        ("in base64 with text before it", STANDARD.encode(format!("x{MASKED}"))),
        ("in base64 with more before it", STANDARD.encode(format!("xy{MASKED}z"))),
        ("in base64 for URLs", URL_SAFE_NO_PAD.encode(format!("??>{MASKED}"))),
        ("in base64 of base64", STANDARD.encode(&once)),
        ("inside a longer text", format!("password={MASKED};")),
    ] {
        rows.push(row(
            format!("mask in JSON {name}"),
            post(CONFIGMAPS, &object(&value).to_string()),
            WRITE_BACK,
        ));
    }
    let replace = |kind: &str, body: &str| request("PUT", SECRET).body(kind, body);
    let secret =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}, "data": {"password": MASK}});
    let yaml = format!("apiVersion: v1\nkind: Secret\nmetadata:\n  name: db\ndata:\n  password: {MASK}\n");
    let hex: String = MASKED.bytes().map(|byte| format!("\\x{byte:02x}")).collect();
    let list = format!(r#"[{{"op":"replace","path":"/data/password","value":"{MASK}"}}]"#);
    rows.extend([
        row(
            "mask in a Secret that is replaced",
            replace("application/json", &secret.to_string()),
            WRITE_BACK,
        ),
        row("mask in YAML", replace("application/yaml", &yaml), WRITE_BACK),
        row("mask in quoted YAML with escapes", post_yaml(&format!("data: {{k: \"{hex}\"}}\n")), WRITE_BACK),
        row(
            "mask in JSON escapes",
            post(CONFIGMAPS, &format!(r#"{{"data":{{"k":"{escaped}"}}}}"#)),
            WRITE_BACK,
        ),
        row("mask as a key", post(CONFIGMAPS, &format!(r#"{{"data":{{"{MASKED}":"v"}}}}"#)), WRITE_BACK),
        row(
            "mask in protobuf",
            request("POST", CONFIGMAPS).body("application/vnd.kubernetes.protobuf", protobuf(MASKED)),
            WRITE_BACK,
        ),
        row(
            "mask in base64 in protobuf",
            request("POST", CONFIGMAPS).body("application/vnd.kubernetes.protobuf", protobuf(&once)),
            WRITE_BACK,
        ),
        row(
            "mask in a merge patch",
            patch(SECRET, "application/merge-patch+json", format!(r#"{{"data":{{"password":"{MASK}"}}}}"#)),
            WRITE_BACK,
        ),
        row(
            "mask in a strategic merge patch",
            patch(
                SECRET,
                "application/strategic-merge-patch+json",
                format!(r#"{{"stringData":{{"p":"{MASKED}"}}}}"#),
            ),
            WRITE_BACK,
        ),
        row("mask in a JSON Patch", patch(SECRET, "application/json-patch+json", list), WRITE_BACK),
        row(
            "mask in a forced apply",
            patch(&format!("{SECRET}?fieldManager=m&force=true"), "application/apply-patch+yaml", &yaml),
            WRITE_BACK,
        ),
        row(
            "mask in a body of another type",
            request("POST", CONFIGMAPS).body("text/plain", MASKED),
            WRITE_BACK,
        ),
        row(
            "mask in a body without a type",
            request("POST", CONFIGMAPS).body("", object(MASKED).to_string()),
            WRITE_BACK,
        ),
        row("mask in chunks", in_chunks(&object(MASKED).to_string()), WRITE_BACK),
        row(
            "mask in a dry run",
            post(&format!("{CONFIGMAPS}?dryRun=All"), &object(&once).to_string()),
            WRITE_BACK,
        ),
    ]);
    rows
}

fn post_yaml(body: &str) -> Request {
    request("POST", CONFIGMAPS).body("application/yaml", body)
}

/// One byte a chunk.
fn in_chunks(body: &str) -> Request {
    let chunks: String = body.chars().map(|c| format!("1\r\n{c}\r\n")).collect();
    request("POST", CONFIGMAPS)
        .header("Content-Type: application/json")
        .header("Transfer-Encoding: chunked")
        .bytes_after(format!("{chunks}0\r\n\r\n"))
}

/// A ConfigMap's envelope around a raw object with this text.
fn protobuf(text: &str) -> Vec<u8> {
    #[derive(Clone, PartialEq, Message)]
    struct Unknown {
        #[prost(bytes, tag = "2")]
        raw: Vec<u8>,
    }
    [b"k8s\0".to_vec(), Unknown { raw: text.as_bytes().to_vec() }.encode_to_vec()].concat()
}

/// JSON Patches of Secrets: what reads is refused.
fn json_patches() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, body) in [
        ("copy", r#"[{"op":"copy","from":"/data/password","path":"/metadata/annotations/p"}]"#),
        ("move", r#"[{"op":"move","from":"/data/password","path":"/metadata/labels/p"}]"#),
        ("test", r#"[{"op":"test","path":"/data/password","value":"Z3Vlc3M="}]"#),
        (
            "copy after an add",
            r#"[{"op":"add","path":"/metadata/labels/a","value":"b"},{"op":"copy","from":"/data","path":"/stringData"}]"#,
        ),
        ("copy with an escaped name", r#"[{"\u006fp":"c\u006fpy","from":"/data/password","path":"/type"}]"#),
        ("op twice", r#"[{"op":"add","op":"copy","from":"/data/password","path":"/type","value":"x"}]"#),
        ("op in other case", r#"[{"op":"Copy","from":"/data/password","path":"/type"}]"#),
        ("an op of no patch", r#"[{"op":"read","path":"/data"}]"#),
        ("no list", r#"{"op":"copy","from":"/data","path":"/x"}"#),
        ("no op", r#"[{"from":"/data/password","path":"/type"}]"#),
        ("cut off", r#"[{"op":"add","path":"/x","value":1}"#),
        ("not JSON", "op=copy"),
    ] {
        rows.push(row(
            format!("JSON Patch: {name}"),
            patch(SECRET, "application/json-patch+json", body),
            JSON_PATCH,
        ));
    }
    let parameters = patch(
        SECRET,
        "application/json-patch+json; charset=utf-8",
        r#"[{"op":"test","path":"/data/password","value":"eA=="}]"#,
    );
    rows.push(row("JSON Patch: test, with a parameter in its type", parameters, JSON_PATCH));
    let dry = patch(
        &format!("{SECRET}?dryRun=All"),
        "application/json-patch+json",
        r#"[{"op":"copy","from":"/data/password","path":"/metadata/name"}]"#,
    );
    rows.push(row("JSON Patch: copy in a dry run", dry, JSON_PATCH));
    let add = patch(
        SECRET,
        "application/json-patch+json",
        r#"[{"op":"add","path":"/metadata/labels","value":{"a":"b"}}]"#,
    );
    rows.push(row("JSON Patch: add", add, arrives(SECRET)));
    rows
}

/// Secrets that the cluster would fill with a token, and bodies that do not say what they are.
fn secret_types() -> Vec<Row> {
    let secret =
        |more: &str| format!(r#"{{"apiVersion":"v1","kind":"Secret","metadata":{{"name":"t"}},{more}}}"#);
    let token = r#""type":"kubernetes.io/service-account-token""#;
    let escaped = r#""\u0074ype":"kubernetes.io/service-account-toke\u006e""#;
    vec![
        row("a service account's Secret", post(SECRETS, &secret(token)), ACCOUNT),
        row("a service account's Secret, escaped", post(SECRETS, &secret(escaped)), ACCOUNT),
        row(
            "a service account's Secret, in other case",
            post(SECRETS, &secret(&token.replace("type", "Type"))),
            ACCOUNT,
        ),
        row(
            "a service account's Secret, replaced",
            request("PUT", SECRET).body("application/json", secret(token)),
            ACCOUNT,
        ),
        row(
            "a service account's Secret, in YAML",
            request("POST", SECRETS)
                .body("application/yaml", "kind: Secret\ntype: kubernetes.io/service-account-token\n"),
            ACCOUNT,
        ),
        row(
            "a service account's Secret, applied",
            patch(&format!("{SECRETS}/t?fieldManager=m"), "application/apply-patch+yaml", secret(token)),
            ACCOUNT,
        ),
        row(
            "a service account's Secret, across namespaces",
            post("/api/v1/secrets", &secret(token)),
            ACCOUNT,
        ),
        row(
            "a Secret with two types",
            post(SECRETS, &secret(&format!(r#""type":"Opaque",{token}"#))),
            SECRET_TYPE,
        ),
        row("a Secret that is not JSON", post(SECRETS, "kind: Secret"), SECRET_TYPE),
        row(
            "a Secret in two documents",
            request("POST", SECRETS).body("application/yaml", "kind: Secret\n---\ntype: x\n"),
            SECRET_TYPE,
        ),
        row(
            "a Secret of a type that is not known",
            request("POST", SECRETS).body("text/plain", secret(token)),
            SECRET_TYPE,
        ),
        row(
            "a Secret in a bare protobuf",
            request("POST", SECRETS).body("application/vnd.kubernetes.protobuf", [0xff; 9]),
            SECRET_TYPE,
        ),
        row("a Secret of no type", post(SECRETS, &secret(r#""stringData":{"a":"b"}"#)), arrives(SECRETS)),
        row("a get of what was refused", get(&format!("{SECRETS}/t2")), arrives(format!("{SECRETS}/t2"))),
    ]
}
