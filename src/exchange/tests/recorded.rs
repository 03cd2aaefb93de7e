//! What is written down of requests that pass.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::rig::{Begun, Rig, START, UPSTREAM_TOKEN, acknowledgement, header};
use crate::exchange::{AtRequestBody, AtResponseHeaders, Confirmation, Exchange, Header};
use serde_json::{Value, json};

fn forwarded(begun: Begun) -> Vec<Header> {
    match begun {
        Begun::Forward(headers) | Begun::Confirm(headers, _) => headers,
        Begun::Mint(_) => panic!("no token is to be minted"),
        Begun::Reply(reply) => panic!("refused: {}", String::from_utf8_lossy(&reply.body)),
    }
}

/// A confirmed request with a body, up to its release.
fn write(rig: &mut Rig, method: &str, path: &str, kind: &str, body: &Value) -> Exchange {
    let (mut exchange, begun) = rig.begin(method, path, &[("content-type", kind)]);
    let Begun::Confirm(_, post) = begun else { panic!("a write waits") };
    assert!(matches!(rig.confirm(&mut exchange, &post, 200, &acknowledgement(&post)), Confirmation::Resume));
    let AtRequestBody::Confirm(_, posts) = rig.body(&mut exchange, body.to_string().as_bytes(), true) else {
        panic!("the body waits")
    };
    let [post] = posts.as_slice() else { panic!("a short body is in one batch") };
    assert!(matches!(rig.confirm(&mut exchange, post, 200, &acknowledgement(post)), Confirmation::Resume));
    exchange
}

#[test]
fn a_read_is_one_entry_with_who_what_why_and_when() {
    let mut rig = Rig::new(json!({}));
    let token =
        rig.token(&json!({"sid": "s-1", "model": "m-1", "prompt_sha256": "abc", "act": {"sub": "coder"}}));
    let authorization = format!("Bearer {token}");
    let (mut exchange, begun) = rig.begin_bare(
        "GET",
        "/api/v1/namespaces/shop/pods/web?pretty=true",
        &[
            ("authorization", &authorization),
            ("user-agent", "kubectl/1.37"),
            ("x-agent-model", "claimed"),
            ("accept", "application/json"),
        ],
    );
    let headers = forwarded(begun);
    assert_eq!(header(&headers, "authorization"), Some(format!("Bearer {UPSTREAM_TOKEN}")));
    assert_eq!(header(&headers, "x-agent-model"), None);
    assert!(headers.iter().all(|(_, value)| !value.windows(3).any(|window| window == b"eyJ")));
    rig.wait(20);
    rig.answer(&mut exchange, 200, &json!({"kind": "Pod", "metadata": {"name": "web"}}));

    let entries = rig.entries_of("exchange");
    let entry = &entries[0];
    assert_eq!(entry["exchange"].as_str(), header(&headers, "audit-id").as_deref());
    assert_eq!(entry["user"]["username"], "alice");
    assert_eq!(entry["user"]["groups"], json!(["dev"]));
    assert_eq!(entry["user"]["issuer"], "https://idp.example.com");
    assert_eq!(entry["session"], "s-1");
    for (name, value, source) in [
        ("agent", "coder", "act.sub"),
        ("session", "s-1", "sid"),
        ("model", "m-1", "model"),
        ("prompt", "abc", "prompt_sha256"),
    ] {
        let attributed = &entry["attribution"][name];
        assert_eq!((&attributed["value"], &attributed["verified"]), (&json!(value), &json!(true)), "{name}");
        assert!(attributed["source"].as_str().unwrap().contains(source), "{name}");
    }
    assert_eq!(entry["verb"], "get");
    assert_eq!(
        entry["objectRef"],
        json!({"apiVersion": "v1", "resource": "pods", "namespace": "shop", "name": "web"})
    );
    assert_eq!(entry["requestURI"], "/api/v1/namespaces/shop/pods/web?pretty=true");
    assert_eq!(entry["sourceIPs"], json!(["192.0.2.7"]));
    assert_eq!(entry["responseObject"]["metadata"]["name"], "web");
    assert_eq!(entry["responseStatus"]["code"], 200);
    assert_eq!(entry["timing"]["received"], "2026-11-24T12:00:00.000000Z");
    assert_eq!(entry["timing"]["complete"], "2026-11-24T12:00:00.020000Z");
    assert_eq!(rig.now.micros(), START + 1_020_000);
}

