//! The audit: walks chains, one after the other, and says in words what is wrong and where.

use super::checkpoint::{Checkpoint, Head};
use super::keys::KeySet;
use super::report::{Code, Finding, Report};
use super::scope::{Scope, Stretch};
use super::tally::Tally;
use super::tombstone::{Signed, Tombstone};
use super::{sha256_hex, signature};
use crate::store::batch::{Place, ReceivedBatch};
use chaperone_record::{Entry, FIRST_PREVIOUS, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// A batch as it is presented: what it is said to be, and its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exhibit {
    /// Whose chain it is said to be in.
    pub recorder: String,
    /// Which number it is said to have.
    pub batch: i64,
    /// The bytes.
    pub body: Vec<u8>,
    /// Why the bytes are not here, where they were kept beside the database and are lost.
    pub lost: Option<String>,
    /// The signature header.
    pub signature: Option<String>,
    /// What a database noted about it on arrival; none in an export.
    pub noted: Option<Noted>,
}

/// What a database notes beside a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noted {
    /// SHA-256 of the bytes.
    pub digest: String,
    /// The digest the batch states for the one before it.
    pub previous: String,
    /// The key that signed it; none where that was not checked.
    pub kid: Option<String>,
}

/// An audit under way: [`Audit::begin`] a chain, present its batches in order and then its forks, begin the next.
pub struct Audit<'a> {
    keys: &'a KeySet,
    scope: &'a Scope,
    heads: BTreeMap<&'a str, &'a Head>,
    chain: Option<Chain>,
    /// Exchanges of the session, where one is meant, that nothing has been seen of.
    unseen: BTreeSet<&'a str>,
    report: Report,
}

/// The chain that is being walked.
struct Chain {
    stretch: Stretch,
    next: i64,
    /// The last number and digest that came; none at the beginning.
    last: Option<(i64, String)>,
    /// Digest of the batch before; none where that is not known.
    previous: Option<String>,
    met_head: bool,
    tally: Tally,
}

impl<'a> Audit<'a> {
    /// Begins. Empty `keys` leave signatures unchecked. A checkpoint can only be held against everything.
    pub fn new(keys: &'a KeySet, scope: &'a Scope, checkpoint: Option<&'a Checkpoint>) -> Self {
        let unseen = match scope {
            Scope::Session { exchanges, .. } => exchanges.iter().map(String::as_str).collect(),
            Scope::Everything {} | Scope::Time { .. } => BTreeSet::new(),
        };
        let report = Report {
            signatures_checked: !keys.is_empty(),
            checkpoint: checkpoint.map(|checkpoint| checkpoint.time),
            ..Report::default()
        };
        let heads = checkpoint.map(Checkpoint::by_recorder).unwrap_or_default();
        Self { keys, scope, heads, chain: None, unseen, report }
    }

    /// Goes to the next chain, of which `stretch` is expected.
    pub fn begin(&mut self, stretch: &Stretch) {
        self.end_chain();
        self.report.recorders += 1;
        let first = if self.scope.is_everything() { 0 } else { stretch.first };
        self.chain = Some(Chain {
            stretch: stretch.clone(),
            next: first,
            last: None,
            previous: (first == 0).then(|| FIRST_PREVIOUS.to_owned()),
            met_head: false,
            tally: Tally::default(),
        });
    }

    /// Explains by its tombstone what was pruned of the chain that was begun. Where batches must be signed, so must it be.
    pub(super) fn explain(&mut self, recorder: &str, signed: &Signed, keys: &KeySet) {
        let opened = match keys.is_empty() && !self.keys.is_empty() {
            true => Err("no --tombstone-public-key was given to check its tombstone with"),
            false => signed.open(recorder, keys),
        };
        match opened {
            Ok(tombstone) => self.pruned(&tombstone),
            // A part of a chain that begins later stands without it.
            Err(_) if keys.is_empty() && !self.scope.is_everything() => {}
            Err(why) => {
                let message = format!("something of the chain is said to be pruned, but {why}");
                self.report.problem((Some(recorder), None), Code::Tombstone, message);
            }
        }
    }

