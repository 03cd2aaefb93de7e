//! What may come back.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::rig::{Begun, Headers, Rig, UPSTREAM_TOKEN, acknowledgement, header, status};
use crate::exchange::{AtResponseHeaders, Exchange};
use serde_json::json;

/// A Secret's read that has gone upstream.
fn asked(rig: &mut Rig) -> Exchange {
    let (mut exchange, begun) = rig.begin("GET", "/api/v1/namespaces/shop/secrets/db", &[]);
    let Begun::Confirm(_, post) = begun else { panic!("a Secret's read waits") };
    rig.confirm(&mut exchange, &post, 200, &acknowledgement(&post));
    exchange
}

#[test]
fn what_cannot_be_masked_is_withheld() {
    let credential = format!("seen: {UPSTREAM_TOKEN}");
    let cases: &[(&str, u16, Headers)] = &[
        ("compressed", 200, &[("content-type", "application/json"), ("content-encoding", "gzip")]),
        ("two types", 200, &[("content-type", "application/json"), ("content-type", "text/plain")]),
        ("no type", 200, &[]),
        ("YAML", 200, &[("content-type", "application/yaml")]),
        ("CBOR", 200, &[("content-type", "application/cbor")]),
        ("HTML", 500, &[("content-type", "text/html")]),
        ("text", 500, &[("content-type", "text/plain")]),
        ("another protocol", 101, &[("upgrade", "websocket")]),
        ("the credential in a header", 200, &[("content-type", "application/json"), ("x-echo", &credential)]),
    ];
    for (name, code, headers) in cases {
        let mut rig = Rig::new(json!({}));
        let mut exchange = asked(&mut rig);
        let AtResponseHeaders::Reply(reply) = rig.respond(&mut exchange, *code, headers) else {
            panic!("{name} was let through");
        };
        assert_eq!(reply.status, 502, "{name}");
        assert!(!status(&reply)["message"].to_string().contains(UPSTREAM_TOKEN), "{name}");
        assert!(
            matches!(rig.respond_by(&mut exchange, 502, &[], false), AtResponseHeaders::Pass(_)),
            "our own answer passes"
        );
        exchange.on_log(&mut rig.gateway, rig.now);
        let ends = rig.entries_of("end");
        assert_eq!(
            (ends.len(), &ends[0]["outcome"], &ends[0]["reason"]),
            (1, &json!("refused"), &json!("unmaskable")),
            "{name}"
        );
    }
}

#[test]
fn a_body_that_stops_making_sense_is_cut() {
    for body in [
        r#"{"data":{"a":"eA=="}} trailing"#,
        r#"{"data":{"a":"eA=="},"data":{"b":"eQ=="}}"#,
        r#"{"data":{"a":"#,
    ] {
        let mut rig = Rig::new(json!({}));
        let mut exchange = asked(&mut rig);
        let headers = [("content-type", "application/json"), ("content-length", "40")];
        let AtResponseHeaders::Pass(headers) = rig.respond(&mut exchange, 200, &headers) else {
            panic!("headers pass")
        };
        assert_eq!(header(&headers, "content-length"), None, "a masked body has another length");
        assert_eq!(rig.response_body(&mut exchange, body.as_bytes(), true), None, "{body}");
        exchange.on_log(&mut rig.gateway, rig.now);
        let ends: Vec<_> = rig.entries().into_iter().filter(|entry| entry["outcome"] == "cut").collect();
        assert_eq!(ends.len(), 1, "{body}");
    }
}

#[test]
fn the_proxys_own_answer_passes_and_is_told_apart() {
    let mut rig = Rig::new(json!({}));
    let mut exchange = asked(&mut rig);
    let passed = rig.respond_by(&mut exchange, 503, &[("content-type", "text/plain")], false);
    assert!(matches!(passed, AtResponseHeaders::Pass(_)));
    assert_eq!(
        rig.response_body(&mut exchange, b"no healthy upstream", true).unwrap(),
        b"no healthy upstream"
    );
    exchange.on_log(&mut rig.gateway, rig.now);
    let entries = rig.entries();
    let end = entries.iter().find(|entry| entry["outcome"] == "proxyReply").expect("recorded");
    assert_eq!(end["responseStatus"]["code"], 503);
}

