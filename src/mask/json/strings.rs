//! Keys and strings: where they begin, what becomes of them, and how that is counted.

use super::form::Form;
use super::output::Run;
use super::role::{Nature, Role};
use super::text::Inside;
use super::{Fate, JsonError, JsonMasker, Lex, MOST_HELD, MOST_KEY, SECRET_KINDS, decoded};
use crate::mask::MaskedPaths;
use crate::mask::fields::Reach;
use crate::mask::metadata::holds_json;
use crate::mask::path::push_key;
use crate::mask::plan::Taken;

/// A variable's name is remembered up to that length.
const MOST_NAME: usize = 256;

impl JsonMasker {
    /// The opening quote of a key or string is at `at`.
    pub(super) fn text_begins(&mut self, at: usize, run: &mut Run<'_>) {
        self.held.clear();
        self.spilled = false;
        run.text = at.saturating_add(1);
    }

    pub(super) fn key_ends(
        &mut self,
        at: usize,
        run: &mut Run<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), JsonError> {
        self.lex = Lex::Colon;
        if !self.tracks_keys() {
            return Ok(());
        }
        let raw = Self::text_to(&mut self.held, self.spilled, run, at);
        if raw.len() > MOST_KEY {
            return Err(JsonError::TooLong);
        }
        let key = decoded(raw).ok_or(JsonError::Syntax)?;
        let mut waits = false;
        if let Some(frame) = self.frames.last_mut() {
            if frame.role.reads_keys() {
                frame.seen.add(&key)?;
            }
            let object = frame.role == Role::Object || (frame.role == Role::Document && !self.plan.watch);
            waits = object && frame.nature == Nature::Unknown && Role::waits_for_kind(&key);
            frame.key.clear();
            frame.key.extend_from_slice(&key);
        }
        if waits {
            self.wait(at.saturating_add(1), run, out);
        }
        Ok(())
    }

    pub(super) fn string_begins(
        &mut self,
        role: Role,
        reach: Reach,
        at: usize,
        run: &mut Run<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), JsonError> {
        let replacement = self.replacement.clone();
        let dropped = match role {
            Role::DataValue => Some(replacement.base64()),
            Role::PlainValue => Some(replacement.text()),
            Role::Text => Some(super::WITHHELD),
            Role::Kind => None,
            _ if reach.hit && self.in_binary_data() => Some(replacement.base64()),
            _ if reach.hit => Some(replacement.text()),
            _ => None,
        };
        let fate = match (role, dropped) {
            (Role::Kind, _) => Fate::Kind,
            _ if self.waiting.is_some() && !self.extra.is_empty() => {
                self.pass(run, at, out);
                self.keep_raw(run, at)?;
                Fate::Both(role)
            }
            (_, Some(text)) => {
                self.pass(run, at, out);
                self.put_string(text, out);
                self.count(&[]);
                Fate::Drop
            }
            (Role::Annotation | Role::Label, _) => {
                self.pass(run, at, out);
                Fate::Hold
            }
            _ if self.looks() => Fate::Look,
            _ => Fate::Pass,
        };
        self.text_begins(at, run);
        self.lex = Lex::InValue(Inside::Plain, fate);
        Ok(())
    }

    /// Whether the value being read is base64 to the API: clients could not decode anything else.
    fn in_binary_data(&self) -> bool {
        self.frames.last().is_some_and(|frame| frame.role == Role::BinaryData)
    }

    /// Whether a string that would pass is looked at once it is whole.
    fn looks(&self) -> bool {
        let copy = |role| role == Role::OtherAnnotations && holds_json(self.key());
        self.skip.depth == 0
            && (self.extra.patterns.is_some()
                || (self.extra.fields.is_some() && self.frames.last().is_some_and(|frame| copy(frame.role))))
    }

    pub(super) fn string_ends(
        &mut self,
        fate: Fate,
        at: usize,
        run: &mut Run<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), JsonError> {
        let after = at.saturating_add(1);
        if fate == Fate::Pass || (fate == Fate::Drop && !self.report.keeps_originals()) {
            if fate == Fate::Drop {
                run.start = after;
            }
            self.value_ends();
            return Ok(());
        }
        let mut held = std::mem::take(&mut self.held);
        let raw = Self::text_to(&mut held, self.spilled, run, at);
        let done = match fate {
            Fate::Kind => self.kind_ends(raw, after, run, out),
            Fate::Look => {
                self.look_ends(raw, at, run, out);
                Ok(())
            }
            Fate::Both(role) => self.both_end(role, raw, after, run, out),
            Fate::Hold => {
                run.start = after;
                self.hold_ends(raw, out);
                Ok(())
            }
            Fate::Drop | Fate::Pass => {
                run.start = after;
                self.keep(raw, false);
                Ok(())
            }
        };
        held.clear();
        self.held = held;
        self.value_ends();
        done
    }

