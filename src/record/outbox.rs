//! The outbox: entries wait here, become batches, and stay until the collector has acknowledged them.

use super::chain::Chain;
use crate::config::Limits;
use chaperone_record::{Entry, Gap, Timestamp};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// Batches that the root context has under way at once; more would only queue at the collector. What streams post themselves
/// is not counted: as long as agents write, what waits would wait behind it.
const MOST_IN_FLIGHT: usize = 8;
const FIRST_RETRY: Duration = Duration::from_millis(200);
const LAST_RETRY: Duration = Duration::from_secs(10);

/// A batch to post.
#[derive(Clone, Debug)]
pub struct Post {
    /// Its number.
    pub batch: u64,
    /// Its exact bytes.
    pub body: Rc<[u8]>,
    /// The detached JWS over them.
    pub signature: Rc<str>,
    /// How often it was posted before.
    pub attempts: u32,
}

/// The outbox cannot take more.
#[derive(Debug, PartialEq, Eq)]
pub struct Full;

/// One worker VM's queue of entries and unacknowledged batches. The root context posts what [`Outbox::poll`] gives; a
/// stream that needs its entry confirmed posts what [`Outbox::seal`] gives itself. Both are links of one chain.
pub struct Outbox {
    chain: Chain,
    limits: Limits,
    /// How long a post may take; after that it is taken for lost.
    post_timeout: Duration,
    /// Serialised entries, joined by commas.
    pending: Vec<u8>,
    pending_since: Option<Timestamp>,
    batches: BTreeMap<u64, Batch>,
    batch_bytes: usize,
    dropped: Dropped,
}

struct Batch {
    post: Post,
    state: State,
    sealed: Timestamp,
}

enum State {
    /// Sealed, not posted yet, or to be posted again at this time.
    Due(Timestamp),
    /// Posted; taken for lost at this time, because the answer to a stream that is gone never comes. `polled` where
    /// [`Outbox::poll`] gave it.
    InFlight { lost: Timestamp, polled: bool },
}

#[derive(Default)]
struct Dropped {
    entries: u64,
    bytes: u64,
}

impl Outbox {
    /// An empty outbox.
    pub fn new(chain: Chain, limits: Limits, post_timeout: Duration) -> Self {
        Self {
            chain,
            limits,
            post_timeout,
            pending: Vec::new(),
            pending_since: None,
            batches: BTreeMap::new(),
            batch_bytes: 0,
            dropped: Dropped::default(),
        }
    }

    /// The chain's name.
    pub fn recorder(&self) -> &str {
        self.chain.recorder()
    }

    /// Bytes held: pending and unacknowledged.
    pub fn bytes(&self) -> usize {
        self.batch_bytes.saturating_add(self.pending.len())
    }

    /// Whether a new exchange may begin. A quarter is kept for what exchanges under way still have to say.
    pub fn has_room(&self) -> bool {
        self.bytes() < self.limits.outbox_bytes.saturating_sub(self.limits.outbox_bytes / 4)
    }

    /// Batches that wait for an acknowledgement.
    pub fn unacknowledged(&self) -> usize {
        self.batches.len()
    }

    /// Takes a serialised entry.
    ///
    /// # Errors
    /// [`Full`] where the bound is reached; a `gap` entry will say what was lost.
    pub fn push(&mut self, now: Timestamp, entry: &[u8]) -> Result<(), Full> {
        if self.bytes().saturating_add(entry.len()) > self.limits.outbox_bytes {
            self.dropped.entries = self.dropped.entries.saturating_add(1);
            self.dropped.bytes = self.dropped.bytes.saturating_add(entry.len() as u64);
            return Err(Full);
        }
        if let Some(open) = self.chain.open(now) {
            self.append(now, &open);
        }
        if let Some(gap) = self.close_gap(now) {
            self.append(now, &gap);
        }
        if !self.pending.is_empty()
            && self.pending.len().saturating_add(entry.len()) > self.limits.batch_bytes
        {
            self.seal_pending(now, State::Due(now));
        }
        self.append(now, entry);
        Ok(())
    }

    fn close_gap(&mut self, now: Timestamp) -> Option<Vec<u8>> {
        if self.dropped.entries == 0 {
            return None;
        }
        let Dropped { entries, bytes } = std::mem::take(&mut self.dropped);
        let gap: Entry = Entry::Gap(Gap { time: now, entries, bytes, reason: "outboxFull".to_owned() });
        Some(super::encode(&gap, None, None))
    }

    fn append(&mut self, now: Timestamp, entry: &[u8]) {
        if !self.pending.is_empty() {
            self.pending.push(b',');
        }
        self.pending.extend_from_slice(entry);
        self.pending_since.get_or_insert(now);
    }