#[test]
fn what_only_headers_say_is_not_verified() {
    let mut rig = Rig::new(json!({}));
    let headers = [
        ("x-agent-model", "m"),
        ("x-agent-prompt-id", "p"),
        ("kubectl-session", "k"),
        ("user-agent", "bot/1"),
    ];
    let (mut exchange, _) = rig.begin("GET", "/api/v1/pods", &headers);
    exchange.on_log(&mut rig.gateway, rig.now);
    let entries = rig.entries_of("exchange");
    for (name, value) in [("agent", "bot/1"), ("session", "k"), ("model", "m"), ("prompt", "p")] {
        let attributed = &entries[0]["attribution"][name];
        assert_eq!((&attributed["value"], &attributed["verified"]), (&json!(value), &json!(false)), "{name}");
    }
}

#[test]
fn without_a_session_the_token_is_one() {
    let mut rig = Rig::new(json!({}));
    let (mut exchange, _) = rig.begin("GET", "/api/v1/pods", &[]);
    exchange.on_log(&mut rig.gateway, rig.now);
    assert_eq!(rig.entries_of("exchange")[0]["session"], "token-1");
}

#[test]
fn discovery_is_recorded_without_its_body() {
    let mut rig = Rig::new(json!({}));
    let (mut exchange, _) = rig.begin("GET", "/apis", &[]);
    rig.answer(&mut exchange, 200, &json!({"kind": "APIGroupList"}));
    let entries = rig.entries_of("exchange");
    assert!(entries[0]["responseObject"].is_null());
    assert_eq!(entries[0]["responseDigest"]["bytes"], 23);
}

#[test]
fn values_written_to_a_secret_are_masked_in_the_record() {
    let (secret, value) = ("/api/v1/namespaces/shop/secrets/db", "hunter2-hunter2");
    let encoded = "aHVudGVyMi1odW50ZXIy";
    let applied = json!({"data": {"password": encoded}, "kind": "Secret"}).to_string();
    let cases = [
        (
            "PUT",
            "application/json",
            json!({"kind": "Secret", "type": "Opaque", "data": {"password": encoded}, "stringData": {"p": value}}),
        ),
        (
            "PUT",
            "application/json",
            json!({"kind": "Secret", "type": "Opaque", "metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": applied}}}),
        ),
        ("PATCH", "application/merge-patch+json", json!({"data": {"password": encoded}})),
        ("PATCH", "application/strategic-merge-patch+json", json!({"stringData": {"password": value}})),
        (
            "PATCH",
            "application/apply-patch+yaml",
            json!({"kind": "Secret", "apiVersion": "v1", "stringData": {"password": value}}),
        ),
        (
            "PATCH",
            "application/json-patch+json",
            json!([{"op": "replace", "path": "/data/password", "value": encoded}]),
        ),
    ];
    for (method, kind, body) in cases {
        let mut rig = Rig::new(json!({}));
        let path =
            if kind.contains("apply") { format!("{secret}?fieldManager=x") } else { secret.to_owned() };
        let mut exchange = write(&mut rig, method, &path, kind, &body);
        rig.answer(&mut exchange, 200, &json!({"kind": "Secret", "data": {"password": encoded}}));
        let entries = rig.entries();
        let text = json!(entries).to_string();
        assert!(!text.contains(value) && !text.contains(encoded), "{method} {kind}: {text}");
        let written =
            entries.iter().filter(|entry| entry["type"] == "request" && !entry["requestDigest"].is_null());
        assert_eq!(written.count(), 1, "{kind}");
    }
}

#[test]
fn what_the_agent_saw_of_a_secret_is_what_is_recorded() {
    let mut rig = Rig::new(json!({}));
    let (mut exchange, begun) = rig.begin("GET", "/api/v1/namespaces/shop/secrets", &[]);
    let Begun::Confirm(_, post) = begun else { panic!("a Secret's read waits") };
    rig.confirm(&mut exchange, &post, 200, &acknowledgement(&post));
    let list = json!({"kind": "SecretList", "items": [{"data": {"a": "c2VjcmV0", "b": "c2VjcmV0"}}, {"data": {"a": "c2VjcmV0"}}]});
    let seen = rig.answer(&mut exchange, 200, &list);
    let entries = rig.entries_of("response");
    assert_eq!(entries[0]["responseObject"], seen);
    assert_eq!(entries[0]["responseDigest"]["bytes"], seen.to_string().len());
    let count: u64 =
        entries[0]["masked"].as_array().unwrap().iter().filter_map(|one| one["count"].as_u64()).sum();
    assert_eq!(count, 3);
}

