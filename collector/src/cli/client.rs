//! A collector over HTTP.

use super::Failure;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::io::BufReader;
use std::path::Path;
use std::time::Duration;
use std::{env, fs};
use ureq::http::{Response, Uri};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};
use zeroize::Zeroizing;

/// Where the token stands when no file is named. Never an argument: arguments are seen by everybody on the machine.
const TOKEN: &str = "CHAPERONE_TOKEN";

/// How long connecting, and the beginning of an answer, may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A collector that records are read from.
#[derive(Clone)]
pub(super) struct Client {
    agent: Agent,
    base: String,
    authorization: Zeroizing<String>,
}

/// Why a collector gave no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    #[error("{0}: not the URL of a collector, like https://collector.example.com")]
    Url(String),
    #[error("no token for the collector: give --token-file or set CHAPERONE_TOKEN")]
    NoToken,
    #[error("the token has characters that no token has")]
    Token,
    #[error("{0}: no certificate in PEM")]
    Certificate(String),
    #[error("cannot reach {base}: {source}")]
    Unreachable { base: String, source: Box<ureq::Error> },
    #[error("{base} refused the token (401): {detail}")]
    Unauthorized { base: String, detail: String },
    #[error("{base} has nothing at {path} (404): {detail}; is it a collector of this version?")]
    NotFound { base: String, path: String, detail: String },
    #[error(
        "{base} wants to be asked elsewhere ({status}); redirects are not followed, a token is for one server"
    )]
    Redirect { base: String, status: u16 },
    #[error("{base} answered {status}: {detail}")]
    Status { base: String, status: u16, detail: String },
    #[error("what the collector sent was cut short: {source}")]
    Cut { source: std::io::Error },
    #[error("{base} answered what cannot be read: {source}")]
    Answer { base: String, source: serde_json::Error },
}

/// What is told of a problem+json.
#[derive(Default, Deserialize)]
struct Problem {
    #[serde(default)]
    detail: String,
}

impl Client {
    pub(super) fn new(url: &str, token: Option<&Path>, ca: Option<&Path>) -> Result<Self, Failure> {
        let base = url.trim_end_matches('/').to_owned();
        let parsed: Option<Uri> = base.parse().ok();
        let good = |uri: &Uri| {
            matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
                && uri.query().is_none()
        };
        if !parsed.is_some_and(|uri| good(&uri)) {
            return Err(ClientError::Url(base).into());
        }
        let read = |path: &Path| {
            fs::read_to_string(path).map_err(|source| Failure::File { path: path.to_owned(), source })
        };
        let token = Zeroizing::new(match token {
            Some(path) => read(path)?,
            None => env::var(TOKEN).map_err(|_| ClientError::NoToken)?,
        });
        let token = token.trim();
        if token.is_empty() {
            return Err(ClientError::NoToken.into());
        }
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ClientError::Token.into());
        }
        let roots = match ca {
            None => RootCerts::PlatformVerifier,
            Some(path) => {
                let pem = read(path)?;
                let certificates: Vec<_> = parse_pem(pem.as_bytes())
                    .filter_map(|item| match item {
                        Ok(PemItem::Certificate(certificate)) => Some(certificate),
                        _ => None,
                    })
                    .collect();
                if certificates.is_empty() {
                    return Err(ClientError::Certificate(path.display().to_string()).into());
                }
                RootCerts::new_with_certs(&certificates)
            }
        };
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(TIMEOUT))
            .timeout_recv_response(Some(TIMEOUT))
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .user_agent(concat!("chaperone/", env!("CARGO_PKG_VERSION")));
        let authorization = Zeroizing::new(format!("Bearer {token}"));
        Ok(Self { agent: config.build().into(), base, authorization })
    }

    /// What is at a path.
    pub(super) fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&'static str, String)],
    ) -> Result<T, Failure> {
        Ok(self.read(self.good(path, self.request(path, query, None)?)?)?)
    }

    /// The same, where it may not be there.
    pub(super) fn find<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&'static str, String)],
    ) -> Result<Option<T>, Failure> {
        let response = self.request(path, query, None)?;
        if response.status() == 404 {
            return Ok(None);
        }
        Ok(Some(self.read(self.good(path, response)?)?))
    }

    /// A long answer, to be read as it comes; none where the session that is asked for is not there.
    pub(super) fn stream(
        &self,
        path: &[&str],
        query: &[(&'static str, String)],
        last_event: Option<&str>,
    ) -> Result<Option<Body>, Failure> {
        let response = self.request(path, query, last_event)?;
        let of_a_session = query.iter().any(|(name, _)| *name == "session");
        if response.status() == 404 && of_a_session {
            return Ok(None);
        }
        Ok(Some(self.good(path, response)?.into_body()))
    }

    fn request(
        &self,
        path: &[&str],
        query: &[(&'static str, String)],
        last_event: Option<&str>,
    ) -> Result<Response<Body>, ClientError> {
        let mut request =
            self.agent.get(self.url(path, query)).header("authorization", self.authorization.as_str());
        if let Some(id) = last_event {
            request = request.header("last-event-id", id);
        }
        // Whoever waits for an answer does nothing else; the runtime's other threads go on.
        let sent = tokio::task::block_in_place(|| request.call());
        sent.map_err(|source| ClientError::Unreachable { base: self.base.clone(), source: source.into() })
    }

    fn url(&self, path: &[&str], query: &[(&'static str, String)]) -> String {
        let mut url = self.base.clone();
        for part in path {
            url.push('/');
            // What form encoding writes as `+` is a space, which in a path is `%20`.
            let encoded: String = form_urlencoded::byte_serialize(part.as_bytes()).collect();
            url.push_str(&encoded.replace('+', "%20"));
        }
        if !query.is_empty() {
            url.push('?');
            url.push_str(&form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish());
        }
        url
    }

    fn good(&self, path: &[&str], mut response: Response<Body>) -> Result<Response<Body>, ClientError> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let base = self.base.clone();
        let text = response.body_mut().read_to_string().unwrap_or_default();
        let problem: Problem = serde_json::from_str(&text).unwrap_or_default();
        let (status, detail) = (status.as_u16(), problem.detail);
        Err(match status {
            401 => ClientError::Unauthorized { base, detail },
            404 => ClientError::NotFound { base, path: format!("/{}", path.join("/")), detail },
            300..=399 => ClientError::Redirect { base, status },
            _ => ClientError::Status { base, status, detail },
        })
    }

    fn read<T: DeserializeOwned>(&self, response: Response<Body>) -> Result<T, ClientError> {
        let body = BufReader::new(response.into_body().into_reader());
        let read = tokio::task::block_in_place(|| serde_json::from_reader(body));
        read.map_err(|source| ClientError::Answer { base: self.base.clone(), source })
    }
}
