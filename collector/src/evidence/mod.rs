//! What makes a record evidence: signatures over batches, chains of batches, and the keys behind them.
//!
//! - [`signature`] and [`keys`] check one batch; ingest uses them as much as verification does.
//! - [`audit`] walks chains and says in words what is wrong and where. It does not know where batches come from:
//!   [`database`] and [`bundle`] hand them to it.
//! - [`checkpoint`] is the heads of all chains at a moment, kept elsewhere, against which a cut tail shows.

pub mod audit;
pub mod bundle;
pub mod checkpoint;
pub mod database;
pub mod keys;
pub mod report;
pub mod scope;
pub mod sealing;
pub mod signature;
mod tally;
pub mod tombstone;

use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// SHA-256 in lower-case hex: how batches and bodies are named throughout the records.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
