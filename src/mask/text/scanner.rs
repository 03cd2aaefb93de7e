//! The first stage: built-in patterns over a stream of bytes.

use super::builtin::{Here, Seen, Then};
use super::class::BASE64URL;
use super::{Counts, TextPatterns};
use crate::mask::literals::Candidate;

/// Finds the built-in patterns in a stream, and holds back what may become a match.
#[derive(Clone, Debug, Default)]
pub(super) struct Scanner {
    /// The bytes that are not decided.
    held: Vec<u8>,
    /// How many of them have been shown by a flush.
    shown: usize,
    /// From where on they must not be shown.
    secret: usize,
    /// The last two bytes before them.
    before: [u8; 2],
    mode: Mode,
    /// A match ahead: what stands between here and there is still searched.
    planned: Option<Planned>,
}

#[derive(Clone, Copy, Debug, Default)]
enum Mode {
    #[default]
    Scan,
    /// Within a match whose replacement is out.
    Within(Then),
}

/// Offsets count from the first byte of what is looked at.
#[derive(Clone, Copy, Debug)]
struct Planned {
    pattern: usize,
    from: usize,
    to: usize,
    then: Then,
}

/// What one look at some bytes works with.
struct Look<'p, 'o> {
    patterns: &'p TextPatterns,
    bytes: &'p [u8],
    end: bool,
    counts: &'o mut Counts,
    out: &'o mut Vec<u8>,
}

const PEM_END: &[u8] = b"-----END ";

impl Scanner {
    /// Takes the next bytes.
    pub(super) fn push(
        &mut self,
        patterns: &TextPatterns,
        chunk: &[u8],
        counts: &mut Counts,
        out: &mut Vec<u8>,
    ) {
        self.advance(patterns, chunk, false, counts, out);
    }

    /// Ends the stream.
    pub(super) fn finish(&mut self, patterns: &TextPatterns, counts: &mut Counts, out: &mut Vec<u8>) {
        self.advance(patterns, &[], true, counts, out);
    }

    /// Ends the stream where it may have been cut within a credential: what is not decided is replaced.
    pub(super) fn cut(&mut self, patterns: &TextPatterns, counts: &mut Counts, out: &mut Vec<u8>) {
        let before = self.clone();
        let (mut decided, mut found) = (Vec::new(), Counts::default());
        self.finish(patterns, &mut found, &mut decided);
        let showable = before.showable(patterns);
        let secret = showable < before.held.len();
        match patterns.literals.find(&before.held, 0) {
            Some(candidate) if secret && found.0.is_empty() => {
                let shown = before.held.get(before.shown..showable).unwrap_or_default();
                out.extend_from_slice(shown);
                out.extend_from_slice(patterns.replacement.as_bytes());
                counts.add(patterns.rules.get(candidate.text).map_or(0, |rule| rule.pattern));
            }
            _ => {
                out.extend_from_slice(&decided);
                counts.add_all(&found);
            }
        }
    }

    /// Shows what is held back and may be shown.
    pub(super) fn flush(&mut self, patterns: &TextPatterns, out: &mut Vec<u8>) {
        let until = self.showable(patterns);
        out.extend_from_slice(self.held.get(self.shown..until).unwrap_or_default());
        self.shown = self.shown.max(until);
    }

    /// How much of what is held back may be shown. What is undecided at its first byte has its say in `secret`; another
    /// credential may stand before that, as a token that is a URL's user.
    fn showable(&self, patterns: &TextPatterns) -> usize {
        let mut until = self.secret.min(self.held.len());
        let mut from = 1;
        while let Some(inner) = patterns.literals.find(&self.held, from).filter(|inner| inner.at < until) {
            until = match self.judge(patterns, &self.held, false, inner).1 {
                Seen::No => until,
                Seen::More { secret } => until.min(inner.at.saturating_add(secret)),
                Seen::Match { from, .. } => until.min(inner.at.saturating_add(from)),
            };
            from = inner.at.saturating_add(1);
        }
        until
    }

