//! What the real API server sees in place of the agent's token: a minted one, or the agent impersonated.

use crate::support::{created, did, exchanges, no_leak, run_on, status, verified};
use anyhow::{Context as _, Result, ensure};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use chaperone_test_harness::client::{Answer, Client};
use chaperone_test_harness::issuer::Claims;
use chaperone_test_harness::process::eventually;
use chaperone_test_harness::stage::Stage;
use hyper::Method;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tokio::net::TcpListener;

const PODS: &str = "/api/v1/namespaces/orders/pods";
const ACCOUNT: &str = "system:serviceaccount:orders:agent";
/// How long a minted token is good for, as the broker tells the filter: it is then renewed after some eight seconds.
const LIFE: Duration = Duration::from_secs(20);

/// Stands between the filter and the API server's TokenRequest, and shortens what it grants: the API server itself grants
/// no less than ten minutes.
#[derive(Default)]
struct Broker {
    api: OnceLock<Client>,
    granted: Mutex<Vec<String>>,
}

async fn broker(
    State(broker): State<Arc<Broker>>,
    Path((namespace, account)): Path<(String, String)>,
    Json(request): Json<Value>,
) -> Result<(StatusCode, Json<Value>), StatusCode> {
    let api = broker.api.get().ok_or(StatusCode::SERVICE_UNAVAILABLE)?;
    let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
    let answer = api.send_json(Method::POST, &path, &request).await.map_err(|_| StatusCode::BAD_GATEWAY)?;
    let mut body = answer.json();
    if let Some(token) = body["status"]["token"].as_str() {
        broker.granted.lock().map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?.push(token.to_owned());
        let end = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(LIFE.as_secs().cast_signed());
        body["status"]["expirationTimestamp"] = json!(format!("{end:.0}"));
    }
    let code = StatusCode::from_u16(answer.status).map_err(|_| StatusCode::BAD_GATEWAY)?;
    Ok((code, Json(body)))
}

/// The API server's audit event of the exchange that this answer belongs to.
async fn audited(stage: &Stage, answer: &Answer) -> Result<Value> {
    let id = answer.headers.get("audit-id").context("no Audit-ID")?.to_str()?.to_owned();
    let event = async || {
        let log = stage.audit_log();
        log.into_iter().find(|event| event["auditID"] == id.as_str() && event["stage"] == "ResponseComplete")
    };
    eventually("the API server's audit event", Duration::from_secs(10), event).await
}

/// A service account that may read pods, and nothing else.
async fn account(direct: &Client) -> Result<()> {
    let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/orders";
    created(direct, "/api/v1/namespaces/orders/serviceaccounts", &json!({"metadata": {"name": "agent"}}))
        .await?;
    let rules = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}]);
    created(direct, &format!("{rbac}/roles"), &json!({"metadata": {"name": "agent"}, "rules": rules}))
        .await?;
    let binding = json!({
        "metadata": {"name": "agent"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "agent"},
        "subjects": [{"kind": "ServiceAccount", "name": "agent", "namespace": "orders"}],
    });
    created(direct, &format!("{rbac}/rolebindings"), &binding).await
}

#[tokio::test]
async fn a_service_account_token_is_minted_and_renewed() {
    let Some(api) = crate::real() else { return };
    let tokens = Arc::new(Broker::default());
    let routes = Router::new()
        .route("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token", post(broker))
        .with_state(tokens.clone());
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let address = listener.local_addr().expect("it listens");
    let server = tokio::spawn(async move { axum::serve(listener, routes).await });
    let request = json!({"cluster": "token-broker", "rules": [
        {"groups": ["developers"], "serviceAccount": "agent", "namespace": "orders", "expiration": "10m"},
        {"groups": ["lost"], "serviceAccount": "nobody", "namespace": "orders"},
    ]});
    let builder =
        Stage::builder(api).cluster("token-broker", address).filter("/credential/tokenRequest", request);
    run_on(builder, async |stage: &mut Stage| minted(stage, &tokens).await).await;
    server.abort();
}

