//! The core counts; the host's metrics are brought up to date from it.

use crate::metrics::{METRICS, Metrics};
use proxy_wasm::hostcalls;
use proxy_wasm::types::MetricType;

/// The host's ids of the core's metrics.
#[derive(Default)]
pub(super) struct HostMetrics(Vec<Option<u32>>);

impl HostMetrics {
    /// Defines every metric, so that all of them are there from the start, at zero.
    pub(super) fn define() -> Self {
        let define = |metric: &crate::metrics::Definition| {
            let kind = if metric.gauge { MetricType::Gauge } else { MetricType::Counter };
            hostcalls::define_metric(kind, metric.name).ok()
        };
        Self(METRICS.iter().map(define).collect())
    }

    /// Hands over what was counted since the last time.
    pub(super) fn flush(&self, metrics: &mut Metrics) {
        for ((definition, id), value) in METRICS.iter().zip(&self.0).zip(metrics.take()) {
            let Some(id) = *id else { continue };
            if definition.gauge {
                let _ = hostcalls::record_metric(id, value);
            } else if value > 0 {
                let _ = hostcalls::increment_metric(id, i64::try_from(value).unwrap_or(i64::MAX));
            }
        }
    }
}
