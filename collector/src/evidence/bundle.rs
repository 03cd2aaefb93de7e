//! Exports: a part of the records in one file that verifies offline. `docs/evidence.md` describes the format.
//!
//! JSON Lines: a manifest, then each chain's tombstone, batches in order and forks, then a line with the digest of
//! everything before it. Nothing of the file is believed but batches and tombstones: their signatures carry all the proof.

use super::audit::{Audit, Exhibit};
use super::checkpoint::Checkpoint;
use super::keys::KeySet;
use super::report::{Code, Report};
use super::scope::{Scope, Stretch};
use super::tombstone::Signed;
use super::{database, hex};
use crate::present::sanitize::escape;
use crate::store::Reader;
use crate::store::StoreError;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chaperone_record::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::io::{self, BufRead, Read as _, Write};

/// Longest line that is read: the largest batch a collector can be told to take, as base64, and its signature.
const MAX_LINE: u64 = 3 << 29;

/// Why there is no verdict on an export.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// It could not be read.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// It does not begin with a manifest of a known format.
    #[error("not an export that this version of chaperone can read")]
    Foreign,
    /// A checkpoint names the ends of all chains, which only an export of everything reaches.
    #[error("a checkpoint can only be held against a database or an export of everything; this is a part")]
    Part,
}

/// Why an export could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file.
    #[error(transparent)]
    Write(#[from] io::Error),
    /// A batch's bytes are lost.
    #[error("batch {batch} of recorder {recorder} cannot be exported: {lost}")]
    Lost {
        /// Whose batch.
        recorder: String,
        /// Which.
        batch: i64,
        /// Why.
        lost: String,
    },
}

/// The one format there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Format {
    #[serde(rename = "chaperone-evidence/1")]
    One,
}

/// What an export says of itself. It is the exporter's word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    format: Format,
    /// When it was made.
    pub exported: Timestamp,
    /// Which part of the records it is.
    pub scope: Scope,
    /// The stretch of each chain that is in it, by recorder in order.
    pub chains: Vec<Stretch>,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
enum Line {
    Manifest(Manifest),
    Tombstone(Pruned),
    Batch(Kept),
    Fork(Kept),
    End(End),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    recorder: String,
    batch: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
    body: String,
}

/// What was pruned of a chain: a tombstone's bytes as they were signed.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pruned {
    recorder: String,
    signature: String,
    body: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    sha256: String,
}

/// Writes a part of a database. Returns the manifest and the number of batches.
pub async fn export(
    reader: &Reader,
    scope: Scope,
    exported: Timestamp,
    out: impl Write,
) -> Result<(Manifest, u64), ExportError> {
    let mut chains = reader.stretches(&scope).await?;
    for stretch in &mut chains {
        let last = reader.batch_after(&stretch.recorder, stretch.last - 1).await?;
        stretch.digest = last.map(|last| super::sha256_hex(&last.body));
    }
    let manifest = Manifest { format: Format::One, exported, scope, chains };
    let mut out = Lines { out, digest: Sha256::new() };
    out.line(&Line::Manifest(manifest.clone()))?;
    let mut batches = 0;
    for stretch in &manifest.chains {
        if let Some(Signed { text, signature }) = reader.tombstone(&stretch.recorder).await? {
            let (recorder, body) = (stretch.recorder.clone(), STANDARD.encode(text));
            out.line(&Line::Tombstone(Pruned { recorder, signature, body }))?;
        }
        let mut after = stretch.first - 1;
        while let Some(exhibit) = reader.batch_after(&stretch.recorder, after).await? {
            // What came since the manifest was written belongs to the next export.
            if exhibit.batch > stretch.last {
                break;
            }
            after = exhibit.batch;
            whole(&exhibit)?;
            batches += 1;
            out.line(&Line::Batch(Kept::of(exhibit)))?;
        }
        let range = (stretch.first, stretch.last);
        for fork in database::forks(reader, &stretch.recorder, &manifest.scope, range).await? {
            whole(&fork)?;
            out.line(&Line::Fork(Kept::of(fork)))?;
        }
    }
    let sha256 = hex(&out.digest.clone().finalize());
    out.line(&Line::End(End { sha256 }))?;
    out.out.flush()?;
    Ok((manifest, batches))
}

/// Refuses a batch without its bytes: an export that leaves it out would be no better.
fn whole(exhibit: &Exhibit) -> Result<(), ExportError> {
    let Some(lost) = exhibit.lost.clone() else { return Ok(()) };
    Err(ExportError::Lost { recorder: exhibit.recorder.clone(), batch: exhibit.batch, lost })
}

