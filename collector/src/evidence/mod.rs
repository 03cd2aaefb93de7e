//! What makes a record evidence: signatures over batches, chains of batches, and the keys behind them.

pub mod chain;
pub mod keys;
pub mod signature;

use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// SHA-256 in lower-case hex: how batches and bodies are named throughout the records.
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
