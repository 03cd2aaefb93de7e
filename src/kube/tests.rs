#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use serde_json::Value;

fn parse(method: &str, target: &str) -> Result<RequestInfo, Refusal> {
    RequestInfo::parse(method.as_bytes(), target.as_bytes())
}

/// The real server's own classification, from its audit log. Where the filter answers at all, it agrees.
#[test]
fn classification_agrees_with_the_api_server_or_refuses() {
    let cases: Vec<Value> =
        serde_json::from_str(include_str!("../../test-harness/fixtures/request-info.json")).unwrap();
    let (mut agreed, mut refused, mut differing) = (0, 0, 0);
    for case in &cases {
        let (method, target) = (case["method"].as_str().unwrap(), case["target"].as_str().unwrap());
        // The capture wrote the target's bytes as Latin-1.
        let bytes: Vec<u8> = target.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
        let info = match RequestInfo::parse(method.as_bytes(), &bytes) {
            Ok(info) => info,
            Err(refusal) => {
                println!("refused {method} {target:?}: {}", refusal.status.message());
                refused += 1;
                continue;
            }
        };
        let audit = &case["audit"];
        let text = |name: &str| audit[name].as_str().unwrap_or_default().to_owned();
        let resource = audit["resourceRequest"] == true;
        let expected = [
            text("verb"),
            text("apiGroup"),
            text("apiVersion"),
            text("resource"),
            text("subresource"),
            text("namespace"),
            text("name"),
        ];
        let got = [
            info.verb,
            info.api_group,
            info.api_version,
            info.resource,
            info.subresource,
            info.namespace,
            info.name,
        ];
        if audit.is_null() || resource != info.is_resource_request || expected != got {
            println!("differs {method} {target}: {expected:?} {got:?}");
            differing += 1;
        } else {
            agreed += 1;
        }
    }
    println!("agreed {agreed}, refused {refused}, differing {differing}");
    assert_eq!((differing, agreed + refused), (0, cases.len()));
    assert!(agreed >= 80, "{agreed}");
}

#[test]
fn what_could_be_read_two_ways_is_refused() {
    for target in [
        "/api/v1/namespaces/a%2Fsecrets",
        "/api/v1/namespaces//secrets",
        "/api/v1/namespaces/a/../secrets",
        "/api/v1/%2e%2e/secrets",
        "/api/v1/secrets%00",
        "/api/v1/secrets%2500",
        "/api/v1/secrets;x=1",
        "/api/v1/secrets\\x",
        "/api/v1/secrets%5cx",
        "/api/v1/secrets%zz",
        "/api/v1/secrets%ff",
        "/api/v1/secrets?watch=false&watch=true",
        "/api/v1/secrets?watch=true;x=1",
        "/api/v1/secrets?x=%g1",
        "/api/v1/proxy/namespaces/a/pods/p",
        "/api/v1/watch",
        "/s/session",
        "/s//api/v1/secrets",
        "/s/a%20b/api/v1/secrets",
        "http://other/api/v1/secrets",
        "*",
        "",
        "/api/v1/secrets#x",
    ] {
        let refusal = parse("GET", target).expect_err(target);
        assert_eq!(refusal.status.code(), 400, "{target}");
    }
    for method in ["OPTIONS", "TRACE", "CONNECT", "get", ""] {
        assert_eq!(parse(method, "/api/v1/secrets").unwrap_err().status.code(), 405, "{method}");
    }
    assert_eq!(parse("DELETE", "/api/v1/watch/namespaces/a/secrets").unwrap_err().status.code(), 405);
}

#[test]
fn the_session_prefix_is_taken_off_before_anything_is_read() {
    let info = parse("GET", "/s/run-7/api/v1/namespaces/a/secrets/db?access_token=x&limit=1").unwrap();
    assert_eq!(info.session.as_deref(), Some("run-7"));
    assert_eq!(info.upstream_target, "/api/v1/namespaces/a/secrets/db?limit=1");
    assert!(info.is_secret() && info.verb == "get");
}

#[test]
fn streams_and_writes_are_known() {
    let kind = |method, target| parse(method, target).unwrap().stream_kind();
    assert_eq!(kind("GET", "/api/v1/namespaces/a/pods/p/exec?command=id&command=-u"), Some(StreamKind::Exec));
    assert_eq!(kind("POST", "/api/v1/namespaces/a/pods/p/portforward"), Some(StreamKind::PortForward));
    assert_eq!(kind("GET", "/api/v1/namespaces/a/pods/p/log?follow=true"), Some(StreamKind::Log));
    assert_eq!(kind("GET", "/api/v1/namespaces/a/pods/p/log"), None);
    assert_eq!(kind("GET", "/api/v1/pods?watch=1"), Some(StreamKind::Watch));
    assert!(parse("GET", "/api/v1/namespaces/a/pods/p/exec").unwrap().is_write());
    assert!(!parse("GET", "/api/v1/namespaces/a/pods/p").unwrap().is_write());
}

