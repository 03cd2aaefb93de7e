//! What is run, in which order: every round measures every set-up once, each time beginning with another, so that what the
//! machine does beside it meets all of them alike.

use crate::gateway::{Gateway, Shape, World};
use crate::load::{Clients, Load, Tokens};
use crate::setup::Setup;
use crate::work::{SECRET, SIZES, Work, pod_path};
use anyhow::{Context as _, Result, ensure};
use chaperone_test_harness::proxy::{Fault, Proxy};
use hdrhistogram::Histogram;
use hyper::Method;
use hyper::body::Bytes;
use std::collections::BTreeMap;
use std::time::Duration;

/// Clients, where nothing else is said.
const CLIENTS: usize = 16;
/// A run is over after so many MiB, so that the collector on the same cores is not hours behind.
const MOST_LARGE: usize = 64;
/// Requests before what is measured.
const WARM_UP: Duration = Duration::from_millis(80);

/// How long, how often, and what of it.
pub struct Plan {
    /// Set-ups, in the order of the tables.
    pub setups: Vec<Setup>,
    /// Kinds of requests.
    pub work: Vec<Work>,
    /// Rounds of the large tables.
    pub rounds: usize,
    /// One closed loop.
    pub closed: Duration,
    /// One open loop.
    pub open: Duration,
    /// Whether clients, workers, protocols, sizes, rules and the collector's latency are varied.
    pub sweeps: bool,
}

/// A table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// As many requests as the clients carry, by kind.
    Closed,
    /// At a fixed rate, by kind.
    Open,
    /// By the number of clients.
    Clients,
    /// By the number of workers.
    Workers,
    /// By protocol.
    Protocol,
    /// By the size of the body.
    Size,
    /// By the number of rules.
    Rules,
    /// By the collector's latency.
    Latency,
}

/// A cell of a table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    /// The table.
    pub part: Part,
    /// The row: its place and its title.
    pub row: (usize, String),
    /// The column.
    pub setup: Setup,
}

/// One measurement.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Requests a second.
    pub rate: f64,
    /// Microseconds of Envoy's processor time a request.
    pub envoy: f64,
    /// The same of what Envoy asks.
    pub beside: f64,
    /// The same of the collector.
    pub collector: f64,
    /// Bytes posted a request.
    pub posted: f64,
    /// Requests that were not answered with success.
    pub failed: u64,
    /// Nanoseconds a request.
    pub latency: Histogram<u64>,
}

/// What a set-up takes before the first request.
#[derive(Clone, Debug)]
pub struct Footprint {
    /// From Envoy's start until it serves.
    pub started_in: Duration,
    /// Resident KiB after the first requests, with one worker and with two.
    pub resident: [u64; 2],
}

/// Everything that was measured.
#[derive(Default)]
pub struct Results {
    /// By cell, one sample a round.
    pub samples: BTreeMap<Cell, Vec<Sample>>,
    /// By set-up.
    pub footprints: BTreeMap<Setup, Vec<Footprint>>,
}

/// One run.
struct Run {
    request: (Method, String, Bytes),
    new_tokens: bool,
    clients: usize,
    http2: bool,
    rate: Option<f64>,
    time: Duration,
    most: usize,
}

impl Sample {
    /// Microseconds of processor time a request, of Envoy and of what it asks.
    pub fn cost(&self) -> f64 {
        self.envoy + self.beside
    }
}

// === impl Run ===

impl Run {
    fn of(work: Work, time: Duration) -> Self {
        let large = matches!(work, Work::PodList | Work::SecretList | Work::Watch);
        Self {
            request: work.request(),
            new_tokens: work == Work::NewToken,
            clients: CLIENTS,
            http2: true,
            rate: None,
            time,
            most: if large { MOST_LARGE } else { usize::MAX },
        }
    }

    fn load(&self, tokens: Tokens, time: Duration, rate: Option<f64>) -> Load {
        Load { request: self.request.clone(), tokens, rate, time, most: self.most }
    }

