//! The masker of one response body, whatever its format, and the rules all maskers share.

use super::json::JsonMasker;
use super::plan::{Plan, Taken};
use super::protobuf::{Asked, DEFAULT_LIMIT, Framing, ProtobufMasker};
use super::write_back::Sentinel;
use super::{MaskedPaths, Replacement};
use crate::config::{Masking, Problem};
use chaperone_record::Masked;
use std::rc::Rc;

/// What the configuration says of masking, ready for use.
pub struct MaskRules {
    pub(crate) replacement: Rc<Replacement>,
    pub(crate) sentinel: Rc<Sentinel>,
}

impl MaskRules {
    /// From the configuration.
    ///
    /// # Errors
    /// What this build cannot do: it must not look as if it were done.
    pub fn compile(config: &Masking) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut refuse = |path: &str, message: &str| {
            problems.push(Problem { path: path.to_owned(), message: message.to_owned() });
        };
        if !config.resources.is_empty() {
            refuse("masking.resources", "is not supported by this version; leave it out");
        }
        if !config.patterns.enable.is_empty() || !config.patterns.custom.is_empty() {
            refuse("masking.patterns", "is not supported by this version; leave it out");
        }
        if config.seal_to.is_some() {
            refuse("masking.sealTo", "is not supported by this version; leave it out");
        }
        match Replacement::new(&config.replacement) {
            Some(replacement) if problems.is_empty() => {
                Ok(Self { sentinel: Rc::new(Sentinel::new(&replacement)), replacement: Rc::new(replacement) })
            }
            Some(_) => Err(problems),
            None => {
                let (path, message) = ("masking.replacement".to_owned(), "can't be used".to_owned());
                problems.push(Problem { path, message });
                Err(problems)
            }
        }
    }
}

/// Masks one response body as its bytes come.
pub enum BodyMasker {
    /// JSON.
    Json(Box<JsonMasker>),
    /// Kubernetes protobuf.
    Protobuf(Box<ProtobufMasker>),
}

impl BodyMasker {
    /// For a JSON body.
    pub fn json(plan: Plan, rules: &MaskRules) -> Self {
        Self::Json(Box::new(JsonMasker::new(plan, rules.replacement.clone())))
    }

    /// For a protobuf body.
    pub fn protobuf(plan: Plan, rules: &MaskRules) -> Self {
        let asked = if plan.taken == Taken::Secrets { Asked::Secrets } else { Asked::Other };
        let framing = if plan.watch { Framing::Watch } else { Framing::Object };
        Self::Protobuf(Box::new(ProtobufMasker::new(
            asked,
            framing,
            rules.replacement.clone(),
            DEFAULT_LIMIT,
        )))
    }

    /// Takes the body's next bytes and appends to `out` what may go on.
    ///
    /// # Errors
    /// A short stable code: the body can't be masked, nothing more may pass.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
        match self {
            Self::Json(masker) => masker.push(chunk, out).map_err(super::json::JsonError::code),
            Self::Protobuf(masker) => masker.push(chunk, out).map_err(super::protobuf::ProtobufError::code),
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
        }
    }

    /// What has been masked so far.
    pub fn masked(&self) -> &MaskedPaths {
        match self {
            Self::Json(masker) => masker.masked(),
            Self::Protobuf(masker) => masker.masked(),
        }
    }

    /// The same, for the record.
    pub fn report(&self) -> Vec<Masked> {
        self.masked().paths().to_vec()
    }
}
