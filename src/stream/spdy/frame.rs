//! Frames: a header of eight bytes, and what follows it.

use super::SpdyError;

/// Bytes of a frame's header.
pub(super) const HEADER: usize = 8;

/// The one version there is.
const VERSION: u16 = 3;

/// The flag of a frame that is its sender's last on the stream.
pub(super) const FIN: u8 = 0x01;

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// A piece of a stream.
    Data {
        /// Whose.
        stream: u32,
        /// Whether it is the sender's last.
        last: bool,
        /// Bytes that follow.
        length: usize,
    },
    /// Anything else.
    Control {
        /// What it is.
        kind: Kind,
        /// Its flags.
        flags: u8,
        /// Bytes that follow.
        length: usize,
    },
}

/// The control frames that clients and servers of Kubernetes send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    SynStream,
    SynReply,
    RstStream,
    Settings,
    Ping,
    GoAway,
    WindowUpdate,
}

impl Header {
    /// Reads a header.
    pub(super) fn read(bytes: [u8; HEADER]) -> Result<Self, SpdyError> {
        let [a, b, c, d, flags, x, y, z] = bytes;
        let length = usize::try_from(u32::from_be_bytes([0, x, y, z])).unwrap_or(usize::MAX);
        if a & 0x80 == 0 {
            if flags & !FIN != 0 {
                return Err(SpdyError::Flags);
            }
            return Ok(Self::Data { stream: u32::from_be_bytes([a, b, c, d]), last: flags == FIN, length });
        }
        if u16::from_be_bytes([a & 0x7f, b]) != VERSION {
            return Err(SpdyError::Version);
        }
        let kind = match u16::from_be_bytes([c, d]) {
            1 => Kind::SynStream,
            2 => Kind::SynReply,
            3 => Kind::RstStream,
            4 => Kind::Settings,
            6 => Kind::Ping,
            7 => Kind::GoAway,
            9 => Kind::WindowUpdate,
            _ => return Err(SpdyError::Kind),
        };
        Ok(Self::Control { kind, flags, length })
    }
}

/// Whether a control frame is `GOAWAY`: no stream will be opened any more.
pub fn is_goodbye(frame: &[u8]) -> bool {
    matches!(
        frame.first_chunk::<HEADER>().map(|header| Header::read(*header)),
        Some(Ok(Header::Control { kind: Kind::GoAway, .. }))
    )
}

/// The header of a data frame; none where no frame can be as long.
pub fn data_header(stream: u32, last: bool, length: usize) -> Option<[u8; HEADER]> {
    let [a, b, c, d] = stream.to_be_bytes();
    let [0, x, y, z] = u32::try_from(length).ok()?.to_be_bytes() else { return None };
    Some([a & 0x7f, b, c, d, u8::from(last), x, y, z])
}

/// Reads what control frames are made of: big-endian numbers, and lengths before bytes.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn u32(&mut self) -> Result<u32, SpdyError> {
        let (number, rest) = self.0.split_first_chunk::<4>().ok_or(SpdyError::Length)?;
        self.0 = rest;
        Ok(u32::from_be_bytes(*number))
    }

    /// A stream's id: its topmost bit has no meaning, and two frames that differ in it must not be read as one.
    pub(super) fn stream(&mut self) -> Result<u32, SpdyError> {
        let stream = self.u32()?;
        if stream & 0x8000_0000 == 0 { Ok(stream) } else { Err(SpdyError::Stream) }
    }

    pub(super) fn bytes(&mut self, length: usize) -> Result<&'a [u8], SpdyError> {
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(SpdyError::Length)?;
        self.0 = rest;
        Ok(bytes)
    }

    /// Bytes behind their length.
    pub(super) fn counted(&mut self) -> Result<&'a [u8], SpdyError> {
        let length = usize::try_from(self.u32()?).map_err(|_| SpdyError::Length)?;
        self.bytes(length)
    }

    pub(super) fn end(&self) -> Result<(), SpdyError> {
        if self.0.is_empty() { Ok(()) } else { Err(SpdyError::Length) }
    }
}
