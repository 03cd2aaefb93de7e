//! `runtime.Unknown`, the envelope around every object: `k8s\0`, then who it is, then its bytes.

use super::ProtobufError;
use super::wire::{self, Field, Fields, WireError, WireType};

/// What every protobuf object of Kubernetes begins with.
pub(super) const MAGIC: &[u8] = b"k8s\0";

/// The one content type `raw` may have, beside none.
pub(super) const PROTOBUF: &[u8] = b"application/vnd.kubernetes.protobuf";

/// No magic and `typeMeta` is longer than this; real ones take about 60 bytes.
const MAX_HEAD: usize = 1024;

/// `runtime.TypeMeta`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TypeMeta<'a> {
    pub(super) api_version: &'a [u8],
    pub(super) kind: &'a [u8],
}

/// A whole envelope, without its magic.
pub(super) struct Envelope<'a> {
    pub(super) type_meta: TypeMeta<'a>,
    /// The object, where there is one.
    pub(super) raw: Option<Field<'a>>,
}

impl<'a> Envelope<'a> {
    /// Reads the bytes behind the magic: each field at most once, `typeMeta` first, nothing unknown.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, ProtobufError> {
        let mut fields = Fields::new(bytes);
        let first = fields.next()?.ok_or(ProtobufError::NoTypeMeta)?;
        if first.tag != (wire::Tag { number: 1, wire_type: WireType::Bytes }) {
            return Err(ProtobufError::NoTypeMeta);
        }
        let type_meta = TypeMeta::read(first.value)?;
        let mut raw = None;
        let mut order = Order::default();
        while let Some(field) = fields.next()? {
            match order.next(field.tag)? {
                Part::Raw => raw = Some(field),
                Part::Encoding => check_encoding(field.value)?,
                Part::ContentType => check_content_type(field.value)?,
            }
        }
        Ok(Self { type_meta, raw })
    }
}

impl<'a> TypeMeta<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, ProtobufError> {
        let (mut api_version, mut kind) = (None, None);
        let mut fields = Fields::new(bytes);
        while let Some(field) = fields.next()? {
            let slot = match (field.tag.number, field.tag.wire_type) {
                (1, WireType::Bytes) => &mut api_version,
                (2, WireType::Bytes) => &mut kind,
                _ => return Err(ProtobufError::UnknownField),
            };
            if slot.replace(field.value).is_some() {
                return Err(ProtobufError::Repeated);
            }
        }
        let kind = kind.filter(|kind: &&[u8]| !kind.is_empty()).ok_or(ProtobufError::NoTypeMeta)?;
        Ok(Self { api_version: api_version.unwrap_or_default(), kind })
    }

    /// Reads an envelope's beginning: what it is and how many bytes said so. `Ok(None)`: more bytes are needed.
    pub(super) fn peek(bytes: &'a [u8]) -> Result<Option<(Self, usize)>, ProtobufError> {
        if !MAGIC.starts_with(bytes) && !bytes.starts_with(MAGIC) {
            return Err(ProtobufError::Magic);
        }
        let short = || if bytes.len() > MAX_HEAD { Err(ProtobufError::NoTypeMeta) } else { Ok(None) };
        let Some(behind) = bytes.strip_prefix(MAGIC) else { return Ok(None) };
        let Some((tag, tag_len)) = wire::varint(behind)? else { return short() };
        if wire::tag(tag)? != (wire::Tag { number: 1, wire_type: WireType::Bytes }) {
            return Err(ProtobufError::NoTypeMeta);
        }
        let Some((length, length_len)) = wire::varint(behind.get(tag_len..).unwrap_or_default())? else {
            return short();
        };
        let length = usize::try_from(length).ok().filter(|length| *length <= MAX_HEAD);
        let start = tag_len.saturating_add(length_len);
        let end = start.saturating_add(length.ok_or(ProtobufError::NoTypeMeta)?);
        match behind.get(start..end) {
            Some(type_meta) => Ok(Some((Self::read(type_meta)?, end.saturating_add(MAGIC.len())))),
            None => Ok(None),
        }
    }
}

/// What may follow `typeMeta` in an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Raw,
    Encoding,
    ContentType,
}

