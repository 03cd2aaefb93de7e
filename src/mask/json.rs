//! Masks Kubernetes JSON as it streams: one pass over the bytes, in chunks of any size, without a tree.
//!
//! What is masked depends on where a value stands ([`role`]) and on what its object is: the request says so, or the
//! object's `kind`. Bytes that pass are copied in runs, as they are. The syntax is checked strictly (RFC 8259, UTF-8, no
//! lone surrogates, no key twice where keys matter), so that no reader can understand the output otherwise than this one
//! did. Memory is bounded: the depth, a key, one annotation, and what waits for a `kind` that comes late.

mod form;
mod frame;
mod number;
mod output;
mod role;
mod skip;
mod strings;
mod text;

#[cfg(test)]
mod tests;

use super::fields::Reach;
use super::plan::{Plan, Taken};
use super::{Extra, MaskedPaths, Replacement};
use frame::Frame;
use number::Number;
use output::{Run, Waiting};
use role::{Nature, Role};
use skip::Skip;
use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;
use text::{Inside, Step, plain_run, step};

/// Deeper documents are refused. The record nests a body a few levels further, and its readers stop at 128.
const MOST_DEPTH: usize = 112;
/// Longer keys are refused where keys matter.
const MOST_KEY: usize = 4096;
/// Longer annotations are replaced unread. The API server allows 256 KiB for all of an object's.
const MOST_HELD: usize = 512 << 10;
/// Longer strings are replaced unread where text is looked through. The API server stores no object that large.
const MOST_TEXT: usize = 4 << 20;
/// So much may come before an object's `kind`.
const MOST_WAITING: usize = 1 << 20;
/// Longer numbers are refused: readers differ in what they make of them.
const MOST_DIGITS: u32 = 256;
/// A last-applied configuration may hold another one; no deeper.
const MOST_NESTED: u8 = 3;
/// Stands in for a Status' text.
const WITHHELD: &str =
    "the API server's message was withheld by chaperone, because it may quote what is masked";
/// What a request for Secrets can be answered with.
const SECRET_KINDS: [&[u8]; 7] = [
    b"Secret",
    b"SecretList",
    b"Status",
    b"Table",
    b"PartialObjectMetadata",
    b"PartialObjectMetadataList",
    b"DeleteOptions",
];

/// Why a body cannot be masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonError {
    /// Not JSON, or JSON that readers understand differently.
    Syntax,
    /// The body ended too early.
    Truncated,
    /// Nested too deeply.
    Depth,
    /// A key twice in one object.
    DuplicateKey,
    /// A key or number that is too long.
    TooLong,
    /// A value of another type than the API has there.
    Shape,
    /// A kind that a request for Secrets is never answered with.
    Kind,
    /// Too much came before an object said what it is.
    LateKind,
}

impl JsonError {
    /// A short stable name, for metrics and records.
    pub fn code(self) -> &'static str {
        match self {
            Self::Syntax => "json-malformed",
            Self::Truncated => "json-truncated",
            Self::Depth => "json-depth",
            Self::DuplicateKey => "json-duplicate-key",
            Self::TooLong => "json-too-long",
            Self::Shape => "json-unexpected-shape",
            Self::Kind => "json-unexpected-kind",
            Self::LateKind => "json-late-kind",
        }
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syntax => "the body is not JSON that every reader understands alike",
            Self::Truncated => "the body ended too early",
            Self::Depth => "the body is nested too deeply",
            Self::DuplicateKey => "the body names a key twice",
            Self::TooLong => "the body has a key or number that is too long",
            Self::Shape => "the body has a value of an unexpected type where Secret values stand",
            Self::Kind => "the body's kind is none that a request for Secrets is answered with",
            Self::LateKind => "the body's objects say too late what they are",
        })
    }
}

