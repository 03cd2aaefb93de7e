//! What recording costs those who work in a terminal, beside the same Envoy without the filter: the echo of a keystroke, a long
//! output, and memory for streams and watches that stay open. `make bench-terminal` prints a table.

use anyhow::{Context as _, Result, ensure};
use chaperone_test_harness::client::{Bytestream, Client};
use chaperone_test_harness::stage::{ApiKind, Stage};
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::Method;
use serde_json::json;
use std::fs;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Message, protocol::WebSocketConfig};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

const KEYSTROKES: usize = 300;
const ROUNDS: usize = 5;
const OUTPUT: usize = 100 << 20;
const STREAMS: usize = 500;
const WATCHES: usize = 2000;
const POD: &str = "/api/v1/namespaces/bench/pods/shell";
/// Ticks of /proc/PID/stat in a second (`sysconf(_SC_CLK_TCK)` on Linux).
const TICKS: f64 = 100.0;

type Socket = WebSocketStream<Box<dyn Bytestream>>;

/// One of the two Envoys.
struct Side {
    name: &'static str,
    stage: Stage,
    client: Client,
}

#[tokio::main]
async fn main() -> Result<()> {
    let sides = [
        Side::new("Envoy", Stage::builder(ApiKind::StandIn).unfiltered()).await?,
        Side::new("with Chaperone", Stage::builder(ApiKind::StandIn)).await?,
    ];
    keystrokes(&sides).await?;
    output(&sides).await?;
    for side in &sides {
        side.memory().await?;
    }
    for side in sides {
        side.stage.stop().await?;
    }
    Ok(())
}

/// The echo of a key at a terminal, one after another, by turns.
async fn keystrokes(sides: &[Side; 2]) -> Result<()> {
    let mut echoes: [Vec<Duration>; 2] = Default::default();
    for _ in 0..ROUNDS {
        for (side, echoes) in sides.iter().zip(&mut echoes) {
            let mut socket = side.exec(&["sh", "-c", "stty raw -echo; echo ready; exec cat"], true).await?;
            until(&mut socket, b"ready").await?;
            for _ in 0..KEYSTROKES {
                let began = Instant::now();
                socket.send(Message::binary(vec![0, b'k'])).await?;
                until(&mut socket, b"k").await?;
                echoes.push(began.elapsed());
            }
        }
    }
    for (side, echoes) in sides.iter().zip(&mut echoes) {
        echoes.sort_unstable();
        let at = |share: usize| echoes[(echoes.len() - 1) * share / 1000].as_secs_f64() * 1e3;
        println!("keystroke  {:16} median {:6.3} ms  p99 {:6.3} ms", side.name, at(500), at(990));
    }
    Ok(())
}

/// A long output to its end, by turns.
async fn output(sides: &[Side; 2]) -> Result<()> {
    let mut took: [Vec<(f64, f64)>; 2] = Default::default();
    for _ in 0..3 {
        for (side, took) in sides.iter().zip(&mut took) {
            let (began, used) = (Instant::now(), side.used()?);
            let mut socket = side.exec(&["head", "-c", &OUTPUT.to_string(), "/dev/zero"], false).await?;
            let mut count = 0;
            while let Some(message) = socket.next().await {
                match message? {
                    Message::Binary(bytes) if bytes.first() == Some(&1) => count += bytes.len() - 1,
                    Message::Close(_) => break,
                    _ => {}
                }
            }
            ensure!(count == OUTPUT, "{}: {count} bytes of {OUTPUT}", side.name);
            took.push((began.elapsed().as_secs_f64(), side.used()? - used));
        }
    }
    for (side, took) in sides.iter().zip(&mut took) {
        took.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (seconds, used) = took[took.len() / 2];
        let speed = 100.0 / seconds;
        println!(
            "100 MiB    {:16} {speed:6.1} MiB/s ({seconds:.1} s), {used:.2} s of Envoy's processor",
            side.name
        );
    }
    Ok(())
}