    fn pruned(&mut self, tombstone: &Tombstone) {
        let Some(chain) = &mut self.chain else { return };
        let last = tombstone.first.saturating_sub(1);
        // A part of the chain may begin later.
        if tombstone.first >= chain.next {
            chain.next = tombstone.first;
            chain.previous = Some(tombstone.previous.clone());
            chain.last = Some((last, tombstone.previous.clone()));
        }
        let recorder = chain.stretch.recorder.as_str();
        if let Some(head) = self.heads.get(recorder)
            && head.batch == last
        {
            chain.met_head = true;
            if head.digest != tombstone.previous {
                let message = "the tombstone names another last batch than the checkpoint";
                self.report.problem((Some(recorder), Some(last)), Code::Rewritten, message);
            }
        }
        let message = format!("every batch up to {last} was pruned on {}", tombstone.time);
        self.report.pruned.push(Finding::new((Some(recorder), Some(last)), Code::Pruned, message));
    }

    /// The chain's next batch.
    pub fn batch(&mut self, exhibit: &Exhibit) {
        self.report.batches += 1;
        let Some(mut chain) = self.chain.take() else {
            return self.report.problem(at(exhibit), Code::Order, "the batch belongs to no chain");
        };
        if exhibit.batch < chain.next || exhibit.recorder != chain.stretch.recorder {
            self.report.problem(at(exhibit), Code::Order, "the batch comes again, or out of order");
        } else if let Some(lost) = &exhibit.lost {
            self.report.problem(at(exhibit), Code::Body, format!("its bytes are lost: {lost}"));
            chain.next = exhibit.batch.saturating_add(1);
            chain.last = exhibit.noted.as_ref().map(|noted| (exhibit.batch, noted.digest.clone()));
            chain.previous = None;
        } else {
            self.check(&mut chain, exhibit);
        }
        self.chain = Some(chain);
    }

    /// Other bytes that came under a number that was taken.
    pub fn fork(&mut self, exhibit: &Exhibit) {
        if let Some(lost) = &exhibit.lost {
            let message = format!("other bytes came under the same number, and they are lost: {lost}");
            return self.report.problem(at(exhibit), Code::Fork, message);
        }
        let digest = sha256_hex(&exhibit.body);
        let signed = match signature::verify(self.keys, exhibit.signature.as_deref(), &exhibit.body) {
            _ if self.keys.is_empty() => "their signature was not checked",
            Ok(_) => "they are signed: the recorder told two stories",
            Err(_) => "their signature does not hold",
        };
        let message = format!("other bytes came under the same number (sha-256 {digest}); {signed}");
        self.report.problem(at(exhibit), Code::Fork, message);
    }

    /// Something that is wrong with what the batches came in.
    pub(super) fn problem(
        &mut self,
        recorder: Option<&str>,
        batch: Option<i64>,
        code: Code,
        message: String,
    ) {
        self.report.problem((recorder, batch), code, message);
    }

    /// Ends with what was found.
    pub fn finish(mut self) -> Report {
        self.end_chain();
        for head in std::mem::take(&mut self.heads).into_values() {
            let message = format!(
                "the checkpoint knows this recorder, up to batch {}, but nothing of it is here",
                head.batch
            );
            self.report.problem((Some(&head.recorder), None), Code::Removed, message);
        }
        for exchange in std::mem::take(&mut self.unseen) {
            let message = format!("exchange {exchange} belongs to the session, but nothing of it is here");
            self.report.problem((None, None), Code::Exchange, message);
        }
        self.report
    }

    fn check(&mut self, chain: &mut Chain, exhibit: &Exhibit) {
        if exhibit.batch > chain.next {
            let missing = numbers(chain.next, exhibit.batch - 1);
            self.report.problem((Some(&exhibit.recorder), Some(chain.next)), Code::Missing, missing);
            chain.previous = None;
        }
        let digest = sha256_hex(&exhibit.body);
        let kid = self.check_signature(exhibit);
        if let Ok(place) = Place::read(&exhibit.body) {
            self.check_links(chain, exhibit, &place);
            if let Some(noted) = &exhibit.noted {
                self.check_noted(exhibit, noted, &place, &digest, kid.as_deref());
            }
        }
        match ReceivedBatch::parse(exhibit.body.clone(), None, None, Timestamp::from_micros(0)) {
            Ok(batch) => self.take_up(chain, &batch),
            Err(error) => self.report.problem(at(exhibit), Code::Shape, error.to_string()),
        }
        self.check_head(chain, exhibit, &digest);
        chain.previous = Some(digest.clone());
        chain.last = Some((exhibit.batch, digest));
        chain.next = exhibit.batch.saturating_add(1);
    }

    fn check_signature(&mut self, exhibit: &Exhibit) -> Option<String> {
        if self.keys.is_empty() {
            return None;
        }
        match signature::verify(self.keys, exhibit.signature.as_deref(), &exhibit.body) {
            Ok(kid) => {
                self.report.signed += 1;
                *self.report.keys.entry(kid.clone()).or_default() += 1;
                Some(kid)
            }
            Err(error) => {
                self.report.problem(at(exhibit), Code::Signature, error.to_string());
                None
            }
        }
    }

