//! Connections to ports of the pod, which are this machine's.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::pin::pin;

use futures_util::{SinkExt as _, StreamExt as _};
use hyper::body::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_tungstenite::WebSocketStream;

use super::spdy::Opened;
use super::websocket::{self, Coding};

const PIECE: usize = 16 * 1024;

/// Each connection is two streams with the same `requestID`: its data, and what went wrong.
pub(super) async fn over_streams(mut opened: mpsc::Receiver<Opened>) {
    let mut halves: HashMap<String, Opened> = HashMap::new();
    let mut connections = JoinSet::new();
    while let Some(stream) = opened.recv().await {
        let id = stream.headers.get("requestid").cloned().unwrap_or_default();
        match halves.remove(&id) {
            None => {
                halves.insert(id, stream);
            }
            Some(other) => {
                let is_data =
                    |stream: &Opened| stream.headers.get("streamtype").is_some_and(|kind| kind == "data");
                let (data, error) = if is_data(&stream) { (stream, other) } else { (other, stream) };
                connections.spawn(connection(data, error));
            }
        }
    }
}

async fn connection(data: Opened, error: Opened) {
    let port = data.headers.get("port").and_then(|port| port.parse().ok()).unwrap_or_default();
    let (to_client, mut from_port) = mpsc::channel(16);
    let passing = async {
        while let Some(bytes) = from_port.recv().await {
            data.outgoing.send(bytes).await?;
        }
        Some(())
    };
    let (outcome, _) = tokio::join!(connect(port, data.incoming, to_client), passing);
    if let Err(problem) = outcome {
        error.outgoing.send(Bytes::from(refusal(port, &problem))).await;
    }
    data.outgoing.end().await;
    error.outgoing.end().await;
}

/// Each port has two channels: its data, and what went wrong; the first message of each is the port.
pub(super) async fn over_channels<S>(socket: WebSocketStream<S>, coding: Coding, ports: &[u16])
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sink, mut stream) = socket.split();
    let (out, mut messages) = mpsc::channel::<(u8, Bytes)>(16);
    let mut connections = JoinSet::new();
    let mut inputs = HashMap::new();
    for (channel, port) in (0..).step_by(2).zip(ports.iter().copied()) {
        for channel in [channel, channel + 1] {
            let _ = out.send((channel, Bytes::copy_from_slice(&port.to_le_bytes()))).await;
        }
        let (sender, input) = mpsc::channel(16);
        inputs.insert(channel, sender);
        let out = out.clone();
        connections.spawn(async move {
            let (to_client, mut from_port) = mpsc::channel(16);
            let passing = async {
                while let Some(bytes) = from_port.recv().await {
                    out.send((channel, bytes)).await.ok()?;
                }
                Some(())
            };
            let (outcome, _) = tokio::join!(connect(port, input, to_client), passing);
            if let Err(problem) = outcome {
                let _ = out.send((channel + 1, Bytes::from(refusal(port, &problem)))).await;
            }
        });
    }
    drop(out);
    let reading = async {
        while let Some(Ok(message)) = stream.next().await {
            if let Some((channel, bytes)) = coding.parse(&message)
                && let Some(input) = inputs.get(&channel)
            {
                let _ = input.send(bytes).await;
            }
        }
    };
    let writing = async {
        while let Some((channel, bytes)) = messages.recv().await {
            sink.send(coding.message(channel, &bytes)).await.ok()?;
        }
        sink.send(websocket::goodbye()).await.ok()
    };
    let mut reading = pin!(reading);
    tokio::select! {
        () = &mut reading => return,
        _ = writing => {}
    }
    reading.await;
}

/// Connects, and passes bytes both ways until both have ended.
async fn connect(
    port: u16,
    mut input: mpsc::Receiver<Bytes>,
    output: mpsc::Sender<Bytes>,
) -> std::io::Result<()> {
    let (mut read, mut write) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?.into_split();
    let to_port = async {
        while let Some(bytes) = input.recv().await {
            if write.write_all(&bytes).await.is_err() {
                break;
            }
        }
        let _ = write.shutdown().await;
    };
    let from_port = async move {
        let mut piece = vec![0; PIECE];
        while let Ok(count @ 1..) = read.read(&mut piece).await {
            if output.send(Bytes::copy_from_slice(&piece[..count])).await.is_err() {
                break;
            }
        }
    };
    // A server that has said all closes the connection, whatever the client would still send.
    tokio::select! {
        () = from_port => {}
        () = async { to_port.await; std::future::pending().await } => {}
    }
    Ok(())
}

fn refusal(port: u16, problem: &std::io::Error) -> String {
    format!("error forwarding port {port}: {problem}")
}
