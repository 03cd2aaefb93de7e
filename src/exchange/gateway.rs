//! What all exchanges of a worker share.

use super::callout::{Answer, Callout, Purpose};
use crate::access::{AccessPolicy, Guards, RecordingPolicy};
use crate::config::{Collector, FilterConfig, OnFull, Problem};
use crate::credential::{Credentials, Mint, UpstreamToken};
use crate::identity::Authenticator;
use crate::kube::{Media, Refusal};
use crate::mask::patch::JSON_PATCH;
use crate::mask::{BodyMasker, Extra, MaskRules, MaskedPaths, Plan};
use crate::metrics::{Metric, Metrics};
use crate::record::{Chain, ExchangeId, Object, Opening, Outbox, Post, SigningKey, uuid_v4};
use chaperone_record::{Acknowledgement, Masked, Timestamp};
use std::collections::BTreeMap;
use std::rc::Rc;

/// One worker VM's state: configuration, keys, policies, outbox, counts. Every worker has its own.
pub struct Gateway {
    pub(super) config: FilterConfig,
    pub(super) authenticator: Authenticator,
    pub(super) access: AccessPolicy,
    pub(super) guards: Guards,
    pub(super) recording: RecordingPolicy,
    pub(super) mask: MaskRules,
    pub(super) credentials: Credentials,
    /// Renewals under way, by number.
    renewals: BTreeMap<u64, Mint>,
    next_renewal: u64,
    outbox: Outbox,
    metrics: Metrics,
}

impl Gateway {
    /// A gateway with nothing done yet. `random` names its recorder.
    ///
    /// # Errors
    /// What the rooms find wrong with their part of the configuration.
    pub fn new(
        config: FilterConfig,
        now: Timestamp,
        random: [u8; 16],
        node: String,
        worker: String,
    ) -> Result<Self, Vec<Problem>> {
        let key = config.recording.signing_key.value.as_ref().and_then(|key| SigningKey::parse(key.expose()));
        let Some(key) = key else {
            let path = "recording.signingKey".to_owned();
            return Err(vec![Problem { path, message: "is not a usable key".to_owned() }]);
        };
        let opening =
            Opening { config_digest: config.digest.clone(), node, worker: format!("{worker}@{now}") };
        let chain = Chain::new(uuid_v4(random), key, opening);
        let outbox = Outbox::new(chain, config.recording.limits.clone(), config.recording.collector.timeout);
        Ok(Self {
            authenticator: Authenticator::new(&config.authentication)?,
            access: AccessPolicy::compile(&config.access),
            recording: RecordingPolicy::compile(&config.recording.rules),
            guards: Guards::new(&config.access.guards.disable),
            mask: MaskRules::compile(&config.masking)?,
            credentials: Credentials::new(&config.credential, config.authentication.cache.max_tokens),
            renewals: BTreeMap::new(),
            next_renewal: 1,
            outbox,
            metrics: Metrics::default(),
            config,
        })
    }

    /// Takes over the issuers' keys from the gateway that this one follows in the same VM: else requests would be refused
    /// after each change of the configuration, until they are fetched anew.
    pub fn adopt_keys(&mut self, former: &Self) {
        self.authenticator.adopt(&former.authenticator);
    }

    /// What is still to be sent when the configuration is no longer used: batches; none once all are acknowledged.
    pub fn on_leaving(&mut self, now: Timestamp) -> Option<Vec<Callout>> {
        let callouts = self.due_posts(now);
        self.metrics.set(Metric::StaleIssuers, 0);
        self.gauge_outbox();
        self.outbox.oldest().is_some().then_some(callouts)
    }

    fn gauge_outbox(&mut self) {
        self.metrics.set(Metric::OutboxBytes, self.outbox.bytes() as u64);
        self.metrics.set(Metric::OutboxBatches, self.outbox.unacknowledged() as u64);
    }

    /// What is to be sent now: keys to fetch, batches to post.
    pub fn on_tick(&mut self, now: Timestamp) -> Vec<Callout> {
        let mut callouts: Vec<Callout> = self
            .authenticator
            .poll(now)
            .into_iter()
            .map(|fetch| Callout {
                purpose: Purpose::Keys(fetch.id),
                cluster: fetch.cluster,
                headers: vec![
                    (":method", "GET".to_owned()),
                    (":scheme", fetch.scheme),
                    (":authority", fetch.authority),
                    (":path", fetch.path),
                    ("accept", "application/json".to_owned()),
                ],
                body: Rc::from([]),
                timeout: std::time::Duration::from_secs(5),
            })
            .collect();
        self.metrics.add(Metric::KeyFetches, callouts.len() as u64);
        for mint in self.credentials.poll(now) {
            let id = self.next_renewal;
            self.next_renewal = id.saturating_add(1);
            if let Some(callout) = self.credentials.callout(&mint, id) {
                self.metrics.count(Metric::TokenRequests);
                self.renewals.insert(id, mint);
                callouts.push(callout);
            }
        }
        callouts.extend(self.due_posts(now));
        self.metrics.set(Metric::StaleIssuers, self.authenticator.stale_issuers(now) as u64);
        if let Some(oldest) = self.outbox.oldest() {
            self.metrics.observe(Metric::OutboxAge, millis_between(oldest, now));
        }
        self.gauge_outbox();
        callouts
    }

