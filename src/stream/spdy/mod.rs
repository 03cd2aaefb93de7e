//! SPDY/3.1 as Kubernetes speaks it for exec, attach and port-forward (kubectl before 1.30, and after a failed
//! WebSocket handshake): frames on arbitrary chunks, streams that the client opens and names by their headers.
//!
//! A control frame passes as it came, once the whole of it was read and understood; the bytes of streams are handed
//! out as they arrive, and whoever takes them writes the frame they go on in ([`data_header`]). What cannot be read
//! the one way a server reads it is an error, after which nothing more may pass.
//!
//! Source: draft-mbelshe-httpbis-spdy-00 (SPDY/3) and what `k8s.io/apimachinery/pkg/util/httpstream/spdy` makes of it.

mod dictionary;
mod frame;
mod headers;
mod streams;

#[cfg(test)]
pub(crate) mod tests;

pub use frame::{data_header, is_goodbye};
pub use streams::{Purpose, Role};

use frame::{FIN, Fields, HEADER, Header, Kind};
use headers::Blocks;
use streams::Streams;

/// Longest control frame. Those of Kubernetes have less than 200 bytes.
const MAX_CONTROL: usize = 16 << 10;

/// Who sent some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The agent's.
    Client,
    /// The API server's.
    Server,
}

/// What is made of the bytes of one side, in order.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A control frame, to be passed on as it is.
    Control(&'a [u8]),
    /// The client opened a stream; its frame follows as [`Event::Control`].
    Open {
        /// The stream's id.
        stream: u32,
        /// What it is for.
        role: Role,
    },
    /// Bytes of a stream.
    Data {
        /// The stream's id.
        stream: u32,
        /// What it is for.
        role: Role,
        /// May be empty where `last` is set.
        bytes: &'a [u8],
        /// Whether the side sends no more on this stream.
        last: bool,
    },
    /// A side opened or answered a stream and sends nothing on it; its frame follows as [`Event::Control`].
    Silent {
        /// The stream's id.
        stream: u32,
        /// What it is for.
        role: Role,
    },
    /// A side gave a stream up; its frame follows as [`Event::Control`].
    Reset {
        /// The stream's id.
        stream: u32,
        /// What it was for.
        role: Role,
        /// The side that had ended it before, where one had.
        ended: Option<Side>,
    },
}

/// Why a connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpdyError {
    /// A control frame of another version than 3.
    Version,
    /// A control frame that Kubernetes does not use.
    Kind,
    /// Flags that have no meaning here.
    Flags,
    /// A frame longer or shorter than what it holds.
    Length,
    /// A frame, a header block, or the number of streams, above the bound.
    TooLong,
    /// A header block that is not one piece of the side's zlib stream with SPDY's dictionary.
    Compression,
    /// Header names that are not lower case, not visible, or twice there.
    Headers,
    /// A stream that is not known, not the side's to open, or opened twice.
    Stream,
    /// A stream for something else than its connection is for.
    Role,
    /// Bytes on a stream that its side had ended or may not write to.
    Direction,
}

impl SpdyError {
    /// In words, for a record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Version => "a SPDY control frame is not of version 3",
            Self::Kind => "a SPDY control frame is of a kind that Kubernetes does not use",
            Self::Flags => "a SPDY frame has flags that have no meaning",
            Self::Length => "a SPDY frame is not as long as what it holds",
            Self::TooLong => "a SPDY frame, header block or number of streams is above the bound",
            Self::Compression => "a SPDY header block cannot be inflated",
            Self::Headers => "a SPDY header block can be read two ways",
            Self::Stream => "a SPDY frame is of a stream that its sender cannot use",
            Self::Role => "a SPDY stream is not for what its connection is for",
            Self::Direction => "a SPDY stream has bytes of a side that may not write to it",
        }
    }
}

/// A connection, both sides of it.
pub struct Connection {
    client: Half,
    server: Half,
    streams: Streams,
}

/// What one side's bytes are in the middle of.
struct Half {
    side: Side,
    /// The frame that is being read: its header, and the rest of a control frame.
    pending: Vec<u8>,
    /// What is missing of a data frame.
    data: Option<Piece>,
    /// Made for the first header block: it takes some 12 KiB.
    blocks: Option<Blocks>,
    broken: Option<SpdyError>,
}

/// The rest of a data frame.
#[derive(Clone, Copy)]
struct Piece {
    stream: u32,
    /// None for a stream that is over: its receiver ignores what was still on the way, and so nobody gets it.
    role: Option<Role>,
    last: bool,
    missing: usize,
}

impl Connection {
    /// A connection over which nothing went yet.
    pub fn new(purpose: Purpose) -> Self {
        Self {
            client: Half::new(Side::Client),
            server: Half::new(Side::Server),
            streams: Streams::new(purpose),
        }
    }

    /// Takes bytes of one side. After an error every further call gives the same one.
    pub fn take(
        &mut self,
        side: Side,
        bytes: &[u8],
        out: &mut impl FnMut(Event<'_>),
    ) -> Result<(), SpdyError> {
        let half = match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        };
        if let Some(error) = half.broken {
            return Err(error);
        }
        let taken = half.take(&mut self.streams, bytes, out);
        half.broken = taken.err();
        taken
    }

    /// Whether a side's bytes end between two frames.
    pub fn whole(&self, side: Side) -> bool {
        self.half(side).pending.is_empty() && !self.within_data(side)
    }

    /// Whether a side's bytes end within a data frame.
    pub fn within_data(&self, side: Side) -> bool {
        self.half(side).data.is_some()
    }

    fn half(&self, side: Side) -> &Half {
        match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        }
    }
}

impl Half {
    fn new(side: Side) -> Self {
        Self { side, pending: Vec::new(), data: None, blocks: None, broken: None }
    }

