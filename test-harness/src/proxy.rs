//! A proxy before the collector that fails in every way an HTTP server can, and notes what the collector acknowledged.

use crate::client::{Answer, Client};
use anyhow::{Context as _, Result, bail};
use chaperone_record::Acknowledgement;
use http_body_util::channel::Channel;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use ring::digest::{SHA256, digest};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;

/// One way to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The collector gets the post late.
    Late(Duration),
    /// The collector's answer comes late.
    LateAnswer(Duration),
    /// The collector never gets the post; this status is answered.
    Instead(u16),
    /// The collector got and stored it; this status is answered.
    StoredBut(u16),
    /// The collector stored it; the answer is 200 and no acknowledgement.
    Garbage,
    /// The collector never gets the post; what is acknowledged is another batch.
    OtherBatch,
    /// The collector never gets the post; what is acknowledged is another recorder's batch.
    OtherRecorder,
    /// The collector never gets the post, and it is acknowledged: what no proxy may do, and an audit must notice.
    Lie,
    /// The collector stored it; the connection breaks in the middle of the answer.
    Half,
    /// The connection breaks before the collector gets the post.
    CutBefore,
    /// The connection breaks after the collector stored it.
    CutAfter,
    /// Bytes that are no HTTP, and an end; taken of whole connections.
    NotHttp,
}

/// A batch, by recorder and number.
pub type BatchId = (String, u64);

/// The proxy; it stops when dropped.
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
    server: AbortHandle,
}

struct State {
    collector: SocketAddr,
    noted: Mutex<Noted>,
    /// How many posts were passed to the collector.
    passed: watch::Sender<u64>,
    /// How many the collector acknowledged.
    acknowledged: watch::Sender<u64>,
}

#[derive(Default)]
struct Noted {
    faults: Vec<Fault>,
    /// How many of a hundred posts meet one of them.
    percent: u32,
    /// How often each was met.
    met: BTreeMap<Fault, u64>,
    posted: BTreeMap<BatchId, Vec<u8>>,
    acknowledged: BTreeMap<BatchId, Vec<u8>>,
}

/// The part of a batch that says which it is.
#[derive(Deserialize)]
struct Head {
    recorder: String,
    batch: u64,
}

// === impl Proxy ===

