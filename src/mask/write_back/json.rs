//! The strings of a JSON or YAML body, escapes resolved, and where each stands.
//!
//! Lexical only: brackets, strings, commas and colons are followed, nothing is checked. A body that is no JSON is refused
//! by the API server; here it leads to a wrong name at worst, since the bytes as they are get searched as well.

use super::search::TextSearch;
use super::{Sentinel, WrittenBack};
use crate::mask::path::push_key;

/// Deeper places are named by the place that deep.
const MAX_DEPTH: usize = 64;

/// Longer keys are named by their beginning.
const MAX_KEY: usize = 128;

/// Follows a body's strings.
#[derive(Debug)]
pub(super) struct Strings {
    notation: Notation,
    search: TextSearch,
    /// The objects and lists around, from the outside in.
    places: Vec<Place>,
    /// How many more there are than are kept.
    deeper: usize,
    /// The key being read: of an object, or of a line of YAML.
    key: Vec<u8>,
    state: State,
    escape: Escape,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Notation {
    Json,
    /// JSON if the first character is a brace or bracket; else text with escapes anywhere.
    Undecided,
    /// YAML as people write it: no strings are told apart, the key is what stands before the line's first colon.
    Lines,
}

#[derive(Debug)]
enum Place {
    Object { key: Vec<u8> },
    List { index: u64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Between strings; whether the next string is a key.
    Between { key: bool },
    /// Within a string; whether it is a key.
    Within { key: bool },
}

/// An escape sequence, as far as it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escape {
    None,
    Begun,
    Hex { left: u8, value: u32 },
}

impl Strings {
    pub(super) fn json() -> Self {
        Self::new(Notation::Json)
    }

    pub(super) fn yaml() -> Self {
        Self::new(Notation::Undecided)
    }

    fn new(notation: Notation) -> Self {
        Self {
            notation,
            search: TextSearch::default(),
            places: Vec::new(),
            deeper: 0,
            key: Vec::new(),
            state: State::Between { key: false },
            escape: Escape::None,
        }
    }

    /// Reads on; what is found, with its place.
    pub(super) fn push(&mut self, sentinel: &Sentinel, chunk: &[u8]) -> Option<WrittenBack> {
        let mut rest = chunk;
        while let Some(first) = rest.first() {
            if self.notation == Notation::Undecided {
                match first {
                    b' ' | b'\t' | b'\r' | b'\n' => {
                        rest = rest.get(1..).unwrap_or_default();
                        continue;
                    }
                    b'{' | b'[' => self.notation = Notation::Json,
                    _ => {
                        self.notation = Notation::Lines;
                        self.state = State::Within { key: true };
                    }
                }
            }
            let (used, found) = match self.state {
                State::Between { key } => (self.between(rest, key), false),
                State::Within { key } => self.within(sentinel, rest, key),
            };
            if found {
                return Some(WrittenBack { key: self.name() });
            }
            rest = rest.get(used..).unwrap_or_default();
        }
        None
    }

    /// Reads up to the next string; how many bytes that took.
    fn between(&mut self, bytes: &[u8], key: bool) -> usize {
        let mark = |byte: &u8| b"\"{}[],:".contains(byte);
        let Some(at) = bytes.iter().position(mark) else { return bytes.len() };
        let in_object = matches!(self.places.last(), Some(Place::Object { .. })) && self.deeper == 0;
        let next_key = match bytes.get(at) {
            Some(b'"') => {
                self.search.clear();
                if key {
                    self.key.clear();
                }
                self.state = State::Within { key };
                return at.saturating_add(1);
            }
            Some(b'{') => self.enter(Place::Object { key: Vec::new() }),
            Some(b'[') => {
                self.enter(Place::List { index: 0 });
                false
            }
            Some(b'}' | b']') => {
                self.leave();
                false
            }
            Some(b',') => {
                if let (Some(Place::List { index }), 0) = (self.places.last_mut(), self.deeper) {
                    *index = index.saturating_add(1);
                }
                in_object
            }
            _ => false,
        };
        self.state = State::Between { key: next_key };
        at.saturating_add(1)
    }

    /// Whether the place is kept.
    fn enter(&mut self, place: Place) -> bool {
        let kept = self.deeper == 0 && self.places.len() < MAX_DEPTH;
        if kept {
            self.places.push(place);
        } else {
            self.deeper = self.deeper.saturating_add(1);
        }
        kept
    }

    fn leave(&mut self) {
        match self.deeper.checked_sub(1) {
            Some(deeper) => self.deeper = deeper,
            None => drop(self.places.pop()),
        }
    }

