//! What the configuration adds to masking, from the request to the record.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::rig::{Begun, Rig, acknowledgement, status};
use crate::exchange::{AtRequestBody, AtResponseHeaders, Exchange};
use crate::mask::seal::INFO;
use crate::mask::seal::tests::{RFC_RECIPIENT, RFC_RECIPIENT_PUBLIC, hex, open};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

const MASK: &str = "[masked by chaperone]";
const TOKEN: &str = "ghp_0123456789abcdefghijABCDEFGHIJ012345";

fn rig(masking: Value) -> Rig {
    Rig::new(json!({"masking": masking}))
}

fn patterns() -> Value {
    json!({"patterns": {"enable": ["github-token", "pem-private-key"], "custom": [{"name": "ticket", "regex": "TICKET-[0-9]+"}]}})
}

/// A request that has gone upstream, its body too.
fn forwarded(rig: &mut Rig, method: &str, path: &str, body: Option<(&str, &[u8])>) -> Exchange {
    let headers: Vec<(&str, &str)> = body.iter().map(|(kind, _)| ("content-type", *kind)).collect();
    let (mut exchange, begun) = rig.begin(method, path, &headers);
    if let Begun::Confirm(_, post) = begun {
        rig.confirm(&mut exchange, &post, 200, &acknowledgement(&post));
    }
    if let Some((_, body)) = body
        && let AtRequestBody::Confirm(_, posts) = rig.body(&mut exchange, body, true)
    {
        for post in &posts {
            rig.confirm(&mut exchange, post, 200, &acknowledgement(post));
        }
    }
    exchange
}

#[test]
fn a_followed_log_comes_line_by_line_without_credentials() {
    let mut rig = rig(patterns());
    let mut exchange = forwarded(&mut rig, "GET", "/api/v1/namespaces/shop/pods/web/log?follow=true", None);
    let headers = [("content-type", "text/plain")];
    assert!(matches!(rig.respond(&mut exchange, 200, &headers), AtResponseHeaders::Pass(_)));
    let cut = format!("token {TOKEN}");
    for (chunk, expected) in [
        ("plain line\n", "plain line\n".to_owned()),
        (&format!("two {TOKEN} in\nand TICKET-7\n"), format!("two {MASK} in\nand {MASK}\n")),
        ("last line before a pause, TICKET-8\n", format!("last line before a pause, {MASK}\n")),
        (&cut[..20], String::new()),
        (&cut[20..], String::new()),
        (" goes on\n", format!("token {MASK} goes on\n")),
    ] {
        let out = rig.response_body(&mut exchange, chunk.as_bytes(), false).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), expected, "{chunk}");
    }
    rig.response_body(&mut exchange, b"the end", true).unwrap();
    let entries = rig.entries();
    assert!(!json!(entries).to_string().contains("0123456789abcdef"), "a record holds the token");
    let end = entries.iter().find(|entry| entry["type"] == "end").unwrap();
    assert_eq!(
        end["masked"],
        json!([{"path": "$ (github-token)", "count": 2}, {"path": "$ (ticket)", "count": 2}])
    );
}

#[test]
fn only_what_applies_is_looked_through() {
    let body = json!({"kind": "ConfigMap", "data": {"a": TOKEN}});
    let masked = json!({"kind": "ConfigMap", "data": {"a": MASK}});
    let only_logs = json!({"patterns": {"enable": ["github-token"], "applyTo": ["logs"]}});
    for (masking, path, expected) in [
        (patterns(), "/api/v1/namespaces/shop/configmaps/a", &masked),
        (patterns(), "/apis/apps/v1/namespaces/shop/deployments/a", &masked),
        (patterns(), "/apis/batch/v1/namespaces/shop/cronjobs/a", &masked),
        (patterns(), "/apis/events.k8s.io/v1/namespaces/shop/events/a", &masked),
        (patterns(), "/api/v1/namespaces/shop/services/a", &body),
        (only_logs, "/api/v1/namespaces/shop/configmaps/a", &body),
        (json!({}), "/api/v1/namespaces/shop/configmaps/a", &body),
    ] {
        let mut rig = rig(masking);
        let mut exchange = forwarded(&mut rig, "GET", path, None);
        assert_eq!(&rig.answer(&mut exchange, 200, &body), expected, "{path}");
    }
}

