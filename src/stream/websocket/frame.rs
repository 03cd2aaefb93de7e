//! A frame's header (RFC 6455 section 5.2), read and written.

use super::WebSocketError;
use crate::stream::Side;

/// Longest header: two bytes, a length of eight, a mask of four.
const MOST: usize = 14;

/// The API server reads no longer frames (golang.org/x/net/websocket, `DefaultMaxPayloadBytes`).
pub const MOST_PAYLOAD: u64 = 32 << 20;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// More of the message before.
    Continuation,
    /// A message of text.
    Text,
    /// A message of bytes.
    Binary,
    /// The side's last frame.
    Close,
    /// Asks for a pong.
    Ping,
    /// Answers a ping.
    Pong,
}

impl Opcode {
    fn of(bits: u8) -> Result<Self, WebSocketError> {
        match bits {
            0 => Ok(Self::Continuation),
            1 => Ok(Self::Text),
            2 => Ok(Self::Binary),
            8 => Ok(Self::Close),
            9 => Ok(Self::Ping),
            10 => Ok(Self::Pong),
            _ => Err(WebSocketError::Opcode),
        }
    }

    fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0,
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }

    /// Whether it is about the connection, not part of a message.
    pub fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// A frame's header, but for its mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whether the message ends with it.
    pub last: bool,
    /// What it is.
    pub opcode: Opcode,
    /// Bytes that follow.
    pub length: u64,
}

impl Header {
    /// Writes the header of a server's frame: without a mask.
    pub fn write(self, out: &mut Vec<u8>) {
        out.push(if self.last { 0x80 } else { 0 } | self.opcode.bits());
        match (u8::try_from(self.length), u16::try_from(self.length)) {
            (Ok(short), _) if short < 126 => out.push(short),
            (_, Ok(medium)) => {
                out.push(126);
                out.extend_from_slice(&medium.to_be_bytes());
            }
            _ => {
                out.push(127);
                out.extend_from_slice(&self.length.to_be_bytes());
            }
        }
    }
}

/// The bytes of a header so far.
#[derive(Debug, Default)]
pub(super) struct Pending {
    bytes: [u8; MOST],
    filled: usize,
}

impl Pending {
    /// Takes the next byte. Gives the header and its mask once it is whole.
    pub(super) fn take(&mut self, side: Side, byte: u8) -> Result<Option<(Header, [u8; 4])>, WebSocketError> {
        if let Some(place) = self.bytes.get_mut(self.filled) {
            *place = byte;
        }
        self.filled = self.filled.saturating_add(1);
        let [first, second, rest @ ..] = self.bytes;
        if self.filled == 1 {
            check_first(first)?;
        }
        if self.filled == 2 && (second & 0x80 != 0) != (side == Side::Client) {
            return Err(if side == Side::Client { WebSocketError::Unmasked } else { WebSocketError::Masked });
        }
        let extended: usize = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask_at = extended;
        let whole = if side == Side::Client { 6 } else { 2_usize }.saturating_add(extended);
        if self.filled < whole {
            return Ok(None);
        }
        let wide = rest.first_chunk::<8>().copied().unwrap_or_default();
        let (length, least) = match extended {
            2 => (wide.first_chunk::<2>().map_or(0, |short| u64::from(u16::from_be_bytes(*short))), 126),
            8 => (u64::from_be_bytes(wide), 1 << 16),
            _ => (u64::from(second & 0x7f), 0),
        };
        let opcode = Opcode::of(first & 0x0f)?;
        // A length has one spelling; a control frame's fits into the second byte.
        if length < least || (opcode.is_control() && extended != 0) {
            return Err(WebSocketError::Length);
        }
        if length > MOST_PAYLOAD {
            return Err(WebSocketError::TooLong);
        }
        let mask = rest.get(mask_at..).and_then(|rest| rest.first_chunk::<4>()).copied().unwrap_or_default();
        let mask = if side == Side::Client { mask } else { [0; 4] };
        *self = Self::default();
        Ok(Some((Header { last: first & 0x80 != 0, opcode, length }, mask)))
    }

    /// Whether nothing of a header is here.
    pub(super) fn is_empty(&self) -> bool {
        self.filled == 0
    }
}

/// No extension is ever agreed on, so the reserved bits mean nothing; control frames come whole.
fn check_first(first: u8) -> Result<(), WebSocketError> {
    if first & 0x70 != 0 {
        return Err(WebSocketError::Reserved);
    }
    let opcode = Opcode::of(first & 0x0f)?;
    if opcode.is_control() && first & 0x80 == 0 {
        return Err(WebSocketError::Fragment);
    }
    Ok(())
}
