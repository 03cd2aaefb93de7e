#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use crate::config::{Access, Delivery, GUARDS, Level};
use crate::kube::{RequestHead, RequestInfo};
use chaperone_record::User;
use serde_json::json;

fn info(method: &str, target: &str) -> RequestInfo {
    RequestInfo::parse(method.as_bytes(), target.as_bytes()).unwrap()
}

fn user(name: &str, groups: &[&str]) -> User {
    User {
        username: name.to_owned(),
        groups: groups.iter().map(|&g| g.to_owned()).collect(),
        ..User::default()
    }
}

fn policy(value: serde_json::Value) -> AccessPolicy {
    AccessPolicy::compile(&serde_json::from_value::<Access>(value).unwrap())
}

#[test]
fn the_first_rule_that_matches_decides() {
    let policy = policy(json!({"default": "deny", "rules": [
        {"effect": "deny", "name": "no-secrets", "subjects": {"groups": ["interns"]}, "resources": ["secrets"], "message": "ask the platform team"},
        {"effect": "allow", "verbs": ["get", "list"], "apiGroups": [""], "resources": ["*"], "namespaces": ["shop"]},
        {"effect": "allow", "resources": ["*/scale", "pods/log"]},
        {"effect": "allow", "resources": ["configmaps"], "resourceNames": ["app"]},
        {"effect": "allow", "nonResourceURLs": ["/healthz", "/openapi/*"]},
        {"effect": "allow", "subjects": {"users": ["root"]}, "verbs": ["*"], "resources": ["*"]},
    ]}));
    let anyone = user("a", &["agents"]);
    for (method, target, who, rule) in [
        ("GET", "/api/v1/namespaces/shop/secrets/db", &user("a", &["interns"]), Err("no-secrets")),
        ("GET", "/api/v1/namespaces/shop/secrets/db", &anyone, Ok("access.rules[1]")),
        ("GET", "/api/v1/namespaces/other/secrets/db", &anyone, Err("access.default")),
        ("DELETE", "/api/v1/namespaces/shop/pods/p", &anyone, Err("access.default")),
        ("PATCH", "/apis/apps/v1/namespaces/x/deployments/d/scale", &anyone, Ok("access.rules[2]")),
        ("GET", "/api/v1/namespaces/x/pods/p/log", &anyone, Ok("access.rules[2]")),
        ("GET", "/api/v1/namespaces/x/pods/p", &anyone, Err("access.default")),
        ("PUT", "/api/v1/namespaces/x/configmaps/app", &anyone, Ok("access.rules[3]")),
        ("PUT", "/api/v1/namespaces/x/configmaps/other", &anyone, Err("access.default")),
        ("GET", "/healthz", &anyone, Ok("access.rules[4]")),
        ("GET", "/openapi/v3/api/v1", &anyone, Ok("access.rules[4]")),
        ("GET", "/healthz/etcd", &anyone, Err("access.default")),
        ("DELETE", "/api/v1/namespaces/x", &user("root", &[]), Ok("access.rules[5]")),
        ("GET", "/version", &user("root", &[]), Err("access.default")),
    ] {
        let decided = policy.decide(&info(method, target), who);
        let got =
            decided.as_ref().map(|decision| decision.rule.as_str()).map_err(|refusal| refusal.rule.as_str());
        assert_eq!(got, rule, "{method} {target}");
    }
    let refusal = policy.decide(&info("GET", "/api/v1/secrets"), &user("a", &["interns"])).unwrap_err();
    assert_eq!(
        refusal.status.message(),
        "chaperone: no-secrets refuses to list secrets: ask the platform team"
    );
}

fn head(headers: &[(&str, &str)]) -> RequestHead {
    RequestHead::new(
        headers.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect(),
    )
}

