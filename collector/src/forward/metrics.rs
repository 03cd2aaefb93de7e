//! What operators see of forwarding.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use std::sync::atomic::AtomicU64;

/// Whom it is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct To {
    /// `webhook` or `otlp`.
    pub(super) destination: &'static str,
}

/// All metrics of forwarding.
#[derive(Clone, Default)]
pub struct Metrics {
    /// How long the oldest batch waits that a destination has not been told of.
    pub(super) lag: Family<To, Gauge<f64, AtomicU64>>,
    /// Events that were received.
    pub(super) sent: Family<To, Counter>,
    /// Requests that were not answered with success.
    pub(super) failures: Family<To, Counter>,
    /// Events that a receiver took and said it would not keep.
    pub(super) rejected: Family<To, Counter>,
}

impl Metrics {
    /// Registers them.
    pub fn register(&self, registry: &mut Registry) {
        let lag = "How long the oldest batch waits that was not sent yet";
        registry.register_with_unit("lag", lag, Unit::Seconds, self.lag.clone());
        registry.register("sent", "Events that were received", self.sent.clone());
        registry.register("failures", "Requests that were not answered with success", self.failures.clone());
        let rejected = "Events that the receiver said it would not keep";
        registry.register("rejected", rejected, self.rejected.clone());
    }

    /// Shows a destination from the start, so that the first failure is seen as an increase.
    pub(super) fn show(&self, to: &To) {
        drop(self.lag.get_or_create(to));
        for family in [&self.sent, &self.failures, &self.rejected] {
            drop(family.get_or_create(to));
        }
    }
}