#[test]
fn only_what_can_be_masked_is_asked_for() {
    const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
    for (accepted, wanted) in [
        ("", Some("application/json")),
        ("application/json", Some("application/json")),
        ("*/*", Some("application/json")),
        ("application/yaml", Some("application/json")),
        ("application/vnd.kubernetes.protobuf, application/json", Some("application/json")),
        ("application/vnd.kubernetes.protobuf", Some("application/vnd.kubernetes.protobuf")),
        (
            "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
            Some("application/json;as=Table;v=v1;g=meta.k8s.io,application/json"),
        ),
        (
            "application/json;q=0.1;as=Table;g=meta.k8s.io;v=v1,*/*;q=0",
            Some("application/json;as=Table;g=meta.k8s.io;v=v1,application/json"),
        ),
        ("application/cbor", None),
        ("text/html", None),
    ] {
        let values: Vec<&[u8]> = if accepted.is_empty() { vec![] } else { vec![accepted.as_bytes()] };
        assert_eq!(media::accept(&values).ok().as_deref(), wanted, "{accepted}");
    }
    assert_eq!(media::accept(&[TABLE.as_bytes()]).unwrap(), TABLE);
}

#[test]
fn media_types_are_read_without_their_parameters() {
    for (value, media) in [
        ("application/json", Media::Json),
        ("application/json;stream=watch", Media::Json),
        ("Application/JSON; charset=utf-8", Media::Json),
        ("application/vnd.kubernetes.protobuf;stream=watch", Media::Protobuf),
        ("application/yaml", Media::Yaml),
        ("application/cbor-seq", Media::Cbor),
        ("text/plain", Media::Other),
        ("", Media::Other),
    ] {
        assert_eq!(Media::parse(value.as_bytes()), media, "{value}");
    }
}

fn head(extra: &[(&str, &str)]) -> RequestHead {
    let base = [
        (":method", "GET"),
        (":path", "/api/v1/namespaces/a/secrets"),
        (":authority", "gateway"),
        (":scheme", "https"),
    ];
    RequestHead::new(
        base.iter()
            .chain(extra)
            .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
            .collect(),
    )
}

#[test]
fn the_agents_credentials_and_claims_to_be_someone_else_stay_behind() {
    let head = head(&[
        ("authorization", "Bearer agent"),
        ("impersonate-user", "admin"),
        ("impersonate-extra-x", "y"),
        ("x-remote-user", "admin"),
        ("x-agent-model", "m"),
        ("cookie", "c"),
        ("accept-encoding", "gzip"),
        ("audit-id", "mine"),
        ("x-custom", "kept"),
        ("user-agent", "kubectl"),
        ("sec-websocket-protocol", "base64url.bearer.authorization.k8s.io.eA"),
    ]);
    assert!(head.check().is_ok());
    let info = RequestInfo::parse(head.method(), head.path()).unwrap();
    let sent = head.upstream(&info, b"Bearer injected", "id", &|name| name == b"kubectl-session").unwrap();
    let sent: Vec<(String, String)> = sent
        .into_iter()
        .map(|(n, v)| (String::from_utf8(n).unwrap(), String::from_utf8(v).unwrap()))
        .collect();
    let pairs: Vec<(&str, &str)> = sent.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    assert_eq!(
        pairs,
        [
            (":method", "GET"),
            (":path", "/api/v1/namespaces/a/secrets"),
            (":authority", "gateway"),
            (":scheme", "https"),
            ("x-custom", "kept"),
            ("user-agent", "kubectl"),
            ("accept", "application/json"),
            ("authorization", "Bearer injected"),
            ("accept-encoding", "identity"),
            ("audit-id", "id"),
        ]
    );
}

#[test]
fn headers_that_could_be_read_two_ways_are_refused() {
    for (extra, code) in [
        (vec![("content-type", "a"), ("content-type", "b")], 400),
        (vec![(":path", "/version")], 400),
        (vec![("x-custom", "a\u{1}b")], 400),
        (vec![("content-type", "application/jsön")], 400),
        (vec![("content-encoding", "gzip")], 415),
    ] {
        assert_eq!(head(&extra).check().unwrap_err().status.code(), code, "{extra:?}");
    }
    let patch = |content_type: &str| {
        RequestHead::new(vec![
            (b":method".to_vec(), b"PATCH".to_vec()),
            (b"content-type".to_vec(), content_type.into()),
        ])
        .check()
    };
    assert!(patch("application/merge-patch+json").is_ok());
    assert!(patch("application/json-patch+json;charset=utf-8").is_ok());
    assert_eq!(patch("application/json").unwrap_err().status.code(), 415);
    assert_eq!(patch("Application/Merge-Patch+json").unwrap_err().status.code(), 415);
}

#[test]
fn a_status_is_the_api_servers() {
    let refusal = Refusal::forbidden("guard:token-request", "guard", "no");
    let body: Value = serde_json::from_slice(&refusal.status.to_json()).unwrap();
    assert_eq!(
        body,
        serde_json::json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": "chaperone: no", "reason": "Forbidden", "code": 403})
    );
}

#[cfg(not(target_arch = "wasm32"))]
mod properties {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_classified_or_refused(method in proptest::collection::vec(any::<u8>(), 0..8), target in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = RequestInfo::parse(&method, &target);
        }

        #[test]
        fn almost_paths_are_classified_or_refused(target in "(/|api|apis|v1|watch|proxy|namespaces|secrets|%2e|%|\\?|=|&|;|a|\\.){0,20}") {
            if let Ok(info) = RequestInfo::parse(b"GET", format!("/{target}").as_bytes()) {
                prop_assert!(!info.path.contains("//") && !info.path.contains(".."));
            }
        }
    }
}
