//! Forwarding to receivers that read with libraries of their own, through outages of either side.

use crate::support::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

on_each_database!(
    a_webhook_gets_everything,
    an_otlp_receiver_gets_everything,
    replicas_take_turns,
    redirects_are_not_followed,
    what_cannot_be_sent_to_is_refused,
);

const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=";
const EXCHANGE: &str = "dev.chaperone.exchange.v1";
const INCOMPLETE: &str = "dev.chaperone.exchange.incomplete.v1";

/// How long anything may take: a destination is held for 15 seconds by a collector that was killed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A receiver, and what it has printed.
struct Receiver {
    form: &'static str,
    port: u16,
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Receiver {
    /// Starts one; none where its libraries are not there.
    fn start(form: &'static str, port: u16) -> Option<Self> {
        let packages = match form {
            "webhook" => "standardwebhooks, cloudevents",
            _ => "google.protobuf, opentelemetry.proto.collector.logs.v1.logs_service_pb2",
        };
        let able = Command::new(python()).args(["-c", &format!("import {packages}")]).output();
        if !able.is_ok_and(|output| output.status.success()) {
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "python3 with {packages} is needed");
            eprintln!("SKIPPED: no python3 with {packages}; nothing was forwarded.");
            return None;
        }
        let mut child = Command::new(python())
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/receiver.py"))
            .args([form, &port.to_string(), KEY])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut printed = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let port = printed.next().expect("a port").parse().unwrap();
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || printed.for_each(|line| drop(sender.send(line))));
        Some(Self { form, port, child, lines })
    }

    fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again where it was.
    fn restart(self) -> Self {
        Self::start(self.form, self.port).unwrap()
    }

    /// Reads on until this line comes; returns all that came, with it.
    fn until(&self, line: &str) -> Vec<String> {
        let (mut seen, deadline) = (Vec::new(), Instant::now() + PATIENCE);
        while seen.last().is_none_or(|last: &String| last != line) {
            let left = deadline.saturating_duration_since(Instant::now());
            let next = self.lines.recv_timeout(left);
            seen.push(next.unwrap_or_else(|_| panic!("{line} did not come: {seen:#?}")));
        }
        seen
    }

    /// What `serve` is told.
    fn arguments(&self, place: &Place) -> Vec<String> {
        fs::write(place.path("webhook.key"), KEY).unwrap();
        fs::write(place.path("headers"), "Authorization: Bearer of-the-receiver\n").unwrap();
        let (url, file, path) = match self.form {
            "webhook" => ("--forward-webhook", "--forward-webhook-key-file", "webhook.key"),
            _ => ("--forward-otlp", "--forward-otlp-headers-file", "headers"),
        };
        let to = format!("http://127.0.0.1:{}/", self.port);
        [url, &to, file, path, "--forward-incomplete-after", "1s"].map(str::to_owned).to_vec()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve(place: &Place, arguments: &[String]) -> Server {
    place.serve(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

fn a_webhook_gets_everything() {
    gets_everything("webhook");
}

fn an_otlp_receiver_gets_everything() {
    gets_everything("otlp");
}

fn gets_everything(form: &'static str) {
    let Some(mut receiver) = Receiver::start(form, 0) else { return };
    let place = Place::new();
    // From before anybody was to be told.
    let old = place.serve(&[]);
    assert_eq!(old.post(&batch("r-0", 0, ZEROS, &[pods("s", "old", 0)])).status, 200);
    drop(old);
    let arguments = receiver.arguments(&place);
    let server = serve(&place, &arguments);
    let end = |id: &str| json!({"type": "end", "exchange": id, "session": "s", "responseStatus": {"code": 200}, "outcome": "complete"});
    let asked = |id: &str| with(pods("s", id, 5), json!({"type": "request"}));
    let gap = json!({"type": "gap", "time": at(3), "entries": 4, "bytes": 900, "reason": "outboxFull"});
    let entries: Vec<Vec<Value>> = vec![
        vec![pods("s", "e-0", 0), pods("s", "e-1", 1)],
        vec![asked("e-slow"), gap],
        vec![pods("s", "e-2", 9)],
        vec![end("e-slow"), pods("s", "e-3", 12)],
    ];
    let bodies = chain("r-1", &entries.iter().map(Vec::as_slice).collect::<Vec<_>>());
    for body in &bodies[..3] {
        assert_eq!(server.post(body).status, 200);
    }
    let first = receiver.until(&format!("e-slow/incomplete {INCOMPLETE}"));
    let exchange = |id: &str| format!("{id} {EXCHANGE}");
    let gap = "r-1/1/1 dev.chaperone.gap.v1".to_owned();
    let expected =
        [exchange("e-0"), exchange("e-1"), gap, exchange("e-2"), format!("e-slow/incomplete {INCOMPLETE}")];
    assert_eq!(first, expected);
    assert_eq!(server.post(&bodies[3]).status, 200);
    assert_eq!(receiver.until(&exchange("e-3")), [exchange("e-slow"), exchange("e-3")]);
    let metric = |server: &Server, name: &str| {
        server.metric(&format!("chaperone_forward_{name}{{destination=\"{form}\"}}"))
    };
    assert_eq!(metric(&server, "failures_total"), 1.0, "it was asked to come again later");

    // The receiver is away, and the collector killed meanwhile.
    receiver.stop();
    let post = |server: &Server, numbers: std::ops::Range<u64>| {
        for n in numbers {
            let id = format!("f-{n:02}");
            let body = batch(&format!("r-{id}"), 0, ZEROS, &[pods("s", &id, n)]);
            assert_eq!(server.post(&body).status, 200, "ingest goes on");
        }
    };
    post(&server, 0..20);
    let deadline = Instant::now() + PATIENCE;
    while metric(&server, "failures_total") < 3.0 || metric(&server, "lag_seconds") <= 0.0 {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    server.kill();
    let receiver = receiver.restart();
    let server = serve(&place, &arguments);
    post(&server, 20..40);
    let mut came = receiver.until(&exchange("f-39"));
    post(&server, 40..80);
    // And killed again, in the middle; once is enough to wait for.
    let server = match form {
        "webhook" => {
            server.kill();
            serve(&place, &arguments)
        }
        _ => server,
    };
    came.extend(receiver.until(&exchange("f-79")));
    let mut counts = BTreeMap::<String, usize>::new();
    let mut order = Vec::new();
    // What came before the kill may come again.
    for line in came.into_iter().filter(|line| !line.starts_with("e-")) {
        let count = counts.entry(line.clone()).or_default();
        *count += 1;
        if *count == 1 {
            order.push(line);
        }
    }
    let expected: Vec<String> = (0..80).map(|n| exchange(&format!("f-{n:02}"))).collect();
    assert_eq!(order, expected, "nothing is lost, nothing comes before what came before it");
    let deadline = Instant::now() + PATIENCE;
    while metric(&server, "lag_seconds") > 0.0 {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    server.terminate();
}

fn replicas_take_turns() {
    let Some(receiver) = Receiver::start("webhook", 0) else { return };
    let place = Place::new();
    if place.is_file() {
        // One collector, one file.
        return;
    }
    let arguments = receiver.arguments(&place);
    let servers = [serve(&place, &arguments), serve(&place, &arguments)];
    std::thread::scope(|scope| {
        for (which, server) in servers.iter().enumerate() {
            scope.spawn(move || {
                for n in 0..40 {
                    let id = format!("e-{which}-{n}");
                    let body = batch(&format!("r-{id}"), 0, ZEROS, &[pods("s", &id, n)]);
                    assert_eq!(server.post(&body).status, 200);
                }
            });
        }
    });
    let last = batch("r-last", 0, ZEROS, &[pods("s", "last", 0)]);
    assert_eq!(servers[0].post(&last).status, 200);
    let mut came = receiver.until(&format!("last {EXCHANGE}"));
    assert_eq!(came.len(), 81, "each once: {came:#?}");
    // Who is left goes on.
    let [first, second] = servers;
    first.kill();
    assert_eq!(second.post(&batch("r-more", 0, ZEROS, &[pods("s", "more", 0)])).status, 200);
    came.extend(receiver.until(&format!("more {EXCHANGE}")));
    came.sort();
    came.dedup();
    assert_eq!(came.len(), 82);
}

fn redirects_are_not_followed() {
    let Some(receiver) = Receiver::start("otlp", 0) else { return };
    let place = Place::new();
    let moved = format!("http://127.0.0.1:{}/moved", receiver.port);
    let server = place.serve(&["--forward-otlp", &moved]);
    assert_eq!(server.post(&batch("r-1", 0, ZEROS, &[pods("s", "e-1", 0)])).status, 200);
    for _ in 0..3 {
        assert_eq!(receiver.lines.recv_timeout(PATIENCE).unwrap(), "REDIRECTED");
    }
    assert!(server.metric("chaperone_forward_failures_total{destination=\"otlp\"}") >= 2.0);
    assert_eq!(server.metric("chaperone_forward_sent_total{destination=\"otlp\"}"), 0.0);
}

fn what_cannot_be_sent_to_is_refused() {
    let place = Place::new();
    fs::write(place.path("weak.key"), "whsec_c2hvcnQ=").unwrap();
    fs::write(place.path("headers"), "a header without an end").unwrap();
    let token = [("CHAPERONE_COLLECTOR_TOKEN", INGEST)];
    for (arguments, why) in [
        (&["--forward-webhook", "https://hook.example.com"][..], "--forward-webhook-key-file"),
        (
            &["--forward-webhook", "https://hook.example.com", "--forward-webhook-key-file", "weak.key"],
            "24 to 64 random bytes",
        ),
        (&["--forward-otlp", "ftp://example.com"], "http:// or https://"),
        (&["--forward-otlp", "https://u:hunter2@example.com"], "would be seen"),
        (
            &["--forward-otlp", "https://example.com", "--forward-otlp-headers-file", "headers"],
            "line 1 is not",
        ),
    ] {
        let output = place.run_with(&[&["serve"], arguments].concat(), &token);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && errors.contains(why), "{arguments:?}: {errors}");
        assert!(!errors.contains("c2hvcnQ"), "{errors}");
    }
}
