//! A stand-in API server: enough of Kubernetes, over TLS, to make kubectl happy, in memory.
//!
//! | module | what it is |
//! |---|---|
//! | `routes` | from a request to its answer |
//! | `resource`, `query`, `negotiate`, `protobuf` | what a request asks for, and in what form |
//! | `store`, `admission`, `patch`, `seed` | the objects, and how they come to be |
//! | `table`, `watch`, `discovery`, `status` | what is answered |
//! | `canned` | answers said word for word instead |
//! | `log` | what really arrived |
//!
//! It keeps what matters to a gateway as a real server has it: classification of paths, shapes of answers, annotations in tables,
//! `dryRun`, deletion options in the body over those in the query, `metav1.Status`. What is executed in a pod is a process on this machine. It has no RBAC, no
//! controllers, and answers no protobuf: who takes nothing else is answered 406.

mod admission;
mod canned;
mod discovery;
mod log;
mod negotiate;
mod ordered;
mod patch;
mod protobuf;
mod query;
mod resource;
mod routes;
mod seed;
mod status;
mod store;
mod table;
mod watch;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use uuid::Uuid;

pub use self::canned::{Canned, Capture, CapturedRequest};
pub use self::log::Logged;
pub use self::seed::PLANTED;

use self::log::Log;
use self::negotiate::{Encoding, Form, Shape};
use self::query::Query;
use self::routes::Answer;
use self::status::Failure;
use self::store::Store;
use crate::container::{self, Ask};
use crate::pki::Authority;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What a stand-in needs to be told.
pub struct Options<'a> {
    /// Who issues its certificate.
    pub authority: &'a Authority,
    /// The bearer tokens it takes; any other is answered 401.
    pub tokens: Vec<String>,
}

/// A running stand-in, seeded; it stops when dropped.
pub struct StandIn {
    address: SocketAddr,
    cluster: Arc<Cluster>,
    server: AbortHandle,
}

struct Cluster {
    store: Arc<Store>,
    tokens: Vec<String>,
    log: Log,
    canned: Mutex<VecDeque<Canned>>,
}

// === impl StandIn ===

impl StandIn {
    /// Starts on a free loopback port, as `localhost` and `127.0.0.1`.
    pub async fn start(options: Options<'_>) -> Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self::listen(address, &["localhost", "127.0.0.1"], options).await
    }

    /// Starts on this address, with a certificate for these names.
    pub async fn listen(address: SocketAddr, names: &[&str], options: Options<'_>) -> Result<Self> {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("the stand-in cannot listen on {address}"))?;
        let address = listener.local_addr()?;
        let acceptor = TlsAcceptor::from(options.authority.issue(names).server_config());
        let cluster = Arc::new(Cluster {
            store: Arc::new(Store::new()),
            tokens: options.tokens,
            log: Log::default(),
            canned: Mutex::default(),
        });
        seed::seed(&cluster.store);
        let server = tokio::spawn(serve(listener, acceptor, cluster.clone())).abort_handle();
        Ok(Self { address, cluster, server })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its address as a URL.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Every request so far, as it arrived.
    pub fn log(&self) -> Vec<Logged> {
        self.log_after(0)
    }

    /// The requests after so many.
    pub fn log_after(&self, count: usize) -> Vec<Logged> {
        self.cluster.log.after(count)
    }

    /// Puts everything back as it was at the start; the log stays.
    pub fn seed(&self) {
        self.cluster.store.clear();
        seed::seed(&self.cluster.store);
    }

    /// Answers the next request with this, whatever it asks and whoever asks; calls queue up.
    pub fn answer_next(&self, canned: Canned) {
        self.cluster.canned.lock().expect("no holder panics").push_back(canned);
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, cluster: Arc<Cluster>) {
    // Dropped with this task, and every connection with it.
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (acceptor, cluster) = (acceptor.clone(), cluster.clone());
        connections.spawn(async move {
            stream.set_nodelay(true).ok();
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = service_fn(move |request| {
                let cluster = cluster.clone();
                async move { cluster.exchange(request).await }
            });
            // A client that goes away ends its own connection only.
            let _ = hyper::server::conn::http1::Builder::new()
                .title_case_headers(true)
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades()
                .await;
        });
    }
}

// === impl Cluster ===

impl Cluster {
    async fn exchange(&self, request: Request<Incoming>) -> Result<Response<Body>> {
        let (request, mut body) = request.into_parts();
        let given = request.headers.get("audit-id").and_then(|id| id.to_str().ok());
        let audit_id = given.map_or_else(|| Uuid::new_v4().to_string(), ToString::to_string);
        let entry = self.log.begin(&request, &audit_id);
        let mut received = Vec::new();
        while let Some(frame) = body.frame().await {
            if let Some(data) = frame.context("the request broke off")?.data_ref() {
                received.extend_from_slice(data);
                self.log.received(entry, data);
            }
        }
        let canned = self.canned.lock().expect("no holder panics").pop_front();
        let response = match canned {
            Some(canned) => canned.respond()?.map(BodyExt::boxed_unsync),
            None => {
                let mut response = self.answer(&request, &received);
                response.headers_mut().insert("audit-id", HeaderValue::from_str(&audit_id)?);
                response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
                response
            }
        };
        self.log.answered(entry, response.status().as_u16());
        Ok(response)
    }