    async fn sample(&self, world: &World, gateway: &Gateway) -> Result<Sample> {
        let mut clients = Clients::connect(&gateway.target(self.http2), self.clients).await?;
        let one = || anyhow::Ok(Tokens::One(world.tokens(1)?.pop().context("no token")?));
        let warm_up = clients.run(self.load(one()?, WARM_UP, None)).await?;
        ensure!(warm_up.failed == 0, "{} refused {} requests", gateway.setup.title(), warm_up.failed);
        let tokens = match (self.new_tokens, self.rate) {
            (true, None) => Tokens::Each(world.tokens(1500)?),
            (true, Some(rate)) => Tokens::Each(world.tokens((rate * self.time.as_secs_f64()) as usize + 1)?),
            (false, _) => one()?,
        };
        gateway.settle().await?;
        let (used, posted) = (gateway.used(world)?, gateway.posted().await?);
        let outcome = clients.run(self.load(tokens, self.time, self.rate)).await?;
        gateway.settle().await?;
        let (used_then, posted_then) = (gateway.used(world)?, gateway.posted().await?);
        let each = |before: u64, after: u64| (after - before) as f64 / outcome.completed.max(1) as f64;
        Ok(Sample {
            rate: outcome.completed as f64 / outcome.elapsed.as_secs_f64(),
            envoy: each(used.envoy, used_then.envoy) / 1e3,
            beside: each(used.beside, used_then.beside) / 1e3,
            collector: each(used.collector, used_then.collector) / 1e3,
            posted: each(posted, posted_then),
            failed: outcome.failed,
            latency: outcome.latency,
        })
    }
}

// === impl Results ===

impl Results {
    /// Runs the plan.
    pub async fn measure(world: &World, plan: &Plan) -> Result<Self> {
        let mut results = Self::default();
        let mut gateways = Vec::new();
        for &setup in &plan.setups {
            let gateway = Gateway::start(world, setup, Shape::default()).await?;
            for &work in &plan.work {
                check(world, &gateway, work).await?;
            }
            gateways.push(gateway);
        }
        for round in 0..plan.rounds {
            eprintln!("Round {} of {}", round + 1, plan.rounds);
            for (place, &work) in plan.work.iter().enumerate() {
                let row = (place, work.title().to_owned());
                for gateway in rotated(&gateways, round) {
                    let run = Run::of(work, plan.closed);
                    results.add(Part::Closed, &row, gateway.setup, run.sample(world, gateway).await?);
                }
                for gateway in rotated(&gateways, round) {
                    let run = Run { rate: Some(work.rate()), ..Run::of(work, plan.open) };
                    results.add(Part::Open, &row, gateway.setup, run.sample(world, gateway).await?);
                }
            }
        }
        if plan.sweeps {
            results.sweep(world, plan, &gateways).await?;
        }
        for gateway in gateways {
            gateway.stop().await?;
        }
        results.weigh(world, plan).await?;
        Ok(results)
    }

    fn add(&mut self, part: Part, row: &(usize, String), setup: Setup, sample: Sample) {
        self.samples.entry(Cell { part, row: row.clone(), setup }).or_default().push(sample);
    }

