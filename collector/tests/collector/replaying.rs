//! `replay --serve`: what is answered, byte by byte, and what is said afterwards.

use crate::support::*;
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PODS: &str = "/api/v1/namespaces/shop/pods";

fn recorded(id: &str, uri: &str, started: u64, more: Value) -> Value {
    let object = json!({"resource": "pods", "apiVersion": "v1", "namespace": "shop"});
    with(exchange(head("s-1", id, "get", uri, object), 200, started, 1), more)
}

fn session() -> Vec<Value> {
    let digest = |bytes: u64| json!({"sha256": "0".repeat(64), "bytes": bytes});
    let list = json!({"kind": "PodList", "apiVersion": "v1", "items": []});
    let piece = |data: &str, position: u64| {
        json!({"type": "stream", "exchange": "e-4", "session": "s-1", "channel": "response",
            "offset": position, "position": position, "data": data})
    };
    vec![
        recorded("e-0", "/apis?timeout=32s", 0, json!({"objectRef": null, "responseDigest": digest(900)})),
        recorded(
            "e-1",
            &format!("{PODS}?limit=500&watch=0"),
            10,
            json!({"responseObject": list, "responseDigest": digest(99)}),
        ),
        recorded("e-2", &format!("{PODS}/metadata"), 20, json!({"responseDigest": digest(99)})),
        recorded(
            "e-3",
            &format!("{PODS}/refused"),
            30,
            json!({"outcome": "refused",
            "decision": {"allowed": false, "rule": "r", "message": "no"},
            "responseStatus": {"code": 403, "reason": "Forbidden", "message": "no, by rule r"}}),
        ),
        recorded("e-4", &format!("{PODS}/web/log?follow=true"), 40, json!({"type": "end"})),
        recorded("e-4", &format!("{PODS}/web/log?follow=true"), 40, json!({"type": "request"})),
        piece("two\n", 4),
        piece("one\n", 0),
        recorded(
            "e-5",
            &format!("{PODS}/cut"),
            50,
            json!({"responseDigest": digest(99),
            "responseObject": {"encoding": "utf-8", "data": "the beginning"}}),
        ),
        recorded(
            "e-6",
            &format!("{PODS}/web/exec?command=id"),
            60,
            json!({"streamOptions": {"command": ["id"]},
            "responseStatus": {"code": 101}}),
        ),
    ]
}

/// A running `replay --serve`.
pub struct Replay {
    child: Child,
    address: String,
}

impl Drop for Replay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Replay {
    /// Starts it, and waits until it serves.
    pub fn start(place: &Place, session: &str, more: &[&str]) -> Self {
        let child = program()
            .env("CHAPERONE_DATABASE", place.database())
            .args(["replay", session, "--serve", "127.0.0.1:0", "-o", "json", "--write-kubeconfig"])
            .arg(place.path("kubeconfig"))
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut replay = Self { child, address: String::new() };
        let began = Instant::now();
        while replay.address.is_empty() {
            let config = std::fs::read(place.path("kubeconfig")).unwrap_or_default();
            if let Ok(config) = serde_json::from_slice::<Value>(&config) {
                let server = config["clusters"][0]["cluster"]["server"].as_str().unwrap();
                server.strip_prefix("http://").unwrap().clone_into(&mut replay.address);
            }
            assert!(began.elapsed() < Duration::from_secs(30), "it does not begin");
            std::thread::yield_now();
        }
        replay
    }

    /// Head and body of the answer.
    fn ask(&self, method: &str, uri: &str, headers: &str) -> (String, String) {
        let host =
            if headers.contains("Host:") { String::new() } else { format!("Host: {}\r\n", self.address) };
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "{method} {uri} HTTP/1.1\r\n{host}{headers}Connection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.to_ascii_lowercase(), body.to_owned())
    }

