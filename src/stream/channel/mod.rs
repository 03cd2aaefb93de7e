//! The channels in WebSocket messages (`channel.k8s.io` and its younger versions): a message is the channel's number and
//! bytes for it.
//!
//! Source: `k8s.io/apimachinery/pkg/util/httpstream/wsstream`, `k8s.io/kubelet/pkg/cri/streaming`.

mod base64;
mod subprotocol;

#[cfg(test)]
mod tests;

pub use base64::Decoder;
pub use subprotocol::{Encoding, Subprotocol};

use super::{Role, Side};

/// The number of a message that ends another channel.
const CLOSE: u8 = 255;
/// The server begins each channel of a port with the port's number, in two bytes.
const PORT_BYTES: u8 = 2;

/// Why a connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelError {
    /// A channel that is not there.
    Number,
    /// Bytes on a channel that its side may not write to.
    Direction,
    /// A message that ends a channel which cannot be ended, or says more.
    Close,
    /// Text that is not base64 as the standard writes it.
    Base64,
    /// A tunnel's message that is text.
    Text,
}

impl ChannelError {
    /// In words, for a record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Number => "a message is for a channel that is not there",
            Self::Direction => "a channel has bytes of a side that may not write to it",
            Self::Close => "a message ends a channel that its side can't end, or says more than that",
            Self::Base64 => "a channel's text is not base64",
            Self::Text => "a tunnel's message is text",
        }
    }
}

/// What the channels' numbers mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// exec and attach.
    Terminal,
    /// port-forward: two channels for each port, in order.
    Ports(Vec<u16>),
}

impl Layout {
    fn role(&self, number: u8) -> Option<Role> {
        match self {
            Self::Terminal => match number {
                0 => Some(Role::Stdin),
                1 => Some(Role::Stdout),
                2 => Some(Role::Stderr),
                3 => Some(Role::Error),
                4 => Some(Role::Resize),
                _ => None,
            },
            Self::Ports(ports) => {
                let request = number / 2;
                let port = *ports.get(usize::from(request))?;
                let request = u32::from(request);
                Some(match number % 2 {
                    0 => Role::PortData { port, request },
                    _ => Role::PortError { port, request },
                })
            }
        }
    }
}

/// What one side says in its messages.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard<'a> {
    /// Bytes for a channel.
    Data(Role, &'a [u8]),
    /// The side sends no more on a channel.
    Close(Role),
}

/// The messages of one side.
#[derive(Debug)]
pub struct Channels {
    side: Side,
    subprotocol: Subprotocol,
    layout: Layout,
    place: Place,
    decoder: Decoder,
    /// How much of the port's number each channel of a port still begins with.
    begins: Vec<u8>,
}

/// Where in a message its bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Its number is still to come.
    Number,
    /// Bytes for a channel, whose number is written so.
    Within(Role, u8),
    /// The number of a channel to be ended is still to come.
    Ends,
    /// Nothing more may come.
    Done,
}

impl Channels {
    /// The messages of a side of which none came yet.
    pub fn new(side: Side, subprotocol: Subprotocol, layout: Layout) -> Self {
        let begins = match &layout {
            Layout::Ports(ports) if side == Side::Server => {
                vec![PORT_BYTES; ports.len().saturating_mul(2)]
            }
            _ => Vec::new(),
        };
        Self { side, subprotocol, layout, place: Place::Number, decoder: Decoder::default(), begins }
    }

    /// A message begins.
    pub fn begin(&mut self) {
        self.place = Place::Number;
        self.decoder = Decoder::default();
    }

    /// Where the current message is.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Takes the message's next bytes.
    ///
    /// # Errors
    /// The connection cannot go on; or what `out` says of it.
    pub fn take<E: From<ChannelError>>(
        &mut self,
        mut bytes: &[u8],
        out: &mut impl FnMut(Heard<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        while let Some((first, rest)) = bytes.split_first() {
            bytes = match self.place {
                Place::Number => {
                    self.place = self.number(*first)?;
                    rest
                }
                Place::Within(role, number) => {
                    self.within(role, number, bytes, out)?;
                    &[]
                }
                Place::Ends => {
                    let role = self.layout.role(*first).filter(|role| role.may_send(self.side));
                    self.place = Place::Done;
                    out(Heard::Close(role.ok_or(ChannelError::Close)?))?;
                    rest
                }
                Place::Done => return Err(ChannelError::Close.into()),
            };
        }
        Ok(())
    }

    /// The message ends.
    ///
    /// # Errors
    /// It is not whole.
    pub fn end(&mut self) -> Result<(), ChannelError> {
        match self.place {
            Place::Ends => Err(ChannelError::Close),
            _ if !self.decoder.is_whole() => Err(ChannelError::Base64),
            _ => Ok(()),
        }
    }

    fn number(&self, byte: u8) -> Result<Place, ChannelError> {
        let number = match self.subprotocol.encoding() {
            Encoding::Binary => byte,
            Encoding::Base64 => byte.checked_sub(b'0').ok_or(ChannelError::Number)?,
        };
        if number == CLOSE && self.subprotocol.ends_channels() {
            return Ok(Place::Ends);
        }
        let role = self.layout.role(number).ok_or(ChannelError::Number)?;
        Ok(Place::Within(role, byte))
    }

    fn within<E: From<ChannelError>>(
        &mut self,
        role: Role,
        number: u8,
        bytes: &[u8],
        out: &mut impl FnMut(Heard<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let decoded;
        let mut bytes = match self.subprotocol.encoding() {
            Encoding::Binary => bytes,
            Encoding::Base64 => {
                decoded = self.decoder.take(bytes)?;
                decoded.as_slice()
            }
        };
        let number = match self.subprotocol.encoding() {
            Encoding::Binary => number,
            Encoding::Base64 => number.saturating_sub(b'0'),
        };
        if let Some(begins) = self.begins.get_mut(usize::from(number)) {
            let skipped = usize::from(*begins).min(bytes.len());
            *begins = begins.saturating_sub(u8::try_from(skipped).unwrap_or(PORT_BYTES));
            bytes = bytes.get(skipped..).unwrap_or_default();
        }
        if bytes.is_empty() {
            return Ok(());
        }
        if !role.may_send(self.side) {
            return Err(ChannelError::Direction.into());
        }
        out(Heard::Data(role, bytes))
    }
}
