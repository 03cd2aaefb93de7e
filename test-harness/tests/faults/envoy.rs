//! Envoy fails: it is killed, the filter's VM fails, or the clock jumps.

use crate::audit::Audit;
use crate::work::{CONFIGMAPS, Work, agent, configmap};
use crate::{bad_moment, moment, rounds, stage, told};
use chaperone_test_harness::process::{eventually, panicking_filter, repository};
use chaperone_test_harness::stage::Stage;
use http_body_util::Full;
use hyper::Request;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::{sleep, timeout};

const AGENTS: usize = 12;

/// Killed at every phase of an exchange: the chains of its workers just end.
#[tokio::test]
async fn killed() {
    told(async {
        let mut stage = stage().concurrency(2).start().await?;
        let mut audit = Audit::begin("Envoy killed", &stage)?;
        let work = Work::begin(&stage, AGENTS, None)?;
        for _ in 0..rounds(3) {
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
        audit.end(&stage, &work.stop().await).await?;
        stage.stop().await
    }
    .await);
}

/// Where a build for tests makes the VM fail.
const MOMENTS: [&str; 6] = ["headers", "posted", "acknowledged", "body", "response", "log"];

/// The VM fails in every callback while others wait in it; the proxy starts a new one, with a new chain.
#[tokio::test]
async fn vm_panics() {
    told(async {
        let stage = stage().module(panicking_filter()?).start().await?;
        let mut audit = Audit::begin("VM panics under FAIL_RELOAD", &stage)?;
        let work = Work::begin(&stage, AGENTS, None)?;
        for round in 0..rounds(1) * MOMENTS.len() {
            let asked = MOMENTS[round % MOMENTS.len()];
            sleep(moment(Duration::from_millis(300))).await;
            panic_once(&stage, asked, round).await?;
            audit.fault(asked);
            audit.bury(&stage);
            audit.now(&stage).await?;
            writes_again(&stage, round).await?;
        }
        audit.end(&stage, &work.stop().await).await?;
        stage.stop().await
    }
    .await);
}

async fn panic_once(stage: &Stage, asked: &str, round: usize) -> anyhow::Result<()> {
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
    anyhow::bail!("the VM does not fail at {asked}")
}

async fn writes_again(stage: &Stage, round: usize) -> anyhow::Result<()> {
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

/// Envoy's clock jumps back and forth, by seconds and by days.
#[tokio::test]
async fn clock_jumps() {
    let Some(library) = faketime() else {
        eprintln!("\n!!! SKIPPED: no libfaketime in .venv, so the clock cannot jump. !!!\n");
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI must let the clock jump");
        return;
    };
    told(async {
        let clock = tempfile::NamedTempFile::new()?;
        let path = clock.path().display().to_string();
        fs::write(&path, "+0")?;
        let stage = stage()
            .env("LD_PRELOAD", library.display().to_string())
            .env("FAKETIME_TIMESTAMP_FILE", path.as_str())
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .start()
            .await?;
        let mut audit = Audit::begin("clock jumps", &stage)?;
        let work = Work::begin(&stage, AGENTS, None)?;
        for round in 0..rounds(2) {
            for jump in ["+30", "-30", "+5", "+0", "+2d", "-2d", "+0"] {
                bad_moment(&stage).await;
                fs::write(&path, jump)?;
                audit.fault(jump);
                writes_again(&stage, round).await?;
            }
            audit.now(&stage).await?;
        }
        audit.end(&stage, &work.stop().await).await?;
        stage.stop().await
    }
    .await);
}

/// The library that lets a program's clock be set.
fn faketime() -> Option<PathBuf> {
    let pythons = fs::read_dir(repository().join(".venv/lib")).ok()?;
    let library = "site-packages/libfaketime/vendor/libfaketime/src/libfaketime.so.1";
    pythons.flatten().map(|python| python.path().join(library)).find(|path| path.exists())
}
