//! What is measured, running: an Envoy with one set-up, and what all of them share.

use crate::load::Target;
use crate::setup::{self, Parts, Setup};
use crate::upstream::{TOKEN, Upstream};
use crate::work::Bodies;
use anyhow::{Context as _, Result, ensure};
use chaperone_test_harness::collector::Collector;
use chaperone_test_harness::envoy::{self, Backend, Envoy};
use chaperone_test_harness::issuer::{Claims, Issuer};
use chaperone_test_harness::pki::Authority;
use chaperone_test_harness::process::{Process, WorkDir, eventually, filter};
use hyper::header::HeaderValue;
use serde_json::{Value, json};
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How long a set-up may take until all its records are with the collector.
const SETTLE: Duration = Duration::from_secs(60);
/// Longer than the filter holds an entry back and the tick after that.
const FLUSHED: Duration = Duration::from_millis(350);

/// Issuer, API server and collector.
pub struct World {
    authority: Authority,
    issuer: Issuer,
    /// The API server.
    pub upstream: Upstream,
    /// Where records go.
    pub collector: Collector,
    /// The filter.
    pub module: PathBuf,
    capabilities: Vec<String>,
    keys: Value,
    dir: WorkDir,
}

/// What differs beside the set-up.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Envoy's workers.
    pub workers: u32,
    /// Whether agents and API server speak TLS.
    pub tls: bool,
    /// Rules of access that fit nobody.
    pub rules: usize,
    /// Where the collector is, if something stands before it.
    pub collector: Option<SocketAddr>,
}

impl Default for Shape {
    fn default() -> Self {
        Self { workers: 1, tls: true, rules: 0, collector: None }
    }
}

/// An Envoy with one set-up.
pub struct Gateway {
    /// Its set-up.
    pub setup: Setup,
    envoy: Envoy,
    beside: Option<Process>,
    authority: Option<Arc<rustls::ClientConfig>>,
    dir: WorkDir,
}

/// Processor time that was used, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Used {
    /// By Envoy.
    pub envoy: u64,
    /// By what it asks for each request.
    pub beside: u64,
    /// By the collector.
    pub collector: u64,
}

// === impl World ===

impl World {
    /// Starts what all set-ups share. `capabilities` are those of the module but the signature check.
    pub async fn start(bodies: Bodies, capabilities: Vec<String>) -> Result<Self> {
        let dir = WorkDir::new()?;
        let authority = Authority::new("Chaperone benchmark");
        let issuer = Issuer::start().await?;
        let upstream = Upstream::start(&authority, Arc::new(bodies)).await?;
        let collector = Collector::start(&dir).await?;
        let keys = issuer.jwks();
        Ok(Self { authority, issuer, upstream, collector, module: filter()?, capabilities, keys, dir })
    }

    /// New tokens, all different.
    pub fn tokens(&self, number: usize) -> Result<Vec<HeaderValue>> {
        let claims = Claims::new("agent-7").groups(["agents"]).session("benchmark").model("model-1");
        let token = |_| Ok(HeaderValue::from_str(&format!("Bearer {}", self.issuer.mint(&claims)))?);
        (0..number).map(token).collect()
    }

    /// Ends it, and leaves nothing behind.
    pub async fn stop(mut self) -> Result<()> {
        self.collector.stop().await?;
        self.dir.remove();
        Ok(())
    }
}

// === impl Gateway ===

impl Gateway {
    /// Starts Envoy with this set-up.
    pub async fn start(world: &World, setup: Setup, shape: Shape) -> Result<Self> {
        let dir = WorkDir::new()?;
        let mut filter = envoy::filter_config()?;
        filter["authentication"]["jwt"][0]["issuer"]["url"] = json!(world.issuer.url());
        filter["authentication"]["jwt"][0]["issuer"]["jwks"] = world.keys.clone();
        setup.adapt(&mut filter, shape.rules);
        let env = [
            ("CHAPERONE_UPSTREAM_TOKEN", TOKEN.to_owned()),
            ("CHAPERONE_COLLECTOR_TOKEN", world.collector.ingest_token().to_owned()),
            ("CHAPERONE_SIGNING_KEY", world.collector.signing_key()?),
        ]
        .map(|(name, value)| (name.to_owned(), value));
        let collector = shape.collector.unwrap_or(world.collector.address());
        let (beside, ext_proc) = match setup {
            Setup::ExtProc => {
                let (process, address) = beside(&filter, collector, &env, &dir).await?;
                (Some(process), Some(address))
            }
            _ => (None, None),
        };
        let api = match shape.tls {
            true => Backend::tls(world.upstream.tls, world.authority.pem()),
            false => Backend::plain(world.upstream.plain),
        };
        let leaf = world.authority.issue(&["127.0.0.1"]);
        let config = envoy::Config {
            filter: &filter,
            api,
            collector: Backend::plain(collector),
            idp: Backend::plain(world.issuer.address()),
            more: &[("sink".to_owned(), Backend::plain(world.upstream.plain))],
            leaf: &leaf,
            concurrency: shape.workers,
            module: &world.module,
            env: &env,
            dynamic: false,
        };
        let mut bootstrap = envoy::bootstrap(&config, &dir)?;
        let parts = Parts {
            issuer: world.issuer.url(),
            keys: &world.keys,
            ext_proc: ext_proc.as_ref(),
            access_log: &dir.path("access.log"),
            capabilities: &world.capabilities,
        };
        setup::apply(setup, &mut bootstrap, &parts)?;
        if !shape.tls {
            let chain = bootstrap.pointer_mut("/static_resources/listeners/0/filter_chains/0");
            chain.and_then(Value::as_object_mut).context("no filter chain")?.remove("transport_socket");
        }
        let envoy = Envoy::with(&bootstrap, &config, &dir).await?;
        let authority = shape.tls.then(|| world.authority.client_config());
        Ok(Self { setup, envoy, beside, authority, dir })
    }

