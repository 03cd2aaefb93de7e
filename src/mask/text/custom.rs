//! The second stage: custom regexes, line by line.
//!
//! A regex sees one line at a time, and of a long line as much as [`WINDOW`] bytes: a match is found wherever the stream
//! is cut, as long as it is within one line and not longer than [`MAX_MATCH`] bytes.

use super::{Counts, NAMES, PatternError, TextPatterns};
use regex_lite::{Regex, RegexBuilder};

/// As many custom patterns may be configured.
pub const MAX_CUSTOM: usize = 32;

/// A regex may have that many bytes.
pub const MAX_CUSTOM_LENGTH: usize = 512;

/// As much of a line is looked at together.
const WINDOW: usize = 8192;

/// A match that begins in the first half of a window is seen whole if it is no longer.
const MAX_MATCH: usize = 4096;

/// A compiled regex may take as many bytes.
const MAX_COMPILED: usize = 1 << 18;

/// A pattern from `masking.patterns.custom`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomPattern {
    /// What records and metrics call it.
    pub name: String,
    /// A regex in the syntax of the crate regex-lite; what it matches is replaced whole.
    pub regex: String,
}

/// A custom pattern, compiled.
#[derive(Debug)]
pub(super) struct Custom {
    regex: Regex,
    /// A text that every match holds, where one is plain to see: a line without it is not searched.
    literal: Option<Vec<u8>>,
}

/// Compiles the patterns; what cannot be used is added to `errors`.
pub(super) fn compile(patterns: &[CustomPattern], errors: &mut Vec<PatternError>) -> Vec<Custom> {
    if patterns.len() > MAX_CUSTOM {
        errors.push(PatternError::TooMany);
        return Vec::new();
    }
    let mut compiled = Vec::new();
    for (at, CustomPattern { name, regex }) in patterns.iter().enumerate() {
        let earlier = patterns.iter().take(at).any(|other| other.name == *name);
        if name.is_empty() || name.len() > 64 || earlier || NAMES.contains(&name.as_str()) {
            errors.push(PatternError::Name(at));
        }
        if regex.len() > MAX_CUSTOM_LENGTH {
            errors.push(PatternError::TooLong(at));
            continue;
        }
        match RegexBuilder::new(regex).size_limit(MAX_COMPILED).build() {
            Err(error) => errors.push(PatternError::Regex(at, error.to_string())),
            Ok(compiled) if compiled.is_match("") => errors.push(PatternError::MatchesEmpty(at)),
            Ok(built) => compiled.push(Custom { regex: built, literal: required_literal(regex) }),
        }
    }
    compiled
}

/// Whether any of the patterns could match in `bytes`.
pub(super) fn may_match(custom: &[Custom], bytes: &[u8]) -> bool {
    custom.iter().any(|custom| custom.may_match(bytes))
}

impl Custom {
    fn may_match(&self, bytes: &[u8]) -> bool {
        self.literal.as_ref().is_none_or(|literal| contains(bytes, literal))
    }
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    let Some(first) = text.first() else { return true };
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| byte == first) {
        rest = rest.get(at..).unwrap_or_default();
        if rest.starts_with(text) {
            return true;
        }
        rest = rest.get(1..).unwrap_or_default();
    }
    false
}

/// The longest text of at least three characters that must stand in every match, told from the regex's outermost level.
pub(super) fn required_literal(regex: &str) -> Option<Vec<u8>> {
    let mut runs = vec![String::new()];
    let mut chars = regex.chars().peekable();
    let (mut depth, mut class) = (0_usize, false);
    while let Some(char) = chars.next() {
        let escaped = if char == '\\' { Some(chars.next()?) } else { None };
        // In classes and groups nothing is plain to see; only their ends matter.
        if class || depth > 0 {
            match (class, char) {
                (true, ']') => class = false,
                // A class within a class, or a `]` that is a member: not plain.
                (true, '[') => return None,
                (false, '[') => {
                    chars.next_if_eq(&'^');
                    if chars.peek() == Some(&']') {
                        return None;
                    }
                    class = true;
                }
                (false, '(') => depth = depth.saturating_add(1),
                (false, ')') => depth = depth.saturating_sub(1),
                _ => {}
            }
            continue;
        }
        match (char, escaped) {
            (_, Some('x' | 'u' | 'U' | 'p' | 'P' | 'b' | '<' | '>')) | ('|', None) => return None,
            (_, Some(escaped)) if !escaped.is_alphanumeric() => runs.last_mut()?.push(escaped),
            (_, Some(_)) | ('.' | '^' | '$', None) => runs.push(String::new()),
            ('(', None) => {
                if chars.peek() == Some(&'?') {
                    return None;
                }
                depth = 1;
                runs.push(String::new());
            }
            ('[', None) => {
                chars.next_if_eq(&'^');
                if chars.peek() == Some(&']') {
                    return None;
                }
                class = true;
                runs.push(String::new());
            }
            ('?' | '*', None) => {
                runs.last_mut()?.pop();
                runs.push(String::new());
            }
            ('{', None) => {
                runs.last_mut()?.pop();
                chars.by_ref().find(|char| *char == '}')?;
                runs.push(String::new());
            }
            ('+', None) => runs.push(String::new()),
            (plain, None) => runs.last_mut()?.push(plain),
        }
    }
    let longest = runs.into_iter().max_by_key(String::len)?;
    (longest.chars().count() >= 3).then(|| longest.into_bytes())
}

