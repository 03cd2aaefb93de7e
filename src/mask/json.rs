//! Masks Kubernetes JSON as it streams: one pass over the bytes, in chunks of any size, without a tree.
//!
//! What is masked depends on where a value stands ([`role`]) and on what its object is: the request says so, or the
//! object's `kind`. Bytes that pass are copied in runs, as they are. The syntax is checked strictly (RFC 8259, UTF-8, no
//! lone surrogates, no key twice where keys matter), so that no reader can understand the output otherwise than this one
//! did. Memory is bounded: the depth, a key, one annotation, and what waits for a `kind` that comes late.

mod number;
mod role;
mod text;

#[cfg(test)]
mod tests;

use super::metadata::{Treatment, annotation, holds_json, label};
use super::path::push_key;
use super::plan::{Plan, Taken};
use super::{MaskedPaths, Replacement};
use number::Number;
use role::{Nature, Role};
use std::collections::HashSet;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use text::{Inside, Step, plain_run, step};

/// Deeper documents are refused. The record nests a body a few levels further, and its readers stop at 128.
const MOST_DEPTH: usize = 112;
/// Longer keys are refused where keys matter.
const MOST_KEY: usize = 4096;
/// Longer annotations are replaced unread. The API server allows 256 KiB for all of an object's.
const MOST_HELD: usize = 512 << 10;
/// So much may come before an object's `kind`.
const MOST_WAITING: usize = 1 << 20;
/// Longer numbers are refused: readers differ in what they make of them.
const MOST_DIGITS: u32 = 256;
/// Keys of one object that are remembered, to find one that is there twice.
const MOST_MEMBERS: usize = 100_000;
/// A last-applied configuration may hold another one; no deeper.
const MOST_NESTED: u8 = 3;
/// Stands in for a Status' text.
const WITHHELD: &str = "the API server's message was withheld by chaperone, because it may quote the Secret";
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
}

struct Frame {
    array: bool,
    role: Role,
    nature: Nature,
    /// The key of the member being read, for the report.
    key: Vec<u8>,
    seen: HashSet<u64>,
}

/// Output that waits for an object's kind: as it would be masked, and as it came.
struct Waiting {
    /// The object's depth.
    depth: usize,
    masked: Vec<u8>,
    raw: Vec<u8>,
    report: MaskedPaths,
    /// What waits has not the shape of a Secret: it must turn out to be none.
    misshapen: bool,
}

