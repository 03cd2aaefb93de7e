//! The filter's configuration changes while agents work: nothing is refused, and nothing is lost of what was recorded.

use crate::support::{SOON, exchanges, run_on, verified};
use anyhow::{Context as _, Result, ensure};
use chaperone_test_harness::client::Client;
use chaperone_test_harness::envoy::HandedOver;
use chaperone_test_harness::process::eventually;
use chaperone_test_harness::stage::{ApiKind, Stage};
use hyper::Method;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::task::JoinSet;

/// How often the configuration changes.
const CHANGES: u64 = 50;
const AGENTS: usize = 4;
const SESSION: &str = "reload";

#[tokio::test]
async fn the_configuration_changes_under_load() {
    let builder = Stage::builder(ApiKind::StandIn).concurrency(2).dynamic();
    run_on(builder, async |stage: &mut Stage| {
        let token = stage.issuer.mint(&stage.agent("alice", SESSION));
        let client = stage.client()?.with_token(&token);
        let before = memory(stage).await?;
        let stop = Arc::new(AtomicBool::new(false));
        let mut agents = JoinSet::new();
        for agent in 0..AGENTS {
            agents.spawn(work(client.clone(), agent, stop.clone()));
        }
        for change in 0..CHANGES {
            let how = if change % 2 == 0 { HandedOver::Struct } else { HandedOver::Text };
            let interval = json!(format!("{}ms", 200 + change));
            stage.reconfigure("/recording/limits", json!({"flushInterval": interval}), how).await?;
        }
        stop.store(true, Ordering::Relaxed);
        let mut answered = BTreeSet::new();
        while let Some(done) = agents.join_next().await {
            answered.extend(done??);
        }
        println!(
            "{CHANGES} changes, {} requests, none refused; Envoy's memory {before} MiB before, {} MiB after",
            answered.len(),
            memory(stage).await?
        );
        ensure!(answered.len() > 100, "only {} requests", answered.len());
        let recorded = exchanges(stage, SESSION, |all| all.len() >= answered.len()).await?;
        let recorded: BTreeSet<_> = recorded
            .iter()
            .filter(|exchange| exchange["state"] != "incomplete")
            .filter_map(|exchange| exchange["exchange"].as_str().map(str::to_owned))
            .collect();
        let missing = answered.difference(&recorded).count();
        ensure!(missing == 0, "{missing} of {} are not in the record", answered.len());
        // Every configuration that was used recorded under its own digest.
        let chains = stage.collector.run(&["recorders", "-o", "json"]).await?;
        let chains: serde_json::Value = serde_json::from_str(&chains)?;
        let chains = chains.as_array().or(chains["recorders"].as_array()).context("no chains")?;
        let digests: BTreeSet<_> =
            chains.iter().map(|chain| chain["open"]["configDigest"].to_string()).collect();
        ensure!(digests.len() as u64 > CHANGES / 2, "{} configurations recorded", digests.len());
        empty_outbox(stage).await?;
        verified(stage).await
    })
    .await;
}

#[tokio::test]
async fn a_configuration_with_a_mistake_changes_nothing() -> Result<()> {
    let mut stage = Stage::builder(ApiKind::StandIn).dynamic().start().await?;
    let token = stage.issuer.mint(&stage.agent("alice", SESSION));
    let client = stage.client()?.with_token(&token);
    let mistaken = json!({"flushIntervall": "1s"});
    let outcome = stage.reconfigure("/recording/limits", mistaken, HandedOver::Text).await;
    let error = outcome.err().context("it was taken")?;
    ensure!(error.to_string().contains("rejected"), "{error}");
    ensure!(
        stage.envoy.log().contains("recording.limits.flushIntervall: is not a known field"),
        "it is not said why"
    );
    let answer = client.get("/api/v1/namespaces/default/pods").await?;
    ensure!(answer.status == 200, "{} {}", answer.status, answer.text());
    stage.stop().await
}

/// Reads and writes until told to stop; the `Audit-ID`s of what was answered.
async fn work(client: Client, agent: usize, stop: Arc<AtomicBool>) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let answer = match number % 3 {
            0 => client.get("/api/v1/namespaces/orders/pods").await?,
            1 => client.get("/api/v1/namespaces/orders/secrets/db").await?,
            _ => {
                let name = format!("reload-{agent}-{number}");
                let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
                client.send_json(Method::POST, "/api/v1/namespaces/orders/configmaps", &object).await?
            }
        };
        ensure!(answer.status < 300, "{} {}", answer.status, answer.text());
        let id = answer.headers.get("audit-id").context("no Audit-ID")?;
        ids.push(id.to_str()?.to_owned());
    }
    Ok(ids)
}

/// What configurations that are gone have left in the outbox's gauges.
async fn empty_outbox(stage: &Stage) -> Result<()> {
    let empty = async || (stage.envoy.metric("chaperone_outbox_batches").await.ok()? == 0).then_some(());
    eventually("an empty outbox", SOON, empty).await
}

async fn memory(stage: &Stage) -> Result<u64> {
    let stats = stage.envoy.stats("server.memory_physical_size$").await?;
    Ok(stats.into_values().sum::<u64>() >> 20)
}
