//! Masks Kubernetes protobuf: objects in their `k8s\0` envelope, and watches of them.
//!
//! A masked object's lengths are known only once all of it is, so it is held back whole, up to a limit; a watch event by
//! event. An object of which the kind says that there is nothing to mask passes as it comes.
//! [`ProtobufMasker`] is the entry; the layout is that of `k8s.io/apimachinery/pkg/runtime/serializer/protobuf`.

mod envelope;
mod rewrite;
mod schema;
#[cfg(test)]
mod tests;
pub(crate) mod wire;

pub use wire::WireError;

use super::{MaskedPaths, Replacement};
use envelope::{Tail, TypeMeta};
use rewrite::Start;
use schema::Message;
use std::fmt;
use std::rc::Rc;

/// How much of one object, or one watch event, is held back at most, where the config says nothing else: 4 MiB.
pub const DEFAULT_LIMIT: usize = 4 << 20;

/// What the request was for: the resource it names counts as much as the kinds found in the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Core `secrets`: whatever comes back is masked or refused.
    Secrets,
    /// Anything else: masked by kind.
    Other,
}

/// How the body is cut into objects: told by the response's content type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// `application/vnd.kubernetes.protobuf`: one object.
    Object,
    /// `…;stream=watch`: events, each behind its length.
    Watch,
}

/// Why a protobuf body cannot be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtobufError {
    /// The bytes are no message, or one that could be read two ways.
    Wire(WireError),
    /// The object does not begin with `k8s\0`.
    Magic,
    /// The object does not say first what kind it is.
    NoTypeMeta,
    /// A field that may be there once is there twice.
    Repeated,
    /// A known field has another wire type than its message gives it.
    WrongType,
    /// A field where none is known, in a message that is never extended.
    UnknownField,
    /// The object is encoded further, or is no protobuf inside.
    Encoded,
    /// A request to Secrets was answered by a kind that is none of theirs, or the kind is of an unknown version.
    Kind,
    /// The object or event is longer than the limit.
    TooLarge,
}

impl ProtobufError {
    /// A short stable name, for metrics and records.
    pub fn code(self) -> &'static str {
        match self {
            Self::Wire(_) => "protobuf-malformed",
            Self::Magic => "protobuf-magic",
            Self::NoTypeMeta => "protobuf-type-meta",
            Self::Repeated => "protobuf-repeated-field",
            Self::WrongType => "protobuf-wrong-type",
            Self::UnknownField => "protobuf-unknown-field",
            Self::Encoded => "protobuf-encoded",
            Self::Kind => "protobuf-unexpected-kind",
            Self::TooLarge => "protobuf-too-large",
        }
    }
}

impl From<WireError> for ProtobufError {
    fn from(error: WireError) -> Self {
        Self::Wire(error)
    }
}

impl fmt::Display for ProtobufError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wire(WireError::Truncated) => "the protobuf body ends inside a field",
            Self::Wire(_) => "the protobuf body is malformed",
            Self::Magic => "the protobuf body holds something that is no Kubernetes object",
            Self::NoTypeMeta => "the protobuf object does not say first what kind it is",
            Self::Repeated => "the protobuf object holds a field twice that may be there once",
            Self::WrongType => "the protobuf object holds a field of the wrong type",
            Self::UnknownField => "the protobuf body holds an unknown field",
            Self::Encoded => "the protobuf object is encoded in a way that cannot be masked",
            Self::Kind => "the response's kind is not one that the request can be answered with",
            Self::TooLarge => "the protobuf object is larger than can be held back for masking",
        })
    }
}

impl std::error::Error for ProtobufError {}

