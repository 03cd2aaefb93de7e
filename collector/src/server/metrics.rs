//! The collector's metrics, as `/metrics` shows them. No label carries anything a client chose.

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// Why a batch was refused: each is there from the start, so that the first refusal is seen as an increase.
const REASONS: [&str; 21] = [
    "unauthorized",
    "contentEncoding",
    "tooLarge",
    "busy",
    "timeout",
    "body",
    "malformed",
    "unsigned",
    "malformedSignature",
    "unknownKey",
    "badSignature",
    "fork",
    "stopping",
    "diskFull",
    "io",
    "locked",
    "readOnly",
    "corrupt",
    "unreachable",
    "database",
    "bodies",
];

/// A label for why something was refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Reason {
    /// A stable short name.
    pub(super) reason: &'static str,
}

/// All metrics of one server.
pub(super) struct Metrics {
    registry: Registry,
    /// Batches stored.
    pub(super) batches: Counter,
    /// Their bytes.
    pub(super) bytes: Counter,
    /// Their entries.
    pub(super) entries: Counter,
    /// Entries that named an exchange of another recorder.
    pub(super) foreign: Counter,
    /// Batches that were stored before and came again.
    pub(super) retries: Counter,
    /// Posts that were not acknowledged, by reason.
    pub(super) refusals: Family<Reason, Counter>,
    /// Other bytes under a number that was taken, each counted once.
    pub(super) forks: Counter,
    /// Batches waiting to be written.
    pub(super) waiting: Gauge,
    /// Live tails that are open.
    pub(super) tails: Gauge,
    /// From a whole batch to its answer.
    pub(super) latency: Histogram,
    /// What is sent to others.
    pub(super) forward: crate::forward::metrics::Metrics,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let mut root = Registry::with_prefix("chaperone");
        let forward = crate::forward::metrics::Metrics::default();
        forward.register(root.sub_registry_with_prefix("forward"));
        let registry = root.sub_registry_with_prefix("collector");
        let metrics = Self {
            batches: Counter::default(),
            bytes: Counter::default(),
            entries: Counter::default(),
            foreign: Counter::default(),
            retries: Counter::default(),
            refusals: Family::default(),
            forks: Counter::default(),
            waiting: Gauge::default(),
            tails: Gauge::default(),
            latency: Histogram::new(exponential_buckets(0.0005, 2.0, 14)),
            forward,
            registry: Registry::default(),
        };
        for reason in REASONS {
            drop(metrics.refusals.get_or_create(&Reason { reason }));
        }
        let mut counter =
            |name: &str, help: &str, counter: &Counter| registry.register(name, help, counter.clone());
        counter("batches", "Batches stored", &metrics.batches);
        counter("entries", "Entries in stored batches", &metrics.entries);
        counter("entries_foreign", "Entries that named an exchange of another recorder", &metrics.foreign);
        counter("retries", "Batches that were stored before and came again", &metrics.retries);
        counter("forks", "Other bytes that came under a batch number that was taken", &metrics.forks);
        registry.register_with_unit("batch", "Bytes of stored batches", Unit::Bytes, metrics.bytes.clone());
        registry.register("refusals", "Posts that were not acknowledged by reason", metrics.refusals.clone());
        registry.register("batches_waiting", "Batches waiting to be written", metrics.waiting.clone());
        registry.register("tails_open", "Live tails that are open", metrics.tails.clone());
        let help = "From a whole batch to its answer";
        registry.register_with_unit("ingest", help, Unit::Seconds, metrics.latency.clone());
        Self { registry: root, ..metrics }
    }

    /// The text that Prometheus reads (OpenMetrics 1.0).
    pub(super) fn text(&self) -> Result<String, std::fmt::Error> {
        let mut out = String::new();
        text::encode(&mut out, &self.registry)?;
        Ok(out)
    }
}