/// Which of an envelope's fields have been seen: each may come once, `typeMeta` not again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Order {
    seen: [bool; 3],
}

impl Order {
    /// Takes the next field's tag.
    pub(super) fn next(&mut self, tag: wire::Tag) -> Result<Part, ProtobufError> {
        let [raw, encoding, content_type] = &mut self.seen;
        let (seen, part) = match (tag.number, tag.wire_type) {
            (1, _) => return Err(ProtobufError::Repeated),
            (2, WireType::Bytes) => (raw, Part::Raw),
            (3, WireType::Bytes) => (encoding, Part::Encoding),
            (4, WireType::Bytes) => (content_type, Part::ContentType),
            _ => return Err(ProtobufError::UnknownField),
        };
        if std::mem::replace(seen, true) { Err(ProtobufError::Repeated) } else { Ok(part) }
    }
}

fn check_encoding(value: &[u8]) -> Result<(), ProtobufError> {
    if value.is_empty() { Ok(()) } else { Err(ProtobufError::Encoded) }
}

fn check_content_type(value: &[u8]) -> Result<(), ProtobufError> {
    if value.is_empty() || value == PROTOBUF { Ok(()) } else { Err(ProtobufError::Encoded) }
}

/// Follows an envelope behind its `typeMeta` while its bytes pass, so that no second object can hide in its tail.
///
/// Holds no more than one field's head and the two short fields that are checked.
#[derive(Debug, Default)]
pub(super) struct Tail {
    order: Order,
    /// A field's tag and length, as far as they have come.
    head: Vec<u8>,
    at: Within,
}

#[derive(Clone, Copy, Debug, Default)]
enum Within {
    #[default]
    Head,
    Raw(u64),
    /// The length is 0, or the field holds the content type, byte by byte.
    Short {
        part: Part,
        matched: usize,
        left: usize,
    },
}

impl Tail {
    /// Checks the envelope's next bytes.
    pub(super) fn push(&mut self, mut chunk: &[u8]) -> Result<(), ProtobufError> {
        while !chunk.is_empty() {
            match self.at {
                Within::Head => {
                    let Some((byte, rest)) = chunk.split_first() else { return Ok(()) };
                    chunk = rest;
                    self.head.push(*byte);
                    self.try_head()?;
                }
                Within::Raw(left) => {
                    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(chunk.len());
                    chunk = chunk.get(taken..).unwrap_or_default();
                    let left = left.saturating_sub(taken as u64);
                    self.at = if left == 0 { Within::Head } else { Within::Raw(left) };
                }
                Within::Short { part, matched, left } => {
                    let Some((byte, rest)) = chunk.split_first() else { return Ok(()) };
                    chunk = rest;
                    if part != Part::ContentType || PROTOBUF.get(matched) != Some(byte) {
                        return Err(ProtobufError::Encoded);
                    }
                    let (matched, left) = (matched.saturating_add(1), left.saturating_sub(1));
                    self.at = if left == 0 { Within::Head } else { Within::Short { part, matched, left } };
                }
            }
        }
        Ok(())
    }

    /// Whether the envelope may end here.
    pub(super) fn finish(&self) -> Result<(), ProtobufError> {
        let whole = matches!(self.at, Within::Head) && self.head.is_empty();
        if whole { Ok(()) } else { Err(ProtobufError::Wire(WireError::Truncated)) }
    }

    /// Once tag and length are whole, goes on to the value.
    fn try_head(&mut self) -> Result<(), ProtobufError> {
        let Some((tag, tag_len)) = wire::varint(&self.head)? else { return Ok(()) };
        let tag = wire::tag(tag)?;
        let Some((length, _)) = wire::varint(self.head.get(tag_len..).unwrap_or_default())? else {
            return Ok(());
        };
        self.head.clear();
        let part = self.order.next(tag)?;
        self.at = match part {
            _ if length == 0 => Within::Head,
            Part::Raw => Within::Raw(length),
            Part::ContentType if length == PROTOBUF.len() as u64 => {
                Within::Short { part, matched: 0, left: PROTOBUF.len() }
            }
            Part::Encoding | Part::ContentType => return Err(ProtobufError::Encoded),
        };
        Ok(())
    }
}
