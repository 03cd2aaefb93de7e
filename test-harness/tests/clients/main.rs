//! Masking of Secrets for the people who use it: real clients through real Envoy, against a real kube-apiserver.
//!
//! Each client has a table of rows, works in a namespace of its own and as an agent's session of its own. A row either
//! works and shows what it must, or is refused in words that say why. After each row the Secrets in the cluster are
//! compared with what they were; whatever the client printed or wrote to disk, and whatever was recorded, is searched
//! for their values.

mod agent;
mod cluster;
mod kubectl;
mod lines;
mod mcp;
mod python;
mod table;

use agent::{Agent, Desk};
use anyhow::{Context as _, Result, ensure};
use chaperone_test_harness::envoy::vm_failures;
use chaperone_test_harness::kube::Assets;
use chaperone_test_harness::process::eventually;
use chaperone_test_harness::stage::{ApiKind, Stage};
use cluster::Cluster;
use std::fs;
use std::time::Duration;
use table::Row;

/// How long a record may take to reach the collector.
const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn secrets_are_masked_for_real_clients() {
    let Some(assets) = Assets::find() else {
        return skipped("no real kube-apiserver here; `make kube-assets` gets one");
    };
    if let Err(error) = all(assets).await {
        panic!("{error:#}");
    }
}

/// Says loudly what is not tested here; in CI that is a failure.
fn skipped(what: &str) {
    eprintln!("\n!!! SKIPPED: {what}. !!!\n");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "CI must test with everything: {what}");
}

async fn all(assets: Assets) -> Result<()> {
    let stage = Stage::builder(ApiKind::Kube(assets)).concurrency(2).start().await?;
    let (new, old, python, mcp, yaml) = tokio::join!(
        client(&stage, "kubectl-1-37", kubectl::new, kubectl::rows_1_37()),
        client(&stage, "kubectl-1-20", kubectl::old, kubectl::rows()),
        client(&stage, "python", python::Python::start, python::rows()),
        client(&stage, "mcp", mcp::Mcp::start, mcp::rows()),
        client(&stage, "mcp-yaml", mcp::Mcp::start_with_yaml, mcp::rows_with_yaml()),
    );
    let mut wrong = Vec::new();
    let mut clusters = Vec::new();
    for outcome in [new, old, python, mcp, yaml] {
        match outcome {
            Ok(Some((failures, cluster))) => {
                wrong.extend(failures);
                clusters.push(cluster);
            }
            Ok(None) => {}
            Err(error) => wrong.push(format!("{error:#}")),
        }
    }
    ensure!(wrong.is_empty(), "{} rows went wrong:\n{}", wrong.len(), wrong.join("\n"));
    nothing_is_kept_elsewhere(&stage, &clusters)?;
    stage.collector.verify().await?;
    vm_failures(&stage.envoy.log())?;
    stage.stop().await
}

/// One client's rows: what went wrong, and its namespace. Nothing where the client could not be had.
async fn client<A: Agent>(
    stage: &Stage,
    name: &str,
    start: impl AsyncFnOnce(Desk) -> Result<Option<A>>,
    rows: Vec<Row>,
) -> Result<Option<(Vec<String>, Cluster)>> {
    let token = stage.issuer.mint(&stage.agent(&format!("{name}@example.com"), name));
    let kubeconfig = stage.kubectl(name, Some(&token))?.kubeconfig().to_owned();
    let desk = Desk::new(name, kubeconfig, stage.dir())?;
    let folder = desk.folder.clone();
    let Some(mut agent) = start(desk).await.with_context(|| name.to_owned())? else {
        skipped(&format!("{name} is missing; `scripts/clients` gets it"));
        return Ok(None);
    };
    let cluster = Cluster::seed(stage.direct()?, name).await?;
    let mut wrong = table::run(name, &mut agent, &cluster, &rows).await;
    agent.end().await?;
    if let Err(error) = cluster.untouched_bytes().await {
        wrong.push(format!("{name}: {error:#}"));
    }
    if let Err(error) = cluster.no_value_in_folder(&folder) {
        wrong.push(format!("{name}: {error:#}"));
    }
    if let Err(error) = the_record(stage, name, &cluster).await {
        wrong.push(format!("{name}: {error:#}"));
    }
    Ok(Some((wrong, cluster)))
}

/// The session's record is complete and verified, has the refusals, and none of the Secrets' values.
async fn the_record(stage: &Stage, session: &str, cluster: &Cluster) -> Result<()> {
    let complete = async || {
        let record = stage.collector.session(session).await.ok()?;
        let exchanges = record["exchanges"].as_array()?;
        exchanges.iter().all(|exchange| exchange["state"] != "incomplete").then_some(record)
    };
    let record = eventually("complete record", SOON, complete).await?;
    cluster.no_value("the record", record.to_string().as_bytes())?;
    let exchanges = record["exchanges"].as_array().context("no exchanges")?;
    let refused = exchanges.iter().filter(|exchange| exchange["responseStatus"]["code"] == 422).count();
    ensure!(refused > 0, "no refusal is in the record");
    for exchange in exchanges {
        ensure!(exchange["verified"] == true, "not verified: {}", exchange["exchange"]);
    }
    Ok(())
}

/// The collector's database and Envoy's log have none of the values.
fn nothing_is_kept_elsewhere(stage: &Stage, clusters: &[Cluster]) -> Result<()> {
    let mut database = fs::read(stage.collector.database())?;
    let mut journal = stage.collector.database().as_os_str().to_owned();
    journal.push("-wal");
    database.extend(fs::read(journal).unwrap_or_default());
    for cluster in clusters {
        cluster.no_value("the collector's database", &database)?;
        cluster.no_value("Envoy's log", stage.envoy.log().as_bytes())?;
    }
    Ok(())
}
