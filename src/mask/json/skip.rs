//! Reads on through what holds nothing to mask: whole tokens at a time, of which only the syntax is checked.
//!
//! Most of every document is such: specs, statuses, managed fields. The rules are those of [`JsonMasker::byte`], which takes
//! over where a token has an escape that is not plain, a character beyond ASCII, or is cut by the end of the chunk.

use super::number::Number;
use super::text::{Inside, plain_run};
use super::{Fate, JsonError, JsonMasker, Lex, MOST_DEPTH, MOST_DIGITS};

/// The open objects and arrays below the innermost frame; a bit each tells them apart.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Skip {
    pub(super) depth: usize,
    arrays: u128,
}

impl Skip {
    pub(super) fn open(&mut self, array: bool) {
        self.arrays = self.arrays << 1 | u128::from(array);
        self.depth = self.depth.saturating_add(1);
    }

    pub(super) fn close(&mut self) {
        self.arrays >>= 1;
        self.depth = self.depth.saturating_sub(1);
    }

    pub(super) fn in_array(&self) -> bool {
        self.arrays & 1 == 1
    }
}

/// How a string's end was looked for.
enum Found {
    /// The place of the closing quote.
    Quote(usize),
    /// A place where reading goes on byte by byte.
    Slow(usize),
}

/// From inside a string to its closing quote, over plain characters and short escapes.
fn string(bytes: &[u8], mut at: usize) -> Found {
    loop {
        at = at.saturating_add(plain_run(bytes.get(at..).unwrap_or_default()));
        match bytes.get(at) {
            Some(b'"') => return Found::Quote(at),
            Some(b'\\') => match bytes.get(at.saturating_add(1)) {
                Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => at = at.saturating_add(2),
                _ => return Found::Slow(at),
            },
            _ => return Found::Slow(at),
        }
    }
}

impl JsonMasker {
    /// Reads from `at` on, up to where the skipped part ends, a token has to be read byte by byte, or the chunk ends.
    pub(super) fn skip_on(&mut self, bytes: &[u8], mut at: usize) -> Result<usize, JsonError> {
        let mut skip = self.skip;
        let mut lex = self.lex;
        let frames = self.frames.len();
        while let Some(&byte) = bytes.get(at) {
            let next = at.saturating_add(1);
            match (lex, byte) {
                (_, b' ' | b'\n' | b'\t' | b'\r')
                    if !matches!(
                        lex,
                        Lex::InKey(_) | Lex::InValue(..) | Lex::InNumber(..) | Lex::InWord(_)
                    ) =>
                {
                    at = next;
                }
                (Lex::AfterValue, b',') => {
                    lex = if skip.in_array() { Lex::Value } else { Lex::Key };
                    at = next;
                }
                (Lex::Key | Lex::FirstKey, b'"') => {
                    lex = match string(bytes, next) {
                        Found::Quote(quote) => {
                            at = quote.saturating_add(1);
                            if bytes.get(at) == Some(&b':') {
                                at = at.saturating_add(1);
                                Lex::Value
                            } else {
                                Lex::Colon
                            }
                        }
                        Found::Slow(stop) => {
                            at = stop;
                            lex = Lex::InKey(Inside::Plain);
                            break;
                        }
                    };
                }
                (Lex::Colon, b':') => {
                    lex = Lex::Value;
                    at = next;
                }
                (Lex::Value | Lex::FirstElement, b'"') => match string(bytes, next) {
                    Found::Quote(quote) => {
                        lex = Lex::AfterValue;
                        at = quote.saturating_add(1);
                    }
                    Found::Slow(stop) => {
                        at = stop;
                        lex = Lex::InValue(Inside::Plain, Fate::Pass);
                        break;
                    }
                },
                (Lex::Value | Lex::FirstElement, b'{' | b'[') => {
                    if frames.saturating_add(skip.depth) >= MOST_DEPTH {
                        return Err(JsonError::Depth);
                    }
                    let array = byte == b'[';
                    skip.open(array);
                    lex = if array { Lex::FirstElement } else { Lex::FirstKey };
                    at = next;
                }
                (Lex::AfterValue, b'}' | b']') if skip.in_array() == (byte == b']') => {
                    skip.close();
                    at = next;
                    if skip.depth == 0 {
                        break;
                    }
                }
                (Lex::FirstElement, b']') | (Lex::FirstKey, b'}') => {
                    skip.close();
                    lex = Lex::AfterValue;
                    at = next;
                    if skip.depth == 0 {
                        break;
                    }
                }
                (Lex::Value | Lex::FirstElement, b't' | b'f' | b'n') => {
                    let rest = bytes.get(at..).unwrap_or_default();
                    let word: &'static [u8] = match byte {
                        b't' => b"true",
                        b'f' => b"false",
                        _ => b"null",
                    };
                    if rest.starts_with(word) {
                        at = at.saturating_add(word.len());
                        lex = Lex::AfterValue;
                    } else {
                        lex = Lex::InWord(word.get(1..).unwrap_or_default());
                        at = next;
                        break;
                    }
                }
                (Lex::Value | Lex::FirstElement, _) => {
                    let mut number = Number::start(byte).ok_or(JsonError::Syntax)?;
                    let mut length = 1u32;
                    at = next;
                    lex = loop {
                        match bytes.get(at).map(|byte| number.step(*byte)) {
                            None => break Lex::InNumber(number, length),
                            Some(Some(_)) if length >= MOST_DIGITS => return Err(JsonError::TooLong),
                            Some(Some(on)) => number = on,
                            Some(None) if number.complete() => break Lex::AfterValue,
                            Some(None) => return Err(JsonError::Syntax),
                        }
                        length = length.saturating_add(1);
                        at = at.saturating_add(1);
                    };
                }
                (Lex::InKey(_) | Lex::InValue(..) | Lex::InNumber(..) | Lex::InWord(_), _) => break,
                _ => return Err(JsonError::Syntax),
            }
        }
        self.skip = skip;
        self.lex = lex;
        if skip.depth == 0 {
            self.value_ends();
        }
        Ok(at)
    }
}
