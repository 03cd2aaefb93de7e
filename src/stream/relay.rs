//! One connection: takes the bytes of either side, says what they mean, gives the bytes that go on.
//!
//! Where nothing is to be masked, what goes on is what came. Where stdout and stderr are, the server's messages of these
//! two are written anew; everything else still passes as it came, in its order. Of SPDY all data frames are written anew:
//! one that comes in two chunks goes on as two.

mod masks;
mod spdy;
mod tunnel;
mod websocket;

#[cfg(test)]
mod tests;

pub use masks::Masks;

use super::channel::{Layout, Subprotocol};
use super::spdy::Purpose;
use super::{Event, Side, StreamError};
use spdy::Spdy;
use tunnel::Tunnel;
use websocket::Messages;

/// One connection.
pub struct Relay {
    protocol: Protocol,
}

enum Protocol {
    Messages(Box<Messages>),
    Tunnel(Box<Tunnel>),
    Spdy(Box<Spdy>),
}

impl Relay {
    /// A WebSocket connection over which nothing went yet.
    pub fn websocket(subprotocol: Subprotocol, layout: Layout, masks: Masks) -> Self {
        let protocol = match subprotocol {
            Subprotocol::Tunnel => Protocol::Tunnel(Box::new(Tunnel::new())),
            _ => Protocol::Messages(Box::new(Messages::new(subprotocol, layout, masks))),
        };
        Self { protocol }
    }

    /// A SPDY connection over which nothing went yet.
    pub fn spdy(purpose: Purpose, masks: Masks) -> Self {
        Self { protocol: Protocol::Spdy(Box::new(Spdy::new(purpose, masks))) }
    }

    /// Takes bytes of one side and appends to `out` what goes on. After an error nothing more may: neither what came with
    /// the bytes that gave it, nor anything after.
    ///
    /// # Errors
    /// The bytes cannot be read the one way that their receiver reads them.
    pub fn take(
        &mut self,
        side: Side,
        bytes: &[u8],
        out: &mut Vec<u8>,
        see: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), StreamError> {
        match &mut self.protocol {
            Protocol::Messages(messages) => messages.take(side, bytes, out, see),
            Protocol::Spdy(spdy) => spdy.take(side, bytes, out, see),
            Protocol::Tunnel(tunnel) => {
                tunnel.take(side, bytes, see)?;
                out.extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    /// The server sends nothing more: appends what was held back.
    pub fn finish(&mut self, out: &mut Vec<u8>, see: &mut dyn FnMut(Event<'_>)) {
        match &mut self.protocol {
            Protocol::Messages(messages) => messages.finish(out, see),
            Protocol::Spdy(spdy) => spdy.finish(out, see),
            Protocol::Tunnel(_) => {}
        }
    }

    /// What has been masked, and how often.
    pub fn masked(&self) -> Vec<(String, u64)> {
        match &self.protocol {
            Protocol::Messages(messages) => messages.masks().counts(),
            Protocol::Spdy(spdy) => spdy.masks().counts(),
            Protocol::Tunnel(_) => Vec::new(),
        }
    }
}
