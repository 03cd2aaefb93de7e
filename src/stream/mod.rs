//! What flows once a request has switched protocols: exec, attach and port-forward.
//!
//! Bytes come in arbitrary chunks and are read as the peers read them, or not at all: what could be read another way ends
//! the connection. [`Relay`] is the room's centre: it takes the bytes of either side, says what they mean ([`Event`]), and
//! gives the bytes that go on.
//!
//! | room | what it reads |
//! |---|---|
//! | [`websocket`] | frames (RFC 6455) |
//! | [`channel`] | the channels in their messages (`v5.channel.k8s.io` and its elders) |
//! | [`spdy`] | SPDY/3.1, on its own or in the messages of a tunnelled port-forward |

pub mod channel;
mod error;
pub mod handshake;
mod relay;
pub mod spdy;
pub mod websocket;

pub use error::StreamError;
pub use relay::{Masks, Relay};
pub use spdy::{Role, Side};

/// Something that happened on a connection, in the order in which it did.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A forwarded connection began.
    Open(Role),
    /// Bytes of a channel, as they go on.
    Data(Side, Role, &'a [u8]),
    /// A side sends no more on a channel, or gave it up.
    Close(Side, Role),
    /// A side ended the connection, with a WebSocket status code where it gave one.
    End(Side, Option<u16>),
}
