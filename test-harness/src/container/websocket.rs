//! Channels as WebSocket messages: `v5.channel.k8s.io` and its elders.

use std::io;
use std::pin::pin;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _};
use hyper::body::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};
use tokio_util::io::{CopyToBytes, SinkWriter, StreamReader};

use super::{Ask, Channel, Io, Protocol, Streams, process};

/// How long a client may take to answer a close.
const FAREWELL: Duration = Duration::from_secs(5);
/// v5's channel on which the client says which other it closes.
const CLOSE: u8 = 255;

/// How bytes are written in messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// A byte for the channel, then the bytes.
    Binary,
    /// The same, in protocols where clients close channels.
    Closing,
    /// A digit for the channel, then the bytes in base64.
    Base64,
}

/// The first of the offered protocols that fits.
pub(super) fn choose<'a>(offered: &[&'a str], ask: &Ask) -> Option<(Protocol, &'a str)> {
    let known = |name: &str| match (ask, name) {
        (Ask::Log(..), "binary.k8s.io") => Some(Protocol::Plain(Coding::Binary)),
        (Ask::Log(..), "base64.binary.k8s.io") => Some(Protocol::Plain(Coding::Base64)),
        (Ask::Log(..), _) => None,
        (Ask::Forward(_), "SPDY/3.1+portforward.k8s.io") => Some(Protocol::Tunnel),
        (Ask::Run { .. }, "v5.channel.k8s.io") => Some(Protocol::Channels(Coding::Closing)),
        (_, "channel.k8s.io" | "v2.channel.k8s.io" | "v3.channel.k8s.io" | "v4.channel.k8s.io") => {
            Some(Protocol::Channels(Coding::Binary))
        }
        (_, "base64.channel.k8s.io" | "v4.base64.channel.k8s.io") => Some(Protocol::Channels(Coding::Base64)),
        _ => None,
    };
    if offered.is_empty() {
        let protocol = if matches!(ask, Ask::Log(..)) { Protocol::Plain } else { Protocol::Channels };
        return Some((protocol(Coding::Binary), ""));
    }
    offered.iter().find_map(|name| Some((known(name)?, *name)))
}

/// The end of a connection, with the status that Go's clients take for a good one.
pub(super) fn goodbye() -> Message {
    Message::Close(Some(CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::default() }))
}

// === impl Coding ===

impl Coding {
    /// A message of one channel.
    pub(super) fn message(self, channel: u8, bytes: &[u8]) -> Message {
        match self {
            Self::Base64 => Message::text(format!("{channel}{}", STANDARD.encode(bytes))),
            Self::Binary | Self::Closing => Message::binary([&[channel], bytes].concat()),
        }
    }

    /// The channel of a message, and its bytes.
    pub(super) fn parse(self, message: &Message) -> Option<(u8, Bytes)> {
        match (self, message) {
            (Self::Base64, Message::Text(text)) => {
                let (channel, rest) = text.split_at_checked(1)?;
                Some((channel.parse().ok()?, STANDARD.decode(rest).ok()?.into()))
            }
            // The Python client writes text where it was given text; the API server takes either.
            (Self::Binary | Self::Closing, Message::Binary(_) | Message::Text(_)) => {
                let bytes = message.clone().into_data();
                Some((*bytes.first()?, bytes.slice(1..)))
            }
            _ => None,
        }
    }
}

/// Runs a process for a client.
pub(super) async fn run<S>(socket: WebSocketStream<S>, coding: Coding, command: Vec<String>, streams: Streams)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (stdin, for_stdin) = mpsc::channel(16);
    let (sizes, for_sizes) = mpsc::channel(16);
    let (out, mut pieces) = mpsc::channel::<(Channel, Bytes)>(16);
    let (mut sink, mut stream) = socket.split();
    let reading = async move {
        let mut stdin = Some(stdin);
        while let Some(Ok(message)) = stream.next().await {
            match coding.parse(&message) {
                Some((0, bytes)) => {
                    if let Some(stdin) = &stdin {
                        let _ = stdin.send(bytes).await;
                    }
                }
                Some((4, bytes)) => {
                    if let Ok(size) = serde_json::from_slice(&bytes) {
                        let _ = sizes.send(size).await;
                    }
                }
                Some((CLOSE, bytes)) if coding == Coding::Closing && bytes[..] == [Channel::Stdin as u8] => {
                    stdin = None
                }
                _ => {}
            }
        }
    };
    let writing = async {
        // Tells the client that the process is there, as the API server does.
        let first = if streams.stdout { Channel::Stdout } else { Channel::Error };
        sink.send(coding.message(first as u8, b"")).await.ok()?;
        while let Some((channel, bytes)) = pieces.recv().await {
            sink.send(coding.message(channel as u8, &bytes)).await.ok()?;
        }
        sink.send(goodbye()).await.ok()
    };
    let io = Io { stdin: for_stdin, sizes: for_sizes, out };
    let mut reading = pin!(reading);
    tokio::select! {
        () = &mut reading => return,
        _ = async { tokio::join!(process::run(command, streams, io), writing) } => {}
    }
    let _ = timeout(FAREWELL, reading).await;
}

/// Sends a log, as one stream without channels.
pub(super) async fn log<S>(
    socket: WebSocketStream<S>,
    coding: Coding,
    text: Bytes,
    command: Option<Vec<String>>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sink, mut stream) = socket.split();
    let reading = async move { while let Some(Ok(_)) = stream.next().await {} };
    let message = |bytes: Bytes| match coding {
        Coding::Base64 => Message::text(STANDARD.encode(bytes)),
        Coding::Binary | Coding::Closing => Message::binary(bytes),
    };
    let writing = async {
        sink.send(message(text)).await.ok()?;
        if let Some(command) = command {
            let mut pieces = process::printed(command);
            while let Some(piece) = pieces.recv().await {
                sink.send(message(piece)).await.ok()?;
            }
        }
        sink.send(goodbye()).await.ok()
    };
    let mut reading = pin!(reading);
    tokio::select! {
        () = &mut reading => return,
        _ = writing => {}
    }
    let _ = timeout(FAREWELL, reading).await;
}

/// The bytes in binary messages, as a connection.
pub(super) fn tunnel<S>(socket: WebSocketStream<S>) -> (impl AsyncRead + Unpin, impl AsyncWrite + Unpin)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (sink, stream) = socket.split();
    (
        StreamReader::new(Box::pin(bytes_of(stream))),
        SinkWriter::new(CopyToBytes::new(Box::pin(bytes_to(sink)))),
    )
}

fn bytes_of(stream: impl Stream<Item = Result<Message, Error>>) -> impl Stream<Item = io::Result<Bytes>> {
    stream.filter_map(async |message| match message {
        Ok(Message::Binary(bytes)) => Some(Ok(bytes)),
        Ok(_) => None,
        Err(error) => Some(Err(io::Error::other(error))),
    })
}

fn bytes_to(sink: impl Sink<Message, Error = Error>) -> impl Sink<Bytes, Error = io::Error> {
    sink.sink_map_err(io::Error::other).with(async |bytes| Ok::<_, io::Error>(Message::binary(bytes)))
}