#[test]
fn a_response_that_breaks_off_is_recorded_as_far_as_it_came() {
    let mut rig = Rig::new(json!({}));
    let (mut exchange, _) = rig.begin("GET", "/api/v1/namespaces/shop/configmaps/a", &[]);
    assert!(matches!(
        rig.respond(&mut exchange, 200, &[("content-type", "application/json")]),
        AtResponseHeaders::Pass(_)
    ));
    rig.response_body(&mut exchange, br#"{"kind":"ConfigMap","data":{"a":"1","#, false).unwrap();
    exchange.on_log(&mut rig.gateway, rig.now);
    let entries = rig.entries_of("exchange");
    assert_eq!(entries[0]["outcome"], "aborted");
    assert!(entries[0]["responseObject"]["data"].as_str().unwrap().contains("ConfigMap"));
}

#[test]
fn the_agent_can_name_the_exchange() {
    let mut rig = Rig::new(json!({}));
    let (mut exchange, begun) = rig.begin("GET", "/api/v1/pods", &[("audit-id", "mine")]);
    let Begun::Forward(request) = begun else { panic!("a read is not confirmed") };
    let response = [("content-type", "application/json"), ("audit-id", "theirs")];
    let AtResponseHeaders::Pass(response) = rig.respond(&mut exchange, 200, &response) else {
        panic!("passes")
    };
    assert_eq!(header(&request, "audit-id"), header(&response, "audit-id"));
    assert_eq!(header(&request, "audit-id").unwrap().len(), 36);
}

/// `kubectl get secrets -w` asks for this.
#[test]
fn a_watch_of_secrets_as_tables_is_masked_row_by_row() {
    for (path, included) in [
        (
            "/api/v1/namespaces/shop/secrets?watch=true",
            json!({"kind": "Secret", "data": {"password": "aHVudGVyMg=="}}),
        ),
        (
            "/api/v1/watch/secrets",
            json!({"kind": "PartialObjectMetadata", "metadata": {"annotations": {
                "kubectl.kubernetes.io/last-applied-configuration": r#"{"data":{"password":"aHVudGVyMg=="}}"#,
            }}}),
        ),
    ] {
        let mut rig = Rig::new(json!({}));
        let (mut exchange, begun) =
            rig.begin("GET", path, &[("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")]);
        let Begun::Confirm(_, post) = begun else { panic!("a Secret's watch waits") };
        rig.confirm(&mut exchange, &post, 200, &acknowledgement(&post));
        let content = [("content-type", "application/json;as=Table;v=v1;g=meta.k8s.io")];
        assert!(matches!(rig.respond(&mut exchange, 200, &content), AtResponseHeaders::Pass(_)));
        let table = json!({"kind": "Table", "rows": [{"cells": ["db", "Opaque", 1], "object": included}]});
        let event = json!({"type": "ADDED", "object": table}).to_string() + "\n";
        let seen = rig.response_body(&mut exchange, event.as_bytes(), false).unwrap();
        exchange.on_log(&mut rig.gateway, rig.now);
        let recorded = json!(rig.entries()).to_string();
        for text in [String::from_utf8(seen).unwrap(), recorded] {
            assert!(!text.contains("aHVudGVyMg") && text.contains("W21hc2tlZCBieSBjaGFwZXJvbmVd"), "{text}");
        }
    }
}

#[test]
fn what_went_wrong_with_a_read_is_told_and_a_writes_words_are_not() {
    let status =
        |message: &str| json!({"kind": "Status", "status": "Failure", "message": message, "code": 404});
    let mut rig = Rig::new(json!({}));
    let mut exchange = asked(&mut rig);
    let seen = rig.answer(&mut exchange, 404, &status(r#"secrets "db" not found"#));
    assert_eq!(seen["message"], r#"secrets "db" not found"#);
    let mut exchange = asked(&mut rig);
    let seen = rig.answer(&mut exchange, 404, &json!({"kind": "Secret", "data": {"a": "aHVudGVyMg=="}}));
    assert_eq!(seen["data"]["a"], "W21hc2tlZCBieSBjaGFwZXJvbmVd", "what is no Status is masked all the same");
    let (mut exchange, begun) = rig.begin("DELETE", "/api/v1/namespaces/shop/secrets/db", &[]);
    let Begun::Confirm(_, post) = begun else { panic!("a write waits") };
    rig.confirm(&mut exchange, &post, 200, &acknowledgement(&post));
    let seen = rig.answer(&mut exchange, 404, &status("it was aHVudGVyMg=="));
    assert!(!seen["message"].as_str().unwrap().contains("aHVudGVyMg"));
}
