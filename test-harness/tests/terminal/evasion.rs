//! What an agent sends that wants to do something unrecorded: bytes that no client library writes.
//!
//! The process behind each row copies its input to a file: whatever that holds must be in the record, to the byte.

use crate::pods::NAMESPACE;
use crate::records::{exchange, stdin};
use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chaperone_test_harness::client::Bytestream;
use chaperone_test_harness::container::frame::{Frame, Writer};
use chaperone_test_harness::process::eventually;
use chaperone_test_harness::stage::Stage;
use hyper::body::Bytes;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(20);

/// One case.
struct Evasion {
    name: &'static str,
    handshake: Handshake,
    /// More header lines of the request.
    headers: &'static str,
    terminal: bool,
    /// What is sent with the request itself, though the server has switched nothing yet.
    early: Vec<u8>,
    /// What is sent then; each piece is flushed.
    pieces: Vec<Vec<u8>>,
    /// Whether the client then closes its half of the connection.
    half_closed: bool,
    expected: Expected,
}

#[derive(Clone, Copy)]
enum Handshake {
    WebSocket(&'static str),
    Spdy,
}

enum Expected {
    /// It reaches the process, and the record.
    Recorded(Vec<u8>),
    /// The connection is cut; the record says that with these words.
    Cut(&'static str),
    /// Nothing is switched: this status.
    Refused(u16),
    /// Envoy itself answers with this status, before the filter hears of it.
    Envoy(u16),
    /// Whether it reaches the process is the proxy's matter.
    Open,
}

/// Tries each.
pub async fn all(stage: &Stage, wrong: &mut Vec<String>) -> Result<()> {
    for (number, row) in rows()?.into_iter().enumerate() {
        match tried(stage, number, &row).await {
            Ok(()) => eprintln!("  ok    evasion: {}", row.name),
            Err(error) => {
                eprintln!("  WRONG evasion: {}: {error:#}", row.name);
                wrong.push(format!("{}: {error:#}", row.name));
            }
        }
    }
    Ok(())
}

async fn tried(stage: &Stage, number: usize, row: &Evasion) -> Result<()> {
    let session = format!("evasion-{number}");
    let file = stage.dir().path(&session);
    let client = stage.client()?.with_token(&stage.issuer.mint(&stage.agent("evader@example.com", &session)));
    let mut connection = client.stream().await?;
    let head = row.head(&file, client.authorization(), &client.address().to_string());
    connection.write_all(&[head.as_bytes(), &row.early].concat()).await?;
    let status = status(&mut connection).await;
    match (&row.expected, &status) {
        (Expected::Refused(expected) | Expected::Envoy(expected), Ok(status)) => {
            ensure!(status == expected, "answered {status}, not {expected}");
        }
        // What comes too early may also end the connection at once.
        (Expected::Cut(_), _) if !row.early.is_empty() => {}
        (_, Ok(status)) => ensure!(*status == 101, "answered {status}"),
        (_, Err(error)) => anyhow::bail!("no answer: {error:#}"),
    }
    for piece in &row.pieces {
        // Once it is cut, nothing more can be sent.
        if connection.write_all(piece).await.is_err() || connection.flush().await.is_err() {
            break;
        }
    }
    let arrived = || std::fs::read(&file).unwrap_or_default();
    if row.half_closed {
        connection.shutdown().await?;
    }
    if let Expected::Recorded(bytes) = &row.expected {
        if !row.terminal {
            eventually("input at the process", SOON, async || (arrived() == *bytes).then_some(())).await?;
        } else {
            echoed(&mut connection, bytes).await?;
        }
    } else if matches!(row.expected, Expected::Cut(_) | Expected::Open) {
        let mut rest = Vec::new();
        let _ = timeout(SOON, connection.read_to_end(&mut rest)).await.context("it was not cut")?;
    }
    drop(connection);
    if matches!(row.expected, Expected::Envoy(_)) {
        ensure!(arrived().is_empty(), "the process ran");
        return Ok(());
    }
    let record = eventually("ended record", SOON, async || exchange(stage, &session).await.ok()).await?;
    let (kept, arrived) = (stdin(&record)?, arrived());
    match &row.expected {
        Expected::Recorded(bytes) => ensure!(kept == *bytes, "{} bytes are recorded", kept.len()),
        Expected::Cut(why) => {
            let end = record.to_string();
            ensure!(
                !row.early.is_empty() || end.contains("\"cut\""),
                "the record does not say that it was cut"
            );
            ensure!(end.contains(why), "the record does not say why: {}", record["reason"]);
        }
        Expected::Refused(_) => ensure!(arrived.is_empty(), "the process ran"),
        Expected::Envoy(_) | Expected::Open => {}
    }
    ensure!(kept.starts_with(&arrived), "unrecorded: {} bytes of {}", arrived.len(), kept.len());
    Ok(())
}

/// Waits for the terminal to show what was typed.
async fn echoed(connection: &mut Box<dyn Bytestream>, bytes: &[u8]) -> Result<()> {
    let mut seen = Vec::new();
    let reading = async {
        while !seen.windows(bytes.len()).any(|window| window == bytes) {
            ensure!(connection.read_buf(&mut seen).await? > 0, "it ended");
        }
        Ok(())
    };
    timeout(SOON, reading).await.context("no echo")?
}

/// Reads the head of the answer, and nothing after it.
async fn status(connection: &mut Box<dyn Bytestream>) -> Result<u16> {
    let mut head = Vec::new();
    let reading = async {
        while !head.ends_with(b"\r\n\r\n") {
            head.push(connection.read_u8().await?);
        }
        anyhow::Ok(())
    };
    timeout(SOON, reading).await.context("none in time")??;
    let head = String::from_utf8_lossy(&head);
    Ok(head.split(' ').nth(1).context("no status")?.parse()?)
}

impl Evasion {
    fn head(&self, file: &Path, authorization: &str, host: &str) -> String {
        let (script, tty) = match self.terminal {
            true => (format!("stty -icanon; exec cat > {}", file.display()), "tty=true"),
            false => (format!("exec cat > {}", file.display()), "stderr=true"),
        };
        let query: String = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("command", "sh"), ("command", "-c"), ("command", &script)])
            .finish();
        let (method, handshake) = match self.handshake {
            Handshake::WebSocket(name) => (
                "GET",
                format!(
                    "upgrade: websocket\r\nsec-websocket-version: 13\r\n\
                     sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: {name}\r\n"
                ),
            ),
            Handshake::Spdy => {
                ("POST", "upgrade: SPDY/3.1\r\nx-stream-protocol-version: v4.channel.k8s.io\r\n".to_owned())
            }
        };
        format!(
            "{method} /api/v1/namespaces/{NAMESPACE}/pods/shell/exec?stdin=true&stdout=true&{tty}&{query} HTTP/1.1\r\n\
             host: {host}\r\nauthorization: {authorization}\r\nconnection: Upgrade\r\n{handshake}{}\r\n",
            self.headers
        )
    }
}