    fn check_links(&mut self, chain: &Chain, exhibit: &Exhibit, place: &Place) {
        if place.recorder != exhibit.recorder || i64::try_from(place.batch) != Ok(exhibit.batch) {
            let message = "the batch states another recorder or number than it is kept under";
            self.report.problem(at(exhibit), Code::Place, message);
        }
        if chain.previous.as_ref().is_some_and(|previous| *previous != place.previous) {
            let message = "it does not follow from the batch before it";
            self.report.problem(at(exhibit), Code::Previous, message);
        }
    }

    /// Without keys the noted key is all there is, and is the collector's word; with keys it must be the true one.
    fn check_noted(
        &mut self,
        exhibit: &Exhibit,
        noted: &Noted,
        place: &Place,
        digest: &str,
        kid: Option<&str>,
    ) {
        if noted.digest != digest {
            self.report.problem(at(exhibit), Code::Noted, "the bytes are not those that were received");
        }
        if noted.previous != place.previous {
            let message = "the digest of the batch before it is noted as another than it states";
            self.report.problem(at(exhibit), Code::Noted, message);
        }
        if kid.is_some() && noted.kid.is_some() && noted.kid.as_deref() != kid {
            let message = "the key that signed it is noted as another than it was";
            self.report.problem(at(exhibit), Code::Noted, message);
        }
    }

    fn take_up(&mut self, chain: &mut Chain, batch: &ReceivedBatch) {
        for located in &batch.entries {
            if let Entry::Gap(gap) = &located.entry {
                let message = format!(
                    "{} entries ({} bytes) were lost before {}: {}",
                    gap.entries, gap.bytes, gap.time, gap.reason
                );
                let place = (Some(batch.recorder.as_str()), Some(batch.batch));
                self.report.gaps.push(Finding::new(place, Code::Gap, message));
            }
            if let Some(exchange) = located.entry.exchange() {
                self.unseen.remove(exchange);
            }
            chain.tally.add(self.scope, batch.batch, &located.entry);
        }
    }

    fn check_head(&mut self, chain: &mut Chain, exhibit: &Exhibit, digest: &str) {
        let Some(head) = self.heads.get(exhibit.recorder.as_str()) else { return };
        if head.batch != exhibit.batch {
            return;
        }
        chain.met_head = true;
        if head.digest != digest {
            let message = "the batch is another one than the checkpoint names";
            self.report.problem(at(exhibit), Code::Rewritten, message);
        }
    }

    fn end_chain(&mut self) {
        let Some(chain) = self.chain.take() else { return };
        let recorder = chain.stretch.recorder.as_str();
        let (exchanges, incomplete) = chain.tally.finish(recorder, self.scope);
        self.report.exchanges += exchanges;
        self.report.incomplete.extend(incomplete);
        let ends = match &chain.last {
            Some((batch, _)) => format!("the chain ends with batch {batch}"),
            None => "nothing of the chain is here".to_owned(),
        };
        let last = chain.last.as_ref().map(|(batch, _)| *batch);
        let place = (Some(recorder), last);
        if let Some(head) = self.heads.remove(recorder)
            && !chain.met_head
            && last.is_none_or(|last| last < head.batch)
        {
            let message = format!("{ends}, but the checkpoint knows batch {}", head.batch);
            self.report.problem(place, Code::Truncated, message);
        }
        let expected = chain.stretch.last;
        if last.is_none_or(|last| last < expected) {
            let message = format!("{ends}, but it is listed up to batch {expected}");
            self.report.problem(place, Code::Truncated, message);
        } else if last.is_some_and(|last| last > expected) {
            let message = format!("{ends}, but it is listed only up to batch {expected}");
            self.report.problem(place, Code::Rewritten, message);
        } else if let (Some(expected), Some((_, digest))) = (&chain.stretch.digest, &chain.last)
            && expected != digest
        {
            self.report.problem(place, Code::Rewritten, "the last batch is another one than is listed");
        }
    }
}

fn at(exhibit: &Exhibit) -> (Option<&str>, Option<i64>) {
    (Some(&exhibit.recorder), Some(exhibit.batch))
}

/// `batch 3 is missing`, `batches 3 to 5 are missing`
fn numbers(first: i64, last: i64) -> String {
    if first == last {
        format!("batch {first} is missing")
    } else {
        format!("batches {first} to {last} are missing")
    }
}