    /// Batches to post now. To be asked for on each tick, and after each answer of the collector's: what waits after an outage
    /// goes as fast as it is acknowledged.
    pub fn due_posts(&mut self, now: Timestamp) -> Vec<Callout> {
        let posts = self.outbox.poll(now);
        posts.iter().for_each(|post| self.count_post(post));
        posts.iter().map(|post| self.post(post)).collect()
    }

    /// Why a batch was not acknowledged, for who reads the log.
    fn unacknowledged(&self, batch: u64, status: Option<u16>) -> String {
        let cluster = &self.config.recording.collector.cluster;
        let why = match status {
            None => format!("no answer; is there a cluster {cluster:?}, and is the collector up?"),
            Some(200) => "the answer is not an acknowledgement; is it the collector that answers?".to_owned(),
            Some(401) => "answer 401: it does not know the token in recording.collector.token".to_owned(),
            Some(403) => "answer 403: it does not know the signing key, or the signature is wrong".to_owned(),
            Some(409) => "answer 409: it holds another batch of this number".to_owned(),
            Some(status) => format!("answer {status}"),
        };
        format!("The collector did not acknowledge batch {batch}: {why}.")
    }

    fn count_post(&mut self, post: &Post) {
        self.metrics.count(Metric::Posts);
        self.metrics.add(Metric::PostedBytes, post.body.len() as u64);
        if post.attempts > 0 {
            self.metrics.count(Metric::PostsRetried);
        }
    }

    /// The answer to something [`Gateway::on_tick`] asked for. Gives what an operator should read in the log.
    pub fn on_answer(
        &mut self,
        now: Timestamp,
        jitter: u64,
        purpose: Purpose,
        answer: &Answer,
    ) -> Vec<String> {
        match purpose {
            Purpose::Batch(batch) => {
                let acknowledged = self.is_acknowledgement(batch, answer.status, &answer.body);
                self.posted(now, batch, acknowledged, jitter);
                if acknowledged { Vec::new() } else { vec![self.unacknowledged(batch, answer.status)] }
            }
            Purpose::Token(id) => {
                let renewed = self.renewals.remove(&id).map(|mint| self.minted(now, &mint, answer));
                match renewed {
                    Some(Err(refusal)) => {
                        vec![format!("Renewing an upstream token failed: {}.", refusal.status.message())]
                    }
                    _ => Vec::new(),
                }
            }
            Purpose::Keys(id) => {
                match self.authenticator.on_answer(now, jitter, id, answer.status, &answer.body) {
                    Ok(()) => Vec::new(),
                    Err(error) => {
                        self.metrics.count(Metric::KeyFetchesFailed);
                        vec![format!("Fetching an issuer's keys failed: {error}.")]
                    }
                }
            }
        }
    }

    /// The callout that posts a batch.
    pub fn post(&self, post: &Post) -> Callout {
        let Collector { cluster, authority, path, timeout, token } = &self.config.recording.collector;
        let token = token.value.as_ref().map(|token| String::from_utf8_lossy(token.expose()).into_owned());
        Callout {
            purpose: Purpose::Batch(post.batch),
            cluster: cluster.clone(),
            headers: vec![
                (":method", "POST".to_owned()),
                (":scheme", "http".to_owned()),
                (":authority", authority.clone()),
                (":path", path.clone()),
                ("content-type", "application/json".to_owned()),
                ("authorization", format!("Bearer {}", token.unwrap_or_default())),
                (chaperone_record::SIGNATURE_HEADER, post.signature.to_string()),
            ],
            body: post.body.clone(),
            timeout: *timeout,
        }
    }

    /// Whether this is the collector's word that it holds the batch: 200, naming this recorder and this batch. Anything
    /// else, from whoever answers in the collector's place, is not.
    pub fn is_acknowledgement(&self, batch: u64, status: Option<u16>, body: &[u8]) -> bool {
        let said: Option<Acknowledgement> = serde_json::from_slice(body).ok();
        status == Some(200)
            && said.is_some_and(|said| said.batch == batch && said.recorder == self.outbox.recorder())
    }

    /// What was counted.
    pub fn metrics(&mut self) -> &mut Metrics {
        &mut self.metrics
    }

    pub(super) fn count(&mut self, metric: Metric) {
        self.metrics.count(metric);
    }

    pub(super) fn count_masked(&mut self, masked: &[Masked]) {
        let values = masked.iter().fold(0u64, |sum, one| sum.saturating_add(one.count));
        self.metrics.add(Metric::Masked, values);
    }

    pub(super) fn count_refusal(&mut self, refusal: &Refusal) {
        self.metrics.count(Metric::refused(refusal.code));
    }

    /// Whether another exchange may begin: there is room for its record, or a gap may tell of it.
    pub(super) fn has_room(&self) -> bool {
        self.config.recording.on_full == OnFull::Gap || self.outbox.has_room()
    }

