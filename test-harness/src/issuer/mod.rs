//! An OIDC issuer: discovery, key set, rotation, outage, and tokens of every kind, also hostile ones.
//!
//! It speaks plain HTTP, as Envoy fetches keys through a cluster that may add TLS itself. [`Issuer::mint`] makes the tokens a
//! test means to be good or honestly bad; [`Issuer::sign_raw`] signs anything at all. `POST /mint` does the first over HTTP, for
//! try-outs: a JSON object of claims in, the token out, signed as `?alg=` says.

mod claims;
mod keys;

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::{Context, Result};
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

pub use self::claims::Claims;
pub use self::keys::Alg;
use self::keys::Keys;

/// A running issuer; it stops when dropped.
pub struct Issuer {
    address: SocketAddr,
    state: Arc<Shared>,
    /// Dropping it ends the server, idle connections too.
    _running: oneshot::Sender<()>,
}

/// How often each document was asked for, answered or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fetches {
    /// `/.well-known/openid-configuration`.
    pub discovery: usize,
    /// `/jwks`.
    pub jwks: usize,
}

struct Shared {
    url: String,
    keys: Mutex<Generations>,
    failing: AtomicBool,
    discovery: AtomicUsize,
    jwks: AtomicUsize,
}

/// The keys that sign, and older ones that are still published.
struct Generations {
    current: Arc<Keys>,
    kept: Vec<Arc<Keys>>,
}

// === impl Issuer ===

impl Issuer {
    /// Starts on a free loopback port; the port is the issuer's name too.
    pub async fn start() -> Result<Self> {
        Self::listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), None).await
    }

    /// Starts on this address, under this name (`iss`); by default the address is the name.
    pub async fn listen(address: SocketAddr, url: Option<String>) -> Result<Self> {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("the issuer cannot listen on {address}"))?;
        let address = listener.local_addr()?;
        let state = Arc::new(Shared {
            url: url.unwrap_or_else(|| format!("http://{address}")),
            keys: Mutex::new(Generations { current: Arc::new(Keys::generate()), kept: Vec::new() }),
            failing: AtomicBool::new(false),
            discovery: AtomicUsize::new(0),
            jwks: AtomicUsize::new(0),
        });
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/jwks", get(jwks))
            .route("/mint", post(mint))
            .with_state(state.clone());
        let (running, stopped) = oneshot::channel();
        let server = axum::serve(listener, router).with_graceful_shutdown(async {
            let _ = stopped.await;
        });
        tokio::spawn(server.into_future());
        Ok(Self { address, state, _running: running })
    }

    /// The issuer's name: `iss` of its tokens, and where its discovery document is under.
    pub fn url(&self) -> &str {
        &self.state.url
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How often its documents were asked for so far.
    pub fn fetches(&self) -> Fetches {
        Fetches {
            discovery: self.state.discovery.load(Ordering::SeqCst),
            jwks: self.state.jwks.load(Ordering::SeqCst),
        }
    }

    /// The key set as published now (RFC 7517).
    pub fn jwks(&self) -> Value {
        self.state.published()
    }

    /// New keys sign from now on; the old ones leave the set.
    pub fn rotate(&self) {
        self.state.rotate(false);
    }

    /// New keys sign from now on; the old ones stay in the set, as a careful issuer does it.
    pub fn rotate_keeping_old(&self) {
        self.state.rotate(true);
    }

    /// Whether it answers every fetch with 500 from now on.
    pub fn fail(&self, failing: bool) {
        self.state.failing.store(failing, Ordering::SeqCst);
    }

    /// Whether it does so.
    pub fn is_failing(&self) -> bool {
        self.state.failing.load(Ordering::SeqCst)
    }

    /// A token that says this, signed with the current key of its algorithm.
    ///
    /// The RSA key is made, and joins the set, with the first RS256 or PS256 token of its generation.
    pub fn mint(&self, claims: &Claims) -> String {
        self.state.mint(claims)
    }

    /// The id (`kid`) of the current key of this algorithm.
    pub fn key_id(&self, alg: Alg) -> String {
        self.state.current().key_id(alg).to_owned()
    }

    /// Any header and any payload under a right signature of this algorithm's current key: `alg` and `kid` are the caller's to write.
    pub fn sign_raw(&self, alg: Alg, header: &Value, payload: &[u8]) -> String {
        self.sign_bytes(alg, header.to_string().as_bytes(), payload)
    }

    /// The same with a header that need not be JSON.
    pub fn sign_bytes(&self, alg: Alg, header: &[u8], payload: &[u8]) -> String {
        signed(&self.state.current(), alg, header, payload)
    }
}

