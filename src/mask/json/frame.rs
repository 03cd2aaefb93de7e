//! The objects and arrays that are open around the place being read.

use super::JsonError;
use super::role::{Nature, Role};
use crate::mask::fields::Reach;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Keys of one object that are remembered, to find one that is there twice.
const MOST_MEMBERS: usize = 100_000;
/// So many are compared one by one.
const FEW: usize = 32;

/// An open object or array in which places matter; others are counted by [`Skip`](super::skip::Skip) alone.
pub(super) struct Frame {
    pub(super) array: bool,
    pub(super) role: Role,
    pub(super) nature: Nature,
    /// Which configured fields lead through here.
    pub(super) reach: Reach,
    /// The key of the member being read, for the report.
    pub(super) key: Vec<u8>,
    /// Elements that came before, in an array.
    pub(super) index: usize,
    /// The `name` beside a `value`: what an environment variable is called tells what it holds.
    pub(super) name: Vec<u8>,
    pub(super) seen: Seen,
}

/// The keys of one object so far.
#[derive(Default)]
pub(super) struct Seen {
    few: Vec<u64>,
    more: HashSet<u64>,
}

impl Seen {
    pub(super) fn add(&mut self, key: &[u8]) -> Result<(), JsonError> {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let hash = hasher.finish();
        if self.few.contains(&hash) {
            return Err(JsonError::DuplicateKey);
        }
        if self.few.len() < FEW {
            self.few.push(hash);
        } else if !self.more.insert(hash) {
            return Err(JsonError::DuplicateKey);
        } else if self.more.len() > MOST_MEMBERS {
            return Err(JsonError::TooLong);
        }
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.few.len().saturating_add(self.more.len())
    }
}