#[test]
fn a_watch_is_written_down_while_it_runs() {
    let mut rig = Rig::new(json!({}));
    let (mut exchange, _) = rig.begin("GET", "/api/v1/pods?watch=1", &[]);
    let headers = [("content-type", "application/json")];
    assert!(matches!(rig.respond(&mut exchange, 200, &headers), AtResponseHeaders::Pass(_)));
    for name in ["a", "b"] {
        let event = json!({"type": "ADDED", "object": {"kind": "Pod", "metadata": {"name": name}}})
            .to_string()
            + "\n";
        let seen = rig.response_body(&mut exchange, event.as_bytes(), false).unwrap();
        assert_eq!(String::from_utf8(seen).unwrap(), event, "an event is not held back");
        rig.wait(300);
    }
    let pieces = rig.entries_of("stream");
    assert_eq!(pieces.len(), 2);
    assert!(pieces[1]["data"].as_str().unwrap().contains(r#""name":"b""#));
    assert_eq!(pieces[1]["offset"], 300_000);
    assert!(rig.entries_of("request")[0]["verb"] == "watch", "the head is written before its pieces");
    rig.response_body(&mut exchange, b"", true);
    exchange.on_log(&mut rig.gateway, rig.now);
    assert_eq!(rig.entries_of("end")[0]["outcome"], "complete");
}

#[test]
fn a_long_body_is_written_in_pieces_and_cut_at_its_limit() {
    let mut rig = Rig::new(json!({"recording": {"limits": {"maxBodyBytes": 10_000, "batchBytes": 4096}}}));
    let (mut exchange, _) = rig.begin("GET", "/api/v1/configmaps", &[]);
    let body = format!(r#"{{"kind":"ConfigMapList","items":[{{"data":{{"a":"{}"}}}}]}}"#, "x".repeat(30_000));
    assert!(matches!(
        rig.respond(&mut exchange, 200, &[("content-type", "application/json")]),
        AtResponseHeaders::Pass(_)
    ));
    let mut seen = Vec::new();
    for chunk in body.as_bytes().chunks(1000) {
        seen.extend(rig.response_body(&mut exchange, chunk, false).unwrap());
    }
    seen.extend(rig.response_body(&mut exchange, b"", true).unwrap());
    exchange.on_log(&mut rig.gateway, rig.now);
    assert_eq!(String::from_utf8(seen).unwrap(), body);
    let pieces = rig.entries_of("stream");
    let recorded: String = pieces.iter().filter_map(|piece| piece["data"].as_str()).collect();
    assert!(pieces.len() > 1);
    assert_eq!(recorded, body[..10_000]);
    assert_eq!(rig.entries_of("end")[0]["responseDigest"]["bytes"], body.len());
}

#[test]
fn a_secret_sent_to_the_wrong_place_is_masked_in_the_record_all_the_same() {
    let encoded = "aHVudGVyMi1odW50ZXIy";
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "data": {"password": encoded}});
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [secret]});
    for (path, body) in [
        ("/api/v1/namespaces/shop/configmaps", &secret),
        ("/api/v1/namespaces/shop/Secrets", &secret),
        ("/api/v1/namespaces/shop/configmaps", &list),
    ] {
        let mut rig = Rig::new(json!({}));
        let mut exchange = write(&mut rig, "POST", path, "application/json", body);
        rig.answer(&mut exchange, 400, &json!({"kind": "Status", "code": 400}));
        let text = json!(rig.entries()).to_string();
        assert!(!text.contains(encoded) && text.contains("W21hc2tlZCBieSBjaGFwZXJvbmVd"), "{path}: {text}");
    }
    let mut rig = Rig::new(json!({}));
    let map = json!({"kind": "ConfigMap", "data": {"about": "Secrets are elsewhere"}});
    let mut exchange =
        write(&mut rig, "POST", "/api/v1/namespaces/shop/configmaps", "application/json", &map);
    rig.answer(&mut exchange, 201, &map);
    assert!(
        rig.entries_of("request").iter().any(|entry| entry["requestObject"] == map),
        "what is none is kept"
    );
}