    /// How many bytes are held back.
    pub(super) fn held(&self) -> usize {
        self.held.len().saturating_sub(self.shown)
    }

    fn advance(
        &mut self,
        patterns: &TextPatterns,
        chunk: &[u8],
        end: bool,
        counts: &mut Counts,
        out: &mut Vec<u8>,
    ) {
        let mut held = std::mem::take(&mut self.held);
        let kept = if held.is_empty() {
            let used = self.look(Look { patterns, bytes: chunk, end, counts, out });
            self.remember(chunk, used);
            held.extend_from_slice(chunk.get(used..).unwrap_or_default());
            held
        } else {
            held.extend_from_slice(chunk);
            let used = self.look(Look { patterns, bytes: &held, end, counts, out });
            self.remember(&held, used);
            held.drain(..used.min(held.len()));
            held
        };
        self.held = kept;
    }

    /// Keeps what is needed of bytes that go.
    fn remember(&mut self, bytes: &[u8], used: usize) {
        for byte in bytes.get(used.saturating_sub(2)..used).unwrap_or_default() {
            let [_, last] = self.before;
            self.before = [last, *byte];
        }
        self.shown = self.shown.saturating_sub(used);
        self.secret = self.secret.saturating_sub(used);
        if let Some(planned) = &mut self.planned {
            planned.from = planned.from.saturating_sub(used);
            planned.to = planned.to.saturating_sub(used);
        }
    }

    /// Decides as many of the bytes as can be decided; how many, comes back.
    fn look(&mut self, mut look: Look<'_, '_>) -> usize {
        let mut at = 0;
        loop {
            let (next, more) = match self.mode {
                Mode::Scan => self.scan(&mut look, at),
                Mode::Within(then) => self.within(&look, then, at),
            };
            at = next;
            if !more {
                return at;
            }
        }
    }

    /// Passes on what is no match, up to the next that is; `true` where there is more to decide.
    fn scan(&mut self, look: &mut Look<'_, '_>, start: usize) -> (usize, bool) {
        let bytes = look.bytes;
        let mut from = start;
        loop {
            let found = look.patterns.literals.find(bytes, from);
            if let Some(planned) = self.planned
                && found.is_none_or(|found| found.at >= planned.from)
            {
                self.show(look, start, planned.from);
                self.planned = None;
                self.replace(look, planned.pattern, planned.then);
                return (planned.to.max(start), true);
            }
            let Some(candidate) = found else {
                self.show(look, start, bytes.len());
                return (bytes.len(), false);
            };
            let at = candidate.at;
            let (pattern, seen) = self.judge(look.patterns, bytes, look.end, candidate);
            match seen {
                Seen::No => from = at.saturating_add(1),
                Seen::More { secret } => {
                    self.show(look, start, at);
                    self.secret = at.saturating_add(secret);
                    return (at, false);
                }
                Seen::Match { from: 0, to, then } => {
                    self.show(look, start, at);
                    self.replace(look, pattern, then);
                    return (at.saturating_add(to), true);
                }
                Seen::Match { from: behind, to, then } => {
                    let (first, last) = (at.saturating_add(behind), at.saturating_add(to));
                    // An earlier plan stands: it was made for what comes first.
                    self.planned.get_or_insert(Planned { pattern, from: first, to: last, then });
                    from = at.saturating_add(1);
                }
            }
        }
    }

    /// What the first rule says that has something to say where a candidate stands, and its pattern.
    fn judge(
        &self,
        patterns: &TextPatterns,
        bytes: &[u8],
        end: bool,
        mut candidate: Candidate,
    ) -> (usize, Seen) {
        let at = candidate.at;
        loop {
            let rule = patterns.rules.get(candidate.text);
            let seen = match rule {
                Some(rule) if candidate.whole => rule.see(&Here {
                    bytes: bytes.get(at..).unwrap_or_default(),
                    literal: patterns.literals.len_of(candidate.text),
                    before: self.before(bytes, at),
                    end,
                }),
                Some(_) if !end => Seen::More { secret: usize::MAX },
                _ => Seen::No,
            };
            match patterns.literals.next_at(bytes, candidate) {
                Some(next) if seen == Seen::No => candidate = next,
                _ => return (rule.map_or(0, |rule| rule.pattern), seen),
            }
        }
    }

