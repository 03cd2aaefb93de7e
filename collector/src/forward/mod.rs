//! Sends what was recorded to others, as it ends: to a webhook as CloudEvents, to an OpenTelemetry collector as logs.
//!
//! At least once, in the order in which batches were stored. A cursor in the database goes on once the receiver has
//! answered, so that neither an outage there nor a crash here loses anything; what is sent again has the same id.
//! [`sender`] is the loop of one destination, [`webhook`] and [`otlp`] are what the two kinds of requests look like.

mod http;
pub mod metrics;
mod otlp;
mod sender;
pub mod webhook;

pub use http::{Header, HeaderError, headers};
pub use reqwest::Url;

use crate::evidence::sha256_hex;
use crate::store::{Database, StoreError};
use metrics::Metrics;
use sender::Sender;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Somebody who is told.
#[derive(Clone, Debug)]
pub struct Destination {
    /// Where.
    pub url: Url,
    /// How.
    pub kind: Kind,
    /// How long an exchange may go on before it is told of without its end.
    pub incomplete_after: Duration,
}

/// What is sent.
#[derive(Clone, Debug)]
pub enum Kind {
    /// CloudEvents as a JSON batch, signed.
    Webhook(webhook::Keys),
    /// OTLP logs as JSON.
    Otlp(Vec<Header>),
}

impl Kind {
    fn name(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::Otlp(_) => "otlp",
        }
    }
}

impl Destination {
    /// Its name in the database: nothing of the URL that may be a secret.
    fn name(&self) -> String {
        let digest = sha256_hex(self.url.as_str().as_bytes());
        let (host, digest) = (self.url.host_str().unwrap_or_default(), digest.get(..12).unwrap_or_default());
        format!("{} {host} {digest}", self.kind.name())
    }
}

/// Senders at work.
pub struct Forwarding {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Forwarding {
    /// Starts one for each destination. What is stored from then on is sent.
    pub async fn start(
        database: &Database,
        destinations: Vec<Destination>,
        metrics: &Metrics,
    ) -> Result<Self, StoreError> {
        let (stop, stopped) = watch::channel(false);
        let mut tasks = Vec::new();
        for destination in destinations {
            let sender = Sender::open(database, destination, metrics.clone()).await?;
            tasks.push(tokio::spawn(sender.run(stopped.clone())));
        }
        Ok(Self { stop, tasks })
    }

    /// Ends them; a request that is under way is given up, and sent again by whoever goes on.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        for task in self.tasks {
            let _ = task.await;
        }
    }
}
