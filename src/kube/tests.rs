#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

mod two_readings;

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
    let (mut agreed, mut differing) = (0, 0);
    let mut reasons = std::collections::BTreeMap::<String, usize>::new();
    for case in &cases {
        let (method, target) = (case["method"].as_str().unwrap(), case["target"].as_str().unwrap());
        // The capture wrote the target's bytes as Latin-1.
        let bytes: Vec<u8> = target.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
        let info = match RequestInfo::parse(method.as_bytes(), &bytes) {
            Ok(info) => info,
            Err(refusal) => {
                let reason = refusal.status.message().trim_start_matches("chaperone: ").to_owned();
                println!("refused: {method} {target:?}, answered {} by the server: {reason}", case["status"]);
                *reasons.entry(reason).or_default() += 1;
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
            println!("differs: {method} {target}: {expected:?} {got:?}");
            differing += 1;
        } else {
            agreed += 1;
        }
    }
    let refused: usize = reasons.values().sum();
    println!("agreed {agreed}, refused {refused}, differing {differing}, of {}: {reasons:#?}", cases.len());
    assert_eq!((agreed, refused, differing), (88, 25, 0));
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
    let sent = head.upstream(&info, b"Bearer injected", "id", "", &|_| false).unwrap();
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
            ("user-agent", "kubectl"),
            ("accept", "application/json"),
            ("authorization", "Bearer injected"),
            ("accept-encoding", "identity"),
            ("audit-id", "id"),
        ]
    );
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
        fn any_headers_are_checked(name in proptest::collection::vec(any::<u8>(), 0..20), value in proptest::collection::vec(any::<u8>(), 0..40)) {
            let head = RequestHead::new(vec![(b":method".to_vec(), b"GET".to_vec()), (b":path".to_vec(), value.clone()), (name, value)]);
            let _ = (head.check(), head.recorded_uri(), head.user_agent(), head.upgrades());
        }

        /// What goes upstream is classified as the request was, by whoever reads it there.
        #[test]
        fn what_goes_upstream_means_the_same(
            session in "(/s/[a-z.]{1,5})?",
            path in "/(api/v1|apis/apps/v1|x)(/(watch|namespaces|secrets|pods|log|status|d%62|a|)){0,6}/{0,2}",
            query in "(\\?(watch|access_token|%74oken|fieldSelector|limit)(=(1|false|metadata.name%3Dx|))?(&(watch|token|x)(=0)?)?)?",
        ) {
            if let Ok(info) = RequestInfo::parse(b"GET", format!("{session}{path}{query}").as_bytes()) {
                let again = RequestInfo::parse(b"GET", info.upstream_target.as_bytes()).unwrap();
                prop_assert_eq!(again.object_ref(), info.object_ref());
                prop_assert_eq!((&again.verb, &again.path), (&info.verb, &info.path));
                prop_assert_eq!(again.stream_kind(), info.stream_kind());
                prop_assert_eq!(&again.upstream_target, &info.upstream_target);
                prop_assert!(!info.upstream_target.contains("oken"));
            }
        }

        #[test]
        fn almost_paths_are_classified_or_refused(target in "(/|api|apis|v1|watch|proxy|namespaces|secrets|%2e|%|\\?|=|&|;|a|\\.){0,20}") {
            if let Ok(info) = RequestInfo::parse(b"GET", format!("/{target}").as_bytes()) {
                let segments: Vec<&str> = info.path.split('/').skip(1).collect();
                prop_assert!(info.path == "/" || !segments.iter().any(|part| matches!(*part, "" | "." | "..")));
            }
        }
    }
}
