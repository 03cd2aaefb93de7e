//! What the filter counts. Proxy-Wasm metrics have no labels, so the reason is part of the name; the set is fixed.

/// A metric's name and kind.
#[derive(Debug)]
pub struct Definition {
    /// Its name; Envoy puts `wasmcustom.` before it.
    pub name: &'static str,
    /// How its values add up.
    pub kind: Kind,
}

/// How a metric's values add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A count that only grows.
    Counter,
    /// A level; the host shows the sum over all workers.
    Gauge,
    /// A distribution.
    Histogram,
}

macro_rules! metrics {
    ($($(#[$doc:meta])* $variant:ident $kind:ident $name:literal;)*) => {
        /// One of the filter's metrics.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Metric { $($(#[$doc])* $variant,)* }

        /// All metrics, in the order of [`Metric`].
        pub const METRICS: &[Definition] = &[$(Definition { name: $name, kind: metrics!(@ $kind) },)*];
    };
    (@ counter) => { Kind::Counter };
    (@ gauge) => { Kind::Gauge };
    (@ histogram) => { Kind::Histogram };
}

metrics! {
    /// Requests that reached the filter.
    Requests counter "chaperone_requests_total";
    /// Requests that were let through.
    Forwarded counter "chaperone_forwarded_total";
    /// Refused: the request could be read two ways (400).
    RefusedAmbiguous counter "chaperone_refused_ambiguous_total";
    /// Refused: the API has no such method (405).
    RefusedMethod counter "chaperone_refused_method_total";
    /// Refused: nothing the client accepts can be masked (406).
    RefusedAccept counter "chaperone_refused_accept_total";
    /// Refused: an encoded body (415).
    RefusedContentEncoding counter "chaperone_refused_content_encoding_total";
    /// Refused: a body that can't be looked into (415).
    RefusedContentType counter "chaperone_refused_content_type_total";
    /// Refused: an unknown patch type (415).
    RefusedPatchType counter "chaperone_refused_patch_type_total";
    /// Refused: no handshake, or nothing in it that can be recorded (400).
    RefusedUpgrade counter "chaperone_refused_upgrade_total";
    /// Refused: no token (401).
    RefusedTokenMissing counter "chaperone_refused_token_missing_total";
    /// Refused: more than one (401).
    RefusedTokenMultiple counter "chaperone_refused_token_multiple_total";
    /// Refused: not a JWT (401).
    RefusedTokenMalformed counter "chaperone_refused_token_malformed_total";
    /// Refused: an algorithm that is not allowed (401).
    RefusedTokenAlgorithm counter "chaperone_refused_token_algorithm_total";
    /// Refused: an unknown issuer (401).
    RefusedTokenIssuer counter "chaperone_refused_token_issuer_total";
    /// Refused: an unknown key (401).
    RefusedTokenKey counter "chaperone_refused_token_key_total";
    /// Refused: a wrong signature (401).
    RefusedTokenSignature counter "chaperone_refused_token_signature_total";
    /// Refused: it has ended (401).
    RefusedTokenExpired counter "chaperone_refused_token_expired_total";
    /// Refused: it has not begun (401).
    RefusedTokenNotYetValid counter "chaperone_refused_token_not_yet_valid_total";
    /// Refused: it is for another audience (401).
    RefusedTokenAudience counter "chaperone_refused_token_audience_total";
    /// Refused: its claims are not usable (401).
    RefusedTokenClaims counter "chaperone_refused_token_claims_total";
    /// Refused: too many wrong signatures lately (429).
    RefusedTokenFlood counter "chaperone_refused_token_flood_total";
    /// Refused: the issuer's keys are not there (503).
    RefusedKeysUnavailable counter "chaperone_refused_keys_unavailable_total";
    /// Refused: required attribution is missing (400).
    RefusedAttribution counter "chaperone_refused_attribution_total";
    /// Refused: a built-in guard (403).
    RefusedGuard counter "chaperone_refused_guard_total";
    /// Refused: an access rule (403).
    RefusedRule counter "chaperone_refused_rule_total";
    /// Refused: no upstream credential for the agent (403, 503).
    RefusedCredential counter "chaperone_refused_credential_total";
    /// Refused: a mask written back (422).
    RefusedMaskWriteBack counter "chaperone_refused_mask_write_back_total";
    /// Refused: a JSON Patch that reads a Secret (422).
    RefusedSecretJsonPatch counter "chaperone_refused_secret_json_patch_total";
    /// Refused: a Secret whose type is not clear (422).
    RefusedSecretType counter "chaperone_refused_secret_type_total";
    /// Refused: a body too large to be looked at (413).
    RefusedBodyTooLarge counter "chaperone_refused_body_too_large_total";
    /// Refused: the response could not be masked (502).
    RefusedUnmaskable counter "chaperone_refused_unmaskable_total";
    /// Refused: no acknowledged record, or no room for one (503).
    RefusedUnrecorded counter "chaperone_refused_unrecorded_total";
    /// Refused for another reason.
    RefusedOther counter "chaperone_refused_other_total";
    /// Exec, attach and port-forward that the API server accepted.
    Streams counter "chaperone_streams_total";
    /// Responses and streams cut after their headers were out.
    Cut counter "chaperone_cut_total";
    /// Values masked.
    Masked counter "chaperone_masked_values_total";
    /// Entries written.
    Entries counter "chaperone_entries_total";
    /// Entries lost for want of room; a gap entry says so too.
    EntriesDropped counter "chaperone_entries_dropped_total";
    /// Posts to the collector.
    Posts counter "chaperone_posts_total";
    /// Of these, those that were posts of a batch posted before.
    PostsRetried counter "chaperone_posts_retried_total";
    /// Bytes of all posts' bodies.
    PostedBytes counter "chaperone_posted_bytes_total";
    /// Milliseconds from a batch's sealing to its acknowledgement.
    AcknowledgedAfter histogram "chaperone_acknowledged_milliseconds";
    /// Age in milliseconds of what has waited longest in the outbox, looked at ten times a second.
    OutboxAge histogram "chaperone_outbox_age_milliseconds";
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
    /// Issuers whose keys could not be refreshed lately; the old ones are used for now.
    StaleIssuers gauge "chaperone_stale_issuers";
    /// Bytes in the outbox.
    OutboxBytes gauge "chaperone_outbox_bytes";
    /// Batches that wait for an acknowledgement.
    OutboxBatches gauge "chaperone_outbox_batches";
}

impl Metric {
    /// The counter of refusals with this code ([`crate::kube::Refusal::code`]).
    pub fn refused(code: &str) -> Self {
        match code {
            "ambiguous" => Self::RefusedAmbiguous,
            "method" => Self::RefusedMethod,
            "accept" => Self::RefusedAccept,
            "contentEncoding" => Self::RefusedContentEncoding,
            "contentType" => Self::RefusedContentType,
            "patchType" => Self::RefusedPatchType,
            "upgrade" => Self::RefusedUpgrade,
            "tokenMissing" => Self::RefusedTokenMissing,
            "tokenMultiple" => Self::RefusedTokenMultiple,
            "tokenMalformed" => Self::RefusedTokenMalformed,
            "tokenAlgorithm" => Self::RefusedTokenAlgorithm,
            "tokenIssuer" => Self::RefusedTokenIssuer,
            "tokenKey" => Self::RefusedTokenKey,
            "tokenSignature" => Self::RefusedTokenSignature,
            "tokenExpired" => Self::RefusedTokenExpired,
            "tokenNotYetValid" => Self::RefusedTokenNotYetValid,
            "tokenAudience" => Self::RefusedTokenAudience,
            "tokenClaims" => Self::RefusedTokenClaims,
            "tokenFlood" => Self::RefusedTokenFlood,
            "keysUnavailable" => Self::RefusedKeysUnavailable,
            "attribution" => Self::RefusedAttribution,
            "guard" => Self::RefusedGuard,
            "rule" => Self::RefusedRule,
            "credential" => Self::RefusedCredential,
            "maskWriteBack" => Self::RefusedMaskWriteBack,
            "secretJsonPatch" => Self::RefusedSecretJsonPatch,
            "secretType" => Self::RefusedSecretType,
            "bodyTooLarge" => Self::RefusedBodyTooLarge,
            "unmaskable" => Self::RefusedUnmaskable,
            "unrecorded" => Self::RefusedUnrecorded,
            _ => Self::RefusedOther,
        }
    }
}

/// Samples of distributions that are kept until they are taken; more are not worth the memory.
const MOST_SAMPLES: usize = 1024;

/// What was counted since it was last taken.
#[derive(Clone, Debug)]
pub struct Metrics {
    values: [u64; METRICS.len()],
    samples: Vec<(Metric, u64)>,
}

// === impl Metrics ===

impl Default for Metrics {
    fn default() -> Self {
        Self { values: [0; METRICS.len()], samples: Vec::new() }
    }
}

impl Metrics {
    /// Counts one.
    pub fn count(&mut self, metric: Metric) {
        self.add(metric, 1);
    }

    /// Counts several.
    pub fn add(&mut self, metric: Metric, by: u64) {
        if let Some(value) = self.values.get_mut(metric as usize) {
            *value = value.saturating_add(by);
        }
    }

    /// Sets a gauge.
    pub fn set(&mut self, metric: Metric, to: u64) {
        if let Some(value) = self.values.get_mut(metric as usize) {
            *value = to;
        }
    }

    /// Adds a sample to a distribution.
    pub fn observe(&mut self, metric: Metric, value: u64) {
        if self.samples.len() < MOST_SAMPLES {
            self.samples.push((metric, value));
        }
    }

    /// Hands out counts, levels and samples, and starts again.
    pub fn take(&mut self) -> ([u64; METRICS.len()], Vec<(Metric, u64)>) {
        let Self { values, samples } = std::mem::take(self);
        (values, samples)
    }
}
