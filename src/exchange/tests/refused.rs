//! What is refused before anything goes upstream, and that each refusal is recorded as fully as what passes.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::rig::{Begun, Headers, Rig, acknowledgement, status};
use crate::exchange::{AtRequestBody, LocalReply};
use serde_json::json;

fn refused(begun: Begun) -> LocalReply {
    match begun {
        Begun::Reply(reply) => reply,
        _ => panic!("it was let through"),
    }
}

#[test]
fn heads_are_refused_with_a_status_that_says_why() {
    let sections = json!({
        "access": {"rules": [
            {"name": "no-pods-for-dev", "effect": "deny", "subjects": {"groups": ["dev"]}, "apiGroups": [""], "resources": ["pods"], "namespaces": ["prod"], "message": "ask ops"},
        ]},
        "attribution": {"require": [{"values": ["model"], "verbs": ["delete"]}]},
    });
    let cases: &[(&str, &str, &str, Headers, u16, &str)] = &[
        ("path read two ways", "GET", "/api/v1//secrets", &[], 400, "path"),
        ("encoded slash", "GET", "/api%2Fv1/secrets", &[], 400, "path"),
        ("a body where none belongs", "GET", "/api/v1/pods", &[("content-type", "text/plain")], 400, "body"),
        ("unknown method", "TRACE", "/api", &[], 405, "method"),
        ("rule", "GET", "/api/v1/namespaces/prod/pods", &[], 403, "ask ops"),
        (
            "guard",
            "POST",
            "/api/v1/namespaces/a/serviceaccounts/b/token",
            &[("content-type", "application/json")],
            403,
            "token-request",
        ),
        ("exec", "GET", "/api/v1/namespaces/a/pods/b/exec?command=sh", &[], 403, "unrecorded-streams"),
        ("attribution", "DELETE", "/api/v1/namespaces/a/pods/b", &[], 400, "x-agent-model"),
        (
            "encoded body",
            "POST",
            "/api/v1/namespaces",
            &[("content-type", "application/json"), ("content-encoding", "gzip")],
            415,
            "encoded",
        ),
        (
            "patch type",
            "PATCH",
            "/api/v1/namespaces/a",
            &[("content-type", "application/json")],
            415,
            "patch",
        ),
        (
            "CBOR only",
            "GET",
            "/api/v1/namespaces/a/secrets",
            &[("accept", "application/cbor")],
            406,
            "application/json",
        ),
    ];
    for (name, method, path, headers, code, says) in cases {
        let mut rig = Rig::new(sections.clone());
        let (mut exchange, begun) = rig.begin(method, path, headers);
        let reply = refused(begun);
        let message = status(&reply)["message"].as_str().unwrap().to_owned();
        assert_eq!(reply.status, *code, "{name}: {message}");
        assert!(message.to_lowercase().contains(&says.to_lowercase()), "{name}: {message}");
        exchange.on_log(&mut rig.gateway, rig.now);
        let entries = rig.entries_of("exchange");
        assert_eq!(entries.len(), 1, "{name}");
        let entry = &entries[0];
        assert_eq!(
            (&entry["decision"]["allowed"], &entry["outcome"]),
            (&json!(false), &json!("refused")),
            "{name}"
        );
        assert_eq!(entry["responseStatus"]["code"], *code, "{name}");
        assert_eq!(entry["requestURI"], *path, "{name}");
        let audit_id =
            reply.headers.iter().find(|(header, _)| *header == "audit-id").map(|(_, id)| id.as_str());
        assert_eq!(entry["exchange"].as_str(), audit_id, "{name}");
    }
}

#[test]
fn tokens_are_refused_with_a_challenge_and_without_being_repeated() {
    let mut rig = Rig::new(json!({}));
    let good = rig.token(&json!({}));
    let (body, signature) = good.rsplit_once('.').unwrap();
    let other = Rig::new(json!({})).token(&json!({}));
    let cases = [
        ("none", None),
        ("basic", Some("Basic YTpi".to_owned())),
        ("malformed", Some("Bearer abc".to_owned())),
        ("two", Some(format!("Bearer {good},Bearer {good}"))),
        ("another's key", Some(format!("Bearer {other}"))),
        ("cut", Some(format!("Bearer {body}."))),
        ("changed", Some(format!("Bearer {body}x.{signature}"))),
        ("expired", Some(format!("Bearer {}", rig.token(&json!({"exp": 1_795_521_600 - 31}))))),
        ("no expiry", Some(format!("Bearer {}", rig.token(&json!({"exp": null}))))),
        ("another audience", Some(format!("Bearer {}", rig.token(&json!({"aud": "other"}))))),
        (
            "another issuer",
            Some(format!("Bearer {}", rig.token(&json!({"iss": "https://evil.example.com"})))),
        ),
        ("no user", Some(format!("Bearer {}", rig.token(&json!({"sub": null}))))),
    ];
    for (name, authorization) in cases {
        let mut headers = vec![("x-agent-model", "m-1"), ("x-agent-session-id", "another's")];
        headers.extend(authorization.iter().map(|value| ("authorization", value.as_str())));
        let (mut exchange, begun) = rig.begin_bare("GET", "/api/v1/pods", &headers);
        let reply = refused(begun);
        assert_eq!((reply.status, status(&reply)["reason"].as_str()), (401, Some("Unauthorized")), "{name}");
        let challenge = reply.headers.iter().find(|(header, _)| *header == "www-authenticate");
        assert!(challenge.is_some_and(|(_, value)| value.starts_with("Bearer")), "{name}");
        let said = String::from_utf8(reply.body).unwrap() + &format!("{:?}", reply.headers);
        assert!(!said.contains("eyJ") && !said.contains(signature), "{name}: {said}");
        exchange.on_log(&mut rig.gateway, rig.now);
    }
    let entries = rig.entries_of("exchange");
    assert_eq!(entries.len(), 12);
    for entry in entries {
        assert!(entry["user"].is_null() && entry["outcome"] == "refused");
        assert_eq!(entry["attribution"]["model"]["verified"], false);
        assert!(entry["session"].is_null(), "who is not known gets into nobody's session");
    }
}

