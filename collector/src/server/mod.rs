//! The HTTP server: ingest for filters, a read API for auditors, and what operators watch.

pub mod access;
pub mod auth;
mod client_address;
mod connections;
mod cookie;
mod export;
mod headers;
pub(crate) use headers::RunsWasm;
mod health;
mod ingest;
mod listener;
mod login;
mod metrics;
pub mod oidc;
mod openapi;
mod origin;
mod pace;
mod page;
mod places;
mod problem;
mod read;
mod room;
mod shared;
mod tail;
pub mod tls;
pub(crate) mod viewer;

use crate::evidence::keys::KeySet;
use crate::forward::{Destination, Forwarding};
use crate::store::writer::WriteQueue;
use crate::store::{Bodies, Database, Reader, StoreError, Writer};
use auth::{Configured, Token};
use axum::Router;
use axum::http::StatusCode;
use axum::middleware;
use axum::routing::{get, post};
use chaperone_record::Timestamp;
use ipnet::IpNet;
use listener::Listener;
use metrics::Metrics;
use pace::Pace;
use places::Places;
use problem::Problem;
use room::Room;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tail::Tails;
use tls::Tls;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How long requests in flight may take once the server is told to stop.
const GRACE: Duration = Duration::from_secs(10);

/// Most requests that read at a time; more are answered 429.
const READS: usize = 32;

/// Most of one caller.
const CALLER_READS: usize = 16;

/// How often one caller may be refused at once, and as often again every minute: each is in the access log.
const REFUSALS: f64 = 60.0;

/// What a server needs to start.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where records are kept.
    pub database: Database,
    /// Where batches' bytes are kept; none where the database has them.
    pub bodies: Option<Bodies>,
    /// Who is sent what was recorded.
    pub forward: Vec<Destination>,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// What filters present, beside the tokens in the database.
    pub ingest_token: Option<Token>,
    /// What auditors present, beside the tokens in the database.
    pub auditor_token: Option<Token>,
    /// The keys batches must be signed with; empty accepts them unchecked.
    pub keys: KeySet,
    /// How much is taken at a time.
    pub limits: Limits,
    /// How people log in.
    pub access: access::Options,
    /// What TLS is served with; none: plain HTTP.
    pub tls: Option<tls::Files>,
    /// Proxies that are believed where requests come from.
    pub trusted_proxies: Vec<IpNet>,
}

/// Bounds on what the server holds.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest batch, in bytes.
    pub body_bytes: usize,
    /// Most bytes of batches in memory, at least one largest batch.
    pub queue_bytes: usize,
    /// Most batches waiting to be written.
    pub queue_batches: usize,
    /// How long a request's head, and then its body, may take to arrive.
    pub client_timeout: Duration,
    /// Most connections at a time.
    pub connections: usize,
    /// Most batches a second of one recorder, on average.
    pub recorder_rate: u32,
    /// Most batches a second with one token, on average.
    pub token_rate: u32,
    /// Most live tails at a time.
    pub tails: usize,
    /// Most of one caller.
    pub caller_tails: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 8 << 20,
            queue_bytes: 64 << 20,
            queue_batches: 1024,
            client_timeout: Duration::from_secs(30),
            connections: 4096,
            recorder_rate: 1000,
            token_rate: 5000,
            tails: 2048,
            caller_tails: 64,
        }
    }
}

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nobody could post anything.
    #[error(
        "no ingest token: give --ingest-token-file, set CHAPERONE_COLLECTOR_TOKEN, or make one with \
        `chaperone token create --role ingest`"
    )]
    NoIngestToken,
    /// The certificate.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    /// The address.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

/// What handlers share.
pub(crate) struct App {
    queue: WriteQueue,
    pub(crate) reader: Reader,
    /// Reads tokens, so that no long search is in the way.
    tokens: Reader,
    configured: Configured,
    pub(crate) keys: KeySet,
    limits: Limits,
    access: access::Access,
    room: Arc<Room>,
    /// How often each recorder posts.
    recorders: Pace<String>,
    /// How often is posted with each token.
    posters: Pace<Option<String>>,
    /// Turns to read.
    reads: Arc<Places>,
    /// How often each caller is refused.
    refusals: Pace<String>,
    metrics: Metrics,
    tails: Tails,
    /// Where exports take their moment of, and logins are written.
    database: Database,
    /// Whether it is ready, for all who ask at a time.
    probes: shared::Shared<(), Result<(), &'static str>>,
    /// Exports that may be made.
    exports: Arc<Places>,
}

impl App {
    /// A connection for the little that is written besides batches. Logins are rare: none is kept open for them.
    async fn writer(&self) -> Result<Writer, StoreError> {
        Writer::open(&self.database).await
    }
}

/// A server that runs until it is stopped.
pub struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
    writing: JoinHandle<Writer>,
    tailing: JoinHandle<()>,
    reader: Reader,
    tokens: Reader,
    forwarding: Forwarding,
}

