//! The core counts; the host's metrics are brought up to date from it.

use crate::metrics::{Definition, Kind, METRICS, Metrics};
use proxy_wasm::hostcalls;
use proxy_wasm::types::MetricType;

/// The host's ids of the core's metrics.
#[derive(Default)]
pub(super) struct HostMetrics {
    ids: Vec<Option<u32>>,
    /// What this VM has added to each gauge: the host has one for all VMs, so that each adds its own part.
    levels: Vec<u64>,
}

impl HostMetrics {
    /// Defines every metric, so that all of them are there from the start, at zero.
    pub(super) fn define() -> Self {
        let define = |metric: &Definition| {
            let kind = match metric.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
                Kind::Histogram => MetricType::Histogram,
            };
            hostcalls::define_metric(kind, metric.name).ok()
        };
        Self { ids: METRICS.iter().map(define).collect(), levels: vec![0; METRICS.len()] }
    }

    /// Hands over what was counted since the last time.
    pub(super) fn flush(&mut self, metrics: &mut Metrics) {
        let (values, samples) = metrics.take();
        for (((definition, id), level), value) in
            METRICS.iter().zip(&self.ids).zip(&mut self.levels).zip(values)
        {
            let Some(id) = *id else { continue };
            let before = if definition.kind == Kind::Gauge { std::mem::replace(level, value) } else { 0 };
            let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
            let change = signed(value).saturating_sub(signed(before));
            if change != 0 {
                let _ = hostcalls::increment_metric(id, change);
            }
        }
        for (metric, value) in samples {
            if let Some(Some(id)) = self.ids.get(metric as usize) {
                let _ = hostcalls::record_metric(*id, value);
            }
        }
    }
}
