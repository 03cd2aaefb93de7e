//! Answers said word for word: captured from real servers, or made up, in one piece or in many.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::channel::{Channel, Sender};
use hyper::Response;
use hyper::body::Bytes;
use serde::Deserialize;

/// An answer to give exactly as it stands; see [`super::StandIn::answer_next`].
#[derive(Clone, Debug, Default)]
pub struct Canned {
    /// Status code.
    pub status: u16,
    /// Headers, in order. `Content-Length` and `Transfer-Encoding` are obeyed: chunked is sent one chunk a piece.
    pub headers: Vec<(String, String)>,
    /// The body's pieces; each is sent on its own.
    pub chunks: Vec<Bytes>,
    /// Time between two pieces, for whoever must see them arrive apart; none by default.
    pub pause: Duration,
}

/// One exchange with a real API server (`fixtures/captures`).
#[derive(Clone, Debug, Deserialize)]
pub struct Capture {
    /// Which case it is; unique within a server's version.
    pub name: String,
    /// The server's version.
    pub server: String,
    /// `mask`, `refuse` or `pass`: what a gateway owes this exchange.
    pub expect: String,
    /// What was asked.
    pub request: CapturedRequest,
    response: CapturedResponse,
    /// Strings that give a planted value away.
    pub forbidden: Vec<String>,
}

/// The request of a [`Capture`].
#[derive(Clone, Debug, Deserialize)]
pub struct CapturedRequest {
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The body, if there was one.
    pub body: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct CapturedResponse {
    status: u16,
    headers: Vec<(String, String)>,
    body: Option<String>,
    body_base64: Option<String>,
}

// === impl Canned ===

impl Canned {
    /// The same answer in pieces of this many bytes.
    pub fn in_pieces_of(mut self, size: usize) -> Self {
        let whole = Bytes::from(self.chunks.concat());
        self.chunks = (0..whole.len())
            .step_by(size.max(1))
            .map(|start| whole.slice(start..whole.len().min(start + size.max(1))))
            .collect();
        self
    }

    pub(super) fn respond(self) -> Result<Response<Channel<Bytes, Infallible>>> {
        let (sender, body) = Channel::new(1);
        let mut response = Response::builder().status(self.status);
        for (name, value) in &self.headers {
            response = response.header(name, value);
        }
        tokio::spawn(feed(sender, self.chunks, self.pause));
        response.body(body).context("a canned answer that HTTP cannot say")
    }
}

async fn feed(mut sender: Sender<Bytes, Infallible>, chunks: Vec<Bytes>, pause: Duration) {
    for chunk in chunks {
        if sender.send_data(chunk).await.is_err() {
            return;
        }
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
}

// === impl Capture ===

impl Capture {
    /// All captures that come with the harness, by server and name.
    pub fn all() -> Result<Vec<Self>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/captures");
        let mut captures = Vec::new();
        for server in ["v1.20", "v1.36"] {
            for file in std::fs::read_dir(folder.join(server)).context("the captures are missing")? {
                let path = file?.path();
                let text = std::fs::read(&path)?;
                let capture: Self = serde_json::from_slice(&text)
                    .with_context(|| format!("{} is not a capture", path.display()))?;
                captures.push(capture);
            }
        }
        captures.sort_by(|a, b| (&a.server, &a.name).cmp(&(&b.server, &b.name)));
        Ok(captures)
    }

    /// A header of the answer, its name in lower case; empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        let found = self.response.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }

    /// The body the server answered, dechunked.
    pub fn body(&self) -> Bytes {
        let encoded = self.response.body_base64.as_ref();
        let decoded = encoded.map(|body| STANDARD.decode(body).expect("base64 in a capture"));
        let body = decoded.or_else(|| self.response.body.clone().map(String::into_bytes));
        Bytes::from(body.unwrap_or_default())
    }

    /// The answer, to be said again: its status, headers and body, byte for byte.
    pub fn canned(&self) -> Canned {
        let body = self.body();
        let chunks = if body.is_empty() { Vec::new() } else { vec![body] };
        Canned {
            status: self.response.status,
            headers: self.response.headers.clone(),
            chunks,
            pause: Duration::ZERO,
        }
    }
}
