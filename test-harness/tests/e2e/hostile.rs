//! Bytes that are not text, requests that could be read two ways, and many at once on several workers.

use crate::support::{SOON, did, exchanges, no_leak, status, verified};
use anyhow::{Result, ensure};
use chaperone_test_harness::process::eventually;
use chaperone_test_harness::stage::{Arrival, Stage};
use http_body_util::Full;
use hyper::header::HeaderValue;
use hyper::{Method, Request};
use serde_json::json;
use std::collections::BTreeSet;
use tokio::task::JoinSet;

pub const CONCURRENCY: u32 = 2;

const PODS: &str = "/api/v1/namespaces/orders/pods";
const SECRET: &str = "/api/v1/namespaces/orders/secrets/db";
const CONFIGMAPS: &str = "/api/v1/namespaces/orders/configmaps";

pub async fn checks(stage: &mut Stage) -> Result<()> {
    let token = stage.issuer.mint(&stage.agent("alice", "hostile"));
    let client = stage.client()?.with_token(&token);

    // Envoy passes header bytes that are not UTF-8; the VMs of both workers must live on.
    for name in ["x-odd", "user-agent", "accept", "x-agent-model", "kubectl-session", "authorization"] {
        for _ in 0..4 {
            let value = HeaderValue::from_bytes(b"caf\xe9 \xff\xfe\x80")?;
            let request = Request::get(PODS).header(name, value).body(Full::default())?;
            let answer = client.send(request).await?;
            ensure!(
                [200, 400, 401, 406].contains(&answer.status),
                "{name}: {} {}",
                answer.status,
                answer.text()
            );
        }
    }
    ensure!(client.get(PODS).await?.status == 200, "the filter is gone");

    // What could be read two ways does not go upstream.
    for target in [
        "/api%2Fv1/namespaces/orders/secrets/db",
        "/api/v1/namespaces//secrets",
        "/api/v1/namespaces/orders/pods/../secrets/db",
        "/api/v1/namespaces/orders/secrets/db%00",
        "/api/v1/namespaces/orders/pods/%2e%2e/secrets/db",
        "/api/v1/namespaces/orders/pods;x/../secrets",
        "/api/v1/namespaces/orders/secrets?watch=true&watch=false",
    ] {
        let answer = client.get(target).await?;
        status(&answer, 400, "BadRequest").map_err(|error| error.context(target))?;
    }
    let arrivals = stage.arrivals();
    let read = |arrival: &&Arrival| arrival.user == stage.upstream_user() && arrival.method == "GET";
    let read = arrivals.iter().filter(read).find(|arrival| arrival.uri.contains("secrets"));
    ensure!(read.is_none(), "went upstream: {read:?}");

    // What the agent says about who it is, is not what the API server hears.
    let forged = Request::get(SECRET)
        .header("impersonate-user", "system:admin")
        .header("x-remote-user", "system:admin")
        .header("audit-id", "11111111-2222-3333-4444-555555555555")
        .header("x-forwarded-for", "203.0.113.7");
    let answer = client.send(forged.body(Full::default())?).await?;
    ensure!(answer.status == 200, "{}", answer.text());
    no_leak("a Secret", &answer.body)?;
    let arrivals = stage.arrivals();
    let arrival = arrivals.iter().rfind(|arrival| arrival.uri == SECRET);
    if let Some(arrival) = arrival {
        ensure!(arrival.user == stage.upstream_user(), "{arrival:?}");
        ensure!(arrival.source_ips.iter().all(|ip| ip != "203.0.113.7"), "{arrival:?}");
        ensure!(!arrival.audit_id.starts_with("11111111"), "{arrival:?}");
        ensure!(
            answer.headers.get("audit-id").is_some_and(|id| id.as_bytes() == arrival.audit_id.as_bytes()),
            "{arrival:?}"
        );
    }
    many_at_once(stage).await
}

/// Readers and writers on both workers: every one is answered, and every one is in the record.
async fn many_at_once(stage: &Stage) -> Result<()> {
    const EACH: usize = 60;
    let token = stage.issuer.mint(&stage.agent("alice", "many"));
    let client = stage.client()?.with_token(&token);
    let mut requests = JoinSet::new();
    for number in 0..EACH {
        for kind in 0..3 {
            let client = client.clone();
            requests.spawn(async move {
                let (expected, answer) = match kind {
                    0 => (200, client.get(PODS).await?),
                    1 => (200, client.get(SECRET).await?),
                    _ => {
                        let object = json!({"apiVersion": "v1", "kind": "ConfigMap",
                            "metadata": {"name": format!("many-{number}")}, "data": {"n": "x".repeat(2000)}});
                        (201, client.send_json(Method::POST, CONFIGMAPS, &object).await?)
                    }
                };
                ensure!(answer.status == expected, "{} {}", answer.status, answer.text());
                no_leak("one of many", &answer.body)?;
                let id = answer.headers.get("audit-id").map(|id| id.as_bytes().to_vec());
                anyhow::Ok(id)
            });
        }
    }
    let mut ids = BTreeSet::new();
    while let Some(id) = requests.join_next().await {
        ids.insert(id??);
    }
    ensure!(ids.len() == 3 * EACH && !ids.contains(&None), "{} ids of {}", ids.len(), 3 * EACH);
    let complete =
        |exchange: &serde_json::Value| exchange["state"] == "complete" && exchange["verified"] == true;
    let all = exchanges(stage, "many", |all| all.len() == 3 * EACH && all.iter().all(complete)).await?;
    for (verb, resource) in [("list", "pods"), ("get", "secrets"), ("create", "configmaps")] {
        ensure!(did(&all, verb, resource).len() == EACH, "{verb} {resource}");
    }
    let recorders: BTreeSet<_> = all.iter().map(|exchange| exchange["recorder"].to_string()).collect();
    ensure!(recorders.len() == 2, "{} of 2 workers took part", recorders.len());
    let settled = async || (stage.envoy.metric("chaperone_outbox_batches").await.ok()? == 0).then_some(());
    eventually("empty outbox", SOON, settled).await?;
    ensure!(stage.envoy.metric("chaperone_entries_dropped_total").await? == 0, "entries were dropped");
    verified(stage).await
}
