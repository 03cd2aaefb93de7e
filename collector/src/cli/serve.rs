//! `serve`: the collector as a service.

use super::bodies::KeepingArguments;
use super::callers::CallerArguments;
use super::forward::ForwardArguments;
use super::{Failure, access, database, retention};
use crate::evidence::keys::KeySet;
use crate::evidence::tombstone::TombstoneKey;
use crate::server::auth::Token;
use crate::server::{Config, Limits, Server};
use crate::store::filter::span;
use crate::store::retention::Pruned;
use crate::store::{Bodies, Database};
use clap::{Args, ValueEnum};
use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs, io};
use tokio::signal::unix::{Signal, SignalKind, signal};
use zeroize::Zeroizing;

/// Where a token stands when no file is named. Never an argument: arguments are seen by everybody on the machine.
const INGEST_TOKEN: &str = "CHAPERONE_COLLECTOR_TOKEN";
/// See [`INGEST_TOKEN`].
const AUDITOR_TOKEN: &str = "CHAPERONE_AUDITOR_TOKEN";

#[derive(Args)]
pub(super) struct Arguments {
    /// Where to keep records: a file or sqlite://FILE, made where it is missing, or postgres://USER@HOST/NAME, which several
    /// collectors may share.
    #[arg(long, short, env = "CHAPERONE_DATABASE", hide_env_values = true, default_value = "chaperone.db", value_parser = database)]
    database: Database,
    #[command(flatten)]
    bodies: KeepingArguments,
    #[command(flatten)]
    forward: ForwardArguments,
    /// Where to listen. Port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8088")]
    listen: SocketAddr,
    /// Write `host:port` to this file once listening.
    #[arg(long, value_name = "FILE")]
    port_file: Option<PathBuf>,
    /// The token filters post with; default: the environment's CHAPERONE_COLLECTOR_TOKEN. Further ones are made by
    /// `chaperone token create`.
    #[arg(long, value_name = "FILE")]
    ingest_token_file: Option<PathBuf>,
    /// The token auditors read with; default: the environment's CHAPERONE_AUDITOR_TOKEN. Further ones are made
    /// by `chaperone token create`.
    #[arg(long, value_name = "FILE")]
    auditor_token_file: Option<PathBuf>,
    /// Public keys that batches must be signed with: a JWK set or PEM. Without one, batches are taken unchecked.
    #[arg(long, value_name = "FILE")]
    public_key: Vec<PathBuf>,
    /// Prune what arrived longer ago than this, like 90d, once an hour. Default: keep everything.
    #[arg(long, value_name = "SPAN", value_parser = span, requires = "tombstone_key")]
    retain: Option<Duration>,
    /// The private key that tombstones are signed with; not a filter's.
    #[arg(long, value_name = "FILE", requires = "retain")]
    tombstone_key: Option<PathBuf>,
    /// Largest batch, in bytes.
    #[arg(long, default_value_t = Limits::default().body_bytes, value_parser = at_least_one)]
    max_batch_bytes: usize,
    /// Most bytes of batches in memory; more is answered 429.
    #[arg(long, default_value_t = Limits::default().queue_bytes, value_parser = at_least_one)]
    queue_bytes: usize,
    /// Most batches waiting to be written; more is answered 429.
    #[arg(long, default_value_t = Limits::default().queue_batches, value_parser = at_least_one)]
    queue_batches: usize,
    #[command(flatten)]
    access: access::AccessArguments,
    #[command(flatten)]
    callers: CallerArguments,
    /// Most live tails at a time; more are answered 429.
    #[arg(long, default_value_t = Limits::default().tails)]
    max_tails: usize,
    /// How to write log lines (to standard error).
    #[arg(long, value_enum, default_value = "text")]
    log_format: LogFormat,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    start_logging(arguments.log_format);
    let limits = Limits {
        body_bytes: arguments.max_batch_bytes.clamp(1, 1 << 30),
        queue_bytes: arguments.queue_bytes,
        queue_batches: arguments.queue_batches,
        tails: arguments.max_tails,
        ..arguments.callers.limit(arguments.access.limits())
    };
    let ingest_token = token(arguments.ingest_token_file.as_deref(), INGEST_TOKEN)?;
    let auditor_token = token(arguments.auditor_token_file.as_deref(), AUDITOR_TOKEN)?;
    if auditor_token.is_some() && auditor_token == ingest_token {
        let why = "the auditor's token is the ingest token: every gateway could read all records; use two";
        return Err(Failure::Token(why.to_owned()));
    }
    let keys = keys(&arguments.public_key)?;
    if keys.is_empty() {
        tracing::warn!("No public key is configured: batches are taken without checking their signatures.");
    }
    if auditor_token.is_none() {
        tracing::info!(
            "No auditor token is configured: readers need one of the database's (`chaperone token create`)."
        );
    }
    for kid in keys.kids() {
        tracing::info!(kid, "Batches must be signed.");
    }
    let tombstone_key = arguments.tombstone_key.as_deref().map(retention::tombstone_key).transpose()?;
    let bodies = arguments.bodies.create()?;
    // Before anything is served, so that no signal is missed.
    let mut signals = Signals::new()?;
    let config = Config {
        database: arguments.database.clone(),
        bodies: bodies.clone(),
        forward: arguments.forward.destinations()?,
        listen: arguments.listen,
        ingest_token,
        auditor_token,
        keys,
        limits,
        access: arguments.access.options()?,
        tls: arguments.access.tls(),
        trusted_proxies: arguments.callers.proxies(),
    };
    let server = Server::start(config).await?;
    let address = server.address();
    if let Some(path) = &arguments.port_file {
        write_atomically(path, &format!("{address}\n"))
            .map_err(|source| Failure::File { path: path.clone(), source })?;
    }
    tracing::info!(%address, "Listening.");
    // Batches are taken all the same: a database that cannot be written now may be again.
    if let Err(error) = arguments.access.announce(&arguments.database, address).await {
        tracing::warn!(%error, "Could not make a link for the first admin; `chaperone token login` prints one.");
    }
    let pruning = arguments.retain.zip(tombstone_key);
    let pruning = pruning.map(|(age, key)| tokio::spawn(prune_hourly(arguments.database, bodies, age, key)));
    let name = signals.next().await;
    if let Some(pruning) = pruning {
        // A transaction that is cut short is rolled back.
        pruning.abort();
        let _ = pruning.await;
    }
    tracing::info!(signal = name, "Stopping.");
    server.stop().await;
    if let Some(path) = &arguments.port_file {
        let _ = fs::remove_file(path);
    }
    tracing::info!("Stopped.");
    Ok(())
}

