//! The load: as many requests as the clients carry (closed loop), or so many a second whatever happens (open loop). In the
//! open loop a request's time is counted from when it was to be sent, so that one that waits for a slow one before it counts
//! as slow itself.

use anyhow::{Context as _, Result, bail};
use hdrhistogram::Histogram;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_rustls::TlsConnector;

/// Where requests go, and how.
#[derive(Clone)]
pub struct Target {
    /// Address of the gateway.
    pub address: SocketAddr,
    /// Trust, where it has a certificate.
    pub tls: Option<Arc<ClientConfig>>,
    /// Whether HTTP/2 is spoken.
    pub http2: bool,
}

/// What is sent.
pub struct Load {
    /// Method, path and body of each.
    pub request: (Method, String, Bytes),
    /// Its tokens: one for all, or each used once.
    pub tokens: Tokens,
    /// Requests a second; none for as many as the clients carry.
    pub rate: Option<f64>,
    /// No request begins after that.
    pub time: Duration,
    /// No more requests than that.
    pub most: usize,
}

/// Values of `Authorization`.
pub enum Tokens {
    /// The same for every request.
    One(HeaderValue),
    /// Another for every request; when they are used up, the run is over.
    Each(Vec<HeaderValue>),
}

/// What came of it.
pub struct Outcome {
    /// Requests that were answered with success, whole.
    pub completed: u64,
    /// Others.
    pub failed: u64,
    /// From the first to the end of the last.
    pub elapsed: Duration,
    /// Nanoseconds from when each was to be sent to its last byte.
    pub latency: Histogram<u64>,
}

/// Clients, each with a connection of its own that is kept.
pub struct Clients {
    connections: Vec<Connection>,
    authority: HeaderValue,
    scheme: &'static str,
}

enum Connection {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// What the clients of one run share.
struct Run {
    load: Load,
    authority: HeaderValue,
    scheme: &'static str,
    begun: Instant,
    next: AtomicUsize,
}

// === impl Clients ===

impl Clients {
    /// Connects so many.
    pub async fn connect(target: &Target, number: usize) -> Result<Self> {
        let mut connections = Vec::with_capacity(number);
        for _ in 0..number {
            connections.push(Connection::open(target).await?);
        }
        let authority = HeaderValue::from_str(&target.address.to_string())?;
        let scheme = if target.tls.is_some() { "https" } else { "http" };
        Ok(Self { connections, authority, scheme })
    }

    /// One request, whole; for a look at the answer.
    pub async fn ask(&mut self, load: &Load) -> Result<(u16, Bytes)> {
        let run = |load: &Load| match &load.tokens {
            Tokens::One(token) => Ok(token.clone()),
            Tokens::Each(tokens) => tokens.first().cloned().context("no token"),
        };
        let request = request(&load.request, run(load)?, &self.authority, self.scheme)?;
        let connection = self.connections.first_mut().context("no connection")?;
        let response = connection.send(request).await?;
        let status = response.status().as_u16();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }

    /// Sends a load and waits for every answer.
    pub async fn run(&mut self, load: Load) -> Result<Outcome> {
        let run = Arc::new(Run {
            load,
            authority: self.authority.clone(),
            scheme: self.scheme,
            begun: Instant::now(),
            next: AtomicUsize::new(0),
        });
        let mut clients = JoinSet::new();
        for connection in self.connections.drain(..) {
            clients.spawn(run.clone().client(connection));
        }
        let mut outcome =
            Outcome { completed: 0, failed: 0, elapsed: Duration::ZERO, latency: Histogram::new(3)? };
        while let Some(client) = clients.join_next().await {
            let (connection, completed, failed, latency) = client??;
            self.connections.push(connection);
            outcome.completed += completed;
            outcome.failed += failed;
            outcome.latency.add(latency)?;
        }
        outcome.elapsed = run.begun.elapsed();
        Ok(outcome)
    }
}

impl Run {
    async fn client(
        self: Arc<Self>,
        mut connection: Connection,
    ) -> Result<(Connection, u64, u64, Histogram<u64>)> {
        let (mut completed, mut failed, mut latency) = (0, 0, Histogram::new(3)?);
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let intended = match self.load.rate {
                None => Instant::now(),
                Some(rate) => self.begun + Duration::from_secs_f64(number as f64 / rate),
            };
            let token = match &self.load.tokens {
                Tokens::One(token) => token,
                Tokens::Each(tokens) => match tokens.get(number) {
                    Some(token) => token,
                    None => break,
                },
            };
            if number >= self.load.most || intended.duration_since(self.begun) >= self.load.time {
                break;
            }
            if self.load.rate.is_some() {
                sleep_until(intended).await;
            }
            let request = request(&self.load.request, token.clone(), &self.authority, self.scheme)?;
            let response = connection.send(request).await?;
            let good = response.status().is_success();
            let whole = drain(response).await;
            if good && whole {
                completed += 1;
                latency.record(u64::try_from(intended.elapsed().as_nanos())?)?;
            } else {
                failed += 1;
                if !whole {
                    bail!("a response was cut");
                }
            }
        }
        Ok((connection, completed, failed, latency))
    }
}

async fn drain(response: Response<Incoming>) -> bool {
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        if frame.is_err() {
            return false;
        }
    }
    true
}

fn request(
    (method, path, body): &(Method, String, Bytes),
    token: HeaderValue,
    authority: &HeaderValue,
    scheme: &str,
) -> Result<Request<Full<Bytes>>> {
    let uri = format!("{scheme}://{}{path}", authority.to_str()?);
    let mut request = Request::builder()
        .method(method.clone())
        .uri(uri)
        .header(AUTHORIZATION, token)
        .header("accept", "application/json")
        .header("user-agent", "kubectl/v1.37.1 (linux/amd64) kubernetes/0000000");
    if !body.is_empty() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    Ok(request.body(Full::new(body.clone()))?)
}

// === impl Connection ===

impl Connection {
    async fn open(target: &Target) -> Result<Self> {
        let stream = TcpStream::connect(target.address).await.context("the gateway")?;
        stream.set_nodelay(true)?;
        let Some(config) = &target.tls else { return Self::over(stream, target.http2).await };
        let mut config = ClientConfig::clone(config);
        config.alpn_protocols = vec![if target.http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
        let name = ServerName::from(target.address.ip());
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        Self::over(stream, target.http2).await
    }

    async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, http2: bool) -> Result<Self> {
        let stream = TokioIo::new(stream);
        if http2 {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            // As Go's client, which kubectl uses: windows that a list of a MiB fits in.
            builder.initial_stream_window_size(4 << 20).initial_connection_window_size(8 << 20);
            let (sender, connection) = builder.handshake(stream).await?;
            tokio::spawn(connection);
            return Ok(Self::Http2(sender));
        }
        let (sender, connection) = http1::handshake(stream).await?;
        tokio::spawn(connection);
        Ok(Self::Http1(sender))
    }

    async fn send(&mut self, mut request: Request<Full<Bytes>>) -> Result<Response<Incoming>> {
        match self {
            Self::Http2(sender) => {
                sender.ready().await?;
                Ok(sender.send_request(request).await?)
            }
            Self::Http1(sender) => {
                let authority = request.uri().authority().context("no authority")?.as_str().to_owned();
                request.headers_mut().insert(HOST, HeaderValue::from_str(&authority)?);
                let path = request.uri().path_and_query().context("no path")?.as_str().parse()?;
                *request.uri_mut() = path;
                sender.ready().await?;
                Ok(sender.send_request(request).await?)
            }
        }
    }
}