/// Masks one JSON body as its bytes come. After an error every call returns it again: nothing more may pass.
pub struct JsonMasker {
    plan: Plan,
    replacement: Rc<Replacement>,
    lex: Lex,
    frames: Vec<Frame>,
    /// The key, kind or annotation being read, as raw bytes between the quotes.
    held: Vec<u8>,
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
            replacement,
            lex: Lex::Start,
            frames: Vec::new(),
            held: Vec::new(),
            waiting: None,
            report: MaskedPaths::default(),
            nested: 0,
            failed: None,
        }
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
        let mut run = Run { chunk, start: 0, raw_start: 0 };
        let result = self.scan(&mut run, out);
        self.failed = result.err();
        result
    }

    /// Ends the body.
    ///
    /// # Errors
    /// As for [`Self::push`]; also where the body ended too early. An empty body is none.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), JsonError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        // A bare number ends with the body.
        if let Lex::InNumber(number, _) = self.lex
            && self.frames.is_empty()
            && number.complete()
        {
            self.lex = Lex::End;
        }
        let _ = out;
        match self.lex {
            Lex::Start | Lex::End => Ok(()),
            _ => {
                self.failed = Some(JsonError::Truncated);
                Err(JsonError::Truncated)
            }
        }
    }

    fn scan(&mut self, run: &mut Run<'_>, out: &mut Vec<u8>) -> Result<(), JsonError> {
        let mut at = 0usize;
        while let Some(&byte) = run.chunk.get(at) {
            // Most bytes are plain text inside strings: take them in runs.
            if let Lex::InValue(Inside::Plain, Fate::Pass | Fate::Drop) = self.lex {
                at = at.saturating_add(plain_run(run.chunk.get(at..).unwrap_or_default()));
                let Some(&byte) = run.chunk.get(at) else { break };
                self.byte(byte, at, run, out)?;
            } else {
                self.byte(byte, at, run, out)?;
            }
            at = at.saturating_add(1);
        }
        match self.lex {
            // What is held or dropped must not go out with the run.
            Lex::InValue(_, Fate::Hold | Fate::Drop) => {}
            _ => self.pass(run, run.chunk.len(), out),
        }
        self.keep_raw(run, run.chunk.len())
    }

    fn byte(&mut self, byte: u8, at: usize, run: &mut Run<'_>, out: &mut Vec<u8>) -> Result<(), JsonError> {
        let white = matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        match self.lex {
            Lex::InValue(inside, fate) => match step(inside, byte) {
                Step::On(inside) => {
                    self.hold(fate, byte)?;
                    self.lex = Lex::InValue(inside, fate);
                }
                Step::End => self.string_ends(fate, at, run, out)?,
                Step::Bad => return Err(JsonError::Syntax),
            },
            Lex::InKey(inside) => match step(inside, byte) {
                Step::On(inside) => {
                    if self.reads_keys() {
                        self.held.push(byte);
                        if self.held.len() > MOST_KEY {
                            return Err(JsonError::TooLong);
                        }
                    }
                    self.lex = Lex::InKey(inside);
                }
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
                self.held.clear();
                self.lex = Lex::InKey(Inside::Plain);
            }
            Lex::Colon if byte == b':' => self.lex = Lex::Value,
            Lex::AfterValue => match (byte, self.frames.last().map(|frame| frame.array)) {
                (b',', Some(true)) => self.lex = Lex::Value,
                (b',', Some(false)) => self.lex = Lex::Key,
                (b']', Some(true)) | (b'}', Some(false)) => self.close(at, run, out)?,
                _ => return Err(JsonError::Syntax),
            },
            _ => return Err(JsonError::Syntax),
        }
        Ok(())
    }

    fn reads_keys(&self) -> bool {
        self.frames.last().is_some_and(|frame| frame.role.reads_keys())
    }

    // === Output ===

    /// Sends on what lies between the last cut and `to`.
    fn pass(&mut self, run: &mut Run<'_>, to: usize, out: &mut Vec<u8>) {
        let bytes = run.chunk.get(run.start..to).unwrap_or_default();
        run.start = to;
        match &mut self.waiting {
            Some(waiting) => waiting.masked.extend_from_slice(bytes),
            None => out.extend_from_slice(bytes),
        }
    }

    /// Sends on what was not in the body.
    fn put(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        match &mut self.waiting {
            Some(waiting) => waiting.masked.extend_from_slice(bytes),
            None => out.extend_from_slice(bytes),
        }
    }

    /// While a kind is waited for, the bytes are also kept as they came.
    fn keep_raw(&mut self, run: &mut Run<'_>, to: usize) -> Result<(), JsonError> {
        if let Some(waiting) = &mut self.waiting {
            waiting.raw.extend_from_slice(run.chunk.get(run.raw_start..to).unwrap_or_default());
            run.raw_start = to;
            if waiting.raw.len().max(waiting.masked.len()) > MOST_WAITING {
                return Err(JsonError::LateKind);
            }
        }
        Ok(())
    }

    /// From here on, up to `to` having been sent, output waits for the kind of the innermost object.
    fn wait(&mut self, to: usize, run: &mut Run<'_>, out: &mut Vec<u8>) {
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
    fn settle(
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

    // === Structure ===

    /// The place of the value that begins now.
    fn role(&self) -> Role {
        match self.frames.last() {
            None => Role::Document,
            Some(frame) if frame.array => frame.role.element(),
            Some(frame) => {
                // What waits for a kind is masked as a Secret or token would be; the other way is kept beside it.
                let nature = match frame.nature {
                    Nature::Unknown if matches!(frame.key.as_slice(), b"status" | b"spec") => Nature::Token,
                    Nature::Unknown => Nature::Secret,
                    nature => nature,
                };
                frame.role.member(&frame.key, nature, self.plan.watch)
            }
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
        let role = if role.takes(byte) {
            role
        } else if self.plan.is_secret() {
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
            b'"' => self.string_begins(role, at, run, out),
            b'{' | b'[' => self.open(byte == b'[', role)?,
            b'n' => self.lex = Lex::InWord(b"ull"),
            b't' => self.lex = Lex::InWord(b"rue"),
            b'f' => self.lex = Lex::InWord(b"alse"),
            _ => self.lex = Lex::InNumber(Number::start(byte).ok_or(JsonError::Syntax)?, 1),
        }
        Ok(())
    }

    fn open(&mut self, array: bool, role: Role) -> Result<(), JsonError> {
        if self.frames.len() >= MOST_DEPTH {
            return Err(JsonError::Depth);
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
        self.frames.push(Frame { array, role, nature, key: Vec::new(), seen: HashSet::new() });
        self.lex = if array { Lex::FirstElement } else { Lex::FirstKey };
        Ok(())
    }

    fn close(&mut self, at: usize, run: &mut Run<'_>, out: &mut Vec<u8>) -> Result<(), JsonError> {
        // An object that never said what it is: masked, to be sure.
        if self.waiting.as_ref().is_some_and(|waiting| waiting.depth == self.frames.len()) {
            self.settle(true, at, run, out)?;
        }
        self.frames.pop();
        self.value_ends();
        Ok(())
    }

    fn value_ends(&mut self) {
        self.lex = match (self.frames.is_empty(), self.plan.watch) {
            (false, _) => Lex::AfterValue,
            (true, true) => Lex::Start,
            (true, false) => Lex::End,
        };
    }

    // === Strings ===

    fn key_ends(&mut self, at: usize, run: &mut Run<'_>, out: &mut Vec<u8>) -> Result<(), JsonError> {
        self.lex = Lex::Colon;
        if !self.reads_keys() {
            return Ok(());
        }
        let key = decoded(&self.held).ok_or(JsonError::Syntax)?;
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let mut waits = false;
        if let Some(frame) = self.frames.last_mut() {
            if !frame.seen.insert(hasher.finish()) {
                return Err(JsonError::DuplicateKey);
            }
            if frame.seen.len() > MOST_MEMBERS {
                return Err(JsonError::TooLong);
            }
            let object = frame.role == Role::Object || (frame.role == Role::Document && !self.plan.watch);
            waits = object && frame.nature == Nature::Unknown && Role::waits_for_kind(&key);
            frame.key = key;
        }
        if waits {
            self.wait(at.saturating_add(1), run, out);
        }
        Ok(())
    }

    fn string_begins(&mut self, role: Role, at: usize, run: &mut Run<'_>, out: &mut Vec<u8>) {
        self.held.clear();
        let fate = match role {
            Role::DataValue | Role::PlainValue | Role::Text => {
                self.pass(run, at, out);
                let replacement = self.replacement.clone();
                let text = match role {
                    Role::DataValue => replacement.base64(),
                    Role::PlainValue => replacement.text(),
                    _ => WITHHELD,
                };
                self.put_string(text, out);
                self.count();
                Fate::Drop
            }
            Role::Annotation | Role::Label => {
                self.pass(run, at, out);
                Fate::Hold
            }
            Role::Kind => Fate::Kind,
            _ => Fate::Pass,
        };
        self.lex = Lex::InValue(Inside::Plain, fate);
    }

    /// Puts a string of our own, quotes and all. It needs no escapes: configuration and code see to that.
    fn put_string(&mut self, text: &str, out: &mut Vec<u8>) {
        self.put(b"\"", out);
        self.put(text.as_bytes(), out);
        self.put(b"\"", out);
    }

    fn hold(&mut self, fate: Fate, byte: u8) -> Result<(), JsonError> {
        match fate {
            Fate::Kind if self.held.len() >= MOST_KEY => return Err(JsonError::TooLong),
            Fate::Kind => self.held.push(byte),
            // One byte over the limit marks it as too long.
            Fate::Hold if self.held.len() <= MOST_HELD => self.held.push(byte),
            _ => {}
        }
        Ok(())
    }

    fn string_ends(
        &mut self,
        fate: Fate,
        at: usize,
        run: &mut Run<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), JsonError> {
        let after = at.saturating_add(1);
        match fate {
            Fate::Pass => {}
            Fate::Drop => run.start = after,
            Fate::Hold => {
                run.start = after;
                self.held_ends(out);
            }
            Fate::Kind => self.kind_ends(after, run, out)?,
        }
        self.value_ends();
        Ok(())
    }

    fn kind_ends(&mut self, after: usize, run: &mut Run<'_>, out: &mut Vec<u8>) -> Result<(), JsonError> {
        let kind = decoded(&self.held).ok_or(JsonError::Syntax)?;
        if self.plan.taken == Taken::Secrets && !SECRET_KINDS.contains(&kind.as_slice()) {
            return Err(JsonError::Kind);
        }
        let depth = self.frames.len();
        let Some(frame) = self.frames.last_mut() else { return Ok(()) };
        if frame.nature == Nature::Unknown {
            frame.nature = Nature::of_kind(&kind);
            let masked = matches!(frame.nature, Nature::Secret | Nature::Token);
            if self.waiting.as_ref().is_some_and(|waiting| waiting.depth == depth) {
                self.settle(masked, after, run, out)?;
            }
        } else if frame.nature == Nature::Other {
            // An item of a typed list has no kind; one that has, and is a Secret all the same, must say so first.
            let nature = Nature::of_kind(&kind);
            if matches!(nature, Nature::Secret | Nature::Token) {
                if frame.seen.len() > 2 {
                    return Err(JsonError::LateKind);
                }
                frame.nature = nature;
            }
        }
        Ok(())
    }

    /// An annotation or label is whole: keeps it, masks inside it, or replaces it.
    fn held_ends(&mut self, out: &mut Vec<u8>) {
        let raw = std::mem::take(&mut self.held);
        let (role, key) =
            self.frames.last().map_or((Role::Pass, Vec::new()), |frame| (frame.role, frame.key.clone()));
        let value = if raw.len() > MOST_HELD { None } else { decoded(&raw) };
        let keep = value.as_ref().is_some_and(|value| match role {
            Role::Labels => label(&key, value) == Treatment::Keep,
            _ => annotation(&key, value) == Treatment::Keep,
        });
        if keep {
            self.put(b"\"", out);
            self.put(&raw, out);
            self.put(b"\"", out);
            return;
        }
        let inner = value.filter(|_| holds_json(&key)).and_then(|value| self.mask_inside(&value));
        match inner {
            Some(text) => self.put(text.as_bytes(), out),
            None => {
                let replacement = self.replacement.clone();
                self.put_string(replacement.text(), out);
            }
        }
        self.count();
    }

    /// Masks a JSON document within a string; gives the new string, quoted. None where it cannot be.
    fn mask_inside(&self, value: &[u8]) -> Option<String> {
        let mut inner = Self::new(Plan::secret_request(), self.replacement.clone());
        inner.nested = self.nested.checked_add(1).filter(|nested| *nested <= MOST_NESTED)?;
        let mut masked = Vec::with_capacity(value.len());
        inner.push(value, &mut masked).ok()?;
        inner.finish(&mut masked).ok()?;
        serde_json::to_string(std::str::from_utf8(&masked).ok()?).ok()
    }

    // === Report ===

    fn count(&mut self) {
        let mut path = String::from("$");
        for frame in &self.frames {
            if frame.array { path.push_str("[*]") } else { push_key(&mut path, &frame.key) }
        }
        self.report.add(&path);
    }
}

/// A chunk and how far of it has been sent on.
struct Run<'c> {
    chunk: &'c [u8],
    start: usize,
    /// The same for what is kept as it came, while output waits.
    raw_start: usize,
}

/// A string's text from the bytes between its quotes.
fn decoded(raw: &[u8]) -> Option<Vec<u8>> {
    if !raw.contains(&b'\\') {
        return Some(raw.to_vec());
    }
    let quoted = [b"\"", raw, b"\""].concat();
    serde_json::from_slice::<String>(&quoted).ok().map(String::into_bytes)
}
