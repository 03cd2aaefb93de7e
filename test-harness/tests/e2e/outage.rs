//! The collector is away: what must be recorded is not done.

use crate::support::{MASK, SOON, did, exchanges, status, verified};
use anyhow::{Result, ensure};
use chaperone_test_harness::client::{Answer, Client};
use chaperone_test_harness::process::eventually;
use chaperone_test_harness::stage::Stage;
use hyper::Method;
use serde_json::json;

pub const CONCURRENCY: u32 = 1;

const CONFIGMAPS: &str = "/api/v1/namespaces/orders/configmaps";
const PODS: &str = "/api/v1/namespaces/orders/pods";
const SECRET: &str = "/api/v1/namespaces/orders/secrets/db";

pub async fn checks(stage: &mut Stage) -> Result<()> {
    let token = stage.issuer.mint(&stage.agent("alice", "outage"));
    let client = stage.client()?.with_token(&token);
    ensure!(
        create(&client, "before").await?.status == 201,
        "a write is refused though the collector is there"
    );

    stage.collector.stop().await?;
    refused(stage, &client, "stopped").await?;
    let kubectl = stage.kubectl("alice", Some(&token))?;
    let said = kubectl.run("create configmap refused-kubectl -n orders").await?.refused()?;
    ensure!(said.contains("not forwarded") && said.contains("collector"), "{said}");
    restarted(stage, &client, "stopped").await?;

    stage.collector.kill().await?;
    refused(stage, &client, "killed").await?;
    restarted(stage, &client, "killed").await?;

    // Not one of the refused writes arrived, and each is in the record.
    let arrivals = stage.arrivals();
    let writes =
        arrivals.iter().filter(|arrival| arrival.method == "POST" && arrival.uri.starts_with(CONFIGMAPS));
    let writes: Vec<_> = writes.map(|arrival| &arrival.audit_id).collect();
    let answered = |state: &str, all: &[serde_json::Value]| {
        did(all, "create", "configmaps").iter().filter(|exchange| exchange["state"] == state).count()
    };
    let all =
        exchanges(stage, "outage", |all| answered("complete", all) == 3 && answered("refused", all) >= 3)
            .await?;
    for exchange in did(&all, "create", "configmaps") {
        let arrived = writes.iter().any(|id| exchange["exchange"] == **id);
        ensure!(
            arrived == (exchange["state"] == "complete"),
            "arrived: {arrived}, and the record says {exchange}"
        );
    }
    let names = stage.direct()?.get(CONFIGMAPS).await?.text();
    ensure!(names.contains("after-killed") && !names.contains("refused-"), "a refused write was done");
    verified(stage).await
}

async fn create(client: &Client, name: &str) -> Result<Answer> {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
    client.send_json(Method::POST, CONFIGMAPS, &object).await
}

/// Without the collector: writes and Secrets are refused, the rest goes on.
async fn refused(stage: &Stage, client: &Client, how: &str) -> Result<()> {
    let arrived = |stage: &Stage| stage.arrivals().iter().filter(|arrival| arrival.method == "POST").count();
    let before = arrived(stage);
    let answer = create(client, &format!("refused-{how}")).await?;
    let message = status(&answer, 503, "ServiceUnavailable")?;
    ensure!(message.contains("not forwarded") && message.contains("record"), "{message}");
    ensure!(answer.headers.contains_key("retry-after"), "no Retry-After");
    status(&client.get(SECRET).await?, 503, "ServiceUnavailable")?;
    ensure!(client.get(PODS).await?.status == 200, "reading pods needs no confirmation");
    ensure!(arrived(stage) == before, "a write without a record reached the API server");
    Ok(())
}

/// With the collector again: writes and Secrets pass.
async fn restarted(stage: &mut Stage, client: &Client, how: &str) -> Result<()> {
    stage.restart_collector().await?;
    let name = format!("after-{how}");
    let passes = async || (create(client, &name).await.ok()?.status == 201).then_some(());
    eventually("write that passes again", SOON, passes).await?;
    let secret = client.get(SECRET).await?;
    ensure!(secret.status == 200 && secret.text().contains(MASK), "a Secret: {}", secret.status);
    Ok(())
}
