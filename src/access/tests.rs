#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

mod guards;

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

/// What is denied in one namespace or by one name is not had through a list of all; allowing stays as narrow as RBAC's.
#[test]
fn a_denial_holds_against_lists() {
    let rules = json!({"rules": [
        {"effect": "deny", "name": "prod", "resources": ["secrets", "pods/log"], "namespaces": ["prod"]},
        {"effect": "deny", "name": "root-ca", "resources": ["configmaps"], "resourceNames": ["root-ca"]},
    ]});
    for (method, target, denied) in [
        ("GET", "/api/v1/namespaces/prod/secrets/db", Some("prod")),
        ("GET", "/api/v1/namespaces/prod/secrets", Some("prod")),
        ("GET", "/api/v1/secrets", Some("prod")),
        ("GET", "/api/v1/secrets?watch=1", Some("prod")),
        ("GET", "/api/v1/watch/secrets", Some("prod")),
        ("GET", "/api/v1/secrets?fieldSelector=metadata.namespace%3Dprod", Some("prod")),
        ("GET", "/api/v1/namespaces/shop/secrets", None),
        ("POST", "/api/v1/namespaces/shop/secrets", None),
        ("GET", "/api/v1/pods", None),
        ("GET", "/api/v1/namespaces/prod/pods/p", None),
        ("GET", "/api/v1/namespaces/prod/pods/p/log", Some("prod")),
        ("GET", "/api/v1/namespaces/a/configmaps/root-ca", Some("root-ca")),
        ("GET", "/api/v1/namespaces/a/configmaps", Some("root-ca")),
        ("GET", "/api/v1/configmaps?watch=1", Some("root-ca")),
        ("DELETE", "/api/v1/namespaces/a/configmaps", Some("root-ca")),
        ("GET", "/api/v1/configmaps?fieldSelector=metadata.name%3Droot-ca", Some("root-ca")),
        ("GET", "/api/v1/namespaces/a/configmaps?fieldSelector=metadata.name%3Dother", None),
        ("GET", "/api/v1/namespaces/a/configmaps/other", None),
        ("POST", "/api/v1/namespaces/a/configmaps", None),
    ] {
        let decided = policy(rules.clone()).decide(&info(method, target), &user("a", &[]));
        assert_eq!(decided.err().map(|refusal| refusal.rule).as_deref(), denied, "{method} {target}");
    }
    let narrow = json!({"default": "deny", "rules": [
        {"effect": "allow", "resources": ["secrets"], "namespaces": ["shop"]},
        {"effect": "allow", "resources": ["configmaps"], "resourceNames": ["app"]},
    ]});
    for (target, allowed) in [
        ("/api/v1/namespaces/shop/secrets", true),
        ("/api/v1/secrets", false),
        ("/api/v1/namespaces/a/configmaps/app", true),
        ("/api/v1/namespaces/a/configmaps", false),
        ("/api/v1/namespaces/a/configmaps?fieldSelector=metadata.name%3Dapp", true),
        ("/api/v1/namespaces/a/configmaps?fieldSelector=metadata.name!%3Dapp", false),
    ] {
        let decided = policy(narrow.clone()).decide(&info("GET", target), &user("a", &[]));
        assert_eq!(decided.is_ok(), allowed, "{target}");
    }
}

