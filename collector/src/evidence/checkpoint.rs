//! A checkpoint: the signed heads of all chains at a moment.
//!
//! A chain proves that nothing before its last batch was taken away, but not that this batch is the last there was.
//! Whoever keeps a checkpoint out of the collector's reach can prove up to where each chain went.

use super::sha256_hex;
use crate::store::Reader;
use crate::store::StoreError;
use chaperone_record::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The one format there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Format {
    #[serde(rename = "chaperone-checkpoint/1")]
    One,
}

/// The heads of all chains.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    format: Format,
    /// When it was taken.
    pub time: Timestamp,
    /// Each chain's last batch.
    pub heads: Vec<Head>,
}

/// A chain's last batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Whose chain.
    pub recorder: String,
    /// Its highest number.
    pub batch: i64,
    /// SHA-256 of its bytes, lower-case hex.
    pub digest: String,
    /// Its signature header: with the batch's bytes it proves that the recorder wrote this head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
}

impl Checkpoint {
    /// Takes one of a database.
    pub async fn take(reader: &Reader, time: Timestamp) -> Result<Self, StoreError> {
        let mut heads = Vec::new();
        for recorder in reader.chains().await? {
            // A chain of which nothing is left has no head; verification says so.
            let Some(last) = reader.last_batch(&recorder).await? else { continue };
            if let Some(lost) = last.lost {
                return Err(StoreError::Lost(lost));
            }
            heads.push(Head {
                recorder,
                batch: last.batch,
                digest: sha256_hex(&last.body),
                signature: last.signature,
            });
        }
        Ok(Self::new(time, heads))
    }

    /// One with these heads.
    pub fn new(time: Timestamp, heads: Vec<Head>) -> Self {
        Self { format: Format::One, time, heads }
    }

    /// The heads by recorder.
    pub(super) fn by_recorder(&self) -> BTreeMap<&str, &Head> {
        self.heads.iter().map(|head| (head.recorder.as_str(), head)).collect()
    }
}
