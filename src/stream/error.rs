//! Why a connection is cut.

use super::channel::ChannelError;
use super::spdy::SpdyError;
use super::websocket::WebSocketError;

/// What cannot be read the one way its receiver reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamError {
    /// Frames.
    WebSocket(WebSocketError),
    /// What is in their messages.
    Channel(ChannelError),
    /// Frames of SPDY.
    Spdy(SpdyError),
}

impl StreamError {
    /// In words, for a record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WebSocket(error) => error.as_str(),
            Self::Channel(error) => error.as_str(),
            Self::Spdy(error) => error.as_str(),
        }
    }
}

impl From<WebSocketError> for StreamError {
    fn from(error: WebSocketError) -> Self {
        Self::WebSocket(error)
    }
}

impl From<ChannelError> for StreamError {
    fn from(error: ChannelError) -> Self {
        Self::Channel(error)
    }
}

impl From<SpdyError> for StreamError {
    fn from(error: SpdyError) -> Self {
        Self::Spdy(error)
    }
}
