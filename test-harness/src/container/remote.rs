//! A process's channels as SPDY streams, each named by its header `streamType`.

use std::collections::HashMap;

use hyper::body::Bytes;
use tokio::sync::mpsc;

use super::spdy::Opened;
use super::{Ask, Channel, Io, Streams, process};

/// The first of the offered protocols that fits.
pub(super) fn choose<'a>(offered: &[&'a str], ask: &Ask) -> Option<&'a str> {
    let known = match ask {
        Ask::Run { .. } => "v4.channel.k8s.io",
        Ask::Forward(_) => "portforward.k8s.io",
        Ask::Log(..) => return None,
    };
    offered.iter().copied().find(|name| *name == known)
}

/// Runs a process once the client has opened every stream that it asked for.
pub(super) async fn run(mut opened: mpsc::Receiver<Opened>, command: Vec<String>, streams: Streams) {
    let wanted = [
        ("error", true),
        ("stdin", streams.stdin),
        ("stdout", streams.stdout),
        ("stderr", streams.stderr),
        ("resize", streams.tty),
    ];
    let count = wanted.iter().filter(|(_, wanted)| *wanted).count();
    let mut there: HashMap<String, Opened> = HashMap::new();
    while there.len() < count {
        let Some(stream) = opened.recv().await else { return };
        let kind = stream.headers.get("streamtype").cloned().unwrap_or_default();
        there.insert(kind, stream);
    }
    let nothing = || mpsc::channel(1).1;
    let mut incoming = HashMap::new();
    let mut outgoing = HashMap::new();
    for (kind, stream) in there {
        incoming.insert(kind.clone(), stream.incoming);
        outgoing.insert(kind, stream.outgoing);
    }
    let stdin = incoming.remove("stdin").unwrap_or_else(nothing);
    let mut resizes = incoming.remove("resize").unwrap_or_else(nothing);
    let (sizes, for_sizes) = mpsc::channel(16);
    let (out, mut pieces) = mpsc::channel::<(Channel, Bytes)>(16);
    let resizing = async move {
        while let Some(bytes) = resizes.recv().await {
            if let Ok(size) = serde_json::from_slice(&bytes) {
                let _ = sizes.send(size).await;
            }
        }
        std::future::pending::<()>().await;
    };
    let writing = async {
        while let Some((channel, bytes)) = pieces.recv().await {
            let kind = match channel {
                Channel::Stdout => "stdout",
                Channel::Stderr => "stderr",
                Channel::Error => "error",
                Channel::Stdin => continue,
            };
            if let Some(stream) = outgoing.get(kind) {
                let Some(()) = stream.send(bytes).await else { return };
            }
        }
        for kind in ["stdin", "stdout", "stderr", "resize", "error"] {
            if let Some(stream) = outgoing.get(kind) {
                stream.end().await;
            }
        }
    };
    let io = Io { stdin, sizes: for_sizes, out };
    tokio::select! {
        _ = async { tokio::join!(process::run(command, streams, io), writing) } => {}
        () = resizing => {}
    }
}
