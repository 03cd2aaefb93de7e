//! A TCP connection's way to a server that can be cut anywhere.

use anyhow::Result;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

/// Carries bytes to a server and back, and resets connections when told to. It stops when dropped.
pub struct Wire {
    address: SocketAddr,
    state: Arc<State>,
    server: AbortHandle,
}

#[derive(Default)]
struct State {
    /// One chunk of so many is cut; none where it is zero.
    one_in: AtomicU32,
    cuts: AtomicU64,
}

impl Wire {
    /// A wire to this server, from a free loopback port.
    pub async fn to(server: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::<State>::default();
        let server = tokio::spawn(serve(listener, server, state.clone())).abort_handle();
        Ok(Self { address, state, server })
    }

    /// Where it begins.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on one chunk of so many, in either direction, is the last of its connection, and passes only in part;
    /// zero ends that.
    pub fn cut_one_in(&self, chunks: u32) {
        self.state.one_in.store(chunks, Ordering::Relaxed);
    }

    /// How often it was cut.
    pub fn cuts(&self) -> u64 {
        self.state.cuts.load(Ordering::Relaxed)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, server: SocketAddr, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((client, _)) = listener.accept().await else { continue };
        let state = state.clone();
        connections.spawn(async move {
            let Ok(server) = TcpStream::connect(server).await else { return };
            for end in [&client, &server] {
                end.set_nodelay(true).ok();
            }
            let ((from_client, to_client), (from_server, to_server)) =
                (client.into_split(), server.into_split());
            // Whichever way is cut or closed first ends the other.
            tokio::select! {
                () = carry(from_client, to_server, &state) => {}
                () = carry(from_server, to_client, &state) => {}
            }
        });
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: &State) {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let Ok(size @ 1..) = from.read(&mut buffer).await else { return };
        let one_in = state.one_in.load(Ordering::Relaxed);
        if one_in > 0 && fastrand::u32(..one_in) == 0 {
            state.cuts.fetch_add(1, Ordering::Relaxed);
            let _ = to.write_all(&buffer[..fastrand::usize(..size)]).await;
            // Closing then sends a reset, to both sides.
            let _ = from.as_ref().set_zero_linger();
            let _ = to.as_ref().set_zero_linger();
            return;
        }
        if to.write_all(&buffer[..size]).await.is_err() {
            return;
        }
    }
}