#[test]
fn rules_match_as_rbac_does() {
    let all = json!({"effect": "deny", "resources": ["*"]});
    for (name, rule, method, target, matches) in [
        ("every resource", all.clone(), "GET", "/api/v1/pods", true),
        ("every subresource", all.clone(), "GET", "/api/v1/namespaces/a/pods/p/log", true),
        ("resources are not URLs", all.clone(), "GET", "/healthz", false),
        (
            "URLs are not resources",
            json!({"effect": "deny", "nonResourceURLs": ["*"]}),
            "GET",
            "/api/v1/pods",
            false,
        ),
        ("every URL", json!({"effect": "deny", "nonResourceURLs": ["*"]}), "GET", "/healthz", true),
        ("a URL", json!({"effect": "deny", "nonResourceURLs": ["/version"]}), "GET", "/version", true),
        (
            "a URL with a slash",
            json!({"effect": "deny", "nonResourceURLs": ["/version"]}),
            "GET",
            "/version/",
            true,
        ),
        (
            "a URL, escaped",
            json!({"effect": "deny", "nonResourceURLs": ["/version"]}),
            "GET",
            "/vers%69on",
            true,
        ),
        (
            "a URL is no prefix",
            json!({"effect": "deny", "nonResourceURLs": ["/version"]}),
            "GET",
            "/version/x",
            false,
        ),
        ("below a URL", json!({"effect": "deny", "nonResourceURLs": ["/logs/*"]}), "GET", "/logs/x", true),
        (
            "the directory itself",
            json!({"effect": "deny", "nonResourceURLs": ["/logs/*"]}),
            "GET",
            "/logs/",
            true,
        ),
        (
            "not the directory",
            json!({"effect": "deny", "nonResourceURLs": ["/logs/*"]}),
            "GET",
            "/logs",
            false,
        ),
        (
            "a method",
            json!({"effect": "deny", "verbs": ["post"], "nonResourceURLs": ["*"]}),
            "POST",
            "/x",
            true,
        ),
        (
            "another method",
            json!({"effect": "deny", "verbs": ["post"], "nonResourceURLs": ["*"]}),
            "GET",
            "/x",
            false,
        ),
        (
            "a resource is not its subresources",
            json!({"effect": "deny", "resources": ["pods"]}),
            "GET",
            "/api/v1/namespaces/a/pods/p/log",
            false,
        ),
        (
            "a subresource",
            json!({"effect": "deny", "resources": ["pods/exec"]}),
            "POST",
            "/api/v1/namespaces/a/pods/p/exec",
            true,
        ),
        (
            "a subresource is not its resource",
            json!({"effect": "deny", "resources": ["pods/exec"]}),
            "GET",
            "/api/v1/namespaces/a/pods/p",
            false,
        ),
        (
            "a subresource of any",
            json!({"effect": "deny", "resources": ["*/status"]}),
            "GET",
            "/apis/apps/v1/namespaces/a/deployments/d/status",
            true,
        ),
        (
            "a prefix is no resource",
            json!({"effect": "deny", "resources": ["pod"]}),
            "GET",
            "/api/v1/pods",
            false,
        ),
        ("case counts", json!({"effect": "deny", "resources": ["Pods"]}), "GET", "/api/v1/pods", false),
        (
            "the core group",
            json!({"effect": "deny", "apiGroups": [""], "resources": ["*"]}),
            "GET",
            "/apis/apps/v1/deployments",
            false,
        ),
        (
            "a group",
            json!({"effect": "deny", "apiGroups": ["apps"], "resources": ["*"]}),
            "GET",
            "/apis/apps/v1/deployments",
            true,
        ),
        (
            "a group of any version",
            json!({"effect": "deny", "apiGroups": ["apps"], "resources": ["*"]}),
            "GET",
            "/apis/apps/v9/deployments",
            true,
        ),
        (
            "a verb",
            json!({"effect": "deny", "verbs": ["deletecollection"], "resources": ["*"]}),
            "DELETE",
            "/api/v1/namespaces/a/pods",
            true,
        ),
        (
            "delete is not deletecollection",
            json!({"effect": "deny", "verbs": ["delete"], "resources": ["*"]}),
            "DELETE",
            "/api/v1/namespaces/a/pods",
            false,
        ),
        (
            "list is not get",
            json!({"effect": "deny", "verbs": ["get"], "resources": ["*"]}),
            "GET",
            "/api/v1/pods",
            false,
        ),
        (
            "what has no namespace",
            json!({"effect": "deny", "resources": ["*"], "namespaces": [""]}),
            "GET",
            "/api/v1/nodes/n",
            true,
        ),
        (
            "only that",
            json!({"effect": "deny", "resources": ["*"], "namespaces": [""]}),
            "GET",
            "/api/v1/namespaces/a/pods",
            false,
        ),
        (
            "a namespace is in itself",
            json!({"effect": "deny", "resources": ["namespaces"], "namespaces": ["a"]}),
            "DELETE",
            "/api/v1/namespaces/a",
            true,
        ),
        (
            "a user",
            json!({"effect": "deny", "subjects": {"users": ["a"]}, "resources": ["*"]}),
            "GET",
            "/api/v1/pods",
            true,
        ),
        (
            "another user",
            json!({"effect": "deny", "subjects": {"users": ["b"]}, "resources": ["*"]}),
            "GET",
            "/api/v1/pods",
            false,
        ),
        (
            "a group of users",
            json!({"effect": "deny", "subjects": {"groups": ["g"]}, "resources": ["*"]}),
            "GET",
            "/api/v1/pods",
            true,
        ),
        (
            "a user or a group",
            json!({"effect": "deny", "subjects": {"users": ["b"], "groups": ["g"]}, "resources": ["*"]}),
            "GET",
            "/api/v1/pods",
            true,
        ),
        (
            "a user's name is no group",
            json!({"effect": "deny", "subjects": {"groups": ["a"]}, "resources": ["*"]}),
            "GET",
            "/api/v1/pods",
            false,
        ),
        (
            "any group",
            json!({"effect": "deny", "subjects": {"groups": ["*"]}, "resources": ["*"]}),
            "GET",
            "/api/v1/pods",
            true,
        ),
    ] {
        let decided = policy(json!({"rules": [rule]})).decide(&info(method, target), &user("a", &["g"]));
        assert_eq!(decided.is_err(), matches, "{name}");
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
