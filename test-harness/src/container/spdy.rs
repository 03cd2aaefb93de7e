//! A connection of SPDY/3.1: streams that the client opens.

use std::collections::HashMap;
use std::pin::pin;
use std::time::Duration;

use hyper::body::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::frame::{Frame, Reader, Writer};

/// The header in which the versions of Kubernetes' own protocols are.
pub(super) const VERSION: &str = "x-stream-protocol-version";
/// How long a client may take to close after all was said.
const FAREWELL: Duration = Duration::from_secs(5);

/// A stream that the client has opened.
pub(super) struct Opened {
    pub(super) headers: HashMap<String, String>,
    /// What comes; ends where the client ends it.
    pub(super) incoming: mpsc::Receiver<Bytes>,
    pub(super) outgoing: Outgoing,
}

/// The server's side of a stream.
#[derive(Clone)]
pub(super) struct Outgoing {
    stream: u32,
    frames: mpsc::Sender<Frame>,
}

// === impl Outgoing ===

impl Outgoing {
    /// Sends a piece; nothing once the connection is gone.
    pub(super) async fn send(&self, bytes: Bytes) -> Option<()> {
        self.frames.send(Frame::Data { stream: self.stream, bytes, last: false }).await.ok()
    }

    /// Ends the stream.
    pub(super) async fn end(&self) {
        let _ = self.frames.send(Frame::Data { stream: self.stream, bytes: Bytes::new(), last: true }).await;
    }
}

/// Serves a connection until the client leaves it or `work` is done with the streams it is given.
pub(super) async fn session<R, W, F>(read: R, write: W, work: impl FnOnce(mpsc::Receiver<Opened>) -> F)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
    F: Future<Output = ()>,
{
    let (frames, queue) = mpsc::channel(16);
    let (opened, streams) = mpsc::channel(16);
    let mut reading = pin!(receive(read, opened, frames.clone()));
    let mut writing = pin!(send(write, queue));
    let working = async {
        work(streams).await;
        let _ = frames.send(Frame::GoAway).await;
    };
    tokio::select! {
        _ = &mut reading => return,
        _ = &mut writing => return,
        () = working => {}
    }
    let _ = timeout(FAREWELL, async { tokio::join!(reading, writing) }).await;
}

async fn receive(
    source: impl AsyncRead + Unpin,
    opened: mpsc::Sender<Opened>,
    frames: mpsc::Sender<Frame>,
) -> std::io::Result<()> {
    let mut reader = Reader::new(source);
    let mut streams = HashMap::new();
    loop {
        match reader.next().await? {
            Frame::Open { stream, headers, last } => {
                let (sender, incoming) = mpsc::channel(16);
                if !last {
                    streams.insert(stream, sender);
                }
                let _ = frames.send(Frame::Opened { stream }).await;
                let outgoing = Outgoing { stream, frames: frames.clone() };
                let _ =
                    opened.send(Opened { headers: headers.into_iter().collect(), incoming, outgoing }).await;
            }
            Frame::Data { stream, bytes, last } => {
                if let Some(sender) = streams.get(&stream).filter(|_| !bytes.is_empty()) {
                    let _ = sender.send(bytes).await;
                }
                if last {
                    streams.remove(&stream);
                }
            }
            Frame::Reset { stream } => {
                streams.remove(&stream);
            }
            Frame::Ping(id) => {
                let _ = frames.send(Frame::Ping(id)).await;
            }
            Frame::Opened { .. } | Frame::GoAway | Frame::Other => {}
        }
    }
}

async fn send(mut sink: impl AsyncWrite + Unpin, mut queue: mpsc::Receiver<Frame>) -> std::io::Result<()> {
    let mut writer = Writer::new()?;
    while let Some(frame) = queue.recv().await {
        sink.write_all(&writer.bytes(&frame)?).await?;
        sink.flush().await?;
    }
    Ok(())
}