    /// Reads a string's next piece; how many bytes, and whether a form ended in it.
    fn within(&mut self, sentinel: &Sentinel, bytes: &[u8], key: bool) -> (usize, bool) {
        let Some(first) = bytes.first() else { return (0, false) };
        if self.escape != Escape::None {
            let found = match self.unescape(*first) {
                Some(char) => self.take(sentinel, char.encode_utf8(&mut [0; 4]).as_bytes(), key),
                None => false,
            };
            return (1, found);
        }
        let stop = |byte: &u8| match self.notation {
            Notation::Json | Notation::Undecided => matches!(byte, b'"' | b'\\'),
            Notation::Lines => matches!(byte, b'\n' | b'\\') || (key && *byte == b':'),
        };
        let at = bytes.iter().position(stop);
        let piece = bytes.get(..at.unwrap_or(bytes.len())).unwrap_or_default();
        if !piece.is_empty() && self.take(sentinel, piece, key) {
            return (piece.len(), true);
        }
        let mut found = false;
        match at.and_then(|at| bytes.get(at)) {
            Some(b'\\') => self.escape = Escape::Begun,
            Some(b'"') => self.end_string(key),
            Some(b'\n') => {
                self.key.clear();
                found = self.take(sentinel, b"\n", false);
                self.state = State::Within { key: true };
            }
            Some(b':') => {
                found = self.take(sentinel, b":", false);
                self.state = State::Within { key: false };
            }
            _ => {}
        }
        (at.map_or(bytes.len(), |at| at.saturating_add(1)), found)
    }

    fn end_string(&mut self, key: bool) {
        if let (true, 0, Some(Place::Object { key: current })) = (key, self.deeper, self.places.last_mut()) {
            std::mem::swap(current, &mut self.key);
        }
        self.state = State::Between { key: false };
    }

    /// Takes a piece of a string's content.
    fn take(&mut self, sentinel: &Sentinel, piece: &[u8], key: bool) -> bool {
        if key {
            let space = MAX_KEY.saturating_sub(self.key.len());
            self.key.extend_from_slice(piece.get(..space).unwrap_or(piece));
        }
        self.search.push(sentinel, piece)
    }

    /// Reads an escape's next byte; the character, where it is whole.
    fn unescape(&mut self, byte: u8) -> Option<char> {
        let (next, char) = match self.escape {
            Escape::None => (Escape::None, None),
            Escape::Begun => match byte {
                b'u' => (Escape::Hex { left: 4, value: 0 }, None),
                // YAML alone has these two, and more that stand for no printable ASCII.
                b'x' => (Escape::Hex { left: 2, value: 0 }, None),
                b'U' => (Escape::Hex { left: 8, value: 0 }, None),
                b'n' => (Escape::None, Some('\n')),
                b't' => (Escape::None, Some('\t')),
                b'r' => (Escape::None, Some('\r')),
                other => (Escape::None, Some(char::from(other))),
            },
            Escape::Hex { left, value } => {
                let digit = char::from(byte).to_digit(16).unwrap_or(0);
                let value = value.wrapping_shl(4) | digit;
                match left.saturating_sub(1) {
                    0 => (Escape::None, Some(char::from_u32(value).unwrap_or('\u{fffd}'))),
                    left => (Escape::Hex { left, value }, None),
                }
            }
        };
        self.escape = next;
        char
    }

    /// Where the present string stands.
    fn name(&self) -> Option<String> {
        let mut name = String::new();
        if self.notation == Notation::Lines {
            let key = self.key.trim_ascii_start();
            let key = key.strip_prefix(b"- ").unwrap_or(key).trim_ascii();
            let quoted = |byte: &u8| matches!(byte, b'"' | b'\'');
            let plain: Vec<u8> = key.iter().copied().filter(|byte| !quoted(byte)).collect();
            let named = matches!(self.state, State::Within { key: false }) && !plain.is_empty();
            return named.then(|| String::from_utf8_lossy(&plain).into_owned());
        }
        // A key is named by the object it belongs to.
        let own = usize::from(self.state == State::Within { key: true });
        for place in self.places.iter().take(self.places.len().saturating_sub(own)) {
            match place {
                Place::Object { key } => push_key(&mut name, key),
                Place::List { index } => name.push_str(&format!("[{index}]")),
            }
        }
        Some(name.trim_start_matches('.').to_owned()).filter(|name| !name.is_empty())
    }
}