impl Asked {
    /// What to walk in an object of that kind; none: it passes.
    fn treatment(self, type_meta: TypeMeta<'_>) -> Result<Option<&'static Message>, ProtobufError> {
        let secrets = self == Self::Secrets;
        match type_meta.kind {
            b"Secret" | b"SecretList" if type_meta.api_version != b"v1" => Err(ProtobufError::Kind),
            b"Secret" => Ok(Some(&schema::SECRET)),
            b"SecretList" => Ok(Some(&schema::SECRET_LIST)),
            b"Status" if secrets => Ok(Some(&schema::STATUS)),
            b"PartialObjectMetadata" if secrets => Ok(Some(&schema::PARTIAL)),
            b"PartialObjectMetadataList" if secrets => Ok(Some(&schema::PARTIAL_LIST)),
            _ if secrets => Err(ProtobufError::Kind),
            b"TokenRequest" => Ok(Some(&schema::TOKEN_REQUEST)),
            b"TokenReview" => Ok(Some(&schema::TOKEN_REVIEW)),
            _ => Ok(None),
        }
    }
}

/// Masks one protobuf response as its bytes come. After an error every call returns it again: nothing more may pass.
#[derive(Debug)]
pub struct ProtobufMasker {
    asked: Asked,
    replacement: Rc<Replacement>,
    limit: usize,
    state: State,
    /// What is held back.
    held: Vec<u8>,
    masked: MaskedPaths,
}

#[derive(Debug)]
enum State {
    /// Before the object's kind is known.
    Head,
    /// An object to mask: held back until its end.
    Holding,
    /// An object that passes.
    Passing(Tail),
    /// A watch, event by event.
    Watching,
    Failed(ProtobufError),
}

impl ProtobufMasker {
    /// A masker for one response; `limit` bounds in bytes what is held back.
    pub fn new(asked: Asked, framing: Framing, replacement: Rc<Replacement>, limit: usize) -> Self {
        let state = match framing {
            Framing::Object => State::Head,
            Framing::Watch => State::Watching,
        };
        Self { asked, replacement, limit, state, held: Vec::new(), masked: MaskedPaths::default() }
    }

    /// The same, keeping the originals of what is masked.
    #[must_use]
    pub fn keeping_originals(self) -> Self {
        Self { masked: MaskedPaths::with_originals(), ..self }
    }

    /// Takes the body's next bytes and appends to `out` what may go on.
    ///
    /// # Errors
    /// The body cannot be masked with certainty; what `out` got before may stand, nothing may follow.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), ProtobufError> {
        let result = match &mut self.state {
            State::Head => self.head(chunk, out),
            State::Holding => self.hold(chunk),
            State::Passing(tail) => tail.push(chunk).map(|()| out.extend_from_slice(chunk)),
            State::Watching => self.watch(chunk, out),
            State::Failed(error) => Err(*error),
        };
        self.settle(result)
    }