    /// What grows with what.
    async fn sweep(&mut self, world: &World, plan: &Plan, gateways: &[Gateway]) -> Result<()> {
        let varied = [Setup::PassThrough, Setup::Native, Setup::Metadata, Setup::RequestResponse];
        let varied: Vec<Setup> = varied.into_iter().filter(|setup| plan.setups.contains(setup)).collect();
        let rounds = plan.rounds.min(3);
        let small = || Run::of(Work::SmallGet, plan.closed);
        eprintln!("Clients, protocols and sizes");
        for round in 0..rounds {
            for gateway in rotated(gateways, round).filter(|gateway| varied.contains(&gateway.setup)) {
                for (place, clients) in [1, 16, 256].into_iter().enumerate() {
                    let sample = Run { clients, ..small() }.sample(world, gateway).await?;
                    self.add(Part::Clients, &(place, clients.to_string()), gateway.setup, sample);
                }
                for (place, (title, http2)) in
                    [("HTTP/2, TLS", true), ("HTTP/1.1, TLS", false)].into_iter().enumerate()
                {
                    let sample = Run { http2, ..small() }.sample(world, gateway).await?;
                    self.add(Part::Protocol, &(place, title.to_owned()), gateway.setup, sample);
                }
                for (place, size) in SIZES.into_iter().enumerate() {
                    let request = (Method::GET, pod_path(size), Bytes::new());
                    let most = (MOST_LARGE << 20) / size;
                    let sample = Run { request, most, ..small() }.sample(world, gateway).await?;
                    self.add(Part::Size, &(place, format!("{} KiB", size >> 10)), gateway.setup, sample);
                }
            }
        }
        eprintln!("Workers, plain HTTP, rules and the collector's latency");
        let mut others = Vec::new();
        let (plain, two) =
            (Shape { tls: false, ..Shape::default() }, Shape { workers: 2, ..Shape::default() });
        for &setup in &varied {
            others.push((
                Part::Workers,
                (0, "1".to_owned()),
                small(),
                Gateway::start(world, setup, Shape::default()).await?,
            ));
            others.push((
                Part::Workers,
                (1, "2".to_owned()),
                small(),
                Gateway::start(world, setup, two).await?,
            ));
            let gateway = Gateway::start(world, setup, plain).await?;
            others.push((Part::Protocol, (2, "HTTP/2, plain".to_owned()), small(), gateway));
            let gateway = Gateway::start(world, setup, plain).await?;
            let http1 = Run { http2: false, ..small() };
            others.push((Part::Protocol, (3, "HTTP/1.1, plain".to_owned()), http1, gateway));
        }
        if plan.setups.contains(&Setup::Metadata) {
            for (place, rules) in [0, 100, 1000].into_iter().enumerate() {
                let shape = Shape { rules, ..Shape::default() };
                let gateway = Gateway::start(world, Setup::Metadata, shape).await?;
                others.push((Part::Rules, (place, rules.to_string()), small(), gateway));
            }
        }
        let mut proxies = Vec::new();
        if plan.setups.contains(&Setup::Confirmed) {
            for (place, millis) in [0, 5, 20].into_iter().enumerate() {
                let proxy = Proxy::to(world.collector.address()).await?;
                if millis > 0 {
                    proxy.fail(100, &[Fault::LateAnswer(Duration::from_millis(millis))]);
                }
                let shape = Shape { collector: Some(proxy.address()), ..Shape::default() };
                let gateway = Gateway::start(world, Setup::Confirmed, shape).await?;
                proxies.push(proxy);
                let run = Run { rate: Some(50.0), ..Run::of(Work::SmallGet, plan.open) };
                others.push((Part::Latency, (place, format!("{millis} ms")), run, gateway));
            }
        }
        for round in 0..rounds {
            for (part, row, run, gateway) in rotated(&others, round) {
                let sample = run.sample(world, gateway).await?;
                self.add(*part, row, gateway.setup, sample);
            }
        }
        for (.., gateway) in others {
            gateway.stop().await?;
        }
        Ok(())
    }

    /// Start and memory.
    async fn weigh(&mut self, world: &World, plan: &Plan) -> Result<()> {
        eprintln!("Start and memory");
        for round in 0..plan.rounds.min(3) {
            for &setup in rotated(&plan.setups, round) {
                let mut resident = [0; 2];
                let mut started_in = Duration::ZERO;
                for (workers, resident) in [1, 2].into_iter().zip(&mut resident) {
                    let gateway = Gateway::start(world, setup, Shape { workers, ..Shape::default() }).await?;
                    Run { clients: 64, ..Run::of(Work::SmallGet, WARM_UP * 4) }
                        .sample(world, &gateway)
                        .await?;
                    *resident = gateway.resident()?;
                    if workers == 1 {
                        started_in = gateway.started_in();
                    }
                    gateway.stop().await?;
                }
                self.footprints.entry(setup).or_default().push(Footprint { started_in, resident });
            }
        }
        Ok(())
    }
}

/// Beginning with another each round.
fn rotated<T>(all: &[T], round: usize) -> impl Iterator<Item = &T> {
    all.iter().cycle().skip(round % all.len().max(1)).take(all.len())
}

/// A set-up does what it is there for, or its numbers mean nothing.
async fn check(world: &World, gateway: &Gateway, work: Work) -> Result<()> {
    let mut clients = Clients::connect(&gateway.target(true), 1).await?;
    let token = Tokens::One(world.tokens(1)?.pop().context("no token")?);
    let (status, body) =
        clients.ask(&Run::of(work, Duration::ZERO).load(token, Duration::ZERO, None)).await?;
    let (setup, title) = (gateway.setup.title(), work.title());
    ensure!((200..300).contains(&status), "{setup}: {title}: {status} {}", String::from_utf8_lossy(&body));
    let seen = body.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
    ensure!(
        seen == (work.is_secret() && !gateway.setup.masks()),
        "{setup}: {title}: masking is not as it is said to be"
    );
    Ok(())
}
