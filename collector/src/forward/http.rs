//! One request, and what came of it.

use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};
use std::time::{Duration, SystemTime};

/// How long a request may take: less than a destination is held.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

/// The longest that a receiver is let alone for.
const LONGEST: Duration = Duration::from_secs(3600);

/// How much of an answer is read.
const ANSWER: usize = 64 << 10;

/// A header of each request. Its value may be a secret, and is never shown.
#[derive(Clone, Debug)]
pub struct Header {
    name: HeaderName,
    value: HeaderValue,
}

/// A text that holds no headers.
#[derive(Debug, thiserror::Error)]
#[error("headers are `Name: value`, one a line; line {0} is not")]
pub struct HeaderError(usize);

/// Reads headers, one a line.
pub fn headers(text: &str) -> Result<Vec<Header>, HeaderError> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let header = |(_, line): (usize, &str)| {
        let (name, value) = line.split_once(':')?;
        Header::new(name.trim().parse().ok()?, value.trim())
    };
    lines.map(|line| header(line).ok_or(HeaderError(line.0 + 1))).collect()
}

impl Header {
    pub(super) fn new(name: HeaderName, value: &str) -> Option<Self> {
        let mut value = HeaderValue::from_str(value).ok()?;
        value.set_sensitive(true);
        Some(Self { name, value })
    }
}

/// A request.
pub(super) struct Post {
    pub(super) content_type: &'static str,
    pub(super) headers: Vec<Header>,
    pub(super) body: Vec<u8>,
}

/// Why a request was not answered with success.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// There was no answer. The URL, which may hold a secret, is taken out.
    #[error("{0}")]
    Failed(reqwest::Error),
    /// The receiver said no; redirects are not followed.
    #[error("it answered {status}")]
    Status { status: u16, retry_after: Option<Duration> },
}

impl Refusal {
    /// How long the receiver asks to be let alone for.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Failed(_) => None,
            Self::Status { retry_after, .. } => *retry_after,
        }
    }
}

pub(super) fn client() -> Result<Client, reqwest::Error> {
    // The client takes the process' default; where there is one, any will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .redirect(Policy::none())
        .connect_timeout(Duration::from_secs(5))
        .timeout(TIMEOUT)
        .user_agent(concat!("chaperone/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// Sends it; returns the beginning of the answer.
pub(super) async fn send(client: &Client, url: &Url, post: Post) -> Result<Vec<u8>, Refusal> {
    let mut request = client.post(url.clone()).header(CONTENT_TYPE, post.content_type).body(post.body);
    for Header { name, value } in post.headers {
        request = request.header(name, value);
    }
    let failed = |error: reqwest::Error| Refusal::Failed(error.without_url());
    let mut response = request.send().await.map_err(failed)?;
    if !response.status().is_success() {
        return Err(Refusal::Status {
            status: response.status().as_u16(),
            retry_after: retry_after(&response),
        });
    }
    let mut answer = Vec::new();
    // The status has said it; what is wrong with the rest does not matter.
    while let Ok(Some(chunk)) = response.chunk().await {
        answer.extend_from_slice(&chunk);
        if answer.len() > ANSWER {
            break;
        }
    }
    Ok(answer)
}

/// Seconds or a date.
fn retry_after(response: &Response) -> Option<Duration> {
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    let wait = match text.trim().parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::now()).ok()?,
    };
    Some(wait.min(LONGEST))
}
