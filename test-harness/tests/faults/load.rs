//! Load while faults happen, and what it takes of memory.

use crate::audit::Audit;
use crate::work::Work;
use crate::{EXCHANGES, asked, proxy, stage, told};
use anyhow::{Context as _, Result, ensure};
use chaperone_test_harness::process::{Process, eventually};
use chaperone_test_harness::stage::Stage;
use std::time::{Duration, Instant};
use tokio::time::sleep;

const AGENTS: usize = 200;
const OUTAGES: u64 = 2;

/// 200 agents at once; the collector is away twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_outages() {
    let (exchanges, outage) = asked(EXCHANGES).map_or((2_000, 2), |exchanges| (exchanges, 20));
    told(
        async {
            let mut stage = stage().concurrency(2).start().await?;
            let mut audit = Audit::begin("load with collector outages", &stage)?;
            let collector_before = memory(stage.collector.process().context("no collector")?)?;
            let envoy_before = memory(stage.envoy.process())?;
            stage.envoy.process().forget_peak()?;
            let begun = Instant::now();
            let work = Work::begin(&stage, AGENTS, Some(exchanges))?;
            let mut collector_peak = 0;
            for outage_number in 1..=OUTAGES {
                let share = exchanges * outage_number / (OUTAGES + 1);
                let reached = async || (work.exchanges() >= share).then_some(());
                eventually("exchanges", Duration::from_secs(1800), reached).await?;
                collector_peak =
                    collector_peak.max(memory(stage.collector.process().context("no collector")?)?.1);
                stage.collector.kill().await?;
                audit.fault(format!("collector away for {outage} s"));
                sleep(Duration::from_secs(outage)).await;
                stage.restart_collector().await?;
                let back = Instant::now();
                let waiting = proxy(&stage).unacknowledged();
                let settled = async || proxy(&stage).has_acknowledged(&waiting).then_some(());
                eventually("acknowledgement of what waited", Duration::from_secs(300), settled).await?;
                let within = back.elapsed().as_secs_f64();
                println!(
                    "  {} batches waited through outage {outage_number}; acknowledged {within:.1} s after it",
                    waiting.len()
                );
            }
            let attempts = work.finish().await;
            let took = begun.elapsed();
            audit.end(&stage, &attempts).await?;
            println!("  {} attempts by {AGENTS} agents in {:.1} s", attempts.len(), took.as_secs_f64());
            let (resident, peak) = memory(stage.envoy.process())?;
            println!("  Envoy's memory in MiB: before {}, peak {peak}, after {resident}", envoy_before.0);
            let (resident, peak) = memory(stage.collector.process().context("no collector")?)?;
            println!(
                "  the collector's: before {}, peak {}, after {resident}",
                collector_before.0,
                collector_peak.max(peak)
            );
            bounded(&stage)?;
            stage.stop().await
        }
        .await,
    );
}

/// Resident and peak, in MiB.
pub fn memory(process: &Process) -> Result<(u64, u64)> {
    let memory = process.memory()?;
    Ok((memory.resident >> 10, memory.peak >> 10))
}

/// Two outboxes of 16 MiB, and what V8 and Envoy need.
fn bounded(stage: &Stage) -> Result<()> {
    let (_, peak) = memory(stage.envoy.process())?;
    ensure!(peak < 700, "Envoy took {peak} MiB");
    Ok(())
}