    /// Exit status, report, and what was said at the start.
    fn ended(mut self) -> (Option<i32>, Value, String) {
        let (mut report, mut said) = (String::new(), String::new());
        self.child.stdout.take().unwrap().read_to_string(&mut report).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        let code = self.child.wait().unwrap().code();
        (code, serde_json::from_str(&report).unwrap_or_else(|_| panic!("{said}")), said)
    }

    /// The same, told to end as Ctrl-C does.
    pub fn interrupted(self) -> (Option<i32>, Value, String) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        self.ended()
    }
}

fn place() -> Place {
    let place = Place::new();
    let server = place.serve(&[]);
    let answer = server.post(&batch("r-1", 0, ZEROS, &session()));
    assert_eq!(answer.status, 200, "{answer:?}");
    server.terminate();
    place
}

#[test]
fn what_was_recorded_is_answered_and_nothing_else_is() {
    let place = place();
    let replay = Replay::start(&place, "s-1", &["--once"]);
    for (name, method, uri, headers, expected) in [
        ("another host", "GET", PODS.to_owned(), "Host: evil.example\r\n", &["421", "another host"][..]),
        (
            "made-up discovery",
            "GET",
            "/apis/apps/v1".to_owned(),
            "",
            &["200", "application/json", "\"deployments\""],
        ),
        (
            "a list",
            "GET",
            format!("{PODS}?watch=0&limit=500&timeoutSeconds=7"),
            "",
            &["200", "application/json", "audit-id: e-1", "\"PodList\""],
        ),
        ("only metadata", "GET", format!("{PODS}/metadata"), "", &["501", "\"Status\"", "only its digest"]),
        ("a refusal", "GET", format!("{PODS}/refused"), "", &["403", "no, by rule r", "\"Forbidden\""]),
        (
            "a log in pieces",
            "GET",
            format!("{PODS}/web/log?follow=true"),
            "",
            &["200", "text/plain", "one\ntwo\n"],
        ),
        ("a body cut short", "GET", format!("{PODS}/cut"), "", &["200", "warning: 299", "the beginning"]),
        (
            "an exec",
            "GET",
            format!("{PODS}/web/exec?command=id"),
            "Connection: Upgrade\r\nUpgrade: websocket\r\n",
            &["501", "not served again"],
        ),
    ] {
        let (head, body) = replay.ask(method, &uri, headers);
        for part in expected {
            assert!(head.contains(part) || body.contains(part), "{name}: no {part:?} in {head}\n{body}");
        }
    }
    let (code, report, said) = replay.ended();
    assert_eq!((code, &report["followed"], &report["recorded"]), (Some(0), &json!(6), &json!(6)), "{report}");
    for warning in [
        "of 1 responses the body is not in the record",
        "1 responses were longer",
        "Discovery was not recorded",
    ] {
        assert!(said.contains(warning), "{said}");
    }
}

#[test]
fn departures_are_told() {
    let place = place();
    let replay = Replay::start(&place, "s-1", &[]);
    for (method, uri, status) in [
        ("GET", format!("{PODS}?limit=500&watch=0"), "200"),
        ("GET", format!("{PODS}?limit=500&watch=0"), "501"),
        ("DELETE", format!("{PODS}/metadata"), "501"),
        ("GET", format!("{PODS}/refused"), "403"),
    ] {
        let (head, body) = replay.ask(method, &uri, "");
        assert!(head.contains(status), "{method} {uri}: {head}");
        assert!(status != "501" || body.contains("chaperone replay: not in the record: "), "{body}");
    }
    let (code, report, _) = replay.interrupted();
    assert_eq!((code, &report["followed"], &report["made"]), (Some(1), &json!(1), &json!(2)), "{report}");
    assert_eq!(report["departure"]["got"], format!("GET {PODS}?limit=500&watch=0 a 2nd time"), "{report}");
    assert!(report["departure"]["expected"].as_str().unwrap().contains("/pods/metadata"), "{report}");
    assert_eq!(report["notInRecord"].as_array().map(Vec::len), Some(2), "{report}");
    assert_eq!(report["notMade"].as_array().map(Vec::len), Some(4), "{report}");
}
