//! What goes out: runs of the chunk as they are, and what stands in for something. Where an object has not said yet what it
//! is, output waits in two forms, as a Secret's and as another object's.

use super::{Fate, Lex};
use super::{JsonError, JsonMasker, MOST_HELD, MOST_KEY, MOST_TEXT, MOST_WAITING};
use crate::mask::MaskedPaths;

/// A chunk and how far of it has been sent on.
pub(super) struct Run<'c> {
    pub(super) chunk: &'c [u8],
    pub(super) start: usize,
    /// The same for what is kept as another object's, while output waits.
    pub(super) raw_start: usize,
    /// Where the text of the key or string being read begins.
    pub(super) text: usize,
}

/// Output that waits for an object's kind.
pub(super) struct Waiting {
    /// The object's depth.
    pub(super) depth: usize,
    /// As a Secret's.
    pub(super) masked: Vec<u8>,
    /// As any other object's.
    pub(super) raw: Vec<u8>,
    /// What is masked in the latter form.
    pub(super) report: MaskedPaths,
    /// What waits has not the shape of a Secret: it must turn out to be none.
    pub(super) misshapen: bool,
}

impl JsonMasker {
    /// Sends on what lies between the last cut and `to`.
    pub(super) fn pass(&mut self, run: &mut Run<'_>, to: usize, out: &mut Vec<u8>) {
        let bytes = run.chunk.get(run.start..to).unwrap_or_default();
        run.start = to.max(run.start);
        self.put(bytes, out);
    }

    /// Sends on what was not in the body.
    pub(super) fn put(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        match &mut self.waiting {
            Some(waiting) => waiting.masked.extend_from_slice(bytes),
            None => out.extend_from_slice(bytes),
        }
    }

    /// Puts a string of our own, quotes and all. It needs no escapes: configuration and code see to that.
    pub(super) fn put_string(&mut self, text: &str, out: &mut Vec<u8>) {
        self.put(b"\"", out);
        self.put(text.as_bytes(), out);
        self.put(b"\"", out);
    }

    /// While a kind is waited for, the bytes are also kept as they came.
    pub(super) fn keep_raw(&mut self, run: &mut Run<'_>, to: usize) -> Result<(), JsonError> {
        if let Some(waiting) = &mut self.waiting {
            waiting.raw.extend_from_slice(run.chunk.get(run.raw_start..to).unwrap_or_default());
            run.raw_start = to.max(run.raw_start);
            if waiting.raw.len().max(waiting.masked.len()) > MOST_WAITING {
                return Err(JsonError::LateKind);
            }
        }
        Ok(())
    }

    /// From here on, up to `to` having been sent, output waits for the kind of the innermost object.
    pub(super) fn wait(&mut self, to: usize, run: &mut Run<'_>, out: &mut Vec<u8>) {
        if self.waiting.is_none() {
            self.pass(run, to, out);
            run.raw_start = to;
            self.waiting = Some(Waiting {
                depth: self.frames.len(),
                masked: Vec::new(),
                raw: Vec::new(),
                report: self.report.clone(),
                misshapen: false,
            });
        }
    }

    /// The object that output waited for is known, `to` being the last byte before that.
    pub(super) fn settle(
        &mut self,
        masked: bool,
        to: usize,
        run: &mut Run<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), JsonError> {
        self.pass(run, to, out);
        self.keep_raw(run, to)?;
        if let Some(waiting) = self.waiting.take() {
            if masked && waiting.misshapen {
                return Err(JsonError::Shape);
            }
            if masked {
                out.extend_from_slice(&waiting.masked);
            } else {
                out.extend_from_slice(&waiting.raw);
                self.report = waiting.report;
            }
        }
        Ok(())
    }

    /// The chunk ends: sends on what may go, and keeps what the key or string being read needs of it.
    pub(super) fn chunk_ends(&mut self, run: &mut Run<'_>, out: &mut Vec<u8>) -> Result<(), JsonError> {
        let end = run.chunk.len();
        let fate = match self.lex {
            Lex::InKey(_) if self.tracks_keys() => Fate::Kind,
            Lex::InValue(_, fate) => fate,
            _ => Fate::Pass,
        };
        let text = run.chunk.get(run.text..).unwrap_or_default();
        let most = match fate {
            Fate::Pass => {
                self.pass(run, end, out);
                return self.keep_raw(run, end);
            }
            Fate::Drop if !self.report.keeps_originals() => return self.keep_raw(run, end),
            Fate::Kind => MOST_KEY,
            Fate::Hold | Fate::Drop => MOST_HELD,
            Fate::Look => MOST_TEXT,
            Fate::Both(_) => MOST_WAITING,
        };
        // What goes out whole later must not go out now.
        if fate == Fate::Look && !self.spilled {
            self.pass(run, run.text.saturating_sub(1), out);
        }
        self.spilled = true;
        // One byte more marks it as too long.
        let room = most.saturating_add(1).saturating_sub(self.held.len());
        self.held.extend_from_slice(text.get(..room).unwrap_or(text));
        match fate {
            Fate::Kind => {
                if self.held.len() > MOST_KEY {
                    return Err(JsonError::TooLong);
                }
                self.pass(run, end, out);
                self.keep_raw(run, end)
            }
            Fate::Both(_) if self.held.len() > MOST_WAITING => Err(JsonError::LateKind),
            Fate::Both(_) => Ok(()),
            _ => self.keep_raw(run, end),
        }
    }

    /// The text between the quotes of the key or string that ends at `at`, as it was written.
    pub(super) fn text_to<'a>(held: &'a mut Vec<u8>, spilled: bool, run: &Run<'a>, at: usize) -> &'a [u8] {
        let here = run.chunk.get(run.text..at).unwrap_or_default();
        if !spilled {
            return here;
        }
        held.extend_from_slice(here);
        held
    }
}
