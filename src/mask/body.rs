//! The masker of one response body, whatever its format.

use super::json::JsonMasker;
use super::plan::{Plan, Taken};
use super::protobuf::{Asked, DEFAULT_LIMIT, Framing, ProtobufMasker};
use super::text::{TextMasker, TextPatterns};
use super::{Extra, MaskRules, MaskedPaths};
use std::rc::Rc;

/// Masks one body as its bytes come.
pub enum BodyMasker {
    /// JSON.
    Json(Box<JsonMasker>),
    /// Kubernetes protobuf.
    Protobuf(Box<ProtobufMasker>),
    /// A log.
    Text(Box<TextMasker>),
}

impl BodyMasker {
    /// For a JSON body.
    pub fn json(plan: Plan, extra: Extra, rules: &MaskRules) -> Self {
        let masker = JsonMasker::new(plan, rules.replacement.clone()).with(extra);
        Self::Json(Box::new(if rules.recipient.is_some() { masker.keeping_originals() } else { masker }))
    }

    /// For a protobuf body.
    pub fn protobuf(plan: Plan, rules: &MaskRules) -> Self {
        let asked = if plan.taken == Taken::Secrets { Asked::Secrets } else { Asked::Other };
        let framing = if plan.watch { Framing::Watch } else { Framing::Object };
        let masker = ProtobufMasker::new(asked, framing, rules.replacement.clone(), DEFAULT_LIMIT);
        Self::Protobuf(Box::new(if rules.recipient.is_some() { masker.keeping_originals() } else { masker }))
    }

    /// For a pod's log; `limited` where whoever asks may have chosen where it ends.
    pub fn text(patterns: Rc<TextPatterns>, limited: bool) -> Self {
        let masker = TextMasker::new(patterns);
        Self::Text(Box::new(if limited { masker.limited() } else { masker }))
    }

    /// Takes the body's next bytes and appends to `out` what may go on.
    ///
    /// # Errors
    /// A short stable code: the body can't be masked, nothing more may pass.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
        match self {
            Self::Json(masker) => masker.push(chunk, out).map_err(super::json::JsonError::code),
            Self::Protobuf(masker) => masker.push(chunk, out).map_err(super::protobuf::ProtobufError::code),
            Self::Text(masker) => {
                masker.push(chunk, out);
                // Who follows a log sees each line when it is written, not when the next one is.
                if chunk.ends_with(b"\n") {
                    masker.flush(out);
                }
                Ok(())
            }
        }
    }

    /// Ends the body and appends the rest to `out`.
    ///
    /// # Errors
    /// As for [`Self::push`]; also where the body ended too early.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), &'static str> {
        match self {
            Self::Json(masker) => masker.finish(out).map_err(super::json::JsonError::code),
            Self::Protobuf(masker) => masker.finish(out).map_err(super::protobuf::ProtobufError::code),
            Self::Text(masker) => {
                masker.finish(out);
                Ok(())
            }
        }
    }

    /// Takes what has been masked so far, for the record.
    pub fn take_masked(&mut self) -> MaskedPaths {
        match self {
            Self::Json(masker) => masker.take_masked(),
            Self::Protobuf(masker) => masker.take_masked(),
            Self::Text(masker) => {
                let mut masked = MaskedPaths::default();
                for (pattern, count) in masker.counts() {
                    masked.add_many(&format!("$ ({pattern})"), count);
                }
                masked
            }
        }
    }
}
