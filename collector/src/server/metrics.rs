//! The collector's metrics, as `/metrics` shows them. No label carries anything a client chose.

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// A label for what became of something.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ResultLabel {
    /// A stable short name.
    pub(super) result: &'static str,
}

/// All metrics of one server.
pub(super) struct Metrics {
    registry: Registry,
    /// Posted batches by result: `stored`, `known`, or a problem's code.
    pub(super) batches: Family<ResultLabel, Counter>,
    /// Batches whose signature was not accepted, by reason.
    pub(super) signatures: Family<ResultLabel, Counter>,
    /// Entries in stored batches.
    pub(super) entries: Counter,
    /// Entries that named an exchange of another recorder.
    pub(super) foreign: Counter,
    /// Bytes of stored batches.
    pub(super) bytes: Counter,
    /// Batches waiting to be written.
    pub(super) waiting: Gauge,
    /// From a whole batch to its acknowledgement.
    pub(super) latency: Histogram,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let mut registry = Registry::with_prefix("chaperone_collector");
        let metrics = Self {
            batches: Family::default(),
            signatures: Family::default(),
            entries: Counter::default(),
            foreign: Counter::default(),
            bytes: Counter::default(),
            waiting: Gauge::default(),
            latency: Histogram::new(exponential_buckets(0.0005, 2.0, 14)),
            registry: Registry::default(),
        };
        registry.register("batches", "Posted batches by result", metrics.batches.clone());
        registry.register(
            "signatures_refused",
            "Batches with a refused signature by reason",
            metrics.signatures.clone(),
        );
        registry.register("entries_stored", "Entries in stored batches", metrics.entries.clone());
        registry.register(
            "entries_foreign",
            "Entries that named an exchange of another recorder",
            metrics.foreign.clone(),
        );
        registry.register_with_unit("stored", "Bytes of stored batches", Unit::Bytes, metrics.bytes.clone());
        registry.register("batches_waiting", "Batches waiting to be written", metrics.waiting.clone());
        let help = "From a whole batch to its acknowledgement";
        registry.register_with_unit("acknowledgement", help, Unit::Seconds, metrics.latency.clone());
        Self { registry, ..metrics }
    }

    /// The text that Prometheus reads (OpenMetrics 1.0).
    pub(super) fn text(&self) -> Result<String, std::fmt::Error> {
        let mut out = String::new();
        text::encode(&mut out, &self.registry)?;
        Ok(out)
    }
}