fn rows() -> Result<Vec<Evasion>> {
    let mut rows = websocket();
    rows.extend(spdy()?);
    Ok(rows)
}

fn websocket() -> Vec<Evasion> {
    let row = |name, pieces: Vec<Vec<u8>>, expected| Evasion {
        name,
        handshake: Handshake::WebSocket("v4.channel.k8s.io"),
        headers: "",
        terminal: false,
        early: Vec::new(),
        pieces,
        half_closed: false,
        expected,
    };
    let recorded = |text: &[u8]| Expected::Recorded(text.to_vec());
    let typed = |text: &[u8]| message(0x82, &[&[0], text].concat());
    let each = |bytes: Vec<u8>| bytes.into_iter().map(|byte| vec![byte]).collect::<Vec<_>>();
    vec![
        row(
            "frames split at every byte",
            each([typed(b"one "), typed(b"two")].concat()),
            recorded(b"one two"),
        ),
        row("many frames in one piece", vec![typed(b"a").repeat(500)], recorded(&b"a".repeat(500))),
        row("an empty frame", vec![message(0x82, b""), typed(b""), typed(b"x")], recorded(b"x")),
        row(
            "control frames in between",
            vec![
                [typed(b"a"), message(0x89, b"ping"), typed(b"b"), message(0x8a, b""), typed(b"c")].concat(),
            ],
            recorded(b"abc"),
        ),
        row("a frame that is text", vec![message(0x81, b"\0text")], recorded(b"text")),
        row(
            "NUL, escapes and what is no UTF-8",
            vec![typed(b"\0\x1b]0;t\x07\x1b[2J\r\xff\xfe\n")],
            recorded(b"\0\x1b]0;t\x07\x1b[2J\r\xff\xfe\n"),
        ),
        row("a length of eight bytes", vec![typed(&vec![b'x'; 70_000])], recorded(&vec![b'x'; 70_000])),
        Evasion {
            half_closed: true,
            ..row("a connection half closed at once", vec![typed(b"last words")], Expected::Open)
        },
        Evasion {
            terminal: true,
            ..row(
                "a command at a terminal without its newline",
                vec![typed(b"rm -rf /srv")],
                recorded(b"rm -rf /srv"),
            )
        },
        Evasion {
            headers: "x-chaperone-level: None\r\nx-no-record: true\r\nx-envoy-retry-on: 5xx\r\ndnt: 1\r\n",
            ..row("headers that ask for no record", vec![typed(b"seen")], recorded(b"seen"))
        },
        Evasion {
            headers: "sec-websocket-extensions: permessage-deflate\r\n",
            ..row("an extension is offered", vec![typed(b"plain")], recorded(b"plain"))
        },
        Evasion {
            handshake: Handshake::WebSocket("v4.base64.channel.k8s.io"),
            ..row(
                "base64",
                vec![message(0x81, format!("0{}", STANDARD.encode(b"hidden\0")).as_bytes())],
                recorded(b"hidden\0"),
            )
        },
        Evasion {
            handshake: Handshake::WebSocket("v4.base64.channel.k8s.io"),
            ..row(
                "base64 that two readers read differently",
                vec![message(0x81, b"0aGk=aGk=")],
                Expected::Cut("base64"),
            )
        },
        row(
            "a message in fragments",
            vec![message(0x02, b"\0one"), message(0x80, b"\0two")],
            Expected::Cut("WebSocket"),
        ),
        row("a continuation of nothing", vec![message(0x80, b"\0x")], Expected::Cut("several frames")),
        row("a control frame in the middle of a frame", vec![ping_within()], recorded(b"\x89\x80abcd")),
        row("a control frame in fragments", vec![message(0x09, b"x")], Expected::Cut("not in order")),
        row("a frame without a mask", vec![vec![0x82, 2, 0, b'x']], Expected::Cut("has no mask")),
        row("reserved bits", vec![message(0xc2, b"\0x")], Expected::Cut("reserved bits")),
        row("an opcode without a meaning", vec![message(0x83, b"\0x")], Expected::Cut("opcode")),
        row("a length written too long", vec![long(&[0xfe, 0, 2], b"\0x")], Expected::Cut("length")),
        row(
            "a length with the highest bit",
            vec![long(&[0xff, 0x80, 0, 0, 0, 0, 0, 0, 2], b"\0x")],
            Expected::Cut("WebSocket frame"),
        ),
        row("a channel that is not there", vec![message(0x82, b"\x07x")], Expected::Cut("not there")),
        row("the server's own channel", vec![message(0x82, b"\x01x")], Expected::Cut("may not write")),
        row(
            "frames after a close",
            vec![message(0x88, &[3, 232]), typed(b"after")],
            Expected::Cut("after a WebSocket close"),
        ),
        row("a close without a valid code", vec![message(0x88, &[0, 1])], Expected::Cut("status code")),
        Evasion {
            early: typed(b"early"),
            ..row("frames before the answer", vec![], Expected::Cut("before the API server"))
        },
        Evasion {
            handshake: Handshake::WebSocket("v9.channel.k8s.io"),
            ..row("a subprotocol that nobody knows", vec![], Expected::Refused(400))
        },
        Evasion {
            headers: "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n",
            ..row("two keys", vec![], Expected::Refused(400))
        },
        Evasion { headers: "upgrade: SPDY/3.1\r\n", ..row("two upgrades", vec![], Expected::Envoy(403)) },
    ]
}