    /// Ends the body and appends the rest to `out`.
    ///
    /// # Errors
    /// As for [`Self::push`]; also where the body ended too early. An empty body is none.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), ProtobufError> {
        let result = match &self.state {
            State::Head | State::Watching if self.held.is_empty() => Ok(()),
            State::Head | State::Watching => Err(ProtobufError::Wire(WireError::Truncated)),
            State::Holding => self.mask_object(out),
            State::Passing(tail) => tail.finish(),
            State::Failed(error) => Err(*error),
        };
        self.settle(result)
    }

    /// Whether the body passes as it is: then `push` only copies, and the rest may go on without copying it back.
    pub fn passes(&self) -> bool {
        matches!(self.state, State::Passing(_))
    }

    /// What has been masked so far.
    pub fn masked(&self) -> &MaskedPaths {
        &self.masked
    }

    /// Takes what was masked, and leaves nothing.
    pub fn take_masked(&mut self) -> MaskedPaths {
        std::mem::take(&mut self.masked)
    }

    fn settle(&mut self, result: Result<(), ProtobufError>) -> Result<(), ProtobufError> {
        if let Err(error) = result {
            self.state = State::Failed(error);
            self.held = Vec::new();
        }
        result
    }

    /// Holds back until the kind is known, then holds on or lets pass.
    fn head(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), ProtobufError> {
        self.hold(chunk)?;
        let Some((type_meta, length)) = TypeMeta::peek(&self.held)? else { return Ok(()) };
        if self.asked.treatment(type_meta)?.is_some() {
            self.state = State::Holding;
            return Ok(());
        }
        let mut tail = Tail::default();
        tail.push(self.held.get(length..).unwrap_or_default())?;
        out.append(&mut self.held);
        self.state = State::Passing(tail);
        Ok(())
    }

    fn hold(&mut self, chunk: &[u8]) -> Result<(), ProtobufError> {
        if self.held.len().saturating_add(chunk.len()) > self.limit {
            return Err(ProtobufError::TooLarge);
        }
        self.held.extend_from_slice(chunk);
        Ok(())
    }

    fn mask_object(&mut self, out: &mut Vec<u8>) -> Result<(), ProtobufError> {
        let held = std::mem::take(&mut self.held);
        let edits = rewrite::edits(&Start::Object, &held, self.asked, &self.replacement, &mut self.masked)?;
        edits.write(&held, out);
        Ok(())
    }

    /// Takes frames: a 4-byte big-endian length, then a bare `WatchEvent`.
    fn watch(&mut self, mut chunk: &[u8], out: &mut Vec<u8>) -> Result<(), ProtobufError> {
        loop {
            let missing = 4_usize.saturating_sub(self.held.len());
            chunk = self.take(chunk, missing);
            let Some(length) = self.held.first_chunk::<4>() else { return Ok(()) };
            let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
            if length > self.limit {
                return Err(ProtobufError::TooLarge);
            }
            let end = length.saturating_add(4);
            chunk = self.take(chunk, end.saturating_sub(self.held.len()));
            if self.held.len() < end {
                return Ok(());
            }
            self.mask_event(out)?;
            if chunk.is_empty() {
                return Ok(());
            }
        }
    }

    /// Holds back as much as `missing` of `chunk`; the rest of the chunk comes back.
    fn take<'c>(&mut self, chunk: &'c [u8], missing: usize) -> &'c [u8] {
        let (taken, rest) = chunk.split_at_checked(missing).unwrap_or((chunk, &[]));
        self.held.extend_from_slice(taken);
        rest
    }

    fn mask_event(&mut self, out: &mut Vec<u8>) -> Result<(), ProtobufError> {
        let event = self.held.get(4..).unwrap_or_default();
        let edits = rewrite::edits(&Start::Event, event, self.asked, &self.replacement, &mut self.masked)?;
        let length = u32::try_from(edits.len(event)).map_err(|_| ProtobufError::TooLarge)?;
        out.extend_from_slice(&length.to_be_bytes());
        edits.write(event, out);
        self.held.clear();
        Ok(())
    }
}

/// The `type` of a Secret in its envelope, whole; none where it has none.
pub(super) fn secret_type(body: &[u8]) -> Result<Option<String>, ProtobufError> {
    let behind = body.strip_prefix(envelope::MAGIC).ok_or(ProtobufError::Magic)?;
    let envelope = envelope::Envelope::read(behind)?;
    if (envelope.type_meta.api_version, envelope.type_meta.kind) != (b"v1", b"Secret") {
        return Err(ProtobufError::Kind);
    }
    let mut found = None;
    let mut fields = wire::Fields::new(envelope.raw.map_or(&[] as &[u8], |raw| raw.value));
    while let Some(field) = fields.next()? {
        if field.tag.number != 3 {
            continue;
        }
        if field.tag.wire_type != wire::WireType::Bytes {
            return Err(ProtobufError::WrongType);
        }
        if found.replace(field.value).is_some() {
            return Err(ProtobufError::Repeated);
        }
    }
    Ok(found.map(|value| String::from_utf8_lossy(value).into_owned()))
}
