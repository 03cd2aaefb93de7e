//! The loop of one destination.

use super::http::{self, Post, Refusal};
use super::metrics::{Metrics, To};
use super::{Destination, Kind, otlp, webhook};
use crate::evidence::hex;
use crate::export::cloudevents;
use crate::server::now;
use crate::store::forwarding::{News, Step};
use crate::store::model::State;
use crate::store::{Database, Reader, StoreError, Writer};
use chaperone_record::Timestamp;
use reqwest::Client;
use serde_json::Value;
use std::time::Duration;
use tokio::sync::watch;

/// How often it is looked for something new.
const IDLE: Duration = Duration::from_millis(500);

/// How long a destination is held without being held again: longer than a request takes.
const LEASE: Duration = Duration::from_secs(15);

/// The first wait after a failure, and the longest; each is twice the one before, and up to half of it is left to chance.
const WAITS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(300));

pub(super) struct Sender {
    destination: Destination,
    name: String,
    /// Who this is, among replicas.
    holder: String,
    writer: Writer,
    reader: Reader,
    client: Client,
    metrics: Metrics,
    to: To,
}

/// What became of a turn.
enum Turn {
    Sent,
    Nothing,
}

/// Why a turn came to nothing.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl Sender {
    pub(super) async fn open(
        database: &Database,
        destination: Destination,
        metrics: Metrics,
    ) -> Result<Self, StoreError> {
        let mut writer = Writer::open(database).await?;
        let (name, to) = (destination.name(), To { destination: destination.kind.name() });
        writer.forward_to(&name).await?;
        metrics.show(&to);
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|_| StoreError::Damaged("no randomness"))?;
        let client = http::client().map_err(|_| StoreError::Damaged("no TLS"))?;
        let (holder, reader) = (hex(&random), Reader::open(database).await?);
        Ok(Self { destination, name, holder, writer, reader, client, metrics, to })
    }

    /// Sends until it is told to stop.
    pub(super) async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let mut failures = 0;
        loop {
            let wait = tokio::select! {
                _ = stopped.wait_for(|stop| *stop) => break,
                turn = self.turn() => match turn {
                    Ok(Turn::Sent) => { failures = 0; Duration::ZERO }
                    Ok(Turn::Nothing) => IDLE,
                    Err(failure) => { failures += 1; self.after(&failure, failures) }
                },
            };
            self.measure().await;
            tokio::select! {
                _ = stopped.wait_for(|stop| *stop) => break,
                () = self.rest(wait) => {}
            }
        }
        // Another may go on at once. What it is in the middle of is sent again.
        let _ =
            self.writer.hold_destination(&self.name, &self.holder, now(), Timestamp::from_micros(0)).await;
        self.reader.close().await;
        self.writer.close().await;
    }

    /// Waits, and goes on measuring meanwhile.
    async fn rest(&mut self, wait: Duration) {
        let until = tokio::time::Instant::now() + wait;
        while tokio::time::Instant::now() < until {
            tokio::time::sleep_until(until.min(tokio::time::Instant::now() + Duration::from_secs(5))).await;
            self.measure().await;
        }
    }

    async fn turn(&mut self) -> Result<Turn, Failure> {
        let overdue = before(now(), self.destination.incomplete_after);
        if self.writer.next_step(&self.name, overdue).await?.is_idle() {
            return Ok(Turn::Nothing);
        }
        let until = after(now(), LEASE);
        if !self.writer.hold_destination(&self.name, &self.holder, now(), until).await? {
            return Ok(Turn::Nothing);
        }
        // Again: another may have gone on in between.
        let step = self.writer.next_step(&self.name, overdue).await?;
        if step.is_idle() {
            return Ok(Turn::Nothing);
        }
        self.tell(&step).await?;
        self.writer.finish_step(&self.name, &self.holder, &step, now()).await?;
        Ok(Turn::Sent)
    }

    async fn tell(&mut self, step: &Step) -> Result<(), Refusal> {
        let events: Vec<Value> = step.news.iter().map(event).collect();
        if events.is_empty() {
            return Ok(());
        }
        let answer = http::send(&self.client, &self.destination.url, self.post(&events)).await?;
        let rejected = match self.destination.kind {
            Kind::Webhook(_) => 0,
            Kind::Otlp(_) => otlp::rejected(&answer).min(events.len() as u64),
        };
        if rejected > 0 {
            tracing::error!(
                destination = self.to.destination,
                rejected,
                "The receiver will not keep some events."
            );
        }
        self.metrics.sent.get_or_create(&self.to).inc_by(events.len() as u64 - rejected);
        self.metrics.rejected.get_or_create(&self.to).inc_by(rejected);
        Ok(())
    }

    fn post(&self, events: &[Value]) -> Post {
        match &self.destination.kind {
            Kind::Webhook(keys) => webhook::post(keys, events, now()),
            Kind::Otlp(headers) => otlp::post(headers, events, now()),
        }
    }

    /// How long to wait after so many failures in a row.
    fn after(&self, failure: &Failure, failures: u32) -> Duration {
        self.metrics.failures.get_or_create(&self.to).inc();
        let (first, longest) = WAITS;
        let wait = first.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(longest);
        let chance = f64::from(getrandom::u32().unwrap_or(0)) / f64::from(u32::MAX);
        let wait = wait.mul_f64(0.5 + 0.5 * chance);
        let asked = match failure {
            Failure::Refused(refusal) => refusal.retry_after().unwrap_or_default(),
            Failure::Store(_) => Duration::ZERO,
        };
        let wait = wait.max(asked);
        let (destination, wait_ms) =
            (self.to.destination, u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        tracing::warn!(destination, failures, wait_ms, error = %failure, "Could not forward; trying again.");
        wait
    }

    async fn measure(&mut self) {
        let Ok(oldest) = self.reader.oldest_untold(&self.name).await else { return };
        let lag = oldest.map_or(0, |oldest| now().micros().saturating_sub(oldest.micros()));
        self.metrics.lag.get_or_create(&self.to).set(lag as f64 / 1e6);
    }
}

fn event(news: &News) -> Value {
    match news {
        News::Exchange(summary) if summary.state == State::Incomplete => cloudevents::incomplete(summary),
        News::Exchange(summary) => cloudevents::event(summary),
        News::Gap { id, recorder, gap } => cloudevents::gap(id, recorder, gap),
    }
}

fn after(moment: Timestamp, span: Duration) -> Timestamp {
    Timestamp::from_micros(
        moment.micros().saturating_add(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)),
    )
}

fn before(moment: Timestamp, span: Duration) -> Timestamp {
    Timestamp::from_micros(
        moment.micros().saturating_sub(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)),
    )
}