fn spdy() -> Result<Vec<Evasion>> {
    let row = |name, pieces: Vec<Vec<u8>>, expected| Evasion {
        name,
        handshake: Handshake::Spdy,
        headers: "",
        terminal: false,
        early: Vec::new(),
        pieces,
        half_closed: false,
        expected,
    };
    let recorded = |text: &[u8]| Expected::Recorded(text.to_vec());
    let mut opened = Vec::new();
    let mut writer = Writer::new()?;
    for (stream, kind) in [(1, "error"), (3, "stdin"), (5, "stdout"), (7, "stderr")] {
        opened.extend(writer.bytes(&open(stream, &[("streamtype", kind)]))?);
    }
    let after = |frames: &[&[u8]]| vec![opened.clone(), frames.concat()];
    let more = |headers: &[(&str, &str)]| {
        let mut bytes = opened.clone();
        bytes.extend(Writer::new()?.bytes(&open(9, headers))?);
        anyhow::Ok(vec![bytes])
    };
    let unrelated = more(&[("streamtype", "stdin")])?;
    let bomb = "x".repeat(60_000);
    let mut block = Writer::new()?;
    let bomb = block.bytes(&open(1, &[("streamtype", "error"), ("x", &bomb)]))?;
    let mut block = Writer::new()?;
    let twice = [
        block.bytes(&open(1, &[("streamtype", "error")]))?,
        block.bytes(&open(3, &[("streamtype", "stdin")]))?,
        block.bytes(&open(5, &[("streamtype", "stdin")]))?,
    ];
    let mut block = Writer::new()?;
    let two_readings = block.bytes(&open(1, &[("streamtype", "stdin"), ("streamtype", "error")]))?;
    let mut block = Writer::new()?;
    let unknown = block.bytes(&open(1, &[("streamtype", "backdoor")]))?;
    let data = |stream: u32, bytes: &'static [u8], last| -> Result<Vec<u8>> {
        Ok(Writer::new()?.bytes(&Frame::Data { stream, bytes: Bytes::from_static(bytes), last })?)
    };
    let window = |stream: u32, delta: u32| {
        [&[0x80, 3, 0, 9, 0, 0, 0, 8][..], &stream.to_be_bytes(), &delta.to_be_bytes()].concat()
    };
    let every = |bytes: Vec<u8>| bytes.into_iter().map(|byte| vec![byte]).collect::<Vec<_>>();
    Ok(vec![
        row("SPDY", after(&[&data(3, b"spdy", false)?]), recorded(b"spdy")),
        row(
            "SPDY split at every byte",
            every([opened.clone(), data(3, b"one ", false)?, data(3, b"two", false)?].concat()),
            recorded(b"one two"),
        ),
        row("SPDY, a stream half closed", after(&[&data(3, b"all", true)?]), recorded(b"all")),
        row(
            "SPDY, data after the end of a stream",
            after(&[&data(3, b"all", true)?, &data(3, b"more", false)?]),
            Expected::Cut("may not write"),
        ),
        row("SPDY, data on no stream", after(&[&data(11, b"x", false)?]), Expected::Cut("cannot use")),
        row(
            "SPDY, data on the server's stream",
            after(&[&data(5, b"x", false)?]),
            Expected::Cut("may not write"),
        ),
        row("SPDY, header blocks that are no one stream", unrelated, Expected::Cut("inflated")),
        row("SPDY, a header bomb", vec![bomb], Expected::Cut("above the bound")),
        row("SPDY, stdin twice", vec![twice.concat()], Expected::Cut("SPDY")),
        row("SPDY, a type twice", vec![two_readings], Expected::Cut("two ways")),
        row("SPDY, a type that nobody knows", vec![unknown], Expected::Cut("not for what")),
        row(
            "SPDY, windows opened and overflown",
            after(&[&window(3, 1), &data(3, b"a", false)?, &window(3, 0x7fff_ffff), &data(3, b"b", false)?]),
            recorded(b"ab"),
        ),
        row(
            "SPDY, a window update of no length",
            after(&[&[0x80, 3, 0, 9, 0, 0, 0, 0]]),
            Expected::Cut("as long as"),
        ),
        row(
            "SPDY of another version",
            after(&[&[0x80, 2, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1]]),
            Expected::Cut("version 3"),
        ),
        row("SPDY, a frame of no kind", after(&[&[0x80, 3, 0, 99, 0, 0, 0, 0]]), Expected::Cut("kind")),
        row(
            "SPDY, data that claims compression",
            after(&[&[0, 0, 0, 3, 2, 0, 0, 1, b'x']]),
            Expected::Cut("flags"),
        ),
        Evasion {
            headers: "content-length: 5\r\n",
            early: b"hello".to_vec(),
            ..row("SPDY behind a body", vec![], Expected::Refused(400))
        },
        Evasion {
            headers: "transfer-encoding: chunked\r\n",
            early: b"0\r\n\r\n".to_vec(),
            ..row("SPDY behind a chunked body", vec![], Expected::Refused(400))
        },
        Evasion {
            early: opened.clone(),
            ..row("SPDY before the answer", vec![], Expected::Cut("before the API server"))
        },
    ])
}

fn open(stream: u32, headers: &[(&str, &str)]) -> Frame {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Frame::Open { stream, headers, last: false }
}

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A client's frame with this first byte, its length written the shortest way.
fn message(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = match payload.len() {
        short @ ..126 => vec![0x80 | u8::try_from(short).unwrap_or_default()],
        medium if medium <= 0xffff => [&[0xfe], &medium.to_be_bytes()[6..]].concat(),
        long => [&[0xff], &long.to_be_bytes()[..]].concat(),
    };
    [&[first], &length[..], &MASK, &masked(payload)].concat()
}

/// A client's binary frame with this length.
fn long(length: &[u8], payload: &[u8]) -> Vec<u8> {
    [&[0x82], length, &MASK, &masked(payload)].concat()
}

/// What looks like a ping where a frame's payload is.
fn ping_within() -> Vec<u8> {
    message(0x82, b"\0\x89\x80abcd")
}

fn masked(payload: &[u8]) -> Vec<u8> {
    payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect()
}
