//! The other two ends fail: the API server's connection is reset, the agent goes away.

use crate::audit::Audit;
use crate::work::{CONFIGMAPS, Work, agent, configmap};
use crate::{episodes, moment, stage};
use anyhow::Result;
use chaperone_test_harness::client::Client;
use http_body_util::Full;
use hyper::Request;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::time::{sleep, timeout};

const AGENTS: usize = 12;

/// Connections to the API server are reset at any byte, in either direction: the agent cannot know whether its write was
/// executed; the record says that it may have been.
#[tokio::test]
async fn upstream_reset() {
    episodes(3, async |rounds| {
        let stage = stage().start().await?;
        let mut audit = Audit::begin("API server's connections reset", &stage)?;
        let work = Work::begin(&stage, AGENTS, None)?;
        let wire = stage.wire.as_ref().expect("a stage with faults");
        for _ in 0..rounds {
            wire.cut_one_in(fastrand::u32(5..40));
            sleep(moment(Duration::from_secs(1))).await;
            audit.now(&stage).await?;
        }
        wire.cut_one_in(0);
        audit.faults("resets", wire.cuts());
        sleep(Duration::from_millis(200)).await;
        let tally = audit.end(&stage, &work.stop().await).await?;
        stage.stop().await?;
        Ok(tally)
    })
    .await;
}

/// Agents go away in the middle of their request, and while they wait for the answer.
#[tokio::test]
async fn client_gone() {
    episodes(10, async |rounds| {
        let stage = stage().start().await?;
        let mut audit = Audit::begin("agents gone", &stage)?;
        let work = Work::begin(&stage, AGENTS, None)?;
        let client = agent(&stage)?;
        for round in 0..rounds * 10 {
            let name = format!("gone-{round}");
            if fastrand::bool() {
                in_the_middle(&client, &name).await?;
                audit.fault("in the middle of the request");
            } else {
                while_waiting(&client, &name).await?;
                audit.fault("while waiting");
            }
        }
        audit.now(&stage).await?;
        let tally = audit.end(&stage, &work.stop().await).await?;
        stage.stop().await?;
        Ok(tally)
    })
    .await;
}

async fn in_the_middle(client: &Client, name: &str) -> Result<()> {
    let body = configmap(name, fastrand::usize(100..60_000));
    let head = format!(
        "POST {CONFIGMAPS} HTTP/1.1\r\nhost: gateway\r\nauthorization: {}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        client.authorization(),
        body.len()
    );
    let whole = head + &body;
    let part = &whole.as_bytes()[..fastrand::usize(1..whole.len())];
    let mut stream = client.stream().await?;
    // An answer, or a reset, may come before all of it is written.
    let _ = stream.write_all(part).await;
    let _ = stream.flush().await;
    sleep(moment(Duration::from_millis(10))).await;
    Ok(())
}

async fn while_waiting(client: &Client, name: &str) -> Result<()> {
    let request = Request::post(CONFIGMAPS).header("content-type", "application/json");
    let request = request.body(Full::from(configmap(name, fastrand::usize(100..60_000))))?;
    let mut connection = client.connect().await?;
    // Dropping it closes the connection.
    let _ = timeout(moment(Duration::from_millis(80)), connection.send(request)).await;
    Ok(())
}
