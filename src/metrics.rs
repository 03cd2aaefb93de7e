//! What the filter counts. Proxy-Wasm metrics have no labels, so the reason is part of the name; the set is fixed.

/// A metric's name and kind.
#[derive(Debug)]
pub struct Definition {
    /// Its name; Envoy puts `wasmcustom.` before it.
    pub name: &'static str,
    /// A level rather than a count.
    pub gauge: bool,
}

macro_rules! metrics {
    ($($(#[$doc:meta])* $variant:ident $kind:ident $name:literal;)*) => {
        /// One of the filter's metrics.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Metric { $($(#[$doc])* $variant,)* }

        /// All metrics, in the order of [`Metric`].
        pub const METRICS: &[Definition] = &[$(Definition { name: $name, gauge: metrics!(@ $kind) },)*];
    };
    (@ counter) => { false };
    (@ gauge) => { true };
}

metrics! {
    /// Requests that reached the filter.
    Requests counter "chaperone_requests_total";
    /// Requests that were let through.
    Forwarded counter "chaperone_forwarded_total";
    /// Refused: ambiguous or malformed request (400).
    RefusedBadRequest counter "chaperone_refused_bad_request_total";
    /// Refused: token (401).
    RefusedUnauthenticated counter "chaperone_refused_unauthenticated_total";
    /// Refused: rule or guard (403).
    RefusedForbidden counter "chaperone_refused_forbidden_total";
    /// Refused: body (422) or its size (413).
    RefusedBody counter "chaperone_refused_body_total";
    /// Refused: media type (406, 415) or method (405).
    RefusedMedia counter "chaperone_refused_media_total";
    /// Refused: the response could not be masked (502).
    RefusedResponse counter "chaperone_refused_response_total";
    /// Refused: no acknowledged record, or no room for one (503).
    RefusedUnrecorded counter "chaperone_refused_unrecorded_total";
    /// Responses cut after their headers were out.
    Cut counter "chaperone_cut_total";
    /// Values masked.
    Masked counter "chaperone_masked_values_total";
    /// Entries written.
    Entries counter "chaperone_entries_total";
    /// Entries lost for want of room; a gap entry says so too.
    EntriesDropped counter "chaperone_entries_dropped_total";
    /// Posts to the collector.
    Posts counter "chaperone_posts_total";
    /// Posts that were not acknowledged.
    PostsFailed counter "chaperone_posts_failed_total";
    /// Key fetches (discovery and JWK sets).
    KeyFetches counter "chaperone_key_fetches_total";
    /// Key fetches that failed.
    KeyFetchesFailed counter "chaperone_key_fetches_failed_total";
    /// Upstream tokens asked for (TokenRequest).
    TokenRequests counter "chaperone_token_requests_total";
    /// Of these, those that gave none.
    TokenRequestsFailed counter "chaperone_token_requests_failed_total";
    /// Bytes in the outbox.
    OutboxBytes gauge "chaperone_outbox_bytes";
    /// Batches that wait for an acknowledgement.
    OutboxBatches gauge "chaperone_outbox_batches";
}

/// Counts since they were last taken.
#[derive(Clone, Debug)]
pub struct Metrics([u64; METRICS.len()]);

impl Default for Metrics {
    fn default() -> Self {
        Self([0; METRICS.len()])
    }
}

impl Metrics {
    /// Counts one.
    pub fn count(&mut self, metric: Metric) {
        self.add(metric, 1);
    }

    /// Counts several.
    pub fn add(&mut self, metric: Metric, by: u64) {
        if let Some(value) = self.0.get_mut(metric as usize) {
            *value = value.saturating_add(by);
        }
    }

    /// Sets a gauge.
    pub fn set(&mut self, metric: Metric, to: u64) {
        if let Some(value) = self.0.get_mut(metric as usize) {
            *value = to;
        }
    }

    /// Hands out the values and starts again from zero.
    pub fn take(&mut self) -> [u64; METRICS.len()] {
        std::mem::take(&mut self.0)
    }
}