    /// Drops what belongs to a match; `true` where it has ended before the bytes do.
    fn within(&mut self, look: &Look<'_, '_>, then: Then, at: usize) -> (usize, bool) {
        let rest = look.bytes.get(at..).unwrap_or_default();
        self.secret = 0;
        let dropped = match then {
            Then::Scan => 0,
            Then::Run(class) => class.run(rest, rest.len()),
            Then::Parts => {
                let run = BASE64URL.run(rest, rest.len());
                match (rest.get(run), rest.get(run.saturating_add(1))) {
                    (Some(b'.'), Some(next)) if BASE64URL.has(*next) => {
                        return (at.saturating_add(run).saturating_add(1), true);
                    }
                    (Some(b'.'), None) if !look.end => return (at.saturating_add(run), false),
                    _ => run,
                }
            }
            Then::Pem(left) => return self.within_pem(look, left, at),
        };
        let at = at.saturating_add(dropped);
        let ended = at < look.bytes.len() || then == Then::Scan;
        if ended {
            self.mode = Mode::Scan;
        }
        (at, ended)
    }

    fn within_pem(&mut self, look: &Look<'_, '_>, left: usize, at: usize) -> (usize, bool) {
        let rest = look.bytes.get(at..).unwrap_or_default();
        let reach = rest.get(..left).unwrap_or(rest);
        if let Some(found) = reach.windows(PEM_END.len()).position(|window| window == PEM_END) {
            let label_at = found.saturating_add(PEM_END.len());
            let label = rest.get(label_at..).unwrap_or_default();
            let label = label.get(..64).unwrap_or(label);
            if let Some(dashes) = label.windows(5).position(|window| window == b"-----") {
                self.mode = Mode::Scan;
                return (at.saturating_add(label_at).saturating_add(dashes).saturating_add(5), true);
            }
            let whole = label.len() == 64 || look.end;
            let dropped = if whole { label_at } else { found };
            self.mode = Mode::Within(Then::Pem(left.saturating_sub(dropped)));
            return (at.saturating_add(dropped), whole);
        }
        if rest.len() >= left {
            self.mode = Mode::Scan;
            return (at.saturating_add(left), true);
        }
        let kept = if look.end { 0 } else { rest.len().min(PEM_END.len().saturating_sub(1)) };
        let dropped = rest.len().saturating_sub(kept);
        self.mode = Mode::Within(Then::Pem(left.saturating_sub(dropped)));
        (at.saturating_add(dropped), false)
    }

    /// Appends bytes that pass, except what a flush has shown.
    fn show(&self, look: &mut Look<'_, '_>, from: usize, to: usize) {
        look.out.extend_from_slice(look.bytes.get(from.max(self.shown)..to).unwrap_or_default());
    }

    fn replace(&mut self, look: &mut Look<'_, '_>, pattern: usize, then: Then) {
        look.out.extend_from_slice(look.patterns.replacement.as_bytes());
        look.counts.add(pattern);
        self.mode = if then == Then::Scan { Mode::Scan } else { Mode::Within(then) };
    }

    fn before(&self, bytes: &[u8], at: usize) -> [u8; 2] {
        let [earlier, last] = self.before;
        let byte = |back: usize| at.checked_sub(back).and_then(|at| bytes.get(at)).copied();
        match at {
            0 => [earlier, last],
            1 => [last, byte(1).unwrap_or(0)],
            _ => [byte(2).unwrap_or(0), byte(1).unwrap_or(0)],
        }
    }
}