/// What the reader expects next.
#[derive(Clone, Copy, Debug)]
enum Lex {
    /// Between documents; another may begin.
    Start,
    /// A value.
    Value,
    /// A value, or the end of an array.
    FirstElement,
    /// A key, or the end of an object.
    FirstKey,
    Key,
    Colon,
    /// A comma, or the end of what is open.
    AfterValue,
    InKey(Inside),
    InValue(Inside, Fate),
    InNumber(Number, u32),
    InWord(&'static [u8]),
    /// After the one document.
    End,
}

/// What becomes of the string being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Pass,
    /// Replaced already; its bytes are dropped.
    Drop,
    /// Passes, and is remembered: an object's kind.
    Kind,
    /// Held until it is whole: an annotation or label.
    Hold,
    /// Passes unless, once it is whole, the configuration says otherwise.
    Look,
    /// Held until it is whole, for the two forms in which output waits.
    Both(Role),
}

/// Masks one JSON body as its bytes come. After an error every call returns it again: nothing more may pass.
pub struct JsonMasker {
    plan: Plan,
    extra: Extra,
    replacement: Rc<Replacement>,
    lex: Lex,
    frames: Vec<Frame>,
    /// Closed ones, for what they have allocated.
    spare: Vec<Frame>,
    skip: Skip,
    /// The key or string being read as far as it came in earlier chunks, as raw bytes between the quotes.
    held: Vec<u8>,
    /// Whether it began in an earlier chunk.
    spilled: bool,
    waiting: Option<Waiting>,
    report: MaskedPaths,
    nested: u8,
    failed: Option<JsonError>,
}

impl JsonMasker {
    /// A masker for one body.
    pub fn new(plan: Plan, replacement: Rc<Replacement>) -> Self {
        Self {
            plan,
            extra: Extra::default(),
            replacement,
            lex: Lex::Start,
            frames: Vec::new(),
            spare: Vec::new(),
            skip: Skip::default(),
            held: Vec::new(),
            spilled: false,
            waiting: None,
            report: MaskedPaths::default(),
            nested: 0,
            failed: None,
        }
    }

    /// The same, masking what the configuration adds.
    #[must_use]
    pub fn with(self, extra: Extra) -> Self {
        Self { extra, ..self }
    }

    /// The same, keeping the originals of what is masked.
    #[must_use]
    pub fn keeping_originals(self) -> Self {
        Self { report: MaskedPaths::with_originals(), ..self }
    }

    /// What has been masked so far.
    pub fn masked(&self) -> &MaskedPaths {
        &self.report
    }