    /// Where clients go.
    pub fn target(&self, http2: bool) -> Target {
        Target { address: self.envoy.address(), tls: self.authority.clone(), http2 }
    }

    /// From its start until it served.
    pub fn started_in(&self) -> Duration {
        self.envoy.started_in()
    }

    /// What Envoy holds in memory, in KiB.
    pub fn resident(&self) -> Result<u64> {
        Ok(self.envoy.process().memory()?.resident)
    }

    /// Waits until all that was to be recorded is with the collector.
    pub async fn settle(&self) -> Result<()> {
        if self.setup.is_chaperone() || self.setup == Setup::ExtProc {
            tokio::time::sleep(FLUSHED).await;
        }
        if self.setup.is_chaperone() {
            let empty = async || (self.envoy.metric("chaperone_outbox_bytes").await.ok()? == 0).then_some(());
            eventually("empty outbox", SETTLE, empty).await?;
        }
        Ok(())
    }

    /// Processor time used so far.
    pub fn used(&self, world: &World) -> Result<Used> {
        Ok(Used {
            envoy: processor_time(self.envoy.process())?,
            beside: self.beside.as_ref().map_or(Ok(0), processor_time)?,
            collector: world.collector.process().map_or(Ok(0), processor_time)?,
        })
    }

    /// Bytes that went to the collector, or to what stands in for it.
    pub async fn posted(&self) -> Result<u64> {
        let stats = self.envoy.stats("cluster.(collector|sink).upstream_cx_tx_bytes_total").await?;
        Ok(stats.into_values().sum())
    }

    /// Ends it, and leaves nothing behind.
    pub async fn stop(self) -> Result<()> {
        envoy::vm_failures(&self.envoy.log())?;
        let broken: u64 = self.envoy.stats("lua.errors").await?.into_values().sum();
        ensure!(broken == 0, "{}: {broken} errors of the script", self.setup.title());
        self.envoy.stop().await?;
        if let Some(mut beside) = self.beside {
            beside.stop().await?;
        }
        self.dir.remove();
        Ok(())
    }
}

/// All its threads' time on a processor, in nanoseconds.
fn processor_time(process: &Process) -> Result<u64> {
    let tasks = format!("/proc/{}/task", process.id().context("it has ended")?);
    let mut sum = 0;
    for task in fs::read_dir(tasks).context("no /proc here")? {
        let schedule = fs::read_to_string(task?.path().join("schedstat"))?;
        let running = schedule.split(' ').next().context("no time in schedstat")?;
        sum += running.parse::<u64>()?;
    }
    Ok(sum)
}

/// Starts the external processor; where it listens, as Envoy writes it.
async fn beside(
    filter: &Value,
    collector: SocketAddr,
    env: &[(String, String)],
    dir: &WorkDir,
) -> Result<(Process, Value)> {
    let (config, port_file) = (dir.write("filter.json", filter.to_string())?, dir.path("ext-proc-port"));
    let mut command = Process::command(std::env::current_exe()?);
    command.arg("ext-proc").arg("--config").arg(config).arg("--port-file").arg(&port_file);
    command.arg("--collector").arg(collector.to_string()).envs(env.iter().cloned());
    let mut process = Process::start("ext-proc", command, dir)?;
    let port = async || fs::read_to_string(&port_file).ok()?.trim().parse::<u16>().ok();
    let port = process.until("port", Duration::from_secs(10), port).await?;
    Ok((process, json!({"address": "127.0.0.1", "port_value": port})))
}
