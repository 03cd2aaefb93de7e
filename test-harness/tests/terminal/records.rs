//! What the collector holds of a row, beside what the client got.

use crate::client::Outcome;
use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chaperone_test_harness::process::eventually;
use chaperone_test_harness::stage::Stage;
use serde_json::Value;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);

/// The streams of a session are whole in the record, and everything that the process printed is what the client got.
pub async fn check(stage: &Stage, session: &str, outcome: &Outcome) -> Result<()> {
    let complete = async || {
        let json = stage.collector.run(&["replay", session, "--all", "-o", "json"]).await.ok()?;
        let record: Value = serde_json::from_str(&json).ok()?;
        let exchanges = record["exchanges"].as_array()?;
        let whole = |exchange: &Value| exchange["state"] != "incomplete";
        (!exchanges.is_empty() && exchanges.iter().all(whole)).then_some(())
    };
    eventually("complete record", SOON, complete).await?;
    let record = stage.collector.session(session).await?;
    let exchanges = record["exchanges"].as_array().context("no exchanges")?;
    let streams: Vec<&Value> =
        exchanges.iter().filter(|exchange| exchange["responseStatus"]["code"] == 101).collect();
    for exchange in &streams {
        whole(exchange)?;
    }
    let [exec] = streams[..] else { return Ok(()) };
    let subresource = exec["objectRef"]["subresource"].as_str().unwrap_or_default();
    if subresource != "portforward" && exec["streamOptions"]["tty"] != true {
        let out = printed(exec, "stdout")?;
        ensure!(outcome.out == out, "{} bytes of stdout are recorded, {} came", out.len(), outcome.out.len());
        // Clients add what they think of it.
        let err = printed(exec, "stderr")?;
        let found = err.is_empty() || outcome.err.windows(err.len()).any(|window| window == err);
        ensure!(found, "stderr is recorded otherwise: {:?}", String::from_utf8_lossy(&err));
    }
    Ok(())
}

fn entries(exchange: &Value) -> Result<Vec<&Value>> {
    let entries = exchange["entries"].as_array().context("no entries")?;
    Ok(entries.iter().map(|recorded| &recorded["entry"]).collect())
}

/// Every piece follows the one before it in its channel, and the whole is as long as the end says.
fn whole(exchange: &Value) -> Result<()> {
    let entries = entries(exchange)?;
    let end = entries.iter().find(|entry| entry["type"] == "end").context("no end")?;
    let totals = end["stream"]["channels"].as_array().cloned().unwrap_or_default();
    let closed = entries.iter().filter(|entry| entry["closed"].is_object()).map(|entry| {
        let mut total = entry["closed"].clone();
        total["channel"] = entry["channel"].clone();
        total["connection"] = entry["connection"].clone();
        total
    });
    for total in totals.iter().cloned().chain(closed) {
        let (channel, connection) = (&total["channel"], &total["connection"]);
        let mut length = 0;
        let pieces = entries.iter().filter(|entry| {
            entry["type"] == "stream" && entry["channel"] == *channel && entry["connection"] == *connection
        });
        for piece in pieces {
            ensure!(piece["position"] == length, "{channel}: {} follows {length}", piece["position"]);
            length += data(piece)?.len();
        }
        ensure!(total["bytes"] == length, "{channel}: {length} bytes are recorded of {}", total["bytes"]);
    }
    Ok(())
}

/// The only exchange of a session, once it has ended.
pub async fn exchange(stage: &Stage, session: &str) -> Result<Value> {
    let record = stage.collector.session(session).await?;
    let [exchange] = record["exchanges"].as_array().map(Vec::as_slice).unwrap_or_default() else {
        anyhow::bail!("not one exchange")
    };
    ensure!(exchange["state"] != "incomplete", "it has not ended");
    Ok(exchange.clone())
}

/// All that the client sent to the process.
pub fn stdin(exchange: &Value) -> Result<Vec<u8>> {
    printed(exchange, "stdin")
}

/// All that a channel carried.
fn printed(exchange: &Value, channel: &str) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    for piece in entries(exchange)?
        .into_iter()
        .filter(|entry| entry["type"] == "stream" && entry["channel"] == channel)
    {
        all.extend(data(piece)?);
    }
    Ok(all)
}

fn data(piece: &Value) -> Result<Vec<u8>> {
    let text = piece["data"].as_str().context("a piece without data")?;
    if piece["encoding"] == "base64" { Ok(STANDARD.decode(text)?) } else { Ok(text.as_bytes().to_vec()) }
}
