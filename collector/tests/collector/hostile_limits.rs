//! What somebody tries who wants others to get nothing: posts that stall, tails and exports without end, answers that are
//! never taken, and heads without end.

use crate::hostile::told;
use crate::login::create;
use crate::support::*;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

on_each_database!(
    posts_that_stall_are_in_nobodys_way,
    one_caller_leaves_tails_to_others,
    an_export_that_is_not_taken_gives_its_place_back,
);

/// Sends this, and nothing more.
fn begun(server: &Server, sent: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(server.base.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(sent).unwrap();
    stream
}

fn head(token: &str, length: usize) -> Vec<u8> {
    format!("POST /v1/records HTTP/1.1\r\nhost: c\r\nauthorization: Bearer {token}\r\ncontent-length: {length}\r\n\r\n")
        .into_bytes()
}

fn status(stream: TcpStream) -> String {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line.split(' ').nth(1).unwrap_or_default().to_owned()
}

/// Posts as a recorder does: again after 429. Returns how long it took.
fn persistently(server: &Server, token: &str, body: &[u8]) -> Duration {
    let since = Instant::now();
    loop {
        match server.post_with(body, &[("authorization", &format!("Bearer {token}"))]).status {
            429 if since.elapsed() < Duration::from_secs(20) => std::thread::yield_now(),
            status => {
                assert_eq!(status, 200);
                return since.elapsed();
            }
        }
    }
}

fn posts_that_stall_are_in_nobodys_way() {
    let place = Place::new();
    let other = create(&place, "ingest", "gateway-2");
    let limits = ["--max-batch-bytes", "40000", "--queue-bytes", "100000", "--client-timeout", "60s"];
    let server = place.serve(&limits);
    // What is only announced takes no room.
    let announced: Vec<_> = (0..50).map(|_| begun(&server, &head(INGEST, 40_000))).collect();
    let bodies = chain("r-1", &[&[pods("s", "e-1", 0)], &[pods("s", "e-2", 1)]]);
    assert_eq!(server.post(&bodies[0]).status, 200);
    // Nearly all room is held by what nearly arrived.
    let stall = || begun(&server, &[head(INGEST, 40_000), vec![b' '; 32_000]].concat());
    let stalled: Vec<_> = (0..3).map(|_| stall()).collect();
    let large = |recorder: &str| {
        let entry = with(pods("s", recorder, 5), json!({"userAgent": "x".repeat(30_000)}));
        batch(recorder, 0, ZEROS, &[entry])
    };
    let took = persistently(&server, &other, &large("r-2"));
    assert!(took < Duration::from_secs(10), "another token's: {took:?}");
    let more: Vec<_> = (0..3).map(|_| stall()).collect();
    for (recorder, body) in [("r-1", bodies[1].clone()), ("r-3", large("r-3"))] {
        let took = persistently(&server, INGEST, &body);
        assert!(took < Duration::from_secs(10), "{recorder}, the same token's: {took:?}");
    }
    drop((announced, stalled, more));
    assert_eq!(server.get("/v1/sessions/s").json()["requests"], 4);
}

#[test]
fn who_gave_way_is_told_to_come_again() {
    let place = Place::new();
    let other = create(&place, "ingest", "gateway-2");
    let limits = ["--max-batch-bytes", "40000", "--queue-bytes", "40000", "--client-timeout", "60s"];
    let server = place.serve(&limits);
    let stalled = begun(&server, &[head(INGEST, 40_000), vec![b' '; 39_000]].concat());
    persistently(
        &server,
        &other,
        &batch("r-2", 0, ZEROS, &[with(pods("s", "e", 5), json!({"userAgent": "x".repeat(30_000)}))]),
    );
    assert_eq!(status(stalled), "429");
}

/// The status of a new tail, and its connection.
fn tail(server: &Server, token: &str) -> (String, String, TcpStream) {
    let sent = format!("GET /v1/tail HTTP/1.1\r\nhost: c\r\nauthorization: Bearer {token}\r\n\r\n");
    let stream = begun(server, sent.as_bytes());
    let (mut lines, mut line) = (BufReader::new(stream.try_clone().unwrap()), String::new());
    let mut head = String::new();
    while line != "\r\n" {
        line.clear();
        lines.read_line(&mut line).unwrap();
        head.push_str(&line);
    }
    (head.split(' ').nth(1).unwrap().to_owned(), head, stream)
}

fn one_caller_leaves_tails_to_others() {
    let place = Place::new();
    let server = place.serve(&["--max-tails", "3", "--max-tails-per-caller", "2"]);
    let [alice, bob] = ["alice", "bob"].map(|name| create(&place, "auditor", name));
    let alices = [(); 2].map(|()| tail(&server, &alice));
    assert!(alices.iter().all(|(status, ..)| status == "200"));
    let (status, head, _) = tail(&server, &alice);
    assert_eq!(status, "429");
    assert!(head.contains("retry-after: 10\r\n") && head.contains("application/problem+json"), "{head}");
    let bobs = tail(&server, &bob);
    assert_eq!(bobs.0, "200");
    assert_eq!(tail(&server, &bob).0, "429", "as many as there may be");
    drop(alices);
    drop(bobs);
    let since = Instant::now();
    while tail(&server, &alice).0 != "200" {
        assert!(since.elapsed() < Duration::from_secs(30), "places come back");
        // It is noticed when something is sent.
        let entry = pods("s", &format!("e-{}", since.elapsed().as_nanos()), 0);
        server.post(&batch(&format!("r-{}", since.elapsed().as_nanos()), 0, ZEROS, &[entry]));
    }
}

fn an_export_that_is_not_taken_gives_its_place_back() {
    let place = Place::new();
    let server = place.serve(&["--client-timeout", "2s"]);
    let large =
        |number: usize| with(pods("s", &format!("e-{number}"), 0), json!({"userAgent": "x".repeat(7 << 20)}));
    let (one, other): (Vec<Value>, Vec<Value>) = (vec![large(1)], vec![large(2)]);
    for body in chain("r-1", &[&one, &other, &[pods("t", "e-3", 0)]]) {
        assert_eq!(server.post(&body).status, 200);
    }
    let bob = create(&place, "auditor", "bob");
    let sent = format!("GET /v1/export HTTP/1.1\r\nhost: c\r\nauthorization: Bearer {AUDITOR}\r\n\r\n");
    let open = || {
        let mut stream = begun(&server, sent.as_bytes());
        let mut first = [0; 12];
        stream.read_exact(&mut first).unwrap();
        (String::from_utf8_lossy(&first[9..]).into_owned(), stream)
    };
    let [one, other] = [open(), open()];
    assert_eq!([&*one.0, &*other.0], ["200", "200"]);
    let refused = server.get("/v1/export");
    assert_eq!((refused.status, &refused.headers["retry-after"]), (429, &"10".parse().unwrap()));
    assert_eq!(refused.json()["code"], "busy");
    assert_eq!(
        server.get_with("/v1/export?session=t&format=cloudevents", Some(&bob)).status,
        200,
        "another caller's"
    );
    // Neither connection is closed by the client, and nothing is read from it.
    let since = Instant::now();
    while open().0 != "200" {
        assert!(since.elapsed() < Duration::from_secs(20), "places come back");
        std::thread::yield_now();
    }
    drop((one, other));
}

#[test]
fn heads_have_an_end() {
    let place = Place::new();
    let server = place.serve(&["--client-timeout", "5s"]);
    let many: String = (0..1000).map(|number| format!("x-{number}: y\r\n")).collect();
    let long = format!("x: {}\r\n", "y".repeat(200_000));
    for (case, sent) in [
        ("many headers", format!("GET / HTTP/1.1\r\nhost: c\r\n{many}\r\n")),
        ("a long header", format!("GET / HTTP/1.1\r\nhost: c\r\n{long}\r\n")),
        ("a long address", format!("GET /{} HTTP/1.1\r\nhost: c\r\n\r\n", "y".repeat(200_000))),
        ("no HTTP", "\u{16}\u{3}\u{1}\u{2}\r\n\r\n".to_owned()),
        ("two lengths", "POST /login HTTP/1.1\r\nhost: c\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab".to_owned()),
        ("a length and chunks, smuggled", "POST /login HTTP/1.1\r\nhost: c\r\nconnection: close\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /v1/sessions HTTP/1.1\r\nhost: c\r\n\r\n".to_owned()),
        ("white space before a colon", "GET /login HTTP/1.1\r\nhost : c\r\n\r\n".to_owned()),
    ] {
        // It may be closed before all was sent.
        let mut stream = TcpStream::connect(server.base.strip_prefix("http://").unwrap()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let _ = stream.write_all(sent.as_bytes());
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said);
        let said = String::from_utf8_lossy(&said);
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{case}: {said}");
        assert!(said.matches("HTTP/1.1 ").count() <= 1, "{case}: {said}");
    }
    let form = format!(
        "POST /login HTTP/1.1\r\nhost: c\r\nconnection: close\r\ncontent-length: 60000\r\n\r\n{}",
        "x".repeat(60_000)
    );
    assert!(told(&server, &form).starts_with("HTTP/1.1 413 "));
    assert_eq!(server.get("/v1/sessions").status, 200);
}

#[test]
fn connections_that_say_nothing_give_way() {
    let place = Place::new();
    let server = place.serve(&["--max-connections", "20", "--client-timeout", "60s"]);
    let (status, _, mut tail) = tail(&server, AUDITOR);
    assert_eq!(status, "200");
    let kept = begun(&server, b"GET /healthz HTTP/1.1\r\nhost: c\r\n\r\n");
    let silent: Vec<_> = (0..40).map(|_| begun(&server, b"GET /healthz HTTP/1.1\r\n")).collect();
    let since = Instant::now();
    assert_eq!(server.post(&batch("r-1", 0, ZEROS, &[pods("s", "e-1", 0)])).status, 200);
    assert!(since.elapsed() < Duration::from_secs(20), "{:?}", since.elapsed());
    // Who is being answered stays.
    let (mut told, mut some) = (Vec::new(), [0; 4096]);
    while !String::from_utf8_lossy(&told).contains("e-1") {
        let count = tail.read(&mut some).expect("the tail goes on");
        assert_ne!(count, 0, "the tail goes on");
        told.extend_from_slice(&some[..count]);
    }
    drop((kept, silent));
}