#[test]
fn configured_fields_are_masked_in_response_and_record() {
    let masking = json!({"resources": [{"apiGroups": ["db.example.com"], "resources": ["databases"], "fields": ["$.spec.password"]}]});
    let object = json!({"kind": "Database", "spec": {"password": "hunter2", "size": 3}});
    let masked = json!({"kind": "Database", "spec": {"password": MASK, "size": 3}});
    let path = "/apis/db.example.com/v1/namespaces/shop/databases";
    for (kind, body, recorded) in [
        ("application/json", object.to_string(), masked.clone()),
        (
            "application/json-patch+json",
            json!([{"op": "add", "path": "/spec/password", "value": "hunter2"}]).to_string(),
            json!([{"op": "add", "path": "/spec/password", "value": MASK}]),
        ),
        (
            "application/apply-patch+yaml",
            "spec:\n  password: hunter2\n".to_owned(),
            json!({"encoding": "omitted", "data": ""}),
        ),
    ] {
        let mut rig = rig(masking.clone());
        let (method, path) = if kind == "application/json" {
            ("POST", path.to_owned())
        } else {
            ("PATCH", format!("{path}/main"))
        };
        let mut exchange = forwarded(&mut rig, method, &path, Some((kind, body.as_bytes())));
        assert_eq!(rig.answer(&mut exchange, 200, &object), masked, "{kind}");
        let entries = rig.entries();
        assert!(!json!(entries).to_string().contains("hunter2"), "{kind}: a record holds the value");
        let requests: Vec<_> = entries.iter().filter_map(|entry| entry.get("requestObject")).collect();
        assert_eq!(requests, [&recorded], "{kind}");
    }
}

#[test]
fn what_is_said_about_an_object_does_not_quote_it() {
    let fields = json!({"resources": [{"apiGroups": [""], "resources": ["configmaps"], "fields": ["$.data.password"]}]});
    let maps = "/api/v1/namespaces/shop/configmaps/a";
    let secret = "/api/v1/namespaces/shop/secrets/db";
    let merge = "application/merge-patch+json";
    for (masking, method, path, withheld) in [
        (json!({}), "PATCH", secret, true),
        (json!({}), "GET", secret, false),
        (fields.clone(), "PATCH", maps, true),
        (fields, "GET", maps, false),
        (json!({}), "PATCH", maps, false),
    ] {
        let mut rig = rig(masking);
        let body: Option<(&str, &[u8])> = (method == "PATCH").then_some((merge, b"{}"));
        let mut exchange = forwarded(&mut rig, method, path, body);
        let said = "299 - \"it holds hunter2\"";
        let headers = [("content-type", "application/json"), ("warning", said), ("warning", said)];
        let AtResponseHeaders::Pass(headers) = rig.respond(&mut exchange, 422, &headers) else {
            panic!("{path}")
        };
        let warnings: Vec<_> = headers.iter().filter(|(name, _)| name == b"warning").collect();
        let quoted = warnings.iter().any(|(_, value)| value.ends_with(b"hunter2\""));
        assert_eq!(
            (warnings.len(), quoted),
            if withheld { (1, false) } else { (2, true) },
            "{method} {path}"
        );
        let status = json!({"kind": "Status", "code": 422, "message": "hunter2",
                            "details": {"causes": [{"field": "data", "message": "hunter2"}]}});
        let out = rig.response_body(&mut exchange, status.to_string().as_bytes(), true).unwrap();
        assert_eq!(String::from_utf8(out).unwrap().contains("hunter2"), !withheld, "{method} {path}");
    }
}

#[test]
fn a_patch_does_not_carry_a_masked_field_elsewhere() {
    let masking = json!({"resources": [{"apiGroups": [""], "resources": ["configmaps"], "fields": ["$.data.password"]}]});
    let patch = br#"[{"op":"copy","from":"/data/password","path":"/data/other"}]"#;
    for (masking, refused) in [(masking, true), (json!({}), false)] {
        let mut rig = rig(masking);
        let headers = [("content-type", "application/json-patch+json")];
        let (mut exchange, begun) = rig.begin("PATCH", "/api/v1/namespaces/shop/configmaps/a", &headers);
        let Begun::Confirm(_, post) = begun else { panic!("not confirmed") };
        rig.confirm(&mut exchange, &post, 200, &acknowledgement(&post));
        let at = rig.body(&mut exchange, patch, true);
        assert_eq!(matches!(&at, AtRequestBody::Reply(reply) if reply.status == 422), refused);
    }
}

#[test]
fn a_binary_field_stays_base64() {
    let mut rig = rig(
        json!({"resources": [{"apiGroups": [""], "resources": ["configmaps"], "fields": ["$.binaryData[*]", "$.data[*]"]}]}),
    );
    let mut exchange = forwarded(&mut rig, "GET", "/api/v1/namespaces/shop/configmaps/a", None);
    let object = json!({"kind": "ConfigMap", "binaryData": {"a": "aHVudGVyMg=="}, "data": {"b": "hunter2"}});
    let masked =
        json!({"kind": "ConfigMap", "binaryData": {"a": STANDARD.encode(MASK)}, "data": {"b": MASK}});
    assert_eq!(rig.answer(&mut exchange, 200, &object), masked);
}

