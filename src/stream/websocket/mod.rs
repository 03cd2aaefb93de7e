//! WebSocket frames (RFC 6455) of one side of a connection, on arbitrary chunks.
//!
//! Payloads are handed out, unmasked, as they arrive, so that nothing but headers and control frames is ever kept. What
//! the peers of Kubernetes read in different ways is an error, after which nothing more may pass.

mod frame;

#[cfg(test)]
pub(crate) mod tests;

pub use frame::{Header, MOST_PAYLOAD, Opcode};

use super::Side;
use frame::Pending;

/// What is made of the bytes of one side, in order.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A frame of a message begins: its payload follows, in pieces, and an [`Frame::End`].
    Begin(Header),
    /// Some of its payload, unmasked.
    Payload(&'a [u8]),
    /// It ends; with `true` the message does too.
    End(bool),
    /// A control frame: a ping, a pong or a close.
    Control(Opcode, &'a [u8]),
}

/// Why a connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebSocketError {
    /// Reserved bits: an extension that was not agreed on.
    Reserved,
    /// An opcode that has no meaning.
    Opcode,
    /// The client's frame has no mask.
    Unmasked,
    /// The server's frame has one.
    Masked,
    /// A length that is not written the shortest way, or a control frame's above 125.
    Length,
    /// A frame above [`MOST_PAYLOAD`].
    TooLong,
    /// A continuation without a beginning, a second beginning, or a control frame in pieces.
    Fragment,
    /// A message in pieces, where a server takes each for a message of its own.
    Fragmented,
    /// A close frame whose status code or reason is none.
    Close,
    /// Bytes after the side's close frame.
    AfterClose,
}

impl WebSocketError {
    /// In words, for a record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reserved => "a WebSocket frame has reserved bits set",
            Self::Opcode => "a WebSocket frame has an opcode without a meaning",
            Self::Unmasked => "a WebSocket frame of the client has no mask",
            Self::Masked => "a WebSocket frame of the server has a mask",
            Self::Length => "a WebSocket frame's length is not written the one way it may be",
            Self::TooLong => "a WebSocket frame is longer than the API server reads",
            Self::Fragment => "a WebSocket message's frames are not in order",
            Self::Fragmented => {
                "a WebSocket message came in several frames, each of which the API server takes for a message"
            }
            Self::Close => "a WebSocket close frame has no valid status code or reason",
            Self::AfterClose => "bytes came after a WebSocket close frame",
        }
    }
}

/// The frames of one side.
#[derive(Debug)]
pub struct Frames {
    side: Side,
    /// Whether a message may come in several frames.
    fragments: bool,
    state: State,
    /// Whether a message has begun and not ended.
    within: bool,
    /// The payload's bytes without their mask; of a control frame all of them.
    clear: Vec<u8>,
}

#[derive(Debug)]
enum State {
    Header(Pending),
    Payload(Payload),
    Closed,
    Broken(WebSocketError),
}

#[derive(Clone, Copy, Debug)]
struct Payload {
    header: Header,
    mask: [u8; 4],
    left: u64,
}

impl Frames {
    /// The frames of a side of which nothing came yet. Without `fragments` a message is one frame.
    pub fn new(side: Side, fragments: bool) -> Self {
        let state = State::Header(Pending::default());
        Self { side, fragments, state, within: false, clear: Vec::new() }
    }

    /// Whether the side has sent its close frame.
    pub fn closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Whether the bytes so far end between two messages.
    pub fn whole(&self) -> bool {
        match &self.state {
            State::Header(pending) => pending.is_empty() && !self.within,
            State::Closed => true,
            State::Payload(_) | State::Broken(_) => false,
        }
    }

