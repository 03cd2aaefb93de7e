//! Sets of ASCII bytes.

/// A set of ASCII bytes; no other byte is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Class(u128);

impl Class {
    /// The bytes of `members`.
    pub(super) const fn of(mut members: &[u8]) -> Self {
        let mut bits = 0;
        while let [first, rest @ ..] = members {
            bits |= 1_u128.wrapping_shl(*first as u32);
            members = rest;
        }
        Self(bits)
    }

    /// This set and the bytes of `members`.
    pub(super) const fn and(self, members: &[u8]) -> Self {
        Self(self.0 | Self::of(members).0)
    }

    /// Whether the byte is in the set.
    pub(super) fn has(self, byte: u8) -> bool {
        self.0.checked_shr(u32::from(byte)).unwrap_or(0) & 1 == 1
    }

    /// How many bytes from the first on are in the set, counted up to `most`.
    pub(super) fn run(self, bytes: &[u8], most: usize) -> usize {
        bytes.iter().take(most).take_while(|byte| self.has(**byte)).count()
    }
}

const DIGITS_AND_CAPITALS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// `0-9A-Z`.
pub(super) const UPPER: Class = Class::of(DIGITS_AND_CAPITALS);
/// `0-9A-Za-z`.
pub(super) const ALNUM: Class = UPPER.and(b"abcdefghijklmnopqrstuvwxyz");
/// `0-9A-Za-z_`.
pub(super) const WORD: Class = ALNUM.and(b"_");
/// `0-9A-Za-z-`.
pub(super) const DASHED: Class = ALNUM.and(b"-");
/// base64url without padding.
pub(super) const BASE64URL: Class = ALNUM.and(b"-_");
/// base64url and dots: tokens in parts.
pub(super) const DOTTED: Class = BASE64URL.and(b".");
/// base64 with padding.
pub(super) const BASE64: Class = ALNUM.and(b"+/=");
/// RFC 7235's token68.
pub(super) const TOKEN68: Class = ALNUM.and(b"-._~+/=");
/// What stands between a key and its value in the usual notations.
pub(super) const SEPARATORS: Class = Class::of(b" \t\"'=:>\\,");
