//! The subprotocols that a client offers and the server chooses from (`Sec-WebSocket-Protocol`).

use crate::kube::StreamKind;

/// What the messages of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subprotocol {
    /// Numbered channels: `channel.k8s.io` is 1.
    Channels(u8),
    /// The same as text: `base64.channel.k8s.io` is 1.
    Base64Channels(u8),
    /// SPDY/3.1, cut anyhow into messages.
    Tunnel,
}

/// How a channel's bytes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As they are, behind a byte.
    Binary,
    /// In base64, behind a digit.
    Base64,
}

const TERMINAL: &[(&str, Subprotocol)] = &[
    ("v5.channel.k8s.io", Subprotocol::Channels(5)),
    ("v4.channel.k8s.io", Subprotocol::Channels(4)),
    ("v3.channel.k8s.io", Subprotocol::Channels(3)),
    ("v2.channel.k8s.io", Subprotocol::Channels(2)),
    ("channel.k8s.io", Subprotocol::Channels(1)),
    ("v4.base64.channel.k8s.io", Subprotocol::Base64Channels(4)),
    ("base64.channel.k8s.io", Subprotocol::Base64Channels(1)),
];

const PORT_FORWARD: &[(&str, Subprotocol)] = &[
    ("SPDY/3.1+portforward.k8s.io", Subprotocol::Tunnel),
    ("v4.channel.k8s.io", Subprotocol::Channels(4)),
    ("v4.base64.channel.k8s.io", Subprotocol::Base64Channels(4)),
];

impl Subprotocol {
    /// Those that are understood for a kind of stream, with their names.
    pub fn known(kind: StreamKind) -> &'static [(&'static str, Self)] {
        match kind {
            StreamKind::Exec | StreamKind::Attach => TERMINAL,
            StreamKind::PortForward => PORT_FORWARD,
            StreamKind::Watch | StreamKind::Log => &[],
        }
    }

    /// How a channel's bytes are written.
    pub fn encoding(self) -> Encoding {
        match self {
            Self::Base64Channels(_) => Encoding::Base64,
            Self::Channels(_) | Self::Tunnel => Encoding::Binary,
        }
    }

    /// Whether a message can end a channel.
    pub(super) fn ends_channels(self) -> bool {
        self == Self::Channels(5)
    }
}
