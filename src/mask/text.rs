//! Masks credentials in text by their shape: logs, exec output, ConfigMaps, environment variables, events.
//!
//! [`TextPatterns`] is what the config enables, built once; [`TextPatterns::mask`] masks one text, a [`TextMasker`] a
//! stream. Both work on bytes and give the same output however the bytes are cut: whether a match begins somewhere
//! depends on a bounded number of bytes behind it, and those are held back until they are there. Once a match is
//! certain its replacement goes out and the rest of it is dropped as it comes, however long it is.

mod builtin;
mod class;
mod custom;
mod scanner;
#[cfg(test)]
mod tests;

pub use builtin::NAMES;
pub use custom::{CustomPattern, MAX_CUSTOM, MAX_CUSTOM_LENGTH};

use super::Replacement;
use super::literals::Literals;
use builtin::Rule;
use custom::{Custom, Lines};
use scanner::Scanner;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

/// Why a pattern of the config cannot be used; `custom` is its place in the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatternError {
    /// No built-in pattern has that name.
    Unknown(String),
    /// More custom patterns than [`MAX_CUSTOM`].
    TooMany,
    /// The name is empty, too long, a built-in's, or taken already.
    Name(usize),
    /// The regex is longer than [`MAX_CUSTOM_LENGTH`].
    TooLong(usize),
    /// The regex does not parse, or compiles to too much; with the reason.
    Regex(usize, String),
    /// The regex matches the empty text.
    MatchesEmpty(usize),
}

impl PatternError {
    /// Which custom pattern is meant; none for the list of enabled ones, or the list as a whole.
    pub fn custom(&self) -> Option<usize> {
        match self {
            Self::Unknown(_) | Self::TooMany => None,
            Self::Name(at) | Self::TooLong(at) | Self::Regex(at, _) | Self::MatchesEmpty(at) => Some(*at),
        }
    }
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => {
                write!(f, "no built-in pattern is named {name:?}; there are {}", NAMES.join(", "))
            }
            Self::TooMany => write!(f, "more than {MAX_CUSTOM} custom patterns"),
            Self::Name(_) => f.write_str("the name is empty, longer than 64 bytes, or taken"),
            Self::TooLong(_) => write!(f, "the regex is longer than {MAX_CUSTOM_LENGTH} bytes"),
            Self::Regex(_, reason) => write!(f, "the regex cannot be used: {reason}"),
            Self::MatchesEmpty(_) => f.write_str("the regex matches the empty text"),
        }
    }
}

impl std::error::Error for PatternError {}

/// The patterns a config enables, ready to be matched.
#[derive(Debug)]
pub struct TextPatterns {
    literals: Literals,
    /// What to do where a literal of the same index stands.
    rules: Vec<Rule>,
    /// All names, which counts refer to: built-in ones first, in the order of [`NAMES`].
    names: Vec<String>,
    custom: Vec<Custom>,
    replacement: String,
}

/// Which patterns matched, and how often.
pub type PatternCounts = Vec<(String, u64)>;

/// A text without its credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaskedText {
    /// The text, each match replaced.
    pub text: String,
    /// Which patterns matched, and how often.
    pub counts: PatternCounts,
}

impl TextPatterns {
    /// Builds the built-in patterns named in `enable`, and `custom` ones.
    ///
    /// # Errors
    /// Every name and regex that cannot be used, each with its place.
    pub fn new(
        enable: &[String],
        custom: &[CustomPattern],
        replacement: &Replacement,
    ) -> Result<Self, Vec<PatternError>> {
        let unknown = enable.iter().filter(|name| !NAMES.contains(&name.as_str()));
        let mut errors: Vec<_> = unknown.map(|name| PatternError::Unknown(name.clone())).collect();
        let compiled = custom::compile(custom, &mut errors);
        if !errors.is_empty() {
            return Err(errors);
        }
        let (literals, rules) = builtin::enabled(enable);
        let own = custom.iter().map(|custom| custom.name.clone());
        let names = NAMES.iter().map(|name| (*name).to_owned()).chain(own).collect();
        Ok(Self { literals, rules, names, custom: compiled, replacement: replacement.text().to_owned() })
    }