    /// Why more of a stream could not be recorded, whose entries are in the batches from `since` on; none where it can.
    pub(super) fn unrecordable(&self, now: Timestamp, confirm: bool, since: u64) -> Option<&'static str> {
        if !confirm && self.config.recording.on_full == OnFull::Gap {
            return None;
        }
        let grace = self.config.recording.limits.stream_grace;
        if !self.outbox.has_room() {
            Some("unacknowledged records fill the outbox")
        } else if self.outbox.oldest_since(since).is_some_and(|oldest| now > oldest.later(grace)) {
            Some("the collector has not acknowledged the record of this stream for too long")
        } else {
            None
        }
    }

    /// Puts an entry into the outbox. Where there is no room, which it answers, a `gap` entry will say so.
    pub(super) fn write(&mut self, now: Timestamp, entry: &[u8]) -> bool {
        let taken = self.outbox.push(now, entry).is_ok();
        self.metrics.count(if taken { Metric::Entries } else { Metric::EntriesDropped });
        taken
    }

    /// The batch that the next entry will be in, or one after it.
    pub(super) fn next_batch(&self) -> u64 {
        self.outbox.next_batch()
    }

    /// Seals what is pending and gives, from that batch on, what is not acknowledged yet, for a stream to post itself.
    pub(super) fn seal(&mut self, now: Timestamp, since: u64) -> Vec<Post> {
        let posts = self.outbox.seal(now, since);
        for post in &posts {
            self.count_post(post);
        }
        posts
    }

    /// How a post ended.
    pub(super) fn posted(&mut self, now: Timestamp, batch: u64, acknowledged: bool, jitter: u64) {
        if acknowledged {
            if let Some(sealed) = self.outbox.acknowledged(batch) {
                self.metrics.observe(Metric::AcknowledgedAfter, millis_between(sealed, now));
            }
        } else {
            self.metrics.count(Metric::PostsFailed);
            self.outbox.failed(now, batch, jitter);
        }
    }

    /// A request body, masked for the record as a response would be. What can't be masked is not written down; its digest
    /// and length are.
    pub(super) fn masked_object(
        &self,
        body: &[u8],
        content_type: &str,
        plan: Plan,
        extra: &Extra,
    ) -> Option<Object> {
        if body.is_empty() {
            return None;
        }
        let media = content_type.split(';').next().unwrap_or_default().trim();
        // What is masked by kind says its kind: without these words there is nothing to mask.
        let says = |word: &[u8]| body.windows(word.len()).any(|window| window == word);
        if !plan.is_secret() && extra.is_empty() && !says(b"Secret") && !says(b"Token") {
            return Object::new(body);
        }
        // Where a patch writes is in its paths, which are not followed; text is looked through wherever it stands.
        if media == JSON_PATCH && (plan.is_secret() || extra.fields.is_some()) {
            return Some(self.masked_patch(body).unwrap_or_else(Object::omitted));
        }
        let mut masker = match Media::parse(media.as_bytes()) {
            Media::Protobuf if !extra.is_empty() => return Some(Object::omitted()),
            Media::Protobuf => BodyMasker::protobuf(plan, &self.mask),
            // Anything else is read as JSON, which much of what is sent as YAML is, and omitted where it is not.
            _ => BodyMasker::json(plan, extra.clone(), &self.mask),
        };
        let mut masked = Vec::with_capacity(body.len());
        let done = masker.push(body, &mut masked).and_then(|()| masker.finish(&mut masked));
        if done.is_ok() { Object::new(&masked) } else { Some(Object::omitted()) }
    }

    /// A JSON Patch without the values it writes.
    fn masked_patch(&self, body: &[u8]) -> Option<Object> {
        let mut operations: Vec<serde_json::Map<String, serde_json::Value>> =
            serde_json::from_slice(body).ok()?;
        for value in operations.iter_mut().filter_map(|operation| operation.get_mut("value")) {
            *value = self.mask.replacement.text().into();
        }
        Object::new(&serde_json::to_vec(&operations).ok()?)
    }

    /// What was masked in an exchange, sealed to the auditor where that is configured.
    pub(super) fn sealed(&self, masked: &MaskedPaths, exchange: ExchangeId) -> Option<String> {
        self.mask.recipient.as_ref()?.seal(masked.originals()?, &exchange.to_string())
    }

    /// The answer to a TokenRequest.
    pub(super) fn minted(
        &mut self,
        now: Timestamp,
        mint: &Mint,
        answer: &Answer,
    ) -> Result<Rc<UpstreamToken>, Refusal> {
        let token = self.credentials.minted(now, mint, answer);
        if token.is_err() {
            self.metrics.count(Metric::TokenRequestsFailed);
        }
        token
    }

    /// Whether a header is a source of attribution, which concerns nobody upstream.
    pub(super) fn attributes(&self, name: &[u8]) -> bool {
        let sources = &self.config.attribution;
        [&sources.agent, &sources.session, &sources.model, &sources.prompt]
            .into_iter()
            .flatten()
            .any(|source| source.header.as_ref().is_some_and(|header| header.as_bytes() == name))
    }
}

fn millis_between(from: Timestamp, to: Timestamp) -> u64 {
    to.micros().saturating_sub(from.micros()) / 1000
}
