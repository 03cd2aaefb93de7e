//! What Chaperone costs, against what else would be put in its place: `make bench`.
//!
//! Everything runs on this machine: clients, Envoy with one set-up after the other, an API server that answers with bytes made
//! beforehand, and the real collector. What counts is processor time a request, because the rest shares the same cores.

mod ext_proc;
mod gateway;
mod load;
mod measure;
mod module;
mod report;
mod setup;
mod upstream;
mod work;

use anyhow::Result;
use chaperone_test_harness::process::{filter, repository};
use clap::{Parser, Subcommand};
use gateway::World;
use measure::{Plan, Results};
use module::Module;
use setup::Setup;
use std::time::{Duration, Instant};
use work::{Bodies, Work};

/// Measures what Chaperone costs, and writes docs/benchmarks.md.
#[derive(Parser)]
struct Options {
    /// A short run, to see that it works; writes nothing.
    #[arg(long, env = "BENCH_QUICK", value_parser = clap::builder::FalseyValueParser::new(), action = clap::ArgAction::SetTrue)]
    quick: bool,
    /// Only these set-ups, by their letters; writes nothing.
    #[arg(long, env = "SETUPS", value_delimiter = ',')]
    setups: Vec<Setup>,
    /// Only this work; writes nothing.
    #[arg(long, env = "WORK", value_delimiter = ',')]
    work: Vec<Work>,
    /// Vary clients, workers, protocol, body, rules and the collector's latency in such a run too.
    #[arg(long)]
    sweeps: bool,
    #[command(subcommand)]
    part: Option<Part>,
}

/// What a run starts beside itself.
#[derive(Subcommand)]
enum Part {
    #[command(hide = true)]
    ExtProc(ext_proc::Options),
}

fn main() -> Result<()> {
    let options = Options::parse();
    if let Some(Part::ExtProc(options)) = options.part {
        return ext_proc::serve(options);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(run(options))
}

async fn run(options: Options) -> Result<()> {
    let begun = Instant::now();
    let whole = !options.quick && options.setups.is_empty() && options.work.is_empty();
    let or_all = |given: Vec<Setup>| if given.is_empty() { Setup::ALL.to_vec() } else { given };
    let plan = Plan {
        setups: or_all(options.setups),
        work: if options.work.is_empty() { Work::ALL.to_vec() } else { options.work },
        rounds: if options.quick { 1 } else { 4 },
        closed: Duration::from_millis(if options.quick { 150 } else { 600 }),
        open: Duration::from_millis(if options.quick { 150 } else { 800 }),
        sweeps: whole || options.sweeps,
    };
    let module = Module::read(&filter()?)?;
    let world = World::start(Bodies::new(), module.capabilities.clone()).await?;
    let results = Results::measure(&world, &plan).await?;
    world.stop().await?;
    let report = report::markdown(&plan, &results, &module, begun.elapsed());
    let folder = repository().join(if whole { "docs" } else { "target" });
    report::plot(&folder.join("benchmarks.svg"), &plan, &results)?;
    if whole {
        report::write(&folder.join("benchmarks.md"), &report)?;
    }
    println!("{report}");
    Ok(())
}
