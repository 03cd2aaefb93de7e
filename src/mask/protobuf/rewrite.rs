//! Finds what to replace in one object and writes it again with every enclosing length set right.
//!
//! A walk over the message types of [`schema`](super::schema) collects edits in the order of the bytes; one pass then
//! copies what lies between them. What no edit touches comes out byte for byte, unknown fields included.

use super::envelope::{Envelope, MAGIC};
use super::schema::{Content, Known, Message};
use super::wire::{Field, Fields, WireType, put_varint, varint_len};
use super::{Asked, ProtobufError};
use crate::mask::metadata::{self, Treatment};
use crate::mask::{MaskedPaths, Replacement, path};

/// Bytes of the original that something else stands for.
#[derive(Clone, Copy, Debug)]
struct Edit {
    start: usize,
    end: usize,
    with: With,
}

#[derive(Clone, Copy, Debug)]
enum With {
    /// The length of an enclosing message whose content changed.
    Length(u64),
    /// The replacement, with its own length before it.
    Replacement,
}

/// The edits that mask one object.
#[derive(Debug)]
pub(super) struct Edits<'r> {
    edits: Vec<Edit>,
    growth: i64,
    replacement: &'r Replacement,
}

impl Edits<'_> {
    /// How long `original` becomes.
    pub(super) fn len(&self, original: &[u8]) -> usize {
        let length = i64::try_from(original.len()).unwrap_or(i64::MAX).saturating_add(self.growth);
        usize::try_from(length).unwrap_or(0)
    }

    /// Writes `original`, edited.
    pub(super) fn write(&self, original: &[u8], out: &mut Vec<u8>) {
        out.reserve(self.len(original));
        let mut from = 0;
        for edit in &self.edits {
            out.extend_from_slice(original.get(from..edit.start).unwrap_or_default());
            match edit.with {
                With::Length(length) => put_varint(length, out),
                With::Replacement => {
                    put_varint(self.replacement.text().len() as u64, out);
                    out.extend_from_slice(self.replacement.text().as_bytes());
                }
            }
            from = edit.end;
        }
        out.extend_from_slice(original.get(from..).unwrap_or_default());
    }
}

/// Where a walk begins.
pub(super) enum Start {
    /// At an object's `k8s\0`.
    Object,
    /// At a watch frame's event.
    Event,
}

/// Finds what to mask in `bytes`, one whole object or event, and counts it in `masked`.
pub(super) fn edits<'r>(
    start: &Start,
    bytes: &[u8],
    asked: Asked,
    replacement: &'r Replacement,
    masked: &mut MaskedPaths,
) -> Result<Edits<'r>, ProtobufError> {
    let mut walk = Walk { edits: Vec::new(), path: "$".to_owned(), asked, replacement, masked };
    let growth = match start {
        Start::Object => walk.envelope(bytes, 0)?,
        Start::Event => walk.message(&super::schema::WATCH_EVENT, bytes, 0)?,
    };
    Ok(Edits { edits: walk.edits, growth, replacement })
}

struct Walk<'r, 'm> {
    edits: Vec<Edit>,
    path: String,
    asked: Asked,
    replacement: &'r Replacement,
    masked: &'m mut MaskedPaths,
}

/// All offsets named `at` count from the object's first byte; every method returns by how many bytes its part grows.
impl Walk<'_, '_> {
    fn envelope(&mut self, bytes: &[u8], at: usize) -> Result<i64, ProtobufError> {
        let behind = bytes.strip_prefix(MAGIC).ok_or(ProtobufError::Magic)?;
        let envelope = Envelope::read(behind)?;
        match (self.asked.treatment(envelope.type_meta)?, envelope.raw) {
            (Some(message), Some(raw)) => {
                let at = at.saturating_add(MAGIC.len());
                self.nested(&raw, at, |walk, at| walk.message(message, raw.value, at))
            }
            _ => Ok(0),
        }
    }