#[test]
fn bodies_are_refused_before_the_last_byte_goes_upstream() {
    const SECRET: &str = "/api/v1/namespaces/shop/secrets/db";
    let cases: &[(&str, &str, &str, &str, &str, u16)] = &[
        (
            "a mask written back",
            "PUT",
            SECRET,
            "application/json",
            r#"{"kind":"Secret","type":"Opaque","data":{"password":"W21hc2tlZCBieSBjaGFwZXJvbmVd"}}"#,
            422,
        ),
        (
            "to a ConfigMap",
            "POST",
            "/api/v1/namespaces/shop/configmaps",
            "application/json",
            r#"{"data":{"a":"[masked by chaperone]"}}"#,
            422,
        ),
        (
            "copy out of data",
            "PATCH",
            SECRET,
            "application/json-patch+json",
            r#"[{"op":"copy","from":"/data/password","path":"/metadata/annotations/x"}]"#,
            422,
        ),
        (
            "test as an oracle",
            "PATCH",
            SECRET,
            "application/json-patch+json",
            r#"[{"op":"test","path":"/data/password","value":"x"}]"#,
            422,
        ),
        (
            "a bootstrap token",
            "POST",
            "/api/v1/namespaces/kube-system/secrets",
            "application/json",
            r#"{"kind":"Secret","type":"bootstrap.kubernetes.io/token"}"#,
            403,
        ),
        (
            "a token Secret",
            "POST",
            "/api/v1/namespaces/shop/secrets",
            "application/json",
            r#"{"kind":"Secret","type":"kubernetes.io/service-account-token"}"#,
            403,
        ),
    ];
    for (name, method, path, kind, body, code) in cases {
        for chunk in [1, 7, body.len()] {
            let mut rig = Rig::new(json!({}));
            let (mut exchange, begun) = rig.begin(method, path, &[("content-type", kind)]);
            let Begun::Confirm(_, post) = begun else { panic!("{name} waits") };
            rig.confirm(&mut exchange, &post, 200, &acknowledgement(&post));
            let (mut reply, mut forwarded) = (None, Vec::new());
            let mut chunks = body.as_bytes().chunks(chunk).peekable();
            while let Some(piece) = chunks.next() {
                match rig.body(&mut exchange, piece, chunks.peek().is_none()) {
                    AtRequestBody::Replace(released) => forwarded.extend(released),
                    AtRequestBody::Reply(refusal) => {
                        reply = Some(refusal);
                        break;
                    }
                    _ => panic!("{name} in chunks of {chunk} was let through"),
                }
            }
            let reply = reply.unwrap();
            assert!(forwarded.len() < body.len(), "{name}: the whole body went upstream");
            assert_eq!(reply.status, *code, "{name}: {}", status(&reply));
            exchange.on_log(&mut rig.gateway, rig.now);
            let ends = rig.entries_of("end");
            assert_eq!((ends.len(), &ends[0]["outcome"]), (1, &json!("refused")), "{name}");
        }
    }
}

#[test]
fn trailers_are_refused() {
    let mut rig = Rig::new(json!({}));
    let (mut exchange, _) =
        rig.begin("POST", "/api/v1/namespaces/a/configmaps", &[("content-type", "application/json")]);
    let reply = exchange.on_request_trailers(&mut rig.gateway, rig.now);
    assert_eq!(reply.status, 400);
}

#[test]
fn trailers_behind_an_answer_do_not_hide_it() {
    let rules = json!([{"level": "RequestResponse", "delivery": "Buffered"}]);
    let mut rig = Rig::new(json!({"recording": {"rules": rules}}));
    let (mut exchange, _) = rig.begin(
        "POST",
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        &[("content-type", "application/json")],
    );
    rig.respond(&mut exchange, 201, &[("content-type", "application/json")]);
    let answer = rig.response_body(&mut exchange, br#"{"kind":"SelfSubjectAccessReview","#, false);
    assert!(answer.is_some());
    exchange.on_request_trailers(&mut rig.gateway, rig.now);
    exchange.on_request_trailers(&mut rig.gateway, rig.now);
    exchange.on_log(&mut rig.gateway, rig.now);
    let entries = rig.entries_of("exchange");
    assert_eq!((entries.len(), &entries[0]["outcome"]), (1, &json!("cut")));
    assert_eq!(entries[0]["responseStatus"]["code"], 201);
    assert_eq!(entries[0]["responseDigest"]["bytes"], 34);
}
