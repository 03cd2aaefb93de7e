//! What bad tokens may cost. One that was refused for its signature is known again by its digest; and where the host does
//! not verify, which is fifty times dearer, only so many signatures may fail in a second.

use chaperone_record::Timestamp;
use std::collections::{HashSet, VecDeque};

/// Digests kept of tokens with a wrong signature.
const MOST_KNOWN: usize = 1024;
/// Signatures that may fail in wasm in one second: at 1 to 3 ms each, a tenth of a worker's time or so.
const MOST_FAILURES: u32 = 50;

/// Tokens that were refused for their signature, and how many lately.
#[derive(Default)]
pub(super) struct Flood {
    known: HashSet<[u8; 32]>,
    order: VecDeque<[u8; 32]>,
    second: u64,
    failures: u32,
}

impl Flood {
    /// Whether this token's signature was found wrong before, under the same keys.
    pub(super) fn knows(&self, digest: &[u8; 32]) -> bool {
        self.known.contains(digest)
    }

    /// Whether another signature may be verified in wasm now.
    pub(super) fn allows(&self, now: Timestamp) -> bool {
        self.second != second(now) || self.failures < MOST_FAILURES
    }

    /// A signature failed in wasm.
    pub(super) fn failed(&mut self, now: Timestamp) {
        if self.second != second(now) {
            (self.second, self.failures) = (second(now), 0);
        }
        self.failures = self.failures.saturating_add(1);
    }

    /// Remembers a token whose signature is wrong.
    pub(super) fn remember(&mut self, digest: [u8; 32]) {
        if self.order.len() >= MOST_KNOWN
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        if self.known.insert(digest) {
            self.order.push_back(digest);
        }
    }

    /// Keys changed: a signature that was wrong may be right now.
    pub(super) fn forget(&mut self) {
        self.known.clear();
        self.order.clear();
    }
}

fn second(now: Timestamp) -> u64 {
    now.micros() / 1_000_000
}
