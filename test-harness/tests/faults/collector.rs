//! The collector fails: it is killed, slow, wrong, or its disk is full.

use crate::audit::Audit;
use crate::work::Work;
use crate::{bad_moment, episodes, moment, proxy, stage, told};
use anyhow::{Context as _, Result, ensure};
use chaperone_test_harness::process::eventually;
use chaperone_test_harness::proxy::Fault;
use chaperone_test_harness::stage::Stage;
use std::fs;
use std::time::Duration;
use tokio::time::{sleep, timeout};

const AGENTS: usize = 12;

/// Killed before, while and after it syncs a batch, and started again on what it left.
#[tokio::test]
async fn killed() {
    episodes(5, async |rounds| {
        let mut stage = stage().start().await?;
        let mut audit = Audit::begin("collector killed", &stage)?;
        let work = Work::begin(&stage, AGENTS, None)?;
        for _ in 0..rounds {
            bad_moment(&stage).await;
            stage.collector.kill().await?;
            audit.fault("SIGKILL");
            audit.now(&stage).await?;
            sleep(moment(Duration::from_millis(200))).await;
            stage.restart_collector().await?;
            works_again(&stage, &work).await?;
        }
        let tally = audit.end(&stage, &work.stop().await).await?;
        stage.stop().await?;
        Ok(tally)
    })
    .await;
}

/// Everything that can stand between a batch and its acknowledgement.
#[tokio::test]
async fn slow_or_wrong() {
    episodes(2, async |rounds| {
        let stage = stage().start().await?;
        let mut audit = Audit::begin("collector slow or wrong", &stage)?;
        let work = Work::begin(&stage, AGENTS, None)?;
        let (short, long) = (Duration::from_millis(50), Duration::from_millis(700));
        let faults = [
            Fault::Late(short),
            Fault::Late(long),
            Fault::LateAnswer(short),
            Fault::LateAnswer(long),
            Fault::Instead(409),
            Fault::Instead(500),
            Fault::Instead(200),
            Fault::StoredBut(409),
            Fault::StoredBut(500),
            Fault::Garbage,
            Fault::OtherBatch,
            Fault::OtherRecorder,
            Fault::Half,
            Fault::CutBefore,
            Fault::CutAfter,
            Fault::NotHttp,
        ];
        for _ in 0..rounds {
            for percent in [10, 50] {
                proxy(&stage).fail(percent, &faults);
                sleep(moment(Duration::from_secs(1))).await;
            }
            let only = faults[fastrand::usize(..faults.len())];
            proxy(&stage).fail(100, &[only]);
            sleep(moment(Duration::from_millis(600))).await;
            audit.now(&stage).await?;
        }
        proxy(&stage).fail(0, &[]);
        goes_on(&stage).await?;
        for (fault, times) in proxy(&stage).met() {
            audit.faults(format!("{fault:?}"), times);
        }
        let tally = audit.end(&stage, &work.stop().await).await?;
        stage.stop().await?;
        Ok(tally)
    })
    .await;
}

/// Files cannot grow any more, at random sizes; sometimes it is killed while they cannot. Its log still can.
#[tokio::test]
async fn disk_full() {
    episodes(3, async |rounds| {
        let mut stage = stage().start().await?;
        let mut audit = Audit::begin("disk full", &stage)?;
        let work = Work::begin(&stage, AGENTS, None)?;
        for _ in 0..rounds {
            sleep(moment(Duration::from_millis(400))).await;
            let log = fs::metadata(stage.dir().path("collector.log"))?.len();
            stage.collector.limit_files(Some(log + fastrand::u64(500_000..2_000_000))).await?;
            audit.fault("full");
            sleep(moment(Duration::from_millis(800))).await;
            audit.now(&stage).await?;
            if fastrand::bool() {
                stage.collector.kill().await?;
                audit.fault("SIGKILL while full");
                audit.now(&stage).await?;
                stage.restart_collector().await?;
            } else {
                stage.collector.limit_files(None).await?;
            }
            works_again(&stage, &work).await?;
        }
        let tally = audit.end(&stage, &work.stop().await).await?;
        stage.stop().await?;
        Ok(tally)
    })
    .await;
}

/// Not even the log can be written; once there is room again it goes on.
#[tokio::test]
async fn disk_full_for_the_log_too() {
    told(
        async {
            let stage = stage().start().await?;
            let mut audit = Audit::begin("disk full for the log too", &stage)?;
            let work = Work::begin(&stage, AGENTS, None)?;
            goes_on(&stage).await?;
            stage.collector.limit_files(Some(0)).await?;
            audit.fault("full");
            sleep(Duration::from_secs(1)).await;
            stage.collector.limit_files(None).await?;
            goes_on(&stage).await?;
            audit.end(&stage, &work.stop().await).await?;
            stage.stop().await
        }
        .await,
    );
}

/// The audit is worth something: where the filter is told that a record is stored and it is not, that is found.
#[tokio::test]
async fn a_lie_is_noticed() {
    told(
        async {
            let stage = stage().start().await?;
            let audit = Audit::begin("a lie", &stage)?;
            proxy(&stage).fail(100, &[Fault::Lie]);
            let work = Work::begin(&stage, 1, Some(20))?;
            work.finish().await;
            let found = audit.now(&stage).await.err().map(|error| error.to_string()).unwrap_or_default();
            ensure!(found.contains("no record at all"), "the audit says {found:?}");
            stage.stop().await
        }
        .await,
    );
}

/// Waits until the collector acknowledges again, and agents get on with their work.
async fn works_again(stage: &Stage, work: &Work) -> Result<()> {
    goes_on(stage).await?;
    let enough = work.exchanges() + 20;
    let had = async || (work.exchanges() >= enough).then_some(());
    eventually("exchanges again", Duration::from_secs(60), had).await
}

async fn goes_on(stage: &Stage) -> Result<()> {
    timeout(Duration::from_secs(20), proxy(stage).acknowledges()).await.context("no acknowledgement any more")
}
