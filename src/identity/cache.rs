//! Verified tokens, remembered by digest: a signature is checked once, not on every request.

use super::Identity;
use chaperone_record::Timestamp;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

/// Claims are kept with every token. All tokens' text together is at most this long, however many may be kept.
const MOST_BYTES: usize = 16 << 20;

/// A bounded cache. Only verified tokens get in, so that garbage evicts nothing; the oldest goes first.
pub(super) struct TokenCache {
    most: usize,
    known: HashMap<[u8; 32], Rc<Identity>>,
    /// Digests and lengths of the tokens, oldest first.
    order: VecDeque<([u8; 32], usize)>,
    bytes: usize,
}

impl TokenCache {
    pub(super) fn new(most: usize) -> Self {
        Self { most: most.max(1), known: HashMap::new(), order: VecDeque::new(), bytes: 0 }
    }

    /// The identity of a token that was verified before and has not ended.
    pub(super) fn get(&self, digest: &[u8; 32], now: Timestamp) -> Option<Rc<Identity>> {
        self.known.get(digest).filter(|identity| now < identity.expires).cloned()
    }

    /// Remembers a verified token of `length` bytes.
    pub(super) fn insert(&mut self, digest: [u8; 32], length: usize, identity: Rc<Identity>) {
        if self.known.insert(digest, identity).is_some() {
            return;
        }
        self.order.push_back((digest, length));
        self.bytes = self.bytes.saturating_add(length);
        while self.order.len() > self.most || self.bytes > MOST_BYTES {
            let Some((oldest, length)) = self.order.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(length);
            self.known.remove(&oldest);
        }
    }

    /// Forgets the tokens of an issuer whose key is not among those given.
    pub(super) fn retain_keys(&mut self, issuer: usize, keys: &[[u8; 32]]) {
        self.known.retain(|_, identity| identity.issuer != issuer || keys.contains(&identity.key));
        self.order.retain(|(digest, _)| self.known.contains_key(digest));
        self.bytes = self.order.iter().fold(0, |sum, (_, length)| sum.saturating_add(*length));
    }
}
