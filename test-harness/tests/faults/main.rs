//! Whatever fails, no write is executed without its record, and no acknowledged record is lost.
//!
//! Real Envoy, with a proxy before the collector and a wire before the API server that fail on demand. Agents work while
//! things fail at random moments; each test ends in the same [`audit`]. `FAULTS_ROUNDS` makes it long, `FAULTS_EXCHANGES` the load.

mod agents;
mod audit;
mod collector;
mod envoy;
mod large;
mod load;
mod records;
mod work;

use anyhow::Result;
use audit::Tally;
use chaperone_test_harness::proxy::Proxy;
use chaperone_test_harness::stage::{ApiKind, Builder, Stage};
use serde_json::json;
use std::str::FromStr;
use std::time::Duration;

/// The environment variable that says how often each fault happens.
const ROUNDS: &str = "FAULTS_ROUNDS";
/// The environment variable that says how many exchanges the load is of.
const EXCHANGES: &str = "FAULTS_EXCHANGES";

/// How long a record may take.
const SOON: Duration = Duration::from_secs(30);

/// So many rounds happen on one stage at most: each audit reads all of its database.
const EPISODE: usize = 10;

/// Runs a test of so many rounds, or as many as are asked for, in episodes with a stage of their own.
async fn episodes(short: usize, test: impl AsyncFn(usize) -> Result<Tally>) {
    let mut left = asked(ROUNDS).unwrap_or(short);
    let (mut all, mut episodes) = (Tally::default(), 0);
    while left > 0 {
        let rounds = left.min(EPISODE);
        match test(rounds).await {
            Ok(tally) => all.add(tally),
            Err(error) => told(Err(error)),
        }
        left -= rounds;
        episodes += 1;
    }
    if episodes > 1 {
        println!("In all {episodes} episodes: {all}");
    }
}

/// The number in an environment variable.
fn asked<T: FromStr>(variable: &str) -> Option<T> {
    std::env::var(variable).ok()?.parse().ok()
}

/// A stage on which things can fail. Small batches, so that bodies also come in pieces, and little patience.
fn stage() -> Builder {
    Stage::builder(ApiKind::StandIn)
        .faults()
        .inline_keys()
        .filter("/recording/limits", json!({"batchBytes": 16 << 10}))
        .filter("/recording/collector/timeout", json!("500ms"))
}

/// The proxy before the collector.
fn proxy(stage: &Stage) -> &Proxy {
    stage.proxy.as_ref().expect("a stage with faults")
}

/// Some time up to `most`.
fn moment(most: Duration) -> Duration {
    most.mul_f64(fastrand::f64())
}

/// Waits for one of the moments at which a failure hurts: a post is on its way to the collector, or its answer is on its
/// way back, or anything else is going on.
async fn bad_moment(stage: &Stage) {
    let proxy = proxy(stage);
    match fastrand::u8(..3) {
        0 => drop(tokio::time::timeout(Duration::from_secs(2), proxy.passes()).await),
        1 => drop(tokio::time::timeout(Duration::from_secs(2), proxy.acknowledges()).await),
        _ => tokio::time::sleep(moment(Duration::from_millis(100))).await,
    }
    tokio::time::sleep(moment(Duration::from_millis(5))).await;
}

/// Fails the test with the whole story.
fn told(outcome: Result<()>) {
    if let Err(error) = outcome {
        panic!("{error:#}");
    }
}
