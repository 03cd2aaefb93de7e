//! The objects and arrays that are open around the place being read.

use super::JsonError;
use super::role::{Nature, Role};
use crate::mask::fields::Reach;
use std::collections::HashSet;

/// Keys of one object that are remembered, to find one that is there twice.
const MOST_MEMBERS: usize = 100_000;
/// The same in bytes.
const MOST_BYTES: usize = 4 << 20;
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

impl Frame {
    /// A frame that takes over what an earlier one allocated.
    pub(super) fn reuse(self, array: bool, role: Role, nature: Nature, reach: Reach) -> Self {
        let Self { mut key, mut name, mut seen, .. } = self;
        key.clear();
        name.clear();
        seen.clear();
        Self { array, role, nature, reach, key, index: 0, name, seen }
    }

    /// A frame for an object or array that begins.
    pub(super) fn new(array: bool, role: Role, nature: Nature, reach: Reach) -> Self {
        let (key, name, seen) = (Vec::new(), Vec::new(), Seen::default());
        Self { array, role, nature, reach, key, index: 0, name, seen }
    }
}

/// The keys of one object so far.
#[derive(Default)]
pub(super) struct Seen {
    /// The first few, one behind the other, and where each ends.
    few: Vec<u8>,
    ends: Vec<usize>,
    more: HashSet<Box<[u8]>>,
    bytes: usize,
}

impl Seen {
    pub(super) fn add(&mut self, key: &[u8]) -> Result<(), JsonError> {
        let mut start = 0;
        for end in &self.ends {
            if self.few.get(start..*end) == Some(key) {
                return Err(JsonError::DuplicateKey);
            }
            start = *end;
        }
        self.bytes = self.bytes.saturating_add(key.len());
        if self.ends.len() < FEW {
            self.few.extend_from_slice(key);
            self.ends.push(self.few.len());
        } else if !self.more.insert(key.into()) {
            return Err(JsonError::DuplicateKey);
        } else if self.more.len() > MOST_MEMBERS || self.bytes > MOST_BYTES {
            return Err(JsonError::TooLong);
        }
        Ok(())
    }

    /// Whether there was a key of which this is true.
    pub(super) fn any(&self, is: impl Fn(&[u8]) -> bool) -> bool {
        let mut start = 0;
        let few = self.ends.iter().any(|end| {
            let key = self.few.get(start..*end).unwrap_or_default();
            start = *end;
            is(key)
        });
        few || self.more.iter().any(|key| is(key))
    }

    fn clear(&mut self) {
        self.few.clear();
        self.ends.clear();
        self.more = HashSet::new();
        self.bytes = 0;
    }
}