#[test]
fn every_guard_refuses_and_can_be_switched_off() {
    let plain: &[(&str, &str)] = &[];
    let websocket: &[(&str, &str)] = &[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")];
    for (guard, method, target, headers, body) in [
        ("token-request", "POST", "/api/v1/namespaces/a/serviceaccounts/b/token", plain, true),
        ("token-review", "POST", "/apis/authentication.k8s.io/v1/tokenreviews", plain, true),
        (
            "certificate-signing",
            "POST",
            "/apis/certificates.k8s.io/v1/certificatesigningrequests",
            plain,
            true,
        ),
        (
            "certificate-signing",
            "PUT",
            "/apis/certificates.k8s.io/v1/certificatesigningrequests/x/approval",
            plain,
            true,
        ),
        ("node-proxy", "GET", "/api/v1/nodes/n/proxy/pods", plain, false),
        ("pod-proxy", "GET", "/api/v1/namespaces/a/pods/p/proxy", plain, false),
        ("service-proxy", "GET", "/api/v1/namespaces/a/services/https:s:443/proxy/x", plain, false),
        ("debug-endpoints", "GET", "/metrics", plain, false),
        ("debug-endpoints", "GET", "/debug/pprof/heap", plain, false),
        (
            "admission-config",
            "POST",
            "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
            plain,
            true,
        ),
        ("unrecorded-streams", "GET", "/api/v1/namespaces/a/pods/p/exec?command=id", websocket, false),
        ("unrecorded-streams", "GET", "/api/v1/namespaces/a/pods/p/log", websocket, false),
        ("unrecorded-streams", "POST", "/api/v1/namespaces/a/pods/p/exec", plain, false),
        ("delete-dry-run-body", "DELETE", "/api/v1/namespaces/a/pods/p?dryRun=All", plain, true),
    ] {
        let (info, head) = (info(method, target), head(headers));
        let refusal = Guards::new(&[]).check(&info, &head, !body).expect_err(target);
        assert_eq!(refusal.rule, format!("guard:{guard}"), "{target}");
        assert_eq!(refusal.status.code(), 403);
        assert_eq!(Guards::new(&[guard.to_owned()]).check(&info, &head, !body), Ok(()), "{target}");
        assert!(GUARDS.contains(&guard));
    }
}

#[test]
fn ordinary_requests_meet_no_guard() {
    for (method, target) in [
        ("GET", "/api/v1/namespaces/a/secrets/b"),
        ("POST", "/api/v1/namespaces/a/serviceaccounts"),
        ("GET", "/apis/certificates.k8s.io/v1/certificatesigningrequests"),
        ("GET", "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"),
        ("DELETE", "/api/v1/namespaces/a/pods/p"),
        ("GET", "/metricsx"),
        ("GET", "/openapi/v3"),
    ] {
        assert_eq!(Guards::new(&[]).check(&info(method, target), &head(&[]), false), Ok(()), "{target}");
    }
}

#[test]
fn default_recording_rules_confirm_writes_and_secrets() {
    let config: crate::config::Recording = serde_json::from_value(json!({
        "collector": {"cluster": "c", "token": {"env": "T"}}, "signingKey": {"env": "K"}}))
    .unwrap();
    let policy = RecordingPolicy::compile(&config.rules);
    let nobody = User::default();
    for (method, target, level, delivery) in [
        ("GET", "/version", Level::Metadata, Delivery::Buffered),
        ("GET", "/api/v1", Level::Metadata, Delivery::Buffered),
        ("GET", "/unknown", Level::RequestResponse, Delivery::Buffered),
        ("GET", "/api/v1/pods", Level::RequestResponse, Delivery::Buffered),
        ("GET", "/api/v1/secrets", Level::RequestResponse, Delivery::Confirmed),
        ("GET", "/api/v1/namespaces/a/pods/p/exec", Level::RequestResponse, Delivery::Confirmed),
        ("DELETE", "/apis/apps/v1/namespaces/a/deployments", Level::RequestResponse, Delivery::Confirmed),
    ] {
        assert_eq!(policy.decide(&info(method, target), &nobody), (level, delivery), "{target}");
    }
    let none = RecordingPolicy::compile(&[]);
    assert_eq!(none.decide(&info("POST", "/api/v1/namespaces"), &nobody).1, Delivery::Confirmed);
    assert_eq!(none.decide(&info("GET", "/api/v1/pods"), &nobody).1, Delivery::Buffered);
}