    /// Takes the side's next bytes. After an error every further call gives the same one.
    ///
    /// # Errors
    /// The connection cannot go on; or what `out` says of it.
    pub fn take<E: From<WebSocketError>>(
        &mut self,
        mut bytes: &[u8],
        out: &mut impl FnMut(Frame<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        while let Some((first, rest)) = bytes.split_first() {
            bytes = match &mut self.state {
                State::Header(pending) => {
                    let whole = pending.take(self.side, *first).map_err(|error| self.broken(error))?;
                    if let Some((header, mask)) = whole {
                        let payload = self.begin(header, mask).map_err(|error| self.broken(error))?;
                        if !header.opcode.is_control() {
                            out(Frame::Begin(header))?;
                        }
                        self.payload(payload, &[], out)?;
                    }
                    rest
                }
                State::Payload(payload) => {
                    let payload = *payload;
                    self.payload(payload, bytes, out)?
                }
                State::Closed => return Err(self.broken(WebSocketError::AfterClose).into()),
                State::Broken(error) => return Err((*error).into()),
            };
        }
        Ok(())
    }

    fn broken(&mut self, error: WebSocketError) -> WebSocketError {
        self.state = State::Broken(error);
        error
    }

    fn begin(&mut self, header: Header, mask: [u8; 4]) -> Result<Payload, WebSocketError> {
        if !header.opcode.is_control() {
            if (header.opcode == Opcode::Continuation) != self.within {
                return Err(if self.fragments {
                    WebSocketError::Fragment
                } else {
                    WebSocketError::Fragmented
                });
            }
            if !header.last && !self.fragments {
                return Err(WebSocketError::Fragmented);
            }
            self.within = !header.last;
        }
        self.clear.clear();
        Ok(Payload { header, mask, left: header.length })
    }

    fn payload<'b, E: From<WebSocketError>>(
        &mut self,
        payload: Payload,
        bytes: &'b [u8],
        out: &mut impl FnMut(Frame<'_>) -> Result<(), E>,
    ) -> Result<&'b [u8], E> {
        let Payload { header, mask, left } = payload;
        let take = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let (taken, rest) = bytes.split_at_checked(take).unwrap_or((bytes, &[]));
        let done = header.length.saturating_sub(left);
        let control = header.opcode.is_control();
        if !control {
            self.clear.clear();
        }
        self.unmask(taken, mask, done);
        let left = left.saturating_sub(taken.len() as u64);
        if left > 0 {
            self.state = State::Payload(Payload { left, ..payload });
        } else {
            self.state = State::Header(Pending::default());
        }
        match (control, left) {
            (false, _) => {
                if !self.clear.is_empty() {
                    out(Frame::Payload(&self.clear))?;
                }
                if left == 0 {
                    out(Frame::End(header.last))?;
                }
            }
            (true, 0) => {
                if header.opcode == Opcode::Close {
                    check_close(&self.clear).map_err(|error| self.broken(error))?;
                    self.state = State::Closed;
                }
                out(Frame::Control(header.opcode, &self.clear))?;
            }
            (true, _) => {}
        }
        Ok(rest)
    }

    fn unmask(&mut self, bytes: &[u8], mask: [u8; 4], done: u64) {
        let start = usize::try_from(done % 4).unwrap_or(0);
        let mask = mask.iter().cycle().skip(start);
        self.clear.extend(bytes.iter().zip(mask).map(|(byte, mask)| byte ^ mask));
    }
}

/// A close frame's status code; none where it gives none.
pub fn close_code(payload: &[u8]) -> Option<u16> {
    payload.first_chunk::<2>().map(|code| u16::from_be_bytes(*code))
}

/// RFC 6455 sections 5.5.1 and 7.4.
fn check_close(payload: &[u8]) -> Result<(), WebSocketError> {
    let Some(code) = close_code(payload) else {
        return if payload.is_empty() { Ok(()) } else { Err(WebSocketError::Close) };
    };
    let valid = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
    let reason = payload.get(2..).unwrap_or_default();
    if valid && std::str::from_utf8(reason).is_ok() { Ok(()) } else { Err(WebSocketError::Close) }
}

/// Writes a whole frame of a server's.
pub fn write_frame(opcode: Opcode, parts: &[&[u8]], out: &mut Vec<u8>) {
    let length = parts.iter().fold(0_u64, |sum, part| sum.saturating_add(part.len() as u64));
    Header { last: true, opcode, length }.write(out);
    parts.iter().for_each(|part| out.extend_from_slice(part));
}