    /// Takes the body's next bytes and appends to `out` what may go on.
    ///
    /// # Errors
    /// The body cannot be masked with certainty; what `out` got before may stand, nothing may follow.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), JsonError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let mut run = Run { chunk, start: 0, raw_start: 0, text: 0 };
        let result = self.scan(&mut run, out);
        self.failed = result.err();
        result
    }

    /// Ends the body.
    ///
    /// # Errors
    /// As for [`Self::push`]; also where the body ended too early. An empty body is none.
    pub fn finish(&mut self, _out: &mut Vec<u8>) -> Result<(), JsonError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        // A bare number ends with the body.
        if let Lex::InNumber(number, _) = self.lex
            && self.outermost()
            && number.complete()
        {
            self.lex = Lex::End;
        }
        match self.lex {
            Lex::Start | Lex::End => Ok(()),
            _ => {
                self.failed = Some(JsonError::Truncated);
                Err(JsonError::Truncated)
            }
        }
    }

    fn scan(&mut self, run: &mut Run<'_>, out: &mut Vec<u8>) -> Result<(), JsonError> {
        let chunk = run.chunk;
        let mut at = 0usize;
        while at < chunk.len() {
            if self.skip.depth > 0 {
                at = self.skip_on(chunk, at)?;
            }
            // Most bytes are plain text inside strings: take them in runs.
            if let Lex::InValue(Inside::Plain, _) | Lex::InKey(Inside::Plain) = self.lex {
                at = at.saturating_add(plain_run(chunk.get(at..).unwrap_or_default()));
            }
            let Some(&byte) = chunk.get(at) else { break };
            self.byte(byte, at, run, out)?;
            at = at.saturating_add(1);
        }
        self.chunk_ends(run, out)
    }

    fn byte(&mut self, byte: u8, at: usize, run: &mut Run<'_>, out: &mut Vec<u8>) -> Result<(), JsonError> {
        let white = matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        match self.lex {
            Lex::InValue(inside, fate) => match step(inside, byte) {
                Step::On(inside) => self.lex = Lex::InValue(inside, fate),
                Step::End => self.string_ends(fate, at, run, out)?,
                Step::Bad => return Err(JsonError::Syntax),
            },
            Lex::InKey(inside) => match step(inside, byte) {
                Step::On(inside) => self.lex = Lex::InKey(inside),
                Step::End => self.key_ends(at, run, out)?,
                Step::Bad => return Err(JsonError::Syntax),
            },
            Lex::InNumber(number, length) => match number.step(byte) {
                Some(_) if length >= MOST_DIGITS => return Err(JsonError::TooLong),
                Some(number) => self.lex = Lex::InNumber(number, length.saturating_add(1)),
                None if number.complete() => {
                    self.value_ends();
                    return self.byte(byte, at, run, out);
                }
                None => return Err(JsonError::Syntax),
            },
            Lex::InWord(rest) => match rest.split_first() {
                Some((first, rest)) if *first == byte => {
                    self.lex = Lex::InWord(rest);
                    if rest.is_empty() {
                        self.value_ends();
                    }
                }
                _ => return Err(JsonError::Syntax),
            },
            _ if white => {}
            Lex::Start | Lex::Value => self.value_begins(byte, at, run, out)?,
            Lex::FirstElement if byte == b']' => self.close(at, run, out)?,
            Lex::FirstElement => self.value_begins(byte, at, run, out)?,
            Lex::FirstKey if byte == b'}' => self.close(at, run, out)?,
            Lex::FirstKey | Lex::Key if byte == b'"' => {
                self.text_begins(at, run);
                self.lex = Lex::InKey(Inside::Plain);
            }
            Lex::Colon if byte == b':' => self.lex = Lex::Value,
            Lex::AfterValue => match (byte, self.in_array()) {
                (b',', true) => {
                    if let Some(frame) = self.frames.last_mut().filter(|_| self.skip.depth == 0) {
                        frame.index = frame.index.saturating_add(1);
                    }
                    self.lex = Lex::Value;
                }
                (b',', false) => self.lex = Lex::Key,
                (b']', true) | (b'}', false) => self.close(at, run, out)?,
                _ => return Err(JsonError::Syntax),
            },
            _ => return Err(JsonError::Syntax),
        }
        Ok(())
    }

    /// Whether keys are read, and not only their syntax.
    fn tracks_keys(&self) -> bool {
        self.skip.depth == 0
    }

    fn outermost(&self) -> bool {
        self.frames.is_empty() && self.skip.depth == 0
    }

    fn in_array(&self) -> bool {
        if self.skip.depth > 0 {
            self.skip.in_array()
        } else {
            self.frames.last().is_some_and(|frame| frame.array)
        }
    }

    /// The key of the member being read.
    fn key(&self) -> &[u8] {
        self.frames.last().map_or(&[], |frame| &frame.key)
    }

    /// The place of the value that begins now.
    fn role(&self) -> Role {
        match self.frames.last() {
            _ if self.skip.depth > 0 => Role::Pass,
            None => Role::Document,
            Some(frame) if frame.array => frame.role.element(),
            Some(frame) => {
                // What waits for a kind is masked as a Secret or token would be; the other way is kept beside it.
                let nature = match frame.nature {
                    Nature::Unknown if matches!(frame.key.as_slice(), b"status" | b"spec") => Nature::Token,
                    Nature::Unknown => Nature::Secret,
                    Nature::Other if !self.extra.is_empty() => Nature::Looked,
                    nature => nature,
                };
                frame.role.member(&frame.key, nature, self.plan.watch)
            }
        }
    }

    /// Which configured fields lead to the value that begins now, at `role`.
    fn reach(&self, role: Role) -> Reach {
        let Some(fields) = self.extra.fields.as_ref().filter(|_| self.skip.depth == 0) else {
            return Reach::default();
        };
        match (role, self.frames.last()) {
            (Role::Document, _) if self.plan.watch => Reach::default(),
            (Role::Document | Role::Object, _) => fields.root(),
            (_, Some(frame)) if frame.array => fields.element(frame.reach),
            (_, Some(frame)) => fields.member(frame.reach, &frame.key),
            (_, None) => Reach::default(),
        }
    }

    fn value_begins(
        &mut self,
        byte: u8,
        at: usize,
        run: &mut Run<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), JsonError> {
        let role = self.role();
        let reach = self.reach(role);
        // A watch is a sequence of objects; numbers or words in a row could be read two ways.
        let role = if role.takes(byte) {
            role
        } else if self.plan.is_secret() || (self.plan.watch && role == Role::Document) {
            return Err(JsonError::Shape);
        } else {
            // By kind: an object of known kind is misshapen, or one whose kind is still to come is perhaps no Secret.
            match &mut self.waiting {
                Some(waiting) => waiting.misshapen = true,
                None if self
                    .frames
                    .last()
                    .is_some_and(|frame| matches!(frame.nature, Nature::Secret | Nature::Token)) =>
                {
                    return Err(JsonError::Shape);
                }
                None => {}
            }
            Role::Pass
        };
        match byte {
            b'"' => self.string_begins(role, reach, at, run, out)?,
            b'{' | b'[' => self.open(byte == b'[', role, reach)?,
            b'n' => self.lex = Lex::InWord(b"ull"),
            b't' => self.lex = Lex::InWord(b"rue"),
            b'f' => self.lex = Lex::InWord(b"alse"),
            _ => self.lex = Lex::InNumber(Number::start(byte).ok_or(JsonError::Syntax)?, 1),
        }
        Ok(())
    }

    fn open(&mut self, array: bool, role: Role, reach: Reach) -> Result<(), JsonError> {
        if self.frames.len().saturating_add(self.skip.depth) >= MOST_DEPTH {
            return Err(JsonError::Depth);
        }
        self.lex = if array { Lex::FirstElement } else { Lex::FirstKey };
        if role == Role::Pass && self.extra.patterns.is_none() && !reach.any() {
            self.skip.open(array);
            return Ok(());
        }
        let outer = self.frames.last().map(|frame| frame.nature);
        let nature = match (self.plan.taken, role, outer) {
            (Taken::Secrets, ..) => Nature::Secret,
            (Taken::Tokens, ..) => Nature::Token,
            // An item of a SecretList carries no kind of its own.
            (Taken::ByKind, _, Some(Nature::Secret)) => Nature::Secret,
            // Items of a typed list carry no kind of their own; those of a List or an event do.
            (Taken::ByKind, Role::Object, Some(Nature::Other)) => Nature::Other,
            (Taken::ByKind, Role::Document | Role::Object, _) => Nature::Unknown,
            (Taken::ByKind, _, outer) => outer.unwrap_or(Nature::Unknown),
        };
        // While output waits for an object's kind it is kept in two forms, not in more.
        if self.waiting.is_some() && matches!(role, Role::Object | Role::Items | Role::Rows) {
            return Err(JsonError::LateKind);
        }
        self.frames.push(match self.spare.pop() {
            Some(spare) => spare.reuse(array, role, nature, reach),
            None => Frame::new(array, role, nature, reach),
        });
        Ok(())
    }

    fn close(&mut self, at: usize, run: &mut Run<'_>, out: &mut Vec<u8>) -> Result<(), JsonError> {
        if self.skip.depth > 0 {
            self.skip.close();
        } else {
            // An object that never said what it is: masked, to be sure.
            if self.waiting.as_ref().is_some_and(|waiting| waiting.depth == self.frames.len()) {
                self.settle(true, at, run, out)?;
            }
            self.spare.extend(self.frames.pop());
        }
        self.value_ends();
        Ok(())
    }

    fn value_ends(&mut self) {
        self.lex = match (self.outermost(), self.plan.watch) {
            (false, _) => Lex::AfterValue,
            (true, true) => Lex::Start,
            (true, false) => Lex::End,
        };
    }
}

/// A string's text from the bytes between its quotes.
fn decoded(raw: &[u8]) -> Option<Cow<'_, [u8]>> {
    if !raw.contains(&b'\\') {
        return Some(Cow::Borrowed(raw));
    }
    let quoted = [b"\"", raw, b"\""].concat();
    serde_json::from_slice::<String>(&quoted).ok().map(|text| Cow::Owned(text.into_bytes()))
}