async fn minted(stage: &mut Stage, tokens: &Broker) -> Result<()> {
    let direct = stage.direct()?;
    account(&direct).await?;
    tokens.api.set(direct).ok().context("set once")?;
    let agent = stage.client()?.with_token(&stage.issuer.mint(&stage.agent("alice", "minted")));
    let granted = || tokens.granted.lock().map(|granted| granted.clone()).unwrap_or_default();

    let read = agent.get(PODS).await?;
    ensure!(read.status == 200, "{} {}", read.status, read.text());
    let event = audited(stage, &read).await?;
    ensure!(event["user"]["username"] == ACCOUNT, "the API server saw {}", event["user"]["username"]);
    let refused = agent.get("/api/v1/namespaces/orders/secrets/db").await?;
    status(&refused, 403, "Forbidden")?;
    ensure!(granted().len() == 1, "one token serves both requests");

    // Used, it is renewed before it ends, and no request waits for that.
    let renewed = async || {
        let answer = agent.get(PODS).await.ok()?;
        (answer.status == 200 && granted().len() == 2).then_some(())
    };
    eventually("renewal", LIFE, renewed).await?;
    let read = agent.get(PODS).await?;
    ensure!(audited(stage, &read).await?["user"]["username"] == ACCOUNT, "renewed for the same account");

    let client = stage.client()?;
    let lost = client.with_token(&stage.issuer.mint(&Claims::new("bob").groups(["lost"]).session("minted")));
    let said = status(&lost.get(PODS).await?, 503, "ServiceUnavailable")?;
    ensure!(said.contains("orders/nobody"), "{said}");
    let stranger =
        client.with_token(&stage.issuer.mint(&Claims::new("eve").groups(["others"]).session("minted")));
    status(&stranger.get(PODS).await?, 403, "Forbidden")?;

    let all = exchanges(stage, "minted", |all| did(all, "list", "pods").len() >= 5).await?;
    let written = serde_json::to_string(&all)? + &stage.envoy.log();
    for secret in granted().iter().map(String::as_str).chain([stage.upstream_token()]) {
        ensure!(!written.contains(secret), "a credential is in the record or the log");
        for seen in [&read, &refused] {
            ensure!(!seen.text().contains(secret), "the agent saw a credential");
            ensure!(seen.headers.values().all(|value| value.as_bytes() != secret.as_bytes()), "in a header");
        }
    }
    no_leak("the record", &written)?;
    verified(stage).await
}

#[tokio::test]
async fn the_agent_is_impersonated() {
    let Some(api) = crate::real() else { return };
    let builder = Stage::builder(api).filter("/credential/impersonate", json!(true));
    run_on(builder, async |stage: &mut Stage| {
        let claims = stage.agent("alice", "impersonated").groups(["developers", "on call"]);
        let agent = stage.client()?.with_token(&stage.issuer.mint(&claims));
        let answer = agent.get(PODS).await?;
        // The cluster's own RBAC knows no alice.
        let said = status(&answer, 403, "Forbidden")?;
        ensure!(said.contains("\"alice\""), "{said}");
        let event = audited(stage, &answer).await?;
        ensure!(
            event["user"]["username"] == stage.upstream_user(),
            "authenticated as {}",
            event["user"]["username"]
        );
        let seen = &event["impersonatedUser"];
        ensure!(seen["username"] == "alice", "impersonated {seen}");
        ensure!(seen["groups"] == json!(["developers", "on call", "system:authenticated"]), "{seen}");
        for (key, value) in
            [("session", "impersonated"), ("agent", "deploy-bot"), ("model", "claude-opus-4-5")]
        {
            ensure!(seen["extra"][format!("chaperone.dev/{key}")] == json!([value]), "{key}: {seen}");
        }
        let before = stage.arrivals().len();
        let master = stage.client()?.with_token(
            &stage.issuer.mint(&Claims::new("mallory").groups(["system:masters"]).session("impersonated")),
        );
        status(&master.get(PODS).await?, 403, "Forbidden")?;
        ensure!(stage.arrivals()[before..].iter().all(|arrival| arrival.uri != PODS), "it went upstream");
        verified(stage).await
    })
    .await;
}