    fn kind_ends(
        &mut self,
        raw: &[u8],
        after: usize,
        run: &mut Run<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), JsonError> {
        if raw.len() > MOST_KEY {
            return Err(JsonError::TooLong);
        }
        let kind = decoded(raw).ok_or(JsonError::Syntax)?;
        if self.plan.taken == Taken::Secrets && !SECRET_KINDS.contains(&kind.as_ref()) {
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
                if frame.seen.any(Role::waits_for_kind) {
                    return Err(JsonError::LateKind);
                }
                frame.nature = nature;
            }
        }
        Ok(())
    }

    /// A string that passes, unless the configuration says otherwise, is whole.
    fn look_ends(&mut self, raw: &[u8], at: usize, run: &mut Run<'_>, out: &mut Vec<u8>) {
        let form = self.extra_form(raw);
        if let Form::Put(text, patterns) = &form {
            if !self.spilled {
                self.pass(run, run.text.saturating_sub(1), out);
            }
            self.put(text.as_bytes(), out);
            run.start = at.saturating_add(1);
            self.count(patterns);
            self.keep(raw, false);
        } else if self.spilled {
            self.put(b"\"", out);
            self.put(raw, out);
            run.start = at;
        }
        if self.extra.patterns.is_some()
            && let Some(frame) = self.frames.last_mut()
            && frame.key == b"name"
        {
            frame.name.clear();
            frame.name.extend_from_slice(raw.get(..MOST_NAME).unwrap_or(raw));
        }
    }

    /// A string that goes out in two forms is whole.
    fn both_end(
        &mut self,
        role: Role,
        raw: &[u8],
        after: usize,
        run: &mut Run<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), JsonError> {
        if raw.len() > super::MOST_WAITING {
            return Err(JsonError::LateKind);
        }
        let other = self.extra_form(raw);
        let secret = match self.secret_form(role, raw) {
            Form::Keep => self.extra_form(raw),
            put => put,
        };
        match &secret {
            Form::Keep => self.put(&quoted(raw), out),
            Form::Put(text, patterns) => {
                self.put(text.as_bytes(), out);
                self.count(patterns);
                self.keep(raw, false);
            }
        }
        run.start = after;
        run.raw_start = after;
        let written = match &other {
            Form::Keep => quoted(raw),
            Form::Put(text, _) => text.clone().into_bytes(),
        };
        if let Some(mut waiting) = self.waiting.take() {
            waiting.raw.extend_from_slice(&written);
            if let Form::Put(_, patterns) = &other {
                std::mem::swap(&mut self.report, &mut waiting.report);
                self.count(patterns);
                self.keep(raw, false);
                std::mem::swap(&mut self.report, &mut waiting.report);
            }
            self.waiting = Some(waiting);
        }
        Ok(())
    }

    /// An annotation or label of a Secret is whole.
    fn hold_ends(&mut self, raw: &[u8], out: &mut Vec<u8>) {
        let role = match self.frames.last() {
            Some(frame) if frame.role == Role::Labels => Role::Label,
            _ => Role::Annotation,
        };
        match self.secret_form(role, raw) {
            Form::Keep => {
                self.put(b"\"", out);
                self.put(raw, out);
                self.put(b"\"", out);
            }
            Form::Put(text, patterns) => {
                self.put(text.as_bytes(), out);
                self.count(&patterns);
                self.keep(raw, raw.len() > MOST_HELD);
            }
        }
    }

    // === Report ===

    /// Counts the value being read: at its path, or at its path and the patterns it matched.
    fn count(&mut self, patterns: &[(String, u64)]) {
        let mut path = self.path(false);
        if patterns.is_empty() {
            self.report.add(&path);
        }
        let length = path.len();
        for (pattern, count) in patterns {
            path.truncate(length);
            path.push_str(&format!(" ({pattern})"));
            self.report.add_many(&path, *count);
        }
    }

    /// Keeps the value being read for sealing, where that is asked for.
    fn keep(&mut self, raw: &[u8], too_long: bool) {
        if !self.report.keeps_originals() {
            return;
        }
        let path = self.path(true);
        let value = decoded(raw).filter(|_| !too_long && raw.len() <= MOST_HELD);
        self.report.keep(|| path, value.as_deref());
    }

    /// Where the value being read stands; elements by number, or all as one.
    fn path(&self, numbered: bool) -> String {
        let mut path = String::from("$");
        for frame in &self.frames {
            match (frame.array, numbered) {
                (true, true) => path.push_str(&format!("[{}]", frame.index)),
                (true, false) => path.push_str("[*]"),
                (false, _) => push_key(&mut path, &frame.key),
            }
        }
        path
    }

    /// Takes what was masked, and leaves nothing.
    pub fn take_masked(&mut self) -> MaskedPaths {
        std::mem::take(&mut self.report)
    }
}

fn quoted(raw: &[u8]) -> Vec<u8> {
    [b"\"", raw, b"\""].concat()
}
