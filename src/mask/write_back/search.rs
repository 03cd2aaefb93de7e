//! A search for texts in bytes that come in pieces.

use super::Sentinel;
use crate::mask::literals::Literals;

/// Finds the replacement in a text that comes in pieces, also where the text is broken over lines: Go's base64 reads over
/// line ends, and YAML folds them.
#[derive(Debug, Default)]
pub(super) struct TextSearch {
    exact: Search,
    unbroken: Search,
}

impl TextSearch {
    /// Whether a form ends in the next piece.
    pub(super) fn push(&mut self, sentinel: &Sentinel, piece: &[u8]) -> bool {
        self.exact.push(&sentinel.forms, piece) || self.unbroken.push_unbroken(sentinel, piece)
    }

    /// Begins anew.
    pub(super) fn clear(&mut self) {
        self.exact.clear();
        self.unbroken.clear();
    }
}

/// Finds a text of a set in a stream, wherever it is cut.
#[derive(Debug, Default)]
pub(super) struct Search {
    /// The last bytes, one fewer than the longest text has.
    tail: Vec<u8>,
}

impl Search {
    /// Whether a text ends in the next bytes.
    pub(super) fn push(&mut self, texts: &Literals, chunk: &[u8]) -> bool {
        let keep = texts.longest().saturating_sub(1);
        if chunk.len() <= keep {
            self.tail.extend_from_slice(chunk);
            let found = holds(texts, &self.tail);
            self.tail.drain(..self.tail.len().saturating_sub(keep));
            return found;
        }
        self.tail.extend_from_slice(chunk.get(..keep).unwrap_or_default());
        let found = holds(texts, &self.tail) || holds(texts, chunk);
        self.tail.clear();
        self.tail.extend_from_slice(chunk.get(chunk.len().saturating_sub(keep)..).unwrap_or_default());
        found
    }

    /// Whether a form without its white space ends in the next bytes without theirs.
    pub(super) fn push_unbroken(&mut self, sentinel: &Sentinel, chunk: &[u8]) -> bool {
        self.push(&sentinel.unbroken, &without_white_space(chunk))
    }

    /// Begins anew.
    pub(super) fn clear(&mut self) {
        self.tail.clear();
    }
}

/// The bytes that are no ASCII white space.
pub(super) fn without_white_space(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect()
}

fn holds(texts: &Literals, bytes: &[u8]) -> bool {
    let mut from = 0;
    while let Some(mut candidate) = texts.find(bytes, from) {
        loop {
            if candidate.whole {
                return true;
            }
            match texts.next_at(bytes, candidate) {
                Some(next) => candidate = next,
                None => break,
            }
        }
        from = candidate.at.saturating_add(1);
    }
    false
}