/// Reads messages until what came ends so.
async fn until(socket: &mut Socket, end: &[u8]) -> Result<()> {
    let mut seen = Vec::new();
    while !seen.trim_ascii_end().ends_with(end) {
        let message = socket.next().await.context("the stream ended")??;
        seen.extend_from_slice(message.into_data().get(1..).unwrap_or_default());
    }
    Ok(())
}

impl Side {
    async fn new(name: &'static str, builder: chaperone_test_harness::stage::Builder) -> Result<Self> {
        let stage = builder.start().await?;
        let admin = stage.direct()?;
        let object =
            |kind: &str, name: &str| json!({"kind": kind, "apiVersion": "v1", "metadata": {"name": name}});
        let mut pod = object("Pod", "shell");
        pod["spec"] = json!({"containers": [{"name": "main", "image": "shop"}]});
        for (path, object) in
            [("/api/v1/namespaces", object("Namespace", "bench")), ("/api/v1/namespaces/bench/pods", pod)]
        {
            let made = admin.send_json(Method::POST, path, &object).await?;
            ensure!(made.status == 201, "{path}: {}", made.text());
        }
        let token = match name {
            "Envoy" => stage.upstream_token().to_owned(),
            _ => stage.issuer.mint(&stage.agent("bench@example.com", "bench")),
        };
        let client = stage.client()?.with_token(&token);
        Ok(Self { name, stage, client })
    }

    async fn exec(&self, command: &[&str], tty: bool) -> Result<Socket> {
        let command = command.iter().map(|word| ("command", *word));
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(command).finish();
        let tty = if tty { "&tty=true" } else { "" };
        let url = format!("wss://{}{POD}/exec?stdin=true&stdout=true{tty}&{query}", self.client.address());
        let mut request = url.into_client_request()?;
        let headers = request.headers_mut();
        headers.insert("authorization", self.client.authorization().parse()?);
        headers.insert("sec-websocket-protocol", "v4.channel.k8s.io".parse()?);
        let stream = self.client.stream().await?;
        let (socket, _) = client_async_with_config(request, stream, Some(WebSocketConfig::default())).await?;
        Ok(socket)
    }

    /// Seconds of a processor that Envoy has used.
    fn used(&self) -> Result<f64> {
        let id = self.stage.envoy.process().id().context("Envoy has ended")?;
        let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks =
            |at: usize| fields.get(at).and_then(|ticks| ticks.parse::<f64>().ok()).unwrap_or_default();
        Ok((ticks(11) + ticks(12)) / TICKS)
    }

    /// What open streams and watches cost.
    async fn memory(&self) -> Result<()> {
        let resident = || anyhow::Ok(self.stage.envoy.process().memory()?.resident);
        let before = resident()?;
        let mut streams = Vec::new();
        for _ in 0..STREAMS {
            let mut socket = self.exec(&["sh", "-c", "echo ready; exec cat"], false).await?;
            until(&mut socket, b"ready").await?;
            streams.push(socket);
        }
        let with_streams = resident()?;
        drop(streams);
        let between = resident()?;
        let mut watches = Vec::new();
        for _ in 0..WATCHES {
            let mut stream = self.client.stream().await?;
            let request = format!(
                "GET /api/v1/namespaces/bench/pods?watch=true HTTP/1.1\r\nhost: {}\r\nauthorization: {}\r\n\r\n",
                self.client.address(),
                self.client.authorization()
            );
            stream.write_all(request.as_bytes()).await?;
            let mut head = vec![0; 4096];
            let count = stream.read(&mut head).await?;
            ensure!(head[..count].starts_with(b"HTTP/1.1 200"), "no watch");
            watches.push(stream);
        }
        let with_watches = resident()?;
        let each = |more: u64, less: u64, count: usize| more.saturating_sub(less) as f64 / count as f64;
        println!(
            "memory     {:16} {} MiB at first; {STREAMS} exec streams {} MiB ({:.1} KiB each); {WATCHES} watches {} MiB ({:.1} KiB each)",
            self.name,
            before >> 10,
            with_streams >> 10,
            each(with_streams, before, STREAMS),
            with_watches >> 10,
            each(with_watches, between, WATCHES),
        );
        Ok(())
    }
}