    fn seal_pending(&mut self, now: Timestamp, state: State) -> Option<Post> {
        if self.pending.is_empty() {
            return None;
        }
        self.pending_since = None;
        let entries = std::mem::take(&mut self.pending);
        let post = self.chain.seal(&entries);
        self.batch_bytes = self.batch_bytes.saturating_add(post.body.len());
        self.batches.insert(post.batch, Batch { post: post.clone(), state, sealed: now });
        Some(post)
    }

    /// The number of the batch that what is pending will be.
    pub fn next_batch(&self) -> u64 {
        self.chain.next()
    }

    /// Seals all that is pending. Gives that batch and the unacknowledged ones before it from `since` on, for the caller to
    /// post at once and to answer for with [`Outbox::acknowledged`] or [`Outbox::failed`]. A batch may be posted twice: the
    /// collector takes the same bytes again.
    pub fn seal(&mut self, now: Timestamp, since: u64) -> Vec<Post> {
        self.seal_pending(now, State::Due(now));
        let lost = self.lost_at(now);
        let mut posts = Vec::new();
        for (_, batch) in self.batches.range_mut(since..) {
            let polled = matches!(batch.state, State::InFlight { polled: true, .. });
            batch.state = State::InFlight { lost, polled };
            posts.push(batch.post.clone());
        }
        posts
    }

    /// When a post begun now is taken for lost: its time-out and some time for the callback to come.
    fn lost_at(&self, now: Timestamp) -> Timestamp {
        now.later(self.post_timeout.saturating_add(Duration::from_secs(1)))
    }

    /// What is to be posted now: batches that are due, the pending one where it is old enough. A time that lies further ahead
    /// than it was ever set is over: the clock has gone back.
    pub fn poll(&mut self, now: Timestamp) -> Vec<Post> {
        let old = |since: Timestamp| now >= since.later(self.limits.flush_interval) || since > now;
        if self.pending_since.is_some_and(old) || self.pending.len() >= self.limits.batch_bytes {
            self.seal_pending(now, State::Due(now));
        }
        let (lost, last_retry) = (self.lost_at(now), now.later(LAST_RETRY));
        let mut in_flight: usize = 0;
        for batch in self.batches.values_mut() {
            if let State::InFlight { lost: until, polled } = batch.state {
                if now >= until || until > lost {
                    batch.post.attempts = batch.post.attempts.saturating_add(1);
                    batch.state = State::Due(now);
                } else {
                    in_flight = in_flight.saturating_add(usize::from(polled));
                }
            }
        }
        let mut posts = Vec::new();
        for batch in self.batches.values_mut() {
            if in_flight >= MOST_IN_FLIGHT {
                break;
            }
            if matches!(batch.state, State::Due(at) if now >= at || at > last_retry) {
                batch.state = State::InFlight { lost, polled: true };
                in_flight = in_flight.saturating_add(1);
                posts.push(batch.post.clone());
            }
        }
        posts
    }

    /// The collector holds the batch. Gives when it was sealed; none where that was said before.
    pub fn acknowledged(&mut self, batch: u64) -> Option<Timestamp> {
        let done = self.batches.remove(&batch)?;
        self.batch_bytes = self.batch_bytes.saturating_sub(done.post.body.len());
        Some(done.sealed)
    }

    /// Since when what has waited longest is here; none where nothing waits.
    pub fn oldest(&self) -> Option<Timestamp> {
        self.batches.first_key_value().map(|(_, batch)| batch.sealed).or(self.pending_since)
    }

    /// Since when what has waited longest is here, of the batches from one on; none where none of them waits.
    pub fn oldest_since(&self, batch: u64) -> Option<Timestamp> {
        self.batches.range(batch..).next().map(|(_, batch)| batch.sealed).or(self.pending_since)
    }

    /// A post failed; it is posted again after a pause that doubles up to a bound. `jitter` is any random number: it
    /// spreads the retries of many workers over half the pause.
    pub fn failed(&mut self, now: Timestamp, batch: u64, jitter: u64) {
        let Some(batch) = self.batches.get_mut(&batch) else { return };
        let pause = FIRST_RETRY
            .saturating_mul(1u32.checked_shl(batch.post.attempts.min(16)).unwrap_or(u32::MAX))
            .min(LAST_RETRY);
        let half = u64::try_from(pause.as_micros() / 2).unwrap_or(u64::MAX).max(1);
        let spread = jitter.checked_rem(half).unwrap_or(0);
        batch.post.attempts = batch.post.attempts.saturating_add(1);
        batch.state = State::Due(now.later(Duration::from_micros(half.saturating_add(spread))));
    }
}

#[cfg(test)]
#[path = "outbox/tests.rs"]
mod tests;
