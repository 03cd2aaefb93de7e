//! What a whole string becomes: as it is, or another.

use super::role::Role;
use super::{JsonMasker, MOST_HELD, MOST_NESTED, MOST_TEXT};
use crate::mask::metadata::{Treatment, annotation, holds_json, label};
use crate::mask::plan::Plan;
use crate::mask::text::PatternCounts;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What a string becomes.
pub(super) enum Form {
    /// It passes as it is.
    Keep,
    /// This, quotes and all, stands in for it; with the patterns that it matched, where patterns did it.
    Put(String, PatternCounts),
}

impl JsonMasker {
    /// A string of a Secret or token, by its place.
    pub(super) fn secret_form(&self, role: Role, raw: &[u8]) -> Form {
        let text = match role {
            Role::DataValue => self.replacement.base64(),
            Role::PlainValue => self.replacement.text(),
            Role::Text => super::WITHHELD,
            Role::Annotation | Role::Label => return self.annotation_form(role, raw),
            _ => return Form::Keep,
        };
        Form::Put(quoted(text), Vec::new())
    }

    /// An annotation or label of a Secret: kept, masked inside, or replaced.
    fn annotation_form(&self, role: Role, raw: &[u8]) -> Form {
        let key = self.key();
        let value = if raw.len() > MOST_HELD { None } else { super::decoded(raw) };
        let treat = if role == Role::Label { label } else { annotation };
        if value.as_ref().is_some_and(|value| treat(key, value) == Treatment::Keep) {
            return Form::Keep;
        }
        let inner = value.filter(|_| holds_json(key));
        let inner = inner.and_then(|value| self.masked_inside(&value, Plan::secret_request()));
        match inner.and_then(|(text, _)| serde_json::to_string(&text).ok()) {
            Some(text) => Form::Put(text, Vec::new()),
            None => Form::Put(quoted(self.replacement.text()), Vec::new()),
        }
    }

    /// A string that is no Secret's, by what the configuration says of it.
    pub(super) fn extra_form(&self, raw: &[u8]) -> Form {
        let replaced = || Form::Put(quoted(self.replacement.text()), Vec::new());
        if self.reach(Role::Pass).hit {
            return replaced();
        }
        let role = self.frames.last().map_or(Role::Pass, |frame| frame.role);
        let copy = matches!(role, Role::OtherAnnotations | Role::Annotations) && holds_json(self.key());
        if !copy && self.extra.patterns.is_none() {
            return Form::Keep;
        }
        if raw.len() > MOST_TEXT {
            return replaced();
        }
        let Some(text) = super::decoded(raw) else { return replaced() };
        if copy {
            return match self.masked_inside(&text, Plan { watch: false, ..self.plan }) {
                Some((_, masked)) if masked.paths().is_empty() => Form::Keep,
                Some((text, _)) => serde_json::to_string(&text).map_or_else(|_| replaced(), plain),
                None => replaced(),
            };
        }
        self.looked_through(role, &text)
    }

    fn looked_through(&self, role: Role, text: &[u8]) -> Form {
        let (Some(patterns), Ok(text)) = (&self.extra.patterns, std::str::from_utf8(text)) else {
            return Form::Keep;
        };
        let masked = if role == Role::BinaryData {
            STANDARD.decode(text).ok().and_then(|bytes| {
                let (bytes, counts) = patterns.mask_bytes(&bytes)?;
                Some((STANDARD.encode(bytes), counts))
            })
        } else {
            patterns.mask_named(self.name(), text).map(|masked| (masked.text, masked.counts))
        };
        match masked {
            None => Form::Keep,
            Some((text, counts)) => match serde_json::to_string(&text) {
                Ok(text) => Form::Put(text, counts),
                Err(_) => Form::Put(quoted(self.replacement.text()), counts),
            },
        }
    }

    /// What the string being read is called: an entry's `name` beside its `value`, otherwise its key.
    fn name(&self) -> &[u8] {
        match self.frames.last() {
            Some(frame) if frame.key == b"value" && !frame.name.is_empty() => &frame.name,
            Some(frame) if !frame.array => &frame.key,
            _ => &[],
        }
    }

    /// Masks a JSON document within a string. None where it cannot be.
    fn masked_inside(&self, value: &[u8], plan: Plan) -> Option<(String, crate::mask::MaskedPaths)> {
        let mut inner = Self::new(plan, self.replacement.clone()).with(self.extra.clone());
        inner.nested = self.nested.checked_add(1).filter(|nested| *nested <= MOST_NESTED)?;
        let mut masked = Vec::with_capacity(value.len());
        inner.push(value, &mut masked).ok()?;
        inner.finish(&mut masked).ok()?;
        Some((String::from_utf8(masked).ok()?, inner.report))
    }
}

fn plain(text: String) -> Form {
    Form::Put(text, Vec::new())
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}