    fn message(&mut self, message: &Message, bytes: &[u8], at: usize) -> Result<i64, ProtobufError> {
        let mut growth = 0_i64;
        let mut seen = 0_u32;
        let mut fields = Fields::new(bytes);
        while let Some(field) = fields.next()? {
            let Some(known) = message.fields.iter().find(|known| known.number == field.tag.number) else {
                if message.closed {
                    return Err(ProtobufError::UnknownField);
                }
                continue;
            };
            if field.tag.wire_type != WireType::Bytes {
                return Err(ProtobufError::WrongType);
            }
            if known.content.is_singular() {
                let bit = 1_u32.checked_shl(known.number).unwrap_or(0);
                if seen & bit != 0 {
                    return Err(ProtobufError::Repeated);
                }
                seen |= bit;
            }
            let length = self.path.len();
            self.path.push('.');
            self.path.push_str(known.name);
            growth = growth.saturating_add(self.field(known, &field, at)?);
            self.path.truncate(length);
        }
        Ok(growth)
    }

    fn field(&mut self, known: &Known, field: &Field<'_>, at: usize) -> Result<i64, ProtobufError> {
        match &known.content {
            Content::Single => Ok(0),
            Content::Value if field.value.is_empty() => Ok(0),
            Content::Value => Ok(self.replace(field, at)),
            Content::One(message) => {
                self.nested(field, at, |walk, at| walk.message(message, field.value, at))
            }
            Content::Many(message) => {
                self.path.push_str("[*]");
                self.nested(field, at, |walk, at| walk.message(message, field.value, at))
            }
            Content::Envelope => self.nested(field, at, |walk, at| walk.envelope(field.value, at)),
            Content::Entry(treat) => self.nested(field, at, |walk, at| walk.entry(*treat, field.value, at)),
        }
    }

    /// One entry of a map: its value, where `treat` says so.
    fn entry(&mut self, treat: metadata::Treat, bytes: &[u8], at: usize) -> Result<i64, ProtobufError> {
        let (mut key, mut value) = (None, None);
        let mut fields = Fields::new(bytes);
        while let Some(field) = fields.next()? {
            let slot = match (field.tag.number, field.tag.wire_type) {
                (1, WireType::Bytes) => &mut key,
                (2, WireType::Bytes) => &mut value,
                _ => return Err(ProtobufError::UnknownField),
            };
            if slot.replace(field).is_some() {
                return Err(ProtobufError::Repeated);
            }
        }
        let key = key.map_or(&[] as &[u8], |key| key.value);
        let Some(value) = value else { return Ok(0) };
        match treat(key, value.value) {
            Treatment::Keep => Ok(0),
            Treatment::Replace => {
                path::push_key(&mut self.path, key);
                Ok(self.replace(&value, at))
            }
        }
    }

    /// Replaces a field's value, and counts it under the present path.
    fn replace(&mut self, field: &Field<'_>, at: usize) -> i64 {
        let start = at.saturating_add(field.length_at);
        let value_at = at.saturating_add(field.value_at);
        let end = value_at.saturating_add(field.value.len());
        self.edits.push(Edit { start, end, with: With::Replacement });
        self.masked.add(&self.path);
        self.masked.keep(|| self.path.clone(), Some(field.value));
        let text = self.replacement.text().len();
        difference(text.saturating_add(varint_len(text as u64)), end.saturating_sub(start))
    }

    /// Walks a field's value with `inner`; where that changes anything, its length is edited too.
    fn nested(
        &mut self,
        field: &Field<'_>,
        at: usize,
        inner: impl FnOnce(&mut Self, usize) -> Result<i64, ProtobufError>,
    ) -> Result<i64, ProtobufError> {
        let start = at.saturating_add(field.length_at);
        let end = at.saturating_add(field.value_at);
        let slot = self.edits.len();
        self.edits.push(Edit { start, end, with: With::Length(0) });
        let growth = inner(self, end)?;
        if self.edits.len() == slot.saturating_add(1) {
            self.edits.truncate(slot);
            return Ok(0);
        }
        let length = i64::try_from(field.value.len()).unwrap_or(i64::MAX).saturating_add(growth);
        let length = u64::try_from(length).unwrap_or(0);
        if let Some(edit) = self.edits.get_mut(slot) {
            edit.with = With::Length(length);
        }
        Ok(growth.saturating_add(difference(varint_len(length), end.saturating_sub(start))))
    }
}

fn difference(new: usize, old: usize) -> i64 {
    let signed = |length: usize| i64::try_from(length).unwrap_or(i64::MAX);
    signed(new).saturating_sub(signed(old))
}