// === impl Shared ===

impl Shared {
    fn generations(&self) -> MutexGuard<'_, Generations> {
        self.keys.lock().expect("no holder panics")
    }

    fn current(&self) -> Arc<Keys> {
        self.generations().current.clone()
    }

    fn rotate(&self, keep: bool) {
        let next = Arc::new(Keys::generate());
        let mut generations = self.generations();
        let last = std::mem::replace(&mut generations.current, next);
        if keep {
            generations.kept.push(last);
        } else {
            generations.kept.clear();
        }
    }

    fn published(&self) -> Value {
        let generations = self.generations();
        let published = std::iter::once(&generations.current).chain(&generations.kept);
        json!({"keys": published.flat_map(|keys| keys.jwks()).collect::<Vec<_>>()})
    }

    fn mint(&self, claims: &Claims) -> String {
        let (keys, alg) = (self.current(), claims.algorithm);
        let header = json!({"alg": alg.name(), "kid": keys.key_id(alg), "typ": "JWT"});
        let payload = Value::Object(claims.payload(&self.url)).to_string();
        signed(&keys, alg, header.to_string().as_bytes(), payload.as_bytes())
    }

    fn answer(&self, document: Value) -> Result<Json<Value>, StatusCode> {
        if self.failing.load(Ordering::SeqCst) {
            return Err(StatusCode::INTERNAL_SERVER_ERROR);
        }
        Ok(Json(document))
    }
}

async fn discovery(State(issuer): State<Arc<Shared>>) -> Result<Json<Value>, StatusCode> {
    issuer.discovery.fetch_add(1, Ordering::SeqCst);
    let url = &issuer.url;
    issuer.answer(json!({
        "issuer": url,
        "jwks_uri": format!("{url}/jwks"),
        "authorization_endpoint": format!("{url}/authorize"),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [Alg::Rs256.name(), Alg::Es256.name(), Alg::EdDsa.name()],
    }))
}

async fn jwks(State(issuer): State<Arc<Shared>>) -> Result<Json<Value>, StatusCode> {
    issuer.jwks.fetch_add(1, Ordering::SeqCst);
    issuer.answer(issuer.published())
}

async fn mint(
    State(issuer): State<Arc<Shared>>,
    Query(query): Query<HashMap<String, String>>,
    // Whatever its content type is said to be: people post it with `curl -d`.
    said: Bytes,
) -> Result<String, StatusCode> {
    let said: Map<String, Value> = serde_json::from_slice(&said).map_err(|_| StatusCode::BAD_REQUEST)?;
    let alg = match query.get("alg") {
        Some(name) => Alg::from_name(name).ok_or(StatusCode::BAD_REQUEST)?,
        None => Alg::default(),
    };
    Ok(issuer.mint(&Claims::from(said).algorithm(alg)))
}

/// A compact JWS (RFC 7515, section 3.1).
fn signed(keys: &Keys, alg: Alg, header: &[u8], payload: &[u8]) -> String {
    let message = format!("{}.{}", encoded(header), encoded(payload));
    let signature = encoded(&keys.sign(alg, message.as_bytes()));
    format!("{message}.{signature}")
}

fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests;