    fn take(
        &mut self,
        streams: &mut Streams,
        mut bytes: &[u8],
        out: &mut impl FnMut(Event<'_>),
    ) -> Result<(), SpdyError> {
        while !bytes.is_empty() {
            bytes = match self.data.take() {
                Some(piece) => self.take_data(streams, piece, bytes, out)?,
                None => self.take_header(streams, bytes, out)?,
            };
        }
        Ok(())
    }

    fn take_data<'b>(
        &mut self,
        streams: &mut Streams,
        piece: Piece,
        bytes: &'b [u8],
        out: &mut impl FnMut(Event<'_>),
    ) -> Result<&'b [u8], SpdyError> {
        let (data, rest) = bytes.split_at_checked(piece.missing).unwrap_or((bytes, &[]));
        let missing = piece.missing.saturating_sub(data.len());
        // The other side may have given the stream up in the middle of the frame.
        let piece = Piece { role: piece.role.filter(|_| streams.is_open(piece.stream)), ..piece };
        self.data = (missing > 0).then_some(Piece { missing, ..piece });
        self.hand_out(streams, piece, data, missing == 0 && piece.last, out)?;
        Ok(rest)
    }

    fn hand_out(
        &self,
        streams: &mut Streams,
        piece: Piece,
        bytes: &[u8],
        last: bool,
        out: &mut impl FnMut(Event<'_>),
    ) -> Result<(), SpdyError> {
        let Some(role) = piece.role else { return Ok(()) };
        if !bytes.is_empty() && !role.may_send(self.side) {
            return Err(SpdyError::Direction);
        }
        if last {
            streams.end(self.side, piece.stream);
        }
        if last || !bytes.is_empty() {
            out(Event::Data { stream: piece.stream, role, bytes, last });
        }
        Ok(())
    }

    fn take_header<'b>(
        &mut self,
        streams: &mut Streams,
        bytes: &'b [u8],
        out: &mut impl FnMut(Event<'_>),
    ) -> Result<&'b [u8], SpdyError> {
        let bytes = self.fill(HEADER, bytes);
        let Some(header) = self.pending.first_chunk::<HEADER>() else { return Ok(bytes) };
        match Header::read(*header)? {
            Header::Data { stream, last, length } => {
                self.pending.clear();
                let role = streams.writes(self.side, stream)?;
                let piece = Piece { stream, role, last, missing: length };
                if length > 0 {
                    self.data = Some(piece);
                } else {
                    self.hand_out(streams, piece, &[], last, out)?;
                }
                Ok(bytes)
            }
            Header::Control { kind, flags, length } => {
                if length > MAX_CONTROL {
                    return Err(SpdyError::TooLong);
                }
                let whole = HEADER.saturating_add(length);
                let bytes = self.fill(whole, bytes);
                if self.pending.len() == whole {
                    let frame = std::mem::take(&mut self.pending);
                    self.control(streams, kind, flags, frame.get(HEADER..).unwrap_or_default(), out)?;
                    out(Event::Control(&frame));
                }
                Ok(bytes)
            }
        }
    }

    /// Moves bytes to what is pending until that is so long.
    fn fill<'b>(&mut self, length: usize, bytes: &'b [u8]) -> &'b [u8] {
        let missing = length.saturating_sub(self.pending.len());
        let (taken, rest) = bytes.split_at_checked(missing).unwrap_or((bytes, &[]));
        self.pending.extend_from_slice(taken);
        rest
    }

    fn control(
        &mut self,
        streams: &mut Streams,
        kind: Kind,
        flags: u8,
        body: &[u8],
        out: &mut impl FnMut(Event<'_>),
    ) -> Result<(), SpdyError> {
        let mut fields = Fields(body);
        let allowed = match kind {
            Kind::SynStream | Kind::SynReply => FIN,
            Kind::Settings => 0x01, // "clear what was persisted"
            _ => 0,
        };
        if flags & !allowed != 0 {
            return Err(SpdyError::Flags);
        }
        let fin = flags & FIN != 0;
        match kind {
            Kind::SynStream => {
                let stream = fields.stream()?;
                let (associated, _priority_and_slot) = (fields.u32()?, fields.bytes(2)?);
                if self.side != Side::Client || associated != 0 {
                    return Err(SpdyError::Stream);
                }
                let pairs = self.blocks.get_or_insert_with(Blocks::new).take(fields.0)?;
                let role = streams.open(stream, &pairs)?;
                out(Event::Open { stream, role });
                if fin {
                    streams.end(self.side, stream);
                    out(Event::Silent { stream, role });
                }
                Ok(())
            }
            Kind::SynReply => {
                let stream = fields.stream()?;
                if self.side != Side::Server {
                    return Err(SpdyError::Stream);
                }
                self.blocks.get_or_insert_with(Blocks::new).take(fields.0)?;
                let role = streams.writes(self.side, stream)?;
                if let Some(role) = role.filter(|_| fin) {
                    streams.end(self.side, stream);
                    out(Event::Silent { stream, role });
                }
                Ok(())
            }
            Kind::RstStream => {
                let (stream, _status) = (fields.stream()?, fields.u32()?);
                fields.end()?;
                if let Some((role, ended)) = streams.reset(stream)? {
                    out(Event::Reset { stream, role, ended });
                }
                Ok(())
            }
            Kind::Settings => {
                for _ in 0..fields.u32()?.min(u32::try_from(MAX_CONTROL).unwrap_or_default()) {
                    fields.bytes(8)?;
                }
                fields.end()
            }
            Kind::Ping => {
                fields.u32()?;
                fields.end()
            }
            Kind::GoAway | Kind::WindowUpdate => {
                fields.bytes(8)?;
                fields.end()
            }
        }
    }
}
