//! Verification: walks every chain of a database and says in words what is wrong and where.

use super::keys::KeySet;
use super::{sha256_hex, signature};
use crate::store::StoreError;
use crate::store::batch::{Envelope, ReceivedBatch};
use crate::store::sqlite::{Reader, StoredBatch};
use chaperone_record::{Entry, FIRST_PREVIOUS, Timestamp};
use serde::Serialize;

/// What verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// How many chains were walked.
    pub recorders: u64,
    /// How many batches were read.
    pub batches: u64,
    /// How many of them carry a signature that holds.
    pub signed: u64,
    /// True where keys were given, so that every batch must be signed.
    pub signatures_checked: bool,
    /// What is wrong.
    pub problems: Vec<Finding>,
    /// What the recorders themselves admit to have lost.
    pub gaps: Vec<Finding>,
}

/// Something to say about a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The chain.
    pub recorder: String,
    /// The batch, where it is about one.
    pub batch: Option<i64>,
    /// Stable short name.
    pub code: &'static str,
    /// The same in words.
    pub message: String,
}

/// Checks every chain. Keys that are empty leave signatures unchecked.
pub async fn verify(reader: &Reader, keys: &KeySet) -> Result<Report, StoreError> {
    let mut report = Report { signatures_checked: !keys.is_empty(), ..Report::default() };
    for recorder in reader.chains().await? {
        report.recorders += 1;
        let mut chain = Chain::new(recorder, keys);
        let mut after = -1;
        while let Some(batch) = reader.batch_after(&chain.recorder, after).await? {
            after = batch.batch;
            chain.check(&batch, &mut report);
        }
    }
    for fork in reader.forks().await? {
        report.problems.push(Finding {
            recorder: fork.recorder,
            batch: Some(fork.batch),
            code: "fork",
            message: format!("other bytes came under the same number (sha-256 {})", fork.digest),
        });
    }
    Ok(report)
}

/// One chain as far as it has been walked.
struct Chain<'a> {
    recorder: String,
    keys: &'a KeySet,
    next: i64,
    /// Digest of the batch before; none after a missing one.
    previous: Option<String>,
}

impl<'a> Chain<'a> {
    fn new(recorder: String, keys: &'a KeySet) -> Self {
        Self { recorder, keys, next: 0, previous: Some(FIRST_PREVIOUS.to_owned()) }
    }

    fn check(&mut self, stored: &StoredBatch, report: &mut Report) {
        report.batches += 1;
        if stored.batch > self.next {
            let last = stored.batch - 1;
            let which = if last == self.next {
                format!("batch {last} is")
            } else {
                format!("batches {} to {last} are", self.next)
            };
            self.problem(report, self.next, "missing", format!("{which} missing"));
            self.previous = None;
        }
        let digest = sha256_hex(&stored.body);
        if digest != stored.digest {
            self.problem(report, stored.batch, "digest", "the bytes are not those that were received".into());
        }
        self.check_signature(stored, report);
        match serde_json::from_slice::<Envelope<'_>>(&stored.body) {
            Ok(envelope) => self.check_links(stored, &envelope, report),
            Err(_) => self.problem(report, stored.batch, "shape", "the bytes are not a batch".into()),
        }
        self.note_gaps(stored, report);
        self.previous = Some(digest);
        self.next = stored.batch.saturating_add(1);
    }

    fn check_signature(&self, stored: &StoredBatch, report: &mut Report) {
        if self.keys.is_empty() {
            return;
        }
        match signature::verify(self.keys, stored.signature.as_deref(), &stored.body) {
            Ok(_) => report.signed += 1,
            Err(error) => self.problem(report, stored.batch, "signature", error.to_string()),
        }
    }

    fn check_links(&self, stored: &StoredBatch, envelope: &Envelope<'_>, report: &mut Report) {
        if envelope.recorder != self.recorder || i64::try_from(envelope.batch) != Ok(stored.batch) {
            self.problem(
                report,
                stored.batch,
                "place",
                "the batch states another recorder or number than it is kept under".into(),
            );
        }
        if self.previous.as_ref().is_some_and(|previous| *previous != envelope.previous) {
            self.problem(
                report,
                stored.batch,
                "previous",
                "it does not follow from the batch before it".into(),
            );
        }
    }

    fn note_gaps(&self, stored: &StoredBatch, report: &mut Report) {
        let Ok(batch) = ReceivedBatch::parse(stored.body.clone(), None, None, Timestamp::from_micros(0))
        else {
            return;
        };
        for located in &batch.entries {
            let Entry::Gap(gap) = &located.entry else { continue };
            let message = format!(
                "{} entries ({} bytes) were lost before {}: {}",
                gap.entries, gap.bytes, gap.time, gap.reason
            );
            report.gaps.push(Finding {
                recorder: self.recorder.clone(),
                batch: Some(stored.batch),
                code: "gap",
                message,
            });
        }
    }

    fn problem(&self, report: &mut Report, batch: i64, code: &'static str, message: String) {
        report.problems.push(Finding { recorder: self.recorder.clone(), batch: Some(batch), code, message });
    }
}
