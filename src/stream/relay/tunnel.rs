//! A forwarded port's SPDY in the messages of a WebSocket connection.

use super::spdy::tell;
use crate::stream::channel::ChannelError;
use crate::stream::spdy::{Connection, Purpose};
use crate::stream::websocket::{Frame, Frames, Opcode, close_code};
use crate::stream::{Event, Side, StreamError};

/// Both sides of a tunnel.
pub(super) struct Tunnel {
    client: Frames,
    server: Frames,
    spdy: Connection,
}

impl Tunnel {
    pub(super) fn new() -> Self {
        // Both ends put messages together here, however many frames they come in.
        Self {
            client: Frames::new(Side::Client, true),
            server: Frames::new(Side::Server, true),
            spdy: Connection::new(Purpose::PortForward),
        }
    }

    pub(super) fn take(
        &mut self,
        side: Side,
        bytes: &[u8],
        see: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), StreamError> {
        let Self { client, server, spdy } = self;
        let frames = match side {
            Side::Client => client,
            Side::Server => server,
        };
        frames.take(bytes, &mut |frame| match frame {
            Frame::Begin(header) if header.opcode == Opcode::Text => Err(ChannelError::Text.into()),
            Frame::Payload(bytes) => Ok(spdy.take(side, bytes, &mut |event| tell(side, event, see))?),
            Frame::Control(Opcode::Close, payload) => {
                see(Event::End(side, close_code(payload)));
                Ok(())
            }
            Frame::Begin(_) | Frame::End(_) | Frame::Control(..) => Ok(()),
        })
    }
}
