//! Connections: how many at a time, over TLS or not, and how long a client may take to say what it wants.

use super::client_address::client_address;
use super::connections::{Connection, Connections};
use super::tls::Tls;
use axum::Router;
use axum::body::Body;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use ipnet::IpNet;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_io_timeout::TimeoutStream;

/// How long to wait where the machine has no connection left to give.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// How often somebody is looked for who gives way, while there are too many connections.
const CROWDED: Duration = Duration::from_millis(100);

/// Most bytes of a request's head, and of what is read at a time.
const READ: usize = 64 << 10;

/// Where a request comes from: the other end of its connection, or whom a trusted proxy there names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) IpAddr);

/// What listens, and how.
pub(super) struct Listener {
    pub(super) socket: TcpListener,
    pub(super) tls: Option<Tls>,
    /// Most connections at a time; for further ones, those that wait for a request are closed.
    pub(super) connections: usize,
    /// How long a TLS handshake, or a request's head, may take; how long a connection may be idle; and how long a client
    /// may take none of its answer.
    pub(super) timeout: Duration,
    /// Who is believed where requests come from.
    pub(super) trusted_proxies: Arc<[IpNet]>,
}

/// What a connection is served by.
#[derive(Clone)]
struct Terms {
    router: Router,
    timeout: Duration,
    trusted_proxies: Arc<[IpNet]>,
}

impl Listener {
    /// Serves until it is told to stop, and then what is in flight.
    pub(super) async fn serve(self, router: Router, mut stopped: oneshot::Receiver<()>) {
        let room = Arc::new(Semaphore::new(self.connections.clamp(1, Semaphore::MAX_PERMITS)));
        let all = Arc::new(Connections::default());
        let graceful = GracefulShutdown::new();
        let timeout = self.timeout;
        let terms = Terms { router, timeout, trusted_proxies: self.trusted_proxies.clone() };
        loop {
            let (stream, peer, turn) = tokio::select! {
                _ = &mut stopped => break,
                accepted = self.accept(&room, &all) => accepted,
            };
            let tls = self.tls.as_ref().map(Tls::acceptor);
            let (terms, watcher) = (terms.clone(), graceful.watcher());
            let connection = Arc::new(all.enter(Instant::now()));
            tokio::spawn(async move {
                let served = connection.clone();
                let serve = async {
                    match tls {
                        None => converse(stream, peer, terms, served, watcher).await,
                        Some(tls) => {
                            if let Ok(Ok(stream)) = tokio::time::timeout(timeout, tls.accept(stream)).await {
                                converse(stream, peer, terms, served, watcher).await;
                            }
                        }
                    }
                };
                tokio::select! {
                    () = serve => {}
                    () = connection.gives_way() => {}
                }
                drop(turn);
            });
        }
        drop(self.socket);
        graceful.shutdown().await;
    }

    async fn accept(
        &self,
        room: &Arc<Semaphore>,
        all: &Connections,
    ) -> (TcpStream, Peer, OwnedSemaphorePermit) {
        loop {
            match self.socket.accept().await {
                Ok((stream, peer)) => {
                    let _ = stream.set_nodelay(true);
                    let turn = turn(room, all).await;
                    return (stream, Peer(peer.ip().to_canonical()), turn);
                }
                Err(error) => {
                    tracing::debug!(%error, "Could not accept a connection.");
                    tokio::time::sleep(EXHAUSTED).await;
                }
            }
        }
    }
}

/// Room for one more, once there is.
async fn turn(room: &Arc<Semaphore>, all: &Connections) -> OwnedSemaphorePermit {
    loop {
        if let Ok(turn) = room.clone().try_acquire_owned() {
            return turn;
        }
        all.close_one(Instant::now());
        // The semaphore is never closed.
        if let Ok(Ok(turn)) = tokio::time::timeout(CROWDED, room.clone().acquire_owned()).await {
            return turn;
        }
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    Peer(peer): Peer,
    terms: Terms,
    connection: Arc<Connection>,
    watcher: Watcher,
) {
    let Terms { router, timeout, trusted_proxies } = terms;
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        let client = client_address(peer, request.headers(), &trusted_proxies);
        request.extensions_mut().insert(Peer(client));
        let answering = connection.answer();
        let answer = router.call(request);
        async move {
            let answer: Result<Response<Body>, Infallible> = answer.await;
            // Kept until the last of the body is gone.
            answer.map(|answer| {
                answer.map(|body| {
                    Body::new(body.map_frame(move |frame| {
                        let _ = &answering;
                        frame
                    }))
                })
            })
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(timeout).max_buf_size(READ);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(timeout));
    // A client that breaks off is no error of the server's.
    let _ = watcher.watch(http.serve_connection(TokioIo::new(Box::pin(stream)), service)).await;
}
