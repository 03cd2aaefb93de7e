//! Built-in guards, the configured rules, and attribution that is required.

use super::request::{Request, get, patch, post, request};
use super::{Agent, Expect, Row, arrives, row};
use chaperone_test_harness::issuer::Claims;
use serde_json::{Value, json};

/// Every guard.
pub(super) const NAMES: [&str; 13] = [
    "token-request",
    "token-review",
    "certificate-signing",
    "node-proxy",
    "pod-proxy",
    "service-proxy",
    "debug-endpoints",
    "admission-config",
    "service-account-secrets",
    "unrecorded-streams",
    "secret-json-patch",
    "mask-write-back",
    "delete-dry-run-body",
];

const ORDERS: &str = "/api/v1/namespaces/orders";

/// Rules of every kind.
pub(super) fn access() -> Value {
    json!({"rules": [
        {"effect": "deny", "name": "no-interns", "subjects": {"groups": ["interns"]}, "resources": ["configmaps", "pods/log"],
         "message": "interns read neither"},
        {"effect": "deny", "subjects": {"users": ["mallory"]}, "nonResourceURLs": ["/openapi/*", "/version"]},
        {"effect": "deny", "name": "vault", "resources": ["events"], "namespaces": ["vault"]},
        {"effect": "deny", "name": "crown", "resources": ["configmaps"], "resourceNames": ["crown"], "verbs": ["get", "list", "watch"],
         "subjects": {"users": ["mallory"]}},
        {"effect": "deny", "name": "no-purge", "verbs": ["deletecollection"], "resources": ["*"]},
    ]})
}

/// Deleting needs a model, creating a prompt that is signed.
pub(super) fn attribution() -> Value {
    json!({"require": [
        {"values": ["model"], "verbs": ["delete"]},
        {"values": ["prompt"], "verified": true, "verbs": ["create"]},
    ]})
}

pub(super) fn rows(agent: &Agent) -> Vec<Row> {
    let guarded = guarded().into_iter().map(|(guard, name, request)| {
        row(format!("{guard}: {name}"), request, Expect::Refused(403, rule(guard), "guard"))
    });
    guarded.chain(ruled(agent)).chain(attributed(agent)).collect()
}

fn rule(guard: &str) -> &'static str {
    match guard {
        "token-request" => "guard:token-request",
        "token-review" => "guard:token-review",
        "certificate-signing" => "guard:certificate-signing",
        "node-proxy" => "guard:node-proxy",
        "pod-proxy" => "guard:pod-proxy",
        "service-proxy" => "guard:service-proxy",
        "debug-endpoints" => "guard:debug-endpoints",
        "admission-config" => "guard:admission-config",
        "unrecorded-streams" => "guard:unrecorded-streams",
        _ => "guard:delete-dry-run-body",
    }
}

