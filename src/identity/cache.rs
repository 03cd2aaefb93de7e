//! Verified tokens, remembered by digest: a signature is checked once, not on every request.

use super::Identity;
use chaperone_record::Timestamp;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

/// A bounded cache. Only verified tokens get in, so that garbage evicts nothing; the oldest goes first.
pub(super) struct TokenCache {
    most: usize,
    known: HashMap<[u8; 32], Rc<Identity>>,
    order: VecDeque<[u8; 32]>,
}

impl TokenCache {
    pub(super) fn new(most: usize) -> Self {
        Self { most: most.max(1), known: HashMap::new(), order: VecDeque::new() }
    }

    /// The identity of a token that was verified before and has not ended.
    pub(super) fn get(&mut self, digest: &[u8; 32], now: Timestamp) -> Option<Rc<Identity>> {
        let identity = self.known.get(digest)?;
        if now > identity.expires {
            self.known.remove(digest);
            return None;
        }
        Some(identity.clone())
    }

    pub(super) fn insert(&mut self, digest: [u8; 32], identity: Rc<Identity>) {
        while self.order.len() >= self.most {
            let Some(oldest) = self.order.pop_front() else { break };
            self.known.remove(&oldest);
        }
        if self.known.insert(digest, identity).is_none() {
            self.order.push_back(digest);
        }
    }

    /// Forgets the tokens of an issuer whose key is not among those given.
    pub(super) fn retain_keys(&mut self, issuer: usize, keys: &[[u8; 32]]) {
        self.known.retain(|_, identity| identity.issuer != issuer || keys.contains(&identity.key));
        self.order.retain(|digest| self.known.contains_key(digest));
    }
}