#[test]
fn a_log_that_ends_within_a_credential_shows_none_of_it() {
    let custom =
        json!([{"name": "tok", "regex": "tok_[0-9a-f]{4}$"}, {"name": "word", "regex": r"\<tik_[0-9]{4}\>"}]);
    let masking =
        json!({"patterns": {"enable": ["github-token", "connection-string-password"], "custom": custom}});
    for (log, hidden, shown) in [
        ("a ghp_0123456789abcdefghij", "0123", "a "),
        ("db=postgres://user:PgPassw0rd99", "PgPass", "db="),
        ("tok_12ab\nnext", "12ab", "next"),
        ("a tik_1234 b\n", "1234", "a "),
        ("all is well, see http://example.com/a\n", "nothing", "all is well, see http://example.com/a\n"),
    ] {
        let mut rig = rig(masking.clone());
        let mut exchange =
            forwarded(&mut rig, "GET", "/api/v1/namespaces/shop/pods/web/log?limitBytes=9", None);
        rig.respond(&mut exchange, 200, &[("content-type", "text/plain")]);
        let out = rig.response_body(&mut exchange, log.as_bytes(), true).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert!(!out.contains(hidden) && out.contains(shown), "{log}: {out}");
    }
}

#[test]
fn a_client_that_takes_only_protobuf_is_told_before_anything_is_done() {
    for (masking, refused) in [(patterns(), true), (json!({}), false)] {
        let mut rig = rig(masking);
        let headers = [("accept", "application/vnd.kubernetes.protobuf")];
        let (_, begun) = rig.begin("GET", "/api/v1/namespaces/shop/pods", &headers);
        assert_eq!(matches!(&begun, Begun::Reply(reply) if reply.status == 406), refused);
    }
}

#[test]
fn a_patch_is_recorded_without_the_credentials_in_it() {
    let mut rig = rig(patterns());
    let patch = json!([{"op": "add", "path": "/data/a", "value": TOKEN}, {"op": "add", "path": "/data/b", "value": "kept"}]);
    let kind = "application/json-patch+json";
    let mut exchange = forwarded(
        &mut rig,
        "PATCH",
        "/api/v1/namespaces/shop/configmaps/a",
        Some((kind, patch.to_string().as_bytes())),
    );
    rig.answer(&mut exchange, 200, &json!({"kind": "ConfigMap"}));
    let entries = rig.entries();
    let recorded = entries.iter().find_map(|entry| entry.get("requestObject")).unwrap();
    assert_eq!((&recorded[0]["value"], &recorded[1]["value"]), (&json!(MASK), &json!("kept")));
}

#[test]
fn protobuf_is_refused_where_only_json_can_be_masked() {
    for (masking, passes) in [(patterns(), false), (json!({}), true)] {
        let mut rig = rig(masking);
        let mut exchange = forwarded(&mut rig, "GET", "/api/v1/namespaces/shop/pods", None);
        match rig.respond(&mut exchange, 200, &[("content-type", "application/vnd.kubernetes.protobuf")]) {
            AtResponseHeaders::Pass(_) => assert!(passes),
            AtResponseHeaders::Reply(reply) => {
                assert!(!passes && status(&reply)["message"].to_string().contains("accept application/json"));
            }
        }
    }
}

#[test]
fn originals_are_sealed_to_the_auditor() {
    let key = STANDARD.encode(hex::<32>(RFC_RECIPIENT_PUBLIC));
    let mut rig = rig(json!({"sealTo": key}));
    let mut exchange = forwarded(&mut rig, "GET", "/api/v1/namespaces/shop/secrets/db", None);
    let secret = json!({"kind": "Secret", "data": {"password": "czNjcmV0"}});
    rig.answer(&mut exchange, 200, &secret);
    let entries = rig.entries();
    assert!(!json!(entries).to_string().contains("czNjcmV0"));
    let entry = entries.iter().find(|entry| entry.get("sealed").is_some()).expect("something is sealed");
    let sealed = STANDARD.decode(entry["sealed"].as_str().unwrap()).unwrap();
    let id = entry["exchange"].as_str().unwrap().as_bytes();
    let originals: Value =
        serde_json::from_slice(&open(hex(RFC_RECIPIENT), INFO, id, &sealed).unwrap()).unwrap();
    assert_eq!(
        originals,
        json!({"values": [{"path": "$.data.password", "value": "czNjcmV0"}], "omitted": 0})
    );
    // What masks nothing seals nothing.
    let mut exchange = forwarded(&mut rig, "GET", "/api/v1/namespaces/shop/services/a", None);
    rig.answer(&mut exchange, 200, &json!({"kind": "Service"}));
    assert_eq!(rig.entries().iter().filter(|entry| entry.get("sealed").is_some()).count(), 1);
}