    fn answer(&self, request: &Parts, body: &[u8]) -> Response<Body> {
        let answer = match self.admits(request) {
            true => routes::answer(&self.store, request, body),
            false => Err(Failure::unauthorized()),
        };
        match answer {
            Ok(Answer::Document(status, form, document)) => written(status, form.encoding, &document),
            Ok(Answer::Text(media_type, text)) => response(200, media_type, Full::new(text).boxed_unsync()),
            Ok(Answer::Watch(watch)) => {
                response(200, "application/json", watch.start(self.store.clone()).boxed_unsync())
            }
            Ok(Answer::Log(text, command)) if container::is_upgrade(request) => {
                switched(container::serve(request, Ask::Log(text, command)))
            }
            Ok(Answer::Log(text, command)) => {
                response(200, "text/plain", container::followed(command, text).boxed_unsync())
            }
            Ok(Answer::Upgrade(ask)) => switched(container::serve(request, ask)),
            Err(failure) => {
                let plain = Form { encoding: Encoding::Json, shape: Shape::Whole };
                let form = Form::choose(&request.headers, &Query::of(&request.uri)).unwrap_or(plain);
                written(failure.code, form.encoding, &failure.status())
            }
        }
    }

    fn admits(&self, request: &Parts) -> bool {
        match request.headers.get(AUTHORIZATION).map(HeaderValue::to_str) {
            None => discovery::is_public(request.uri.path()),
            Some(credential) => credential
                .ok()
                .and_then(|credential| credential.strip_prefix("Bearer "))
                .is_some_and(|token| self.tokens.iter().any(|known| known == token)),
        }
    }
}

fn switched(outcome: Result<Response<()>, String>) -> Response<Body> {
    match outcome {
        Ok(response) => response.map(|()| Full::default().boxed_unsync()),
        Err(message) => {
            let failure = Failure::bad_request(message);
            written(failure.code, Encoding::Json, &failure.status())
        }
    }
}

fn written(status: u16, encoding: Encoding, document: &serde_json::Value) -> Response<Body> {
    let text = Full::new(Bytes::from(encoding.encode(document)));
    response(status, encoding.media_type(), text.boxed_unsync())
}

fn response(status: u16, media_type: &'static str, body: Body) -> Response<Body> {
    Response::builder()
        .status(status)
        .header(CONTENT_TYPE, media_type)
        .body(body)
        .expect("a status and a media type of our own")
}

#[cfg(test)]
mod kubectl_tests;
#[cfg(test)]
mod tests;
