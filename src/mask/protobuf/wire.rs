//! The protobuf wire format, read strictly: what two readers could take differently is an error.

/// What makes bytes no protobuf message this filter lets pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireError {
    /// The bytes end inside a field.
    Truncated,
    /// A varint is longer than its value needs, or than 64 bits.
    Varint,
    /// Field number 0 or above 2^29 - 1.
    FieldNumber,
    /// A group, or one of the two unassigned wire types.
    WireType,
    /// A length-delimited field reaches beyond the message that holds it.
    Length,
}

/// The wire type of a field, groups excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WireType {
    Varint,
    Fixed64,
    Bytes,
    Fixed32,
}

/// A field's key: its number and wire type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag {
    pub(crate) number: u32,
    pub(crate) wire_type: WireType,
}

/// One field of a message; offsets are relative to the bytes the reader was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    pub(crate) tag: Tag,
    /// Where the length stands; meaningful for length-delimited fields only.
    pub(crate) length_at: usize,
    /// Where the value begins: for length-delimited fields, behind the length.
    pub(crate) value_at: usize,
    /// The value's bytes, without the length.
    pub(crate) value: &'a [u8],
}

/// A varint of at most ten bytes, as short as its value allows. `Ok(None)`: the bytes end inside it.
pub(crate) fn varint(bytes: &[u8]) -> Result<Option<(u64, usize)>, WireError> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().take(10).enumerate() {
        let part = u64::from(byte & 0x7f);
        let shift = u32::try_from(index).unwrap_or(u32::MAX).saturating_mul(7);
        let placed = part.checked_shl(shift).filter(|placed| placed.checked_shr(shift) == Some(part));
        value |= placed.ok_or(WireError::Varint)?;
        if byte & 0x80 == 0 {
            let padded = index > 0 && part == 0;
            return if padded { Err(WireError::Varint) } else { Ok(Some((value, index.saturating_add(1)))) };
        }
    }
    if bytes.len() >= 10 { Err(WireError::Varint) } else { Ok(None) }
}

/// How many bytes `value` takes as a varint.
pub(crate) fn varint_len(value: u64) -> usize {
    let bits = u64::BITS.saturating_sub((value | 1).leading_zeros());
    bits.div_ceil(7) as usize
}

/// Writes `value` as a varint.
pub(crate) fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The tag a varint's value stands for.
pub(crate) fn tag(value: u64) -> Result<Tag, WireError> {
    let wire_type = match value & 7 {
        0 => WireType::Varint,
        1 => WireType::Fixed64,
        2 => WireType::Bytes,
        5 => WireType::Fixed32,
        _ => return Err(WireError::WireType),
    };
    let number = u32::try_from(value >> 3).map_err(|_| WireError::FieldNumber)?;
    if number == 0 || number > 0x1fff_ffff {
        return Err(WireError::FieldNumber);
    }
    Ok(Tag { number, wire_type })
}

/// The fields of one message, in their order.
pub(crate) struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    /// Reads `bytes`, one whole message.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next field; none at the end of the message.
    pub(crate) fn next(&mut self) -> Result<Option<Field<'a>>, WireError> {
        if self.at >= self.bytes.len() {
            return Ok(None);
        }
        let tag = tag(self.take_varint()?)?;
        let length_at = self.at;
        let length = match tag.wire_type {
            WireType::Varint => {
                self.take_varint()?;
                let length = self.at.saturating_sub(length_at);
                self.at = length_at;
                length
            }
            WireType::Fixed64 => 8,
            WireType::Fixed32 => 4,
            WireType::Bytes => usize::try_from(self.take_varint()?).map_err(|_| WireError::Length)?,
        };
        let value_at = self.at;
        let end = value_at.checked_add(length).ok_or(WireError::Length)?;
        let value = self.bytes.get(value_at..end).ok_or(WireError::Length)?;
        self.at = end;
        Ok(Some(Field { tag, length_at, value_at, value }))
    }

    fn take_varint(&mut self) -> Result<u64, WireError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let (value, length) = varint(rest)?.ok_or(WireError::Truncated)?;
        self.at = self.at.saturating_add(length);
        Ok(value)
    }
}