    /// Whether nothing is enabled.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.custom.is_empty()
    }

    /// Masks one whole text; none where nothing matches.
    pub fn mask(&self, text: &str) -> Option<MaskedText> {
        let (out, counts) = self.mask_bytes(text.as_bytes())?;
        let text = String::from_utf8(out).unwrap_or_else(|_| self.replacement.clone());
        Some(MaskedText { text, counts })
    }

    /// The same for bytes; those that are no UTF-8 pass as they are.
    pub fn mask_bytes(&self, bytes: &[u8]) -> Option<(Vec<u8>, PatternCounts)> {
        let mut counts = Counts::default();
        let mut out = Vec::new();
        if self.literals.find(bytes, 0).is_none() {
            if !custom::may_match(&self.custom, bytes) {
                return None;
            }
            out.extend_from_slice(bytes);
        } else {
            let mut scanner = Scanner::default();
            scanner.push(self, bytes, &mut counts, &mut out);
            scanner.finish(self, &mut counts, &mut out);
        }
        if !self.custom.is_empty() {
            let first = std::mem::take(&mut out);
            let mut lines = Lines::default();
            lines.push(self, &first, &mut counts, &mut out);
            lines.finish(self, &mut counts, &mut out);
        }
        (!counts.0.is_empty()).then(|| (out, self.named(&counts)))
    }

    /// Masks a text that stands under a name, as a variable's value does: a name may say what a value is.
    pub fn mask_named(&self, name: &[u8], text: &str) -> Option<MaskedText> {
        let named = self.literals.find(name, 0).and_then(|_| {
            let before = [&String::from_utf8_lossy(name), "="].concat();
            let masked = self.mask(&[before.as_str(), text].concat())?;
            let text = masked.text.strip_prefix(&before).unwrap_or(&self.replacement).to_owned();
            Some(MaskedText { text, ..masked })
        });
        let Some(mut named) = named else { return self.mask(text) };
        if let Some(more) = self.mask(&named.text) {
            named.text = more.text;
            named.counts.extend(more.counts);
        }
        Some(named)
    }

    fn named(&self, counts: &Counts) -> PatternCounts {
        let name = |pattern: usize| self.names.get(pattern).cloned().unwrap_or_default();
        counts.0.iter().map(|(pattern, count)| (name(*pattern), *count)).collect()
    }
}

/// How often each pattern matched, by its index.
#[derive(Debug, Default)]
struct Counts(BTreeMap<usize, u64>);

impl Counts {
    fn add(&mut self, pattern: usize) {
        let count = self.0.entry(pattern).or_default();
        *count = count.saturating_add(1);
    }

    fn add_all(&mut self, more: &Self) {
        for (pattern, times) in &more.0 {
            let count = self.0.entry(*pattern).or_default();
            *count = count.saturating_add(*times);
        }
    }
}

/// Masks a stream of bytes: logs, the output of exec. Bytes that are no UTF-8 pass as they are.
#[derive(Debug)]
pub struct TextMasker {
    patterns: Rc<TextPatterns>,
    scanner: Scanner,
    /// The second stage, for custom patterns.
    lines: Lines,
    /// What the first stage gave the second; empty between calls.
    between: Vec<u8>,
    counts: Counts,
    /// Whoever asked has chosen where it ends.
    limited: bool,
}

impl TextMasker {
    /// A masker for one stream.
    pub fn new(patterns: Rc<TextPatterns>) -> Self {
        let (scanner, lines) = (Scanner::default(), Lines::default());
        Self { patterns, scanner, lines, between: Vec::new(), counts: Counts::default(), limited: false }
    }

    /// The same for a stream whose end the one who asks may choose: a credential that has begun there is replaced as far as
    /// it goes.
    pub fn limited(self) -> Self {
        Self { limited: true, ..self }
    }

    /// Takes the stream's next bytes and appends to `out` what is certain.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        self.run(out, |masker, out| masker.scanner.push(&masker.patterns, chunk, &mut masker.counts, out));
    }

    /// Gives out what is held back and shows nothing, for a stream that pauses: a prompt should not wait for its answer.
    ///
    /// What has the beginning of a credential stays back: the fixed prefix that gives it away is shown, what follows is
    /// not. Custom patterns are matched as if the line ended here; where the line goes on, the match is not shown further.
    pub fn flush(&mut self, out: &mut Vec<u8>) {
        self.run(out, |masker, out| masker.scanner.flush(&masker.patterns, out));
        self.lines.flush(&self.patterns, &mut self.counts, out);
    }

    /// Ends the stream and gives out the rest.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.run(out, |masker, out| {
            let end = if masker.limited { Scanner::cut } else { Scanner::finish };
            end(&mut masker.scanner, &masker.patterns, &mut masker.counts, out);
        });
        self.lines.finish(&self.patterns, &mut self.counts, out);
    }

    /// How many bytes are held back.
    pub fn held(&self) -> usize {
        self.scanner.held().saturating_add(self.lines.held())
    }

    /// Which patterns matched so far, and how often.
    pub fn counts(&self) -> PatternCounts {
        self.patterns.named(&self.counts)
    }

    /// Runs the first stage, and what it gives through the second.
    fn run(&mut self, out: &mut Vec<u8>, first: impl FnOnce(&mut Self, &mut Vec<u8>)) {
        if self.patterns.custom.is_empty() {
            return first(self, out);
        }
        let mut between = std::mem::take(&mut self.between);
        first(self, &mut between);
        self.lines.push(&self.patterns, &between, &mut self.counts, out);
        between.clear();
        self.between = between;
    }
}