/// What each guard refuses by the request's head.
fn guarded() -> Vec<(&'static str, &'static str, Request)> {
    let csr = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
    let hooks = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
    let account = format!("{ORDERS}/serviceaccounts/default/token");
    let pod = format!("{ORDERS}/pods/web-1");
    let delete = |target: String, body: &str| request("DELETE", &target).body("application/json", body);
    vec![
        ("token-request", "create", post(&account, "{}")),
        ("token-request", "by another version of the name", post(&account.replace("token", "toke%6e"), "{}")),
        ("token-request", "with a trailing slash", post(&format!("{account}/"), "{}")),
        ("token-review", "create", post("/apis/authentication.k8s.io/v1/tokenreviews", "{}")),
        ("token-review", "an older version", post("/apis/authentication.k8s.io/v1beta1/tokenreviews", "{}")),
        ("certificate-signing", "create", post(csr, "{}")),
        (
            "certificate-signing",
            "approval",
            request("PUT", &format!("{csr}/x/approval")).body("application/json", "{}"),
        ),
        (
            "certificate-signing",
            "status",
            patch(&format!("{csr}/x/status"), "application/merge-patch+json", "{}"),
        ),
        ("node-proxy", "run", post("/api/v1/nodes/n/proxy/run/orders/web-1/web?cmd=id", "{}")),
        ("node-proxy", "get", get("/api/v1/nodes/n:10250/proxy/pods")),
        ("pod-proxy", "get", get(&format!("{pod}/proxy/x"))),
        ("pod-proxy", "with a scheme and a port", get(&format!("{ORDERS}/pods/https:web-1:443/proxy/"))),
        ("service-proxy", "get", get(&format!("{ORDERS}/services/db/proxy"))),
        ("service-proxy", "delete", request("DELETE", &format!("{ORDERS}/services/db:http/proxy/x"))),
        ("debug-endpoints", "metrics", get("/metrics")),
        ("debug-endpoints", "below metrics", get("/metrics/slis")),
        ("debug-endpoints", "logs", get("/logs/kube-apiserver.log")),
        ("debug-endpoints", "a profile", get("/debug/pprof/heap")),
        ("debug-endpoints", "escaped", get("/d%65bug/pprof/profile")),
        ("debug-endpoints", "configz", get("/configz/")),
        ("debug-endpoints", "flagz", get("/flagz")),
        ("debug-endpoints", "statusz", get("/statusz")),
        ("debug-endpoints", "proxy", get("/proxy/x")),
        ("admission-config", "create", post(hooks, "{}")),
        ("admission-config", "delete", request("DELETE", &format!("{hooks}/x"))),
        ("unrecorded-streams", "exec by POST", post(&format!("{pod}/exec?command=id"), "")),
        ("unrecorded-streams", "attach", get(&format!("{pod}/attach?stdin=1"))),
        ("unrecorded-streams", "port-forward", post(&format!("{pod}/portforward"), "")),
        ("delete-dry-run-body", "an empty object", delete(format!("{ORDERS}/pods/web-1?dryRun=All"), "{}")),
        ("delete-dry-run-body", "a collection", delete(format!("{ORDERS}/pods?dryRun=All"), "{}")),
        ("delete-dry-run-body", "escaped", delete(format!("{ORDERS}/pods/web-1?%64ryRun=All"), "{}")),
        (
            "delete-dry-run-body",
            "in chunks",
            request("DELETE", &format!("{ORDERS}/pods/web-1?dryRun=All"))
                .header("Transfer-Encoding: chunked")
                .bytes_after("2\r\n{}\r\n0\r\n\r\n"),
        ),
    ]
}

/// The same with every guard off, and what the body guards refuse: all of it goes upstream.
pub(super) fn off(_: &Agent) -> Vec<Row> {
    let mut rows = Vec::new();
    for (guard, name, request) in guarded() {
        let target = request.target().to_owned();
        rows.push(row(format!("{guard}: {name}"), request, arrives(target)));
    }
    let secret = format!("{ORDERS}/secrets/db");
    let account = r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"t"},"type":"kubernetes.io/service-account-token"}"#;
    for (name, request) in [
        ("service-account-secrets", post(&format!("{ORDERS}/secrets?dryRun=All"), account)),
        (
            "secret-json-patch",
            patch(
                &secret,
                "application/json-patch+json",
                r#"[{"op":"test","path":"/type","value":"Opaque"}]"#,
            ),
        ),
        (
            "mask-write-back",
            post(
                &format!("{ORDERS}/configmaps?dryRun=All"),
                r#"{"metadata":{"name":"m"},"data":{"k":"[masked by chaperone]"}}"#,
            ),
        ),
    ] {
        let target = request.target().to_owned();
        rows.push(row(name, request, arrives(target)));
    }
    rows
}