impl Proxy {
    /// A proxy to this collector, on a free loopback port, without faults.
    pub async fn to(collector: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (passed, acknowledged) = (watch::Sender::new(0), watch::Sender::new(0));
        let state = Arc::new(State { collector, noted: Mutex::default(), passed, acknowledged });
        let server = tokio::spawn(serve(listener, state.clone())).abort_handle();
        Ok(Self { address, state, server })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// So many of a hundred posts meet one of these faults from now on.
    pub fn fail(&self, percent: u32, faults: &[Fault]) {
        let mut noted = self.state.noted();
        noted.percent = percent;
        noted.faults = faults.to_vec();
    }

    /// How often each fault was met.
    pub fn met(&self) -> BTreeMap<Fault, u64> {
        self.state.noted().met.clone()
    }

    /// What the collector acknowledged, whether or not that reached the filter, with the SHA-256 of the bytes.
    pub fn acknowledged(&self) -> BTreeMap<BatchId, Vec<u8>> {
        self.state.noted().acknowledged.clone()
    }

    /// What was posted and never acknowledged.
    pub fn unacknowledged(&self) -> Vec<BatchId> {
        let noted = self.state.noted();
        noted.posted.keys().filter(|id| !noted.acknowledged.contains_key(id)).cloned().collect()
    }

    /// Whether the collector acknowledged all of these.
    pub fn has_acknowledged(&self, batches: &[BatchId]) -> bool {
        let noted = self.state.noted();
        batches.iter().all(|id| noted.acknowledged.contains_key(id))
    }

    /// Who posted.
    pub fn recorders(&self) -> Vec<String> {
        let mut recorders: Vec<_> =
            self.state.noted().posted.keys().map(|(recorder, _)| recorder.clone()).collect();
        recorders.dedup();
        recorders
    }

    /// Waits until the next post has been passed to the collector.
    pub async fn passes(&self) {
        let _ = self.state.passed.subscribe().changed().await;
    }

    /// Waits until the collector acknowledges the next.
    pub async fn acknowledges(&self) {
        let _ = self.state.acknowledged.subscribe().changed().await;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else { continue };
        stream.set_nodelay(true).ok();
        let state = state.clone();
        connections.spawn(async move {
            if state.breaks_http() {
                return speak_no_http(stream).await;
            }
            let service = service_fn(move |request| {
                let state = state.clone();
                async move { state.answer(request).await }
            });
            // An error is how a connection is cut.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn speak_no_http(mut stream: TcpStream) {
    let mut buffer = [0; 1024];
    let _ = stream.read(&mut buffer).await;
    let _ = stream.write_all(b"\x00\xff\x16\x03 200 OK {\"recorder\"\r\n\r\n").await;
}

// === impl State ===

impl State {
    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().expect("no holder panics")
    }

    fn breaks_http(&self) -> bool {
        let mut noted = self.noted();
        let breaks = noted.faults.contains(&Fault::NotHttp) && fastrand::u32(..100) < noted.percent;
        if breaks {
            *noted.met.entry(Fault::NotHttp).or_default() += 1;
        }
        breaks
    }

    fn roll(&self, batch: &Head, body: &[u8]) -> Option<Fault> {
        let mut noted = self.noted();
        noted.posted.insert((batch.recorder.clone(), batch.batch), sha256(body));
        if fastrand::u32(..100) >= noted.percent {
            return None;
        }
        let fault = fastrand::choice(&noted.faults).copied().filter(|fault| *fault != Fault::NotHttp)?;
        *noted.met.entry(fault).or_default() += 1;
        Some(fault)
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Channel<Bytes, io::Error>>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let batch: Head = serde_json::from_slice(&body).context("not a batch")?;
        let mut request = Request::from_parts(head, Full::new(body.clone()));
        for name in [HOST, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING] {
            request.headers_mut().remove(name);
        }
        let acknowledgement = |recorder: &str, batch: u64| {
            serde_json::json!({"recorder": recorder, "batch": batch}).to_string()
        };
        let Some(fault) = self.roll(&batch, &body) else {
            let answer = self.pass(request, &batch, &body).await?;
            return whole(answer.status, answer.body);
        };
        match fault {
            Fault::CutBefore | Fault::NotHttp => bail!("cut before"),
            Fault::Instead(status) => return whole(status, "{}".into()),
            Fault::OtherBatch => {
                return whole(200, acknowledgement(&batch.recorder, batch.batch + 1).into());
            }
            Fault::Lie => return whole(200, acknowledgement(&batch.recorder, batch.batch).into()),
            Fault::OtherRecorder => {
                return whole(200, acknowledgement("someone-else", batch.batch).into());
            }
            Fault::Late(time) => sleep(time).await,
            Fault::LateAnswer(_) | Fault::StoredBut(_) | Fault::Garbage | Fault::Half | Fault::CutAfter => {}
        }
        let answer = self.pass(request, &batch, &body).await?;
        match fault {
            Fault::CutAfter => bail!("cut after"),
            Fault::StoredBut(status) => whole(status, "{}".into()),
            Fault::Garbage => whole(200, Bytes::from_static(b"\xff<html>recorder: batch</html>")),
            Fault::Half => half(&answer),
            Fault::LateAnswer(time) => {
                sleep(time).await;
                whole(answer.status, answer.body)
            }
            _ => whole(answer.status, answer.body),
        }
    }

    /// Posts it to the collector, and notes where it was acknowledged.
    async fn pass(&self, request: Request<Full<Bytes>>, batch: &Head, body: &[u8]) -> Result<Answer> {
        self.passed.send_modify(|passed| *passed += 1);
        let answer = Client::plain(self.collector).send(request).await?;
        let said: Option<Acknowledgement> = serde_json::from_slice(&answer.body).ok();
        let right = said.is_some_and(|said| (&said.recorder, said.batch) == (&batch.recorder, batch.batch));
        if answer.status == 200 && right {
            self.noted().acknowledged.insert((batch.recorder.clone(), batch.batch), sha256(body));
            self.acknowledged.send_modify(|acknowledged| *acknowledged += 1);
        }
        Ok(answer)
    }
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA256, bytes).as_ref().to_vec()
}

fn whole(status: u16, body: Bytes) -> Result<Response<Channel<Bytes, io::Error>>> {
    let (mut sender, channel) = Channel::new(1);
    let length = body.len();
    sender.try_send(hyper::body::Frame::data(body)).ok().context("an empty channel is full")?;
    Ok(Response::builder().status(status).header(CONTENT_LENGTH, length).body(channel)?)
}

/// The first half of an answer that says it is whole.
fn half(answer: &Answer) -> Result<Response<Channel<Bytes, io::Error>>> {
    let (mut sender, channel) = Channel::new(1);
    let length = answer.body.len();
    let part = hyper::body::Frame::data(answer.body.slice(..length / 2));
    sender.try_send(part).ok().context("an empty channel is full")?;
    sender.abort(io::ErrorKind::ConnectionReset.into());
    Ok(Response::builder().status(answer.status).header(CONTENT_LENGTH, length).body(channel)?)
}