impl Server {
    /// Opens the database and listens.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let writer = Writer::open(&config.database).await?;
        let reader = Reader::open(&config.database).await?.with_bodies(config.bodies.clone());
        let tokens = Reader::open(&config.database).await?;
        let kept = tokens.tokens().await?;
        let mut posting = kept.iter().filter(|token| token.posts(now())).peekable();
        if config.ingest_token.is_none() && posting.peek().is_none() {
            return Err(StartError::NoIngestToken);
        }
        if config.keys.is_empty()
            && (config.ingest_token.is_some() || posting.any(|token| token.recorder.is_none()))
        {
            tracing::warn!(
                "There are ingest tokens that may post as any recorder: give --public-key, or bind tokens \
                (`chaperone token create --role ingest --recorder NAME`)."
            );
        }
        let metrics = Metrics::new();
        let forwarding = Forwarding::start(&config.database, config.forward, &metrics.forward).await?;
        let refused = |source| StartError::Listen { address: config.listen, source };
        let socket = TcpListener::bind(config.listen).await.map_err(refused)?;
        let address = socket.local_addr().map_err(refused)?;

        let limits = config.limits;
        let (queue, writing) = WriteQueue::start(writer, config.bodies, limits.queue_batches);
        let (tails, tailing) = Tails::start(reader.clone(), limits.tails, limits.caller_tails);
        let app = Arc::new(App {
            queue,
            reader: reader.clone(),
            tokens: tokens.clone(),
            configured: Configured { ingest: config.ingest_token, auditor: config.auditor_token },
            keys: config.keys,
            limits,
            access: access::Access::new(config.access, config.tls.is_some()),
            recorders: pace(limits.recorder_rate),
            posters: pace(limits.token_rate),
            database: config.database,
            room: Room::new(limits.queue_bytes.max(limits.body_bytes)),
            reads: Places::new("requests that read", READS, CALLER_READS, 1),
            refusals: Pace::new(REFUSALS / 60.0, REFUSALS),
            metrics,
            tails,
            probes: shared::Shared::default(),
            exports: Places::new("exports", export::EXPORTS, export::CALLER_EXPORTS, 10),
        });
        let (stop, stopped) = oneshot::channel();
        let tls = config.tls.map(Tls::start).transpose()?;
        let listener = Listener {
            socket,
            tls,
            connections: limits.connections,
            timeout: limits.client_timeout,
            trusted_proxies: config.trusted_proxies.into(),
        };
        let serving = tokio::spawn(listener.serve(router(app), stopped));
        Ok(Self { address, stop, serving, writing, tailing, reader, tokens, forwarding })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more requests, answers those in flight, writes what waits, and closes the database.
    pub async fn stop(mut self) {
        // Tails end with it: they would never by themselves.
        self.tailing.abort();
        let _ = self.stop.send(());
        self.forwarding.stop().await;
        if tokio::time::timeout(GRACE, &mut self.serving).await.is_err() {
            tracing::warn!("Requests were still in flight after the grace period; they were dropped.");
            self.serving.abort();
            let _ = self.serving.await;
        }
        // The queue's last handle went with the server: the writer ends once it has written what it holds. Connections
        // that were dropped above may hold one for a moment longer.
        match tokio::time::timeout(GRACE, self.writing).await {
            Ok(Ok(writer)) => {
                // Readers first: the last to close folds the log into the file, and a reader cannot.
                self.tokens.close().await;
                self.reader.close().await;
                writer.close().await;
            }
            _ => tracing::warn!("The writer did not end in time."),
        }
    }
}

fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/v1/records", post(ingest::post_records))
        .route("/v1/sessions", get(read::sessions))
        .route("/v1/sessions/{session}", get(read::session))
        .route("/v1/exchanges", get(read::exchanges))
        .route("/v1/search", get(read::search))
        .route("/v1/exchanges/{exchange}", get(read::exchange))
        .route("/v1/openapi.json", get(openapi::served))
        .route("/v1/tail", get(tail::tail))
        .route("/v1/export", get(export::export))
        .route("/v1/recorders", get(read::recorders))
        .route("/v1/access-log", get(read::access_log))
        .route("/v1/tokens", get(read::tokens))
        .merge(crate::ui::routes())
        .route("/v1/me", get(login::me))
        .route("/login", get(login::login_page).post(login::with_token))
        .route("/login/once", get(login::once_page).post(login::once))
        .route("/login/oidc", get(login::to_issuer))
        .route("/login/callback", get(login::from_issuer))
        .route("/logout", post(login::logout))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "notFound", "there is nothing at this path"))
        .method_not_allowed_fallback(async || {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "methodNotAllowed",
                "this path does not take this method",
            )
        })
        .layer(middleware::from_fn_with_state(app.clone(), headers::secure))
        .with_state(app)
}

/// So many a second, and twice as many at once.
fn pace<K: Clone + Eq + std::hash::Hash>(rate: u32) -> Pace<K> {
    Pace::new(rate.into(), 2.0 * f64::from(rate))
}

/// The system's clock, which a wrong setting may put before 1970.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}