/// Checks an export with nothing but public keys.
pub fn verify(
    mut input: impl BufRead,
    keys: &KeySet,
    tombstone_keys: &KeySet,
    checkpoint: Option<&Checkpoint>,
) -> Result<(Manifest, Report), BundleError> {
    let mut text = Vec::new();
    read_line(&mut input, &mut text)?;
    let Ok(Line::Manifest(manifest)) = serde_json::from_slice(&text) else {
        return Err(BundleError::Foreign);
    };
    if checkpoint.is_some() && !manifest.scope.is_everything() {
        return Err(BundleError::Part);
    }
    let mut digest = Sha256::new();
    let mut audit = Audit::new(keys, &manifest.scope, checkpoint);
    let mut chains = Chains { stretches: &manifest.chains, begun: 0 };
    let mut ended = false;
    for number in 2_u64.. {
        digest.update(&text);
        read_line(&mut input, &mut text)?;
        if text.is_empty() {
            break;
        }
        let wrong = match serde_json::from_slice(&text) {
            _ if ended => Some("something follows the end"),
            Ok(Line::Tombstone(pruned)) => pruned.present(&mut chains, &mut audit, tombstone_keys).err(),
            Ok(Line::Batch(kept)) => kept.present(&mut chains, &mut audit, Audit::batch).err(),
            Ok(Line::Fork(kept)) => kept.present(&mut chains, &mut audit, Audit::fork).err(),
            Ok(Line::End(end)) => {
                ended = true;
                let same = end.sha256 == hex(&digest.clone().finalize()) && text.ends_with(b"\n");
                (!same).then_some("the digest of all lines before is another: the file was changed")
            }
            Ok(Line::Manifest(_)) => Some("a second manifest"),
            Err(_) => Some("not a line of an export"),
        };
        if let Some(wrong) = wrong {
            audit.problem(None, None, Code::Bundle, format!("line {number}: {wrong}"));
        }
    }
    if !ended {
        audit.problem(None, None, Code::Bundle, "the file has no end: it was cut short".into());
    }
    chains.finish(&mut audit);
    Ok((manifest.clone(), audit.finish()))
}

/// The manifest's chains, as far as they were begun.
struct Chains<'a> {
    stretches: &'a [Stretch],
    begun: usize,
}

impl Chains<'_> {
    /// Goes on to the chain of `recorder`, through those before it; false where it is not ahead.
    fn advance(&mut self, audit: &mut Audit<'_>, recorder: &str) -> bool {
        if self.current() == Some(recorder) {
            return true;
        }
        let position = self.ahead().iter().position(|stretch| stretch.recorder == recorder);
        position.map(|index| self.begin(audit, index + 1)).is_some()
    }

    /// Begins the chains that are left: nothing of them came.
    fn finish(&mut self, audit: &mut Audit<'_>) {
        self.begin(audit, self.ahead().len());
    }

    fn begin(&mut self, audit: &mut Audit<'_>, count: usize) {
        self.ahead().iter().take(count).for_each(|stretch| audit.begin(stretch));
        self.begun += count;
    }

    fn ahead(&self) -> &[Stretch] {
        self.stretches.get(self.begun..).unwrap_or_default()
    }

    fn current(&self) -> Option<&str> {
        Some(self.stretches.get(self.begun.checked_sub(1)?)?.recorder.as_str())
    }
}

impl Pruned {
    fn present(
        self,
        chains: &mut Chains<'_>,
        audit: &mut Audit<'_>,
        keys: &KeySet,
    ) -> Result<(), &'static str> {
        let body = STANDARD.decode(&self.body).ok().and_then(|body| String::from_utf8(body).ok());
        let text = body.ok_or("its body is not text in base64")?;
        if chains.current() == Some(&self.recorder) {
            return Err("a tombstone comes before the batches of its chain, and once");
        }
        if !chains.advance(audit, &self.recorder) {
            return Err("it belongs to no chain of the manifest that can follow here");
        }
        audit.explain(&self.recorder, &Signed { text, signature: self.signature }, keys);
        Ok(())
    }
}

impl Kept {
    fn of(exhibit: Exhibit) -> Self {
        let body = STANDARD.encode(&exhibit.body);
        Self { recorder: exhibit.recorder, batch: exhibit.batch, signature: exhibit.signature, body }
    }

    fn present<'a>(
        self,
        chains: &mut Chains<'_>,
        audit: &mut Audit<'a>,
        take: fn(&mut Audit<'a>, &Exhibit),
    ) -> Result<(), &'static str> {
        let body = STANDARD.decode(&self.body).map_err(|_| "its body is not base64")?;
        if !chains.advance(audit, &self.recorder) {
            return Err("it belongs to no chain of the manifest that can follow here");
        }
        let Self { recorder, batch, signature, .. } = self;
        take(audit, &Exhibit { recorder, batch, body, lost: None, signature, noted: None });
        Ok(())
    }
}

/// A writer of lines that keeps the digest of all of them.
struct Lines<W> {
    out: W,
    digest: Sha256,
}

impl<W: Write> Lines<W> {
    fn line(&mut self, line: &Line) -> io::Result<()> {
        // Recorders and sessions are named by others: a file that is printed must not drive a terminal.
        let mut text = escape(&serde_json::to_string(line)?).into_owned();
        text.push('\n');
        self.digest.update(&text);
        self.out.write_all(text.as_bytes())
    }
}

/// Reads a line with its end; nothing at the end of the file.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<()> {
    line.clear();
    input.by_ref().take(MAX_LINE).read_until(b'\n', line)?;
    if line.len() as u64 == MAX_LINE {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a line is longer than any export's"));
    }
    Ok(())
}
