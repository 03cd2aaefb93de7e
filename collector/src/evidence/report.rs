//! What verification says.

use chaperone_record::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;

/// What verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// How many chains were walked.
    pub recorders: u64,
    /// How many batches were read.
    pub batches: u64,
    /// How many exchanges they tell of; of a part of the records, those that the part is about.
    pub exchanges: u64,
    /// How many batches carry a signature that holds.
    pub signed: u64,
    /// How many of them each key signed, by its `kid`.
    pub keys: BTreeMap<String, u64>,
    /// True where keys were given, so that every batch must be signed.
    pub signatures_checked: bool,
    /// When the checkpoint was taken that the chains were held against; none where none was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<Timestamp>,
    /// What is wrong.
    pub problems: Vec<Finding>,
    /// What was pruned.
    pub pruned: Vec<Finding>,
    /// What the recorders themselves admit to have lost.
    pub gaps: Vec<Finding>,
    /// Exchanges whose end, or beginning, is not in the records.
    pub incomplete: Vec<Finding>,
    /// Recorders that fell silent and left exchanges incomplete.
    pub silent: Vec<Finding>,
}

/// Something to say about a chain, or about an export as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The chain, where it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorder: Option<String>,
    /// The batch, where it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<i64>,
    /// Stable short name.
    pub code: Code,
    /// The same in words.
    pub message: String,
}

/// What a finding is. `docs/evidence.md` says how each is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Code {
    /// Numbers of a chain without a batch.
    Missing,
    /// A batch that does not follow from the one before it.
    Previous,
    /// A batch that states another recorder or number than it is kept under.
    Place,
    /// A batch that comes again, or out of order.
    Order,
    /// Bytes that are not a batch.
    Shape,
    /// Bytes that were kept beside the database, and are gone or others.
    Body,
    /// A signature that does not hold.
    Signature,
    /// A database's note about a batch that is no longer true of it.
    Noted,
    /// Other bytes under the number of a batch.
    Fork,
    /// A chain that ends before the batch that a checkpoint, an export's manifest or the index names.
    Truncated,
    /// A batch that is another one than the checkpoint or the manifest names.
    Rewritten,
    /// A recorder that the checkpoint names and that is not there.
    Removed,
    /// An exchange that an export says it is about, and of which it holds nothing.
    Exchange,
    /// An export that is not as it was written.
    Bundle,
    /// An index that says other things than the batches it was derived from.
    Index,
    /// A chain of which something was pruned, and no tombstone that a given key signed says so.
    Tombstone,
    /// Not a fault: what was pruned, as a tombstone says.
    Pruned,
    /// Not a fault: what a recorder admits to have lost.
    Gap,
    /// Not a fault: an exchange without its end or its beginning.
    Incomplete,
    /// Not a fault: a recorder that fell silent.
    Silent,
}

/// What it comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything was checked and nothing is wrong.
    Whole,
    /// Something is wrong.
    Broken,
    /// Nothing is wrong as far as could be seen, but signatures were not checked.
    Unsigned,
}

impl Report {
    /// What it comes to.
    pub fn verdict(&self) -> Verdict {
        match (self.problems.is_empty(), self.signatures_checked) {
            (false, _) => Verdict::Broken,
            (true, true) => Verdict::Whole,
            (true, false) => Verdict::Unsigned,
        }
    }

    pub(super) fn problem(
        &mut self,
        at: (Option<&str>, Option<i64>),
        code: Code,
        message: impl Into<String>,
    ) {
        self.problems.push(Finding::new(at, code, message));
    }
}

impl Finding {
    pub(super) fn new(
        (recorder, batch): (Option<&str>, Option<i64>),
        code: Code,
        message: impl Into<String>,
    ) -> Self {
        Self { recorder: recorder.map(str::to_owned), batch, code, message: message.into() }
    }
}
