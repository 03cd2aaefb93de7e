//! Envoy fails: it is killed, the filter's VM fails, or the clock jumps.

use crate::audit::{Audit, Tally};
use crate::work::{CONFIGMAPS, Work, agent, configmap};
use crate::{bad_moment, episodes, moment, stage};
use anyhow::{Result, bail, ensure};
use chaperone_test_harness::clock::Clock;
use chaperone_test_harness::process::{WorkDir, eventually, panicking_filter};
use chaperone_test_harness::stage::Stage;
use http_body_util::Full;
use hyper::Request;
use std::time::Duration;
use tokio::time::{sleep, timeout};

const AGENTS: usize = 12;
const DAY: i64 = 24 * 3600;

/// Killed at every phase of an exchange: the chains of its workers just end.
#[tokio::test]
async fn killed() {
    episodes(2, async |rounds| {
        let mut stage = stage().concurrency(2).start().await?;
        let mut audit = Audit::begin("Envoy killed", &stage)?;
        let work = Work::begin(&stage, AGENTS, None)?;
        for _ in 0..rounds {
            let busy = work.attempts() + 50;
            let works = async || (work.attempts() >= busy).then_some(());
            eventually("attempts", Duration::from_secs(20), works).await?;
            bad_moment(&stage).await;
            stage.envoy.kill().await?;
            audit.fault("SIGKILL");
            audit.now(&stage).await?;
            audit.bury(&stage);
            stage.restart_envoy().await?;
            work.move_to(&stage)?;
        }
        sleep(Duration::from_millis(300)).await;
        let tally = audit.end(&stage, &work.stop().await).await?;
        stage.stop().await?;
        Ok(tally)
    })
    .await;
}

/// Where a build for tests makes the VM fail.
const MOMENTS: [&str; 6] = ["headers", "posted", "acknowledged", "body", "response", "log"];

/// The VM fails in every callback while others wait in it; the proxy starts a new one, with a new chain.
#[tokio::test]
async fn vm_panics() {
    episodes(MOMENTS.len(), async |rounds| {
        let stage = stage().module(panicking_filter()?).start().await?;
        let mut audit = Audit::begin("VM panics under FAIL_RELOAD", &stage)?;
        let work = Work::begin(&stage, AGENTS, None)?;
        let first = fastrand::usize(..MOMENTS.len());
        for round in 0..rounds {
            let asked = MOMENTS[(first + round) % MOMENTS.len()];
            sleep(moment(Duration::from_millis(300))).await;
            panic_once(&stage, asked, round).await?;
            audit.fault(asked);
            audit.bury(&stage);
            audit.now(&stage).await?;
            writes_again(&stage, round).await?;
        }
        let tally = audit.end(&stage, &work.stop().await).await?;
        stage.stop().await?;
        Ok(tally)
    })
    .await;
}

async fn panic_once(stage: &Stage, asked: &str, round: usize) -> Result<()> {
    let failed = || stage.envoy.log().matches("Panicked at").count();
    let before = failed();
    for attempt in 0..20 {
        let name = format!("panic-{round}-{attempt}");
        let request = Request::post(format!("{CONFIGMAPS}?fieldManager=panic-{asked}"))
            .header("content-type", "application/json")
            .body(Full::from(configmap(&name, 100)))?;
        let client = agent(stage)?;
        let _ = timeout(Duration::from_secs(1), client.send(request)).await;
        if failed() > before {
            return Ok(());
        }
    }
    bail!("the VM does not fail at {asked}")
}

async fn writes_again(stage: &Stage, round: usize) -> Result<()> {
    let mut attempt = 0;
    let writes = async || {
        attempt += 1;
        let request = Request::post(CONFIGMAPS)
            .header("content-type", "application/json")
            .body(Full::from(configmap(&format!("again-{round}-{attempt}"), 100)))
            .ok()?;
        let answer = timeout(Duration::from_secs(1), agent(stage).ok()?.send(request)).await;
        (answer.ok()?.ok()?.status == 201).then_some(())
    };
    eventually("write after the VM failed", Duration::from_secs(20), writes).await
}

/// Envoy's clock jumps back and forth, by seconds and by days, and is right in the end or ahead.
#[tokio::test]
async fn clock_jumps() {
    episodes(1, async |rounds| jumps("clock jumps", 3 * DAY, rounds).await).await;
}

/// The same, and it stays behind: what waited to be posted again must not wait until the clock is where it was.
#[tokio::test]
async fn clock_jumps_back_for_good() {
    episodes(1, async |rounds| jumps("clock jumps back for good", -3 * DAY, rounds).await).await;
}

async fn jumps(name: &'static str, last: i64, rounds: usize) -> Result<Tally> {
    let dir = WorkDir::new()?;
    let Some(clock) = Clock::new(&dir)? else {
        eprintln!("\n!!! SKIPPED: a clock that jumps needs Linux and a C compiler. !!!\n");
        ensure!(std::env::var("CI").as_deref() != Ok("true"), "CI must let the clock jump");
        return Ok(Tally::default());
    };
    let [preload, offset] = clock.env();
    let stage = stage().env(preload.0, preload.1).env(offset.0, offset.1).start().await?;
    let mut audit = Audit::begin(name, &stage)?;
    let work = Work::begin(&stage, AGENTS, None)?;
    for round in 0..rounds {
        for seconds in [30, -30, 5, 0, 2 * DAY, -2 * DAY, 0] {
            bad_moment(&stage).await;
            clock.set(seconds)?;
            audit.fault(format!("{seconds:+} s"));
            writes_again(&stage, round).await?;
        }
        audit.now(&stage).await?;
    }
    clock.set(last)?;
    let tally = audit.end(&stage, &work.stop().await).await?;
    stage.stop().await?;
    dir.remove();
    Ok(tally)
}