async fn prune_hourly(database: Database, bodies: Option<Bodies>, age: Duration, key: TombstoneKey) {
    let mut hours = tokio::time::interval(Duration::from_secs(3600));
    loop {
        hours.tick().await;
        match retention::prune_all(&database, bodies.as_ref(), age, Some(&key)).await {
            Ok(Pruned { batches: 0, objects: 0, .. }) => {}
            Ok(Pruned { batches, exchanges, objects }) => {
                tracing::info!(batches, exchanges, objects, "Pruned.");
            }
            Err(error) => tracing::error!(%error, "Could not prune."),
        }
    }
}

pub(super) fn at_least_one(text: &str) -> Result<usize, String> {
    let number: usize = text.parse().map_err(|error| format!("{error}"))?;
    if number == 0 { Err("with 0 nothing would ever be taken".to_owned()) } else { Ok(number) }
}

fn start_logging(format: LogFormat) {
    // A line that cannot be written is lost; told by `eprintln!`, as it is else, it would end the task that logs.
    let logs =
        tracing_subscriber::fmt().with_writer(io::stderr).with_target(false).log_internal_errors(false);
    match format {
        LogFormat::Json => logs.json().flatten_event(true).init(),
        LogFormat::Text => {
            logs.with_ansi(io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none()).init()
        }
    }
}

/// The token from a file or the environment; none where neither is there.
fn token(file: Option<&Path>, variable: &str) -> Result<Option<Token>, Failure> {
    let (text, source) = match file {
        Some(path) => {
            let read =
                fs::read_to_string(path).map_err(|source| Failure::File { path: path.to_owned(), source })?;
            (Zeroizing::new(read), path.display().to_string())
        }
        None => match env::var(variable) {
            Ok(text) if !text.is_empty() => (Zeroizing::new(text), variable.to_owned()),
            _ => return Ok(None),
        },
    };
    Token::new(&text).map(Some).map_err(|weak| Failure::Token(format!("{source}: {weak}")))
}

/// All keys of the files.
pub(super) fn keys(paths: &[PathBuf]) -> Result<KeySet, Failure> {
    let mut keys = KeySet::default();
    for path in paths {
        let text = fs::read_to_string(path).map_err(|source| Failure::File { path: path.clone(), source })?;
        keys.add(&text).map_err(|source| Failure::Key { path: path.clone(), source })?;
    }
    Ok(keys)
}

/// Who reads the file reads all of it or does not find it yet.
fn write_atomically(path: &Path, text: &str) -> io::Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    fs::write(&partial, text)?;
    fs::rename(&partial, path)
}

/// The signals that end the server.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}
