//! Agents at work: many at once, reading and writing, and a note of how each attempt ended.

use anyhow::Result;
use chaperone_test_harness::client::{Answer, Client, Connection};
use chaperone_test_harness::stage::Stage;
use http_body_util::Full;
use hyper::{Method, Request};
use serde_json::json;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

pub const CONFIGMAPS: &str = "/api/v1/namespaces/shop/configmaps";
const PODS: &str = "/api/v1/namespaces/shop/pods";
const SECRETS: &str = "/api/v1/namespaces/shop/secrets";
/// A stream that waits on a VM that has failed is never answered.
const PATIENCE: Duration = Duration::from_secs(5);

/// How an attempt ended, to the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// 2xx, or what the API server says otherwise.
    Answered,
    /// The filter says that nothing was done, because there is no record.
    Refused,
    /// Another answer, of the proxy: it does not say whether anything was done.
    Unclear,
    /// No answer.
    Broken,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub write: bool,
    pub ending: Ending,
    /// The answer's `Audit-ID`.
    pub exchange: Option<String>,
}

/// Agents at work.
pub struct Work {
    shared: Arc<Shared>,
    agents: JoinSet<()>,
}

struct Shared {
    client: Mutex<Client>,
    attempts: Mutex<Vec<Attempt>>,
    stop: AtomicBool,
    /// So many exchanges are still to be had; a refused one is none.
    left: AtomicU64,
    had: AtomicU64,
}

impl Work {
    /// So many agents begin, and go on until they are stopped or had so many exchanges together.
    pub fn begin(stage: &Stage, agents: usize, exchanges: Option<u64>) -> Result<Self> {
        let shared = Arc::new(Shared {
            client: Mutex::new(agent(stage)?),
            attempts: Mutex::default(),
            stop: AtomicBool::new(false),
            left: AtomicU64::new(exchanges.unwrap_or(u64::MAX / 2)),
            had: AtomicU64::new(0),
        });
        let mut set = JoinSet::new();
        for number in 0..agents {
            set.spawn(shared.clone().work(number));
        }
        Ok(Self { shared, agents: set })
    }

    /// The gateway is another one from now on.
    pub fn move_to(&self, stage: &Stage) -> Result<()> {
        *self.shared.client.lock().expect("no holder panics") = agent(stage)?;
        Ok(())
    }

    /// How many attempts have been made.
    pub fn attempts(&self) -> usize {
        self.shared.attempts.lock().expect("no holder panics").len()
    }

    /// How many exchanges they had, refused ones not counted.
    pub fn exchanges(&self) -> u64 {
        self.shared.had.load(Ordering::Relaxed)
    }

    /// Lets every agent finish what it is at; gives all attempts.
    pub async fn stop(self) -> Vec<Attempt> {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.finish().await
    }

    /// Waits until every exchange was had.
    pub async fn finish(mut self) -> Vec<Attempt> {
        while let Some(ended) = self.agents.join_next().await {
            ended.expect("agents do not panic");
        }
        std::mem::take(&mut self.shared.attempts.lock().expect("no holder panics"))
    }
}

/// A client of the gateway, with a token that no clock outdates.
pub fn agent(stage: &Stage) -> Result<Client> {
    let forever = Duration::from_secs(20 * 365 * 24 * 3600);
    let claims = stage.agent("alice", "faults").expires_in(forever).without("iat").without("nbf");
    Ok(stage.client()?.with_token(&stage.issuer.mint(&claims)))
}

/// A ConfigMap's JSON, with so many bytes of text.
pub fn configmap(name: &str, size: usize) -> String {
    let text: String = std::iter::repeat_with(fastrand::alphanumeric).take(size).collect();
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"text": text}})
        .to_string()
}

impl Shared {
    async fn work(self: Arc<Self>, number: usize) {
        let mut connection = None;
        let mut created: Vec<String> = Vec::new();
        for step in 0u64.. {
            let left =
                self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
            if self.stop.load(Ordering::Relaxed) || left.is_err() {
                return;
            }
            let name = format!("c-{number}-{step}");
            let (method, path, body) = match fastrand::u8(..20) {
                0..6 => (Method::GET, PODS.to_owned(), String::new()),
                6..8 => (Method::GET, SECRETS.to_owned(), String::new()),
                8 => (Method::GET, format!("{PODS}/web"), String::new()),
                9..12 if !created.is_empty() => {
                    let name = created.swap_remove(fastrand::usize(..created.len()));
                    (Method::DELETE, format!("{CONFIGMAPS}/{name}"), String::new())
                }
                12..16 if !created.is_empty() => {
                    let name = &created[fastrand::usize(..created.len())];
                    let patch = json!({"data": {"step": step.to_string()}}).to_string();
                    (Method::PATCH, format!("{CONFIGMAPS}/{name}"), patch)
                }
                16 => (
                    Method::POST,
                    CONFIGMAPS.to_owned(),
                    configmap(&name, 20_000 + fastrand::usize(..30_000)),
                ),
                _ => (Method::POST, CONFIGMAPS.to_owned(), configmap(&name, 50 + fastrand::usize(..1500))),
            };
            let answer = self.ask(&mut connection, &method, &path, body).await;
            let attempt = Attempt::new(method != Method::GET, answer.as_ref());
            if method == Method::POST && answer.is_some_and(|answer| answer.status == 201) {
                created.push(name);
            }
            // As clients do: who is refused comes back a little later.
            if attempt.ending == Ending::Answered {
                self.had.fetch_add(1, Ordering::Relaxed);
            } else {
                self.left.fetch_add(1, Ordering::Relaxed);
                sleep(Duration::from_millis(20) + super::moment(Duration::from_millis(200))).await;
            }
            self.attempts.lock().expect("no holder panics").push(attempt);
        }
    }

    async fn ask(
        &self,
        kept: &mut Option<Connection>,
        method: &Method,
        path: &str,
        body: String,
    ) -> Option<Answer> {
        let media = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        let request = Request::builder().method(method).uri(path).header("content-type", media);
        let request = request.body(Full::from(body)).expect("a request of our own");
        let asked = async {
            let mut connection = match kept.take() {
                Some(connection) => connection,
                None => {
                    let client = self.client.lock().expect("no holder panics").clone();
                    client.connect().await.ok()?
                }
            };
            let answer = connection.send(request).await.ok()?;
            // Envoy closes a connection on which it answered before the request was whole.
            let closes = answer.headers.get("connection").is_some_and(|value| value == "close");
            *kept = (!closes).then_some(connection);
            Some(answer)
        };
        timeout(PATIENCE, asked).await.ok().flatten()
    }
}

impl Attempt {
    /// What an answer, or none, says of the attempt.
    pub fn new(write: bool, answer: Option<&Answer>) -> Self {
        let ending = match answer {
            None => Ending::Broken,
            Some(answer) if answer.text().contains("not forwarded, because") => Ending::Refused,
            Some(answer) if answer.json()["kind"].is_string() => Ending::Answered,
            Some(_) => Ending::Unclear,
        };
        let id = answer.and_then(|answer| answer.headers.get("audit-id")?.to_str().ok().map(str::to_owned));
        Self { write, ending, exchange: id }
    }
}
