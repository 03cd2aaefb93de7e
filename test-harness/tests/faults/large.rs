//! The largest of bodies: 100 MiB in one answer, and a watch that runs for hours. Memory stays bounded, and digest and
//! length in the record are of all of it.

use crate::load::memory;
use crate::records::{Recorded, Records, hex};
use crate::work::agent;
use crate::{SOON, stage, told};
use anyhow::{Context as _, Result, ensure};
use chaperone_test_harness::process::eventually;
use chaperone_test_harness::stage::Stage;
use chaperone_test_harness::standin::Canned;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Bytes;
use ring::digest::{Context as Digest, SHA256};
use serde_json::json;
use std::time::Duration;

const MIB: usize = 1 << 20;
const EVENTS: usize = 10_000;
/// How much of each body is recorded: the filter's default.
const RECORDED: usize = 4 * MIB;
const MASK: &str = "W21hc2tlZCBieSBjaGFwZXJvbmVd";
const HIDDEN: &str = "bm90IGZvciBhbnkgYWdlbnQncyBleWVz";

/// A list of ConfigMaps, which passes as it is, and one of Secrets, which is masked on its way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_of_100_mib() {
    told(async {
        for (kind, resource) in [("ConfigMap", "configmaps"), ("Secret", "secrets")] {
            let item = json!({"metadata": {"name": "x", "annotations": {"note": "pass ".repeat(200)}}, "data": {"a": HIDDEN}});
            let item = Bytes::from(format!("{item},"));
            let times = 100 * MIB / item.len();
            let head = format!("{{\"kind\":\"{kind}List\",\"apiVersion\":\"v1\",\"metadata\":{{\"resourceVersion\":\"1\"}},\"items\":[");
            let last = Bytes::from(format!("{}]}}", String::from_utf8_lossy(&item).trim_end_matches(',')));
            let chunks: Vec<_> = [Bytes::from(head)].into_iter().chain(vec![item; times]).chain([last]).collect();
            let stage = stage().start().await?;
            let seen = passes(&stage, &format!("answer of 100 MiB, {kind}List"), &format!("/api/v1/namespaces/shop/{resource}"), chunks).await?;
            ensure!(seen.leaked == (kind == "ConfigMap"), "{kind}: masked as it must not be");
            stage.stop().await?;
        }
        Ok(())
    }
    .await);
}

/// Every event is an object of its own, written down as it passes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watch_of_10_000_events() {
    told(async {
        for (kind, resource) in [("Pod", "pods"), ("Secret", "secrets")] {
            let event = |n: usize| {
                let object = json!({"kind": kind, "apiVersion": "v1", "metadata": {"name": format!("x-{n}"), "resourceVersion": n.to_string()},
                                    "data": {"password": HIDDEN}});
                Bytes::from(format!("{}\n", json!({"type": "MODIFIED", "object": object})))
            };
            let stage = stage().start().await?;
            let path = format!("/api/v1/namespaces/shop/{resource}?watch=1");
            let seen = passes(&stage, &format!("watch of {EVENTS} events, {kind}"), &path, (0..EVENTS).map(event).collect()).await?;
            ensure!(seen.lines == EVENTS, "{} events came", seen.lines);
            ensure!(seen.leaked == (kind != "Secret"), "{kind}: masked as it must not be");
            stage.stop().await?;
        }
        Ok(())
    }
    .await);
}

/// What the agent saw.
struct Seen {
    lines: usize,
    leaked: bool,
}

/// Lets the stand-in say this, and holds the record against what the agent got.
async fn passes(stage: &Stage, name: &str, path: &str, chunks: Vec<Bytes>) -> Result<Seen> {
    let said: usize = chunks.iter().map(Bytes::len).sum();
    let headers = [("content-type", "application/json"), ("transfer-encoding", "chunked")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    stage.standin()?.answer_next(Canned { status: 200, headers, chunks, pause: Duration::ZERO });
    let (before, _) = memory(stage.envoy.process())?;
    stage.envoy.process().forget_peak()?;

    let answer = agent(stage)?.open(Request::get(path).body(Full::default())?).await?;
    ensure!(answer.status() == 200, "{}", answer.status());
    let id = answer.headers().get("audit-id").context("no Audit-ID")?.to_str()?.to_owned();
    let (mut body, mut digest, mut bytes, mut lines) = (answer.into_body(), Digest::new(&SHA256), 0, 0);
    let (mut head, mut leaked, mut masked, mut tail) = (Vec::new(), false, false, Vec::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.context("the answer broke off")?;
        let Some(data) = frame.data_ref() else { continue };
        digest.update(data);
        bytes += data.len();
        lines += data.iter().filter(|byte| **byte == b'\n').count();
        head.extend_from_slice(&data[..data.len().min(RECORDED - head.len())]);
        tail.extend_from_slice(data);
        let text = String::from_utf8_lossy(&tail);
        leaked |= text.contains(HIDDEN);
        masked |= text.contains(MASK);
        tail = tail.split_off(tail.len().saturating_sub(HIDDEN.len()));
    }
    let digest = hex(digest.finish().as_ref());
    ensure!(leaked != masked, "both what is hidden and its mask came, or neither");
    if leaked {
        ensure!(bytes == said, "{bytes} bytes came of {said}");
    }

    let mut records = Records::default();
    let recorded = async || {
        records = Records::of(stage).await.ok()?;
        // Batches arrive in any order: the end may be there before what it is the end of.
        let whole =
            |recorded: &Recorded| recorded.ended && recorded.response.pieces.bytes >= head.len() as u64;
        records.exchanges.get(&id).is_some_and(whole).then_some(())
    };
    eventually("record of the whole answer", SOON, recorded).await?;
    let body = &records.exchanges[&id].response;
    let recorded = body.digest.as_ref().context("no digest")?;
    ensure!((recorded.sha256 == digest) && (recorded.bytes == bytes as u64), "the digest is of another body");
    ensure!(body.pieces.are(&head), "{} bytes are recorded, of the first {}", body.pieces.bytes, head.len());
    let (after, peak) = memory(stage.envoy.process())?;
    println!(
        "{name}: {bytes} bytes to the agent, {} recorded in {} pieces, digest right\n  \
         Envoy's memory in MiB: before {before}, peak {peak}, after {after}",
        body.pieces.bytes, body.pieces.count
    );
    ensure!(peak < before + 150, "the body is held in memory: {peak} MiB");
    stage.collector.verify().await?;
    Ok(Seen { lines, leaked })
}
