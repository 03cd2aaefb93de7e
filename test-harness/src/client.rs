//! A small HTTP client that says what it got, whatever that is.

use anyhow::{Context as _, Result};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A connection's bytes, whatever carries them.
pub trait Bytestream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Bytestream for S {}

/// Sends requests to one server, each on a connection of its own.
#[derive(Clone)]
pub struct Client {
    address: SocketAddr,
    tls: Option<TlsConnector>,
    authorization: Option<HeaderValue>,
}

/// One connection, for several requests.
pub struct Connection {
    client: Client,
    sender: http1::SendRequest<Full<Bytes>>,
}

/// A whole response.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, as the bytes came.
    pub body: Bytes,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; null where it is not.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

impl Client {
    /// Speaks plain HTTP.
    pub fn plain(address: SocketAddr) -> Self {
        Self { address, tls: None, authorization: None }
    }

    /// Speaks TLS, and trusts the authority.
    pub fn tls(address: SocketAddr, authority_pem: &str) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(authority_pem.as_bytes()) {
            roots.add(certificate?)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { address, tls: Some(TlsConnector::from(Arc::new(config))), authorization: None })
    }

    /// The same with a bearer token.
    pub fn with_token(&self, token: &str) -> Self {
        let mut value = HeaderValue::from_str(&format!("Bearer {token}")).ok();
        value.iter_mut().for_each(|value| value.set_sensitive(true));
        Self { authorization: value, ..self.clone() }
    }

    /// The server.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Gets a path.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.send(Request::get(path).body(Full::default())?).await
    }

    /// Gets a path, accepting a media type.
    pub async fn get_as(&self, path: &str, accept: &str) -> Result<Answer> {
        self.send(Request::get(path).header("accept", accept).body(Full::default())?).await
    }

    /// Sends a JSON body.
    pub async fn send_json(&self, method: Method, path: &str, body: &Value) -> Result<Answer> {
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        self.send(request.body(Full::from(body.to_string()))?).await
    }

    /// Sends a request and reads the whole answer.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Result<Answer> {
        self.connect().await?.send(request).await
    }

    /// Sends a request; the body is read as it comes.
    pub async fn open(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>> {
        self.connect().await?.open(request).await
    }

    /// Sends a request over HTTP/2, which names its authority in the URI.
    pub async fn send_http2(&self, request: Request<Full<Bytes>>) -> Result<Answer> {
        let stream = TokioIo::new(self.stream_for(&[b"h2"]).await?);
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await?;
        tokio::spawn(connection);
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = body.collect().await.context("reading the response")?.to_bytes();
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
    }

    /// Opens a connection for several requests, one after the other.
    pub async fn connect(&self) -> Result<Connection> {
        let (sender, connection) = http1::handshake(TokioIo::new(self.stream().await?)).await?;
        // The connection lives as long as it is used, or a response's body is read.
        tokio::spawn(connection);
        Ok(Connection { client: self.clone(), sender })
    }

    /// Opens a connection for the caller to write on, byte by byte.
    pub async fn stream(&self) -> Result<Box<dyn Bytestream>> {
        self.stream_for(&[]).await
    }

    /// The same, offering these protocols (ALPN).
    pub async fn stream_for(&self, protocols: &[&[u8]]) -> Result<Box<dyn Bytestream>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        let mut config = ClientConfig::clone(tls.config());
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let tls = TlsConnector::from(Arc::new(config));
        Ok(Box::new(tls.connect(ServerName::from(self.address.ip()), stream).await?))
    }

    /// The `authorization` header's value; empty without a token. For requests that are written byte by byte.
    pub fn authorization(&self) -> &str {
        self.authorization.as_ref().and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl Connection {
    /// Sends a request and reads the whole answer.
    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Answer> {
        let (head, body) = self.open(request).await?.into_parts();
        let body = body.collect().await.context("reading the response")?.to_bytes();
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
    }

    /// Sends a request; the body is read as it comes.
    pub async fn open(&mut self, mut request: Request<Full<Bytes>>) -> Result<Response<Incoming>> {
        let headers = request.headers_mut();
        headers.entry(HOST).or_insert(HeaderValue::from_str(&self.client.address.to_string())?);
        if let Some(authorization) = &self.client.authorization {
            headers.entry(AUTHORIZATION).or_insert(authorization.clone());
        }
        self.sender.ready().await?;
        Ok(self.sender.send_request(request).await?)
    }
}