/// Cuts a stream into lines and masks each.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// The line so far; of a long one the last window.
    line: Vec<u8>,
    /// How much of it is out, shown or replaced.
    out: usize,
    /// Where the last match began of which the replacement is out.
    replaced: Option<usize>,
}

/// A match in a line.
#[derive(Clone, Copy, Debug)]
struct Found {
    start: usize,
    end: usize,
    /// Index in the custom patterns.
    custom: usize,
}

impl Lines {
    /// Takes the next bytes.
    pub(super) fn push(
        &mut self,
        patterns: &TextPatterns,
        mut chunk: &[u8],
        counts: &mut Counts,
        out: &mut Vec<u8>,
    ) {
        while !chunk.is_empty() {
            let newline = chunk.iter().position(|byte| *byte == b'\n').map(|at| at.saturating_add(1));
            let space = WINDOW.saturating_sub(self.line.len()).max(1);
            let take = newline.unwrap_or(chunk.len()).min(space);
            let (taken, rest) = chunk.split_at_checked(take).unwrap_or((chunk, &[]));
            self.line.extend_from_slice(taken);
            chunk = rest;
            if newline == Some(take) {
                self.release(patterns, self.line.len(), counts, out);
            } else if self.line.len() >= WINDOW {
                self.release(patterns, WINDOW.saturating_sub(MAX_MATCH), counts, out);
            }
        }
    }

    /// Shows what is held back, as if the line ended here.
    pub(super) fn flush(&mut self, patterns: &TextPatterns, counts: &mut Counts, out: &mut Vec<u8>) {
        self.write(patterns, self.line.len(), counts, out);
    }

    /// Ends the stream.
    pub(super) fn finish(&mut self, patterns: &TextPatterns, counts: &mut Counts, out: &mut Vec<u8>) {
        self.release(patterns, self.line.len(), counts, out);
    }

    /// How many bytes are held back.
    pub(super) fn held(&self) -> usize {
        self.line.len().saturating_sub(self.out)
    }

    /// Writes the line up to `cut`, or to the end of a match that begins before it, and forgets that much.
    fn release(&mut self, patterns: &TextPatterns, cut: usize, counts: &mut Counts, out: &mut Vec<u8>) {
        self.write(patterns, cut, counts, out);
        let done = self.out.min(self.line.len());
        self.line.drain(..done);
        self.out = 0;
        self.replaced = None;
    }

    fn write(&mut self, patterns: &TextPatterns, cut: usize, counts: &mut Counts, out: &mut Vec<u8>) {
        for found in self.matches(patterns) {
            if found.start >= cut {
                break;
            }
            if found.end <= self.out {
                continue;
            }
            out.extend_from_slice(self.line.get(self.out..found.start).unwrap_or_default());
            if self.replaced != Some(found.start) {
                out.extend_from_slice(patterns.replacement.as_bytes());
                counts.add(NAMES.len().saturating_add(found.custom));
            }
            self.replaced = Some(found.start);
            self.out = found.end;
        }
        if self.out < cut {
            out.extend_from_slice(self.line.get(self.out..cut).unwrap_or_default());
            self.out = cut;
        }
    }

    /// All matches in the line, in order; those that overlap as one.
    fn matches(&self, patterns: &TextPatterns) -> Vec<Found> {
        let mut all = Vec::new();
        for (index, custom) in patterns.custom.iter().enumerate() {
            if !custom.may_match(&self.line) {
                continue;
            }
            let mut start = 0_usize;
            // The line's end is no part of it, so that `$` means what it says.
            let text = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
            for chunk in text.utf8_chunks() {
                let found = custom.regex.find_iter(chunk.valid()).filter(|found| !found.is_empty());
                all.extend(found.map(|found| Found {
                    start: start.saturating_add(found.start()),
                    end: start.saturating_add(found.end()),
                    custom: index,
                }));
                start = start.saturating_add(chunk.valid().len()).saturating_add(chunk.invalid().len());
            }
        }
        all.sort_by_key(|found| (found.start, std::cmp::Reverse(found.end), found.custom));
        let mut apart: Vec<Found> = Vec::new();
        for found in all {
            match apart.last_mut() {
                Some(last) if found.start < last.end => last.end = last.end.max(found.end),
                _ => apart.push(found),
            }
        }
        apart
    }
}