/// Rules.
fn ruled(agent: &Agent) -> Vec<Row> {
    let mint = |user: &str, group: &str| {
        agent
            .issuer
            .mint(&Claims::new(user).groups([group]).session("hostile").prompt_sha256("00").model("m"))
    };
    let (intern, mallory) = (mint("bob", "interns"), mint("mallory", "developers"));
    let denied = |rule: &'static str| Expect::Refused(403, rule, "rule");
    let as_intern = |target: &str| get(target).token(&intern);
    let as_mallory = |target: &str| get(target).token(&mallory);
    let configmaps = format!("{ORDERS}/configmaps");
    vec![
        row("rule: a group", as_intern(&configmaps), denied("no-interns")),
        row("rule: a group, escaped", as_intern(&configmaps.replace("maps", "m%61ps")), denied("no-interns")),
        row(
            "rule: a group, by the watch prefix",
            as_intern("/api/v1/watch/namespaces/orders/configmaps"),
            denied("no-interns"),
        ),
        row("rule: a group, behind a session", as_intern(&format!("/s/x{configmaps}")), denied("no-interns")),
        row("rule: a subresource", as_intern(&format!("{ORDERS}/pods/web-1/log")), denied("no-interns")),
        row("rule: a write by the group", post(&configmaps, "{}").token(&intern), denied("no-interns")),
        row("rule: a URL", as_mallory("/version"), denied("access.rules[1]")),
        row("rule: a URL with a slash", as_mallory("/version/"), denied("access.rules[1]")),
        row("rule: a URL's beginning", as_mallory("/openapi/v2"), denied("access.rules[1]")),
        row("rule: a URL's beginning, escaped", as_mallory("/openap%69/v2"), denied("access.rules[1]")),
        row("rule: a namespace", get("/api/v1/namespaces/vault/events"), denied("vault")),
        row("rule: a namespace, through all of them", get("/api/v1/events"), denied("vault")),
        row("rule: a namespace, by the watch prefix", get("/api/v1/watch/events"), denied("vault")),
        row("rule: a name", as_mallory(&format!("{configmaps}/crown")), denied("crown")),
        row(
            "rule: a name in the field selector",
            as_mallory(&format!("{configmaps}?fieldSelector=metadata.name%3Dcrown")),
            denied("crown"),
        ),
        row(
            "rule: a name, with another one beside it",
            as_mallory(&format!("{configmaps}?fieldSelector=metadata.name%3Dcrown,metadata.name%3Dcrown")),
            denied("crown"),
        ),
        row("rule: a name, through a list", as_mallory(&configmaps), denied("crown")),
        row("rule: a verb", request("DELETE", &configmaps), denied("no-purge")),
        row("rule: a verb, with a slash", request("DELETE", &format!("{configmaps}/")), denied("no-purge")),
        row(
            "rule: another name",
            as_mallory(&format!("{configmaps}/plain")),
            arrives(format!("{configmaps}/plain")),
        ),
        row("rule: another namespace", get(&format!("{ORDERS}/events")), arrives(format!("{ORDERS}/events"))),
        row("rule: what only begins so", as_mallory("/openapi"), arrives("/openapi")),
    ]
}

/// Attribution.
fn attributed(agent: &Agent) -> Vec<Row> {
    let bare = agent.issuer.mint(&Claims::new("alice").groups(["developers"]).session("hostile"));
    let missing = Expect::Refused(400, "attribution.require", "attribution");
    let target = format!("{ORDERS}/configmaps/nothing");
    let delete = || request("DELETE", &target).token(&bare);
    let create =
        || post(&format!("{ORDERS}/configmaps?dryRun=All"), r#"{"metadata":{"name":"a"}}"#).token(&bare);
    vec![
        row("attribution: no model", delete(), missing.clone()),
        row("attribution: an empty model", delete().header("X-Agent-Model:"), missing.clone()),
        row("attribution: a blank model", delete().header("X-Agent-Model: \t "), missing.clone()),
        row(
            "attribution: a model in the query",
            request("DELETE", &format!("{target}?x-agent-model=m")).token(&bare),
            missing.clone(),
        ),
        row("attribution: no prompt", create(), missing.clone()),
        row("attribution: a prompt that is not signed", create().header("X-Agent-Prompt-Id: 00"), missing),
        row(
            "attribution: a model in a header",
            delete().header("X-Agent-Model: claude"),
            arrives(target.clone()),
        ),
    ]
}
