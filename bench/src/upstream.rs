//! The API server's stand-in here: it answers with bytes made beforehand, so that it is not what is measured.

use crate::work::{Bodies, SINK, WATCH_EVENTS};
use anyhow::Result;
use chaperone_test_harness::pki::Authority;
use futures_util::StreamExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Body as _, Bytes, Frame, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

/// The credential that it wants.
pub const TOKEN: &str = "the-credential-of-the-cluster";

/// Two ports, one with TLS; they close when dropped.
pub struct Upstream {
    /// Plain HTTP.
    pub plain: SocketAddr,
    /// With a certificate for its address.
    pub tls: SocketAddr,
    servers: [AbortHandle; 2],
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

impl Upstream {
    /// Starts it on free loopback ports.
    pub async fn start(authority: &Authority, bodies: Arc<Bodies>) -> Result<Self> {
        let plain = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let tls = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let acceptor = TlsAcceptor::from(authority.issue(&["127.0.0.1"]).server_config());
        let addresses = (plain.local_addr()?, tls.local_addr()?);
        let servers = [
            tokio::spawn(accept(plain, None, bodies.clone())).abort_handle(),
            tokio::spawn(accept(tls, Some(acceptor), bodies)).abort_handle(),
        ];
        Ok(Self { plain: addresses.0, tls: addresses.1, servers })
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.servers.iter().for_each(AbortHandle::abort);
    }
}

async fn accept(listener: TcpListener, acceptor: Option<TlsAcceptor>, bodies: Arc<Bodies>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        stream.set_nodelay(true).ok();
        let (acceptor, bodies) = (acceptor.clone(), bodies.clone());
        tokio::spawn(async move {
            match acceptor {
                None => serve(stream, bodies).await,
                Some(acceptor) => {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(stream, bodies).await;
                    }
                }
            }
        });
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, bodies: Arc<Bodies>) {
    let service = service_fn(|request| answer(request, bodies.clone()));
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(request: Request<Incoming>, bodies: Arc<Bodies>) -> Result<Response<Body>, Infallible> {
    let (head, mut body) = request.into_parts();
    if !body.is_end_stream() {
        while let Some(Ok(_)) = body.frame().await {}
    }
    let path = head.uri.path();
    if path == SINK {
        return Ok(response(200, full(Bytes::from_static(b"{}"))));
    }
    let token =
        head.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    // Who passes the agent's own token on, as the set-up without any check does, is answered too.
    if token.is_none() {
        return Ok(response(401, full(Bytes::new())));
    }
    if head.uri.query().is_some_and(|query| query.contains("watch=1")) {
        let events = std::iter::repeat_n(bodies.event.clone(), WATCH_EVENTS);
        let frames = futures_util::stream::iter(events).map(|event| Ok(Frame::data(event)));
        return Ok(response(200, StreamBody::new(frames).boxed_unsync()));
    }
    Ok(match bodies.at(path) {
        Some(body) if head.method == Method::POST => response(201, full(body)),
        Some(body) => response(200, full(body)),
        None => response(404, full(Bytes::new())),
    })
}

fn full(bytes: Bytes) -> Body {
    Full::new(bytes).boxed_unsync()
}

fn response(status: u16, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    response
}
