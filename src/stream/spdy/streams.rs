//! The streams of a connection, and what each is for.

use super::headers::Pairs;
use super::{Side, SpdyError};
use std::collections::BTreeMap;

/// Most streams open at a time: two for each forwarded connection.
const MAX_OPEN: usize = 512;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// `pods/exec` and `pods/attach`: one stream of each kind.
    Terminal,
    /// `pods/portforward`: two streams for each connection.
    PortForward,
}

/// What a stream is for: its header `streamType`, and for forwarded ports `port` and `requestID`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// What the agent types.
    Stdin,
    /// What the process writes.
    Stdout,
    /// What it writes as errors.
    Stderr,
    /// The `Status` at the end.
    Error,
    /// Sizes of the agent's terminal.
    Resize,
    /// The bytes of a forwarded connection.
    PortData {
        /// The pod's port.
        port: u16,
        /// The client's number of the connection.
        request: u32,
    },
    /// Why a forwarded connection failed.
    PortError {
        /// The pod's port.
        port: u16,
        /// The client's number of the connection.
        request: u32,
    },
}

impl Role {
    /// Whether bytes of a side belong there. The other side never reads them where not.
    pub(in crate::stream) fn may_send(self, side: Side) -> bool {
        match self {
            Self::Stdin | Self::Resize => side == Side::Client,
            Self::Stdout | Self::Stderr | Self::Error | Self::PortError { .. } => side == Side::Server,
            Self::PortData { .. } => true,
        }
    }

    fn of(purpose: Purpose, pairs: &Pairs) -> Result<Self, SpdyError> {
        let number = |name: &[u8]| {
            let digits = std::str::from_utf8(pairs.get(name)?).ok()?;
            // A number has one spelling, so that two readers cannot take it differently.
            digits.parse::<u32>().ok().filter(|number| number.to_string() == digits)
        };
        let connection = || {
            let port = number(b"port").and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0);
            port.zip(number(b"requestid")).ok_or(SpdyError::Role)
        };
        match (purpose, pairs.get(b"streamtype").unwrap_or_default()) {
            (Purpose::Terminal, b"stdin") => Ok(Self::Stdin),
            (Purpose::Terminal, b"stdout") => Ok(Self::Stdout),
            (Purpose::Terminal, b"stderr") => Ok(Self::Stderr),
            (Purpose::Terminal, b"error") => Ok(Self::Error),
            (Purpose::Terminal, b"resize") => Ok(Self::Resize),
            (Purpose::PortForward, b"data") => {
                connection().map(|(port, request)| Self::PortData { port, request })
            }
            (Purpose::PortForward, b"error") => {
                connection().map(|(port, request)| Self::PortError { port, request })
            }
            _ => Err(SpdyError::Role),
        }
    }
}

/// The streams that are open, and the last one that was opened.
pub(super) struct Streams {
    purpose: Purpose,
    open: BTreeMap<u32, Open>,
    newest: u32,
}

struct Open {
    role: Role,
    ended: [bool; 2],
}

fn index(side: Side) -> usize {
    usize::from(side == Side::Server)
}

impl Streams {
    pub(super) fn new(purpose: Purpose) -> Self {
        Self { purpose, open: BTreeMap::new(), newest: 0 }
    }

    /// A stream that the client opens: ids are odd and grow. One of each kind where it is a terminal; a server would
    /// take the later of two.
    pub(super) fn open(&mut self, stream: u32, pairs: &Pairs) -> Result<Role, SpdyError> {
        if stream & 1 == 0 || stream <= self.newest {
            return Err(SpdyError::Stream);
        }
        if self.open.len() >= MAX_OPEN {
            return Err(SpdyError::TooLong);
        }
        let role = Role::of(self.purpose, pairs)?;
        if self.open.values().any(|open| open.role == role) {
            return Err(SpdyError::Role);
        }
        self.newest = stream;
        self.open.insert(stream, Open { role, ended: [false; 2] });
        Ok(role)
    }

    /// What a stream is for that a side is about to write to; none for one that is over.
    pub(super) fn writes(&self, side: Side, stream: u32) -> Result<Option<Role>, SpdyError> {
        let Some(open) = self.open.get(&stream) else { return self.over(stream).map(|()| None) };
        match open.ended.get(index(side)) {
            Some(false) => Ok(Some(open.role)),
            _ => Err(SpdyError::Direction),
        }
    }

    /// Whether the stream is open, to either side.
    pub(super) fn is_open(&self, stream: u32) -> bool {
        self.open.contains_key(&stream)
    }

    /// A side sends no more on a stream. The stream is over once both have ended it.
    pub(super) fn end(&mut self, side: Side, stream: u32) {
        let Some(open) = self.open.get_mut(&stream) else { return };
        if let Some(ended) = open.ended.get_mut(index(side)) {
            *ended = true;
        }
        if open.ended == [true; 2] {
            self.open.remove(&stream);
        }
    }

    /// A side gave a stream up, for both: what it was for, and which side had ended it before.
    pub(super) fn reset(&mut self, stream: u32) -> Result<Option<(Role, Option<Side>)>, SpdyError> {
        let Some(open) = self.open.remove(&stream) else { return self.over(stream).map(|()| None) };
        let ended = match open.ended {
            [true, _] => Some(Side::Client),
            [_, true] => Some(Side::Server),
            _ => None,
        };
        Ok(Some((open.role, ended)))
    }

    /// Whether a stream that is not open once was, or could have been.
    fn over(&self, stream: u32) -> Result<(), SpdyError> {
        if stream & 1 == 1 && stream <= self.newest { Ok(()) } else { Err(SpdyError::Stream) }
    }
}
