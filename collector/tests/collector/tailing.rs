//! `GET /v1/tail`: what is told, when, to how many, and for how long.

use crate::support::*;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

on_each_database!(
    an_exchange_is_told_when_it_begins_and_when_it_ends,
    a_tail_that_was_lost_is_taken_up_without_loss,
    a_tail_on_one_replica_tells_what_another_stored,
    a_revoked_token_ends_its_tails,
    only_so_many_tail_and_only_who_may_read,
    a_thousand_idle_tails_cost_next_to_nothing,
);

/// An open tail.
struct Tail {
    stream: BufReader<TcpStream>,
    status: u16,
}

#[derive(Debug, Default)]
struct Event {
    id: Option<i64>,
    data: Option<Value>,
}

impl Tail {
    fn open(server: &Server, query: &str, token: &str, last: Option<i64>) -> Self {
        let address = server.base.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let last = last.map(|id| format!("last-event-id: {id}\r\n")).unwrap_or_default();
        let head =
            format!("GET /v1/tail{query} HTTP/1.1\r\nhost: c\r\nauthorization: Bearer {token}\r\n{last}\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        let status = line.split(' ').nth(1).unwrap().parse().unwrap();
        while line != "\r\n" {
            line.clear();
            stream.read_line(&mut line).unwrap();
        }
        Self { stream, status }
    }

    /// The next event or comment; none where the tail has ended.
    fn next(&mut self) -> Option<Event> {
        let (mut event, mut line, mut begun) = (Event::default(), String::new(), false);
        loop {
            line.clear();
            if self.stream.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if let Some(id) = line.strip_prefix("id: ") {
                event.id = id.trim().parse().ok();
                begun = true;
            } else if let Some(data) = line.strip_prefix("data: ") {
                event.data = serde_json::from_str(data).ok();
            } else if line == "\n" && begun {
                return Some(event);
            } else if line == "0\r\n" {
                return None;
            }
        }
    }

    /// The next exchange, and its number.
    fn exchange(&mut self) -> (i64, Value) {
        loop {
            let event = self.next().expect("the tail goes on");
            if let Some(data) = event.data {
                return (event.id.unwrap(), data);
            }
        }
    }

    fn told(&mut self) -> String {
        let (_, exchange) = self.exchange();
        format!("{} {}", exchange["exchange"].as_str().unwrap(), exchange["state"].as_str().unwrap())
    }
}

fn asked(exchange: &str) -> Value {
    with(pods("s-1", exchange, 0), json!({"type": "request"}))
}

fn an_exchange_is_told_when_it_begins_and_when_it_ends() {
    let place = Place::new();
    let server = place.serve(&[]);
    let mut all = Tail::open(&server, "", AUDITOR, None);
    let mut some = Tail::open(&server, "?namespace=shop&decision=allowed&session=s-1", AUDITOR, None);
    let mut none = Tail::open(&server, "?user=bob", AUDITOR, None);
    assert!(all.next().unwrap().id.is_some(), "where it begins comes first");
    let answered = json!({"type": "response", "exchange": "e-1", "session": "s-1",
        "responseStatus": {"code": 200}, "outcome": "complete", "timing": {"complete": at(9)}});
    let bodies = chain("r-1", &[&[asked("e-1")], &[answered], &[pods("s-2", "e-2", 5)]]);
    assert_eq!(server.post(&bodies[0]).status, 200);
    assert_eq!((all.told().as_str(), some.told().as_str()), ("e-1 incomplete", "e-1 incomplete"));
    assert_eq!(server.post(&bodies[1]).status, 200);
    assert_eq!((all.told().as_str(), some.told().as_str()), ("e-1 complete", "e-1 complete"));
    assert_eq!(server.post(&bodies[2]).status, 200);
    assert_eq!(all.told(), "e-2 complete");
    assert_eq!(server.metric("chaperone_collector_tails_open"), 3.0);
    // The other has heard nothing but that it is alive.
    assert!(none.next().unwrap().data.is_none());
    let log = place.text(&["access-log", "-o", "json"]);
    assert!(log.contains("GET /v1/tail?user=bob"), "{log}");
    // A server that stops waits for no tail.
    let since = Instant::now();
    server.terminate();
    assert!(since.elapsed() < Duration::from_secs(8));
    while all.next().is_some() {}
}

fn a_tail_that_was_lost_is_taken_up_without_loss() {
    let place = Place::new();
    let server = place.serve(&[]);
    let mut tail = Tail::open(&server, "", AUDITOR, None);
    let entries: Vec<Value> = (0..120).map(|number| pods("s-1", &format!("e-{number:03}"), number)).collect();
    let bodies = chain("r-1", &[&entries[..1], &entries[1..]]);
    assert_eq!(server.post(&bodies[0]).status, 200);
    let (last, first) = tail.exchange();
    assert_eq!(first["exchange"], "e-000");
    drop(tail);
    assert_eq!(server.post(&bodies[1]).status, 200);
    server.terminate();
    let server = place.serve(&[]);
    let mut tail = Tail::open(&server, "", AUDITOR, Some(last));
    let mut numbers = vec![last];
    for number in 1..120 {
        let (id, exchange) = tail.exchange();
        assert_eq!(exchange["exchange"], format!("e-{number:03}"));
        numbers.push(id);
    }
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    assert_eq!(Tail::open(&server, "?limit=3", AUDITOR, None).status, 400);
    assert_eq!(Tail::open(&server, "", AUDITOR, Some(-1)).status, 400);
}

fn a_tail_on_one_replica_tells_what_another_stored() {
    let place = Place::new();
    if place.is_file() {
        return;
    }
    let (one, other) = (place.serve(&[]), place.serve(&[]));
    let mut tail = Tail::open(&one, "", AUDITOR, None);
    let mut told = Vec::new();
    std::thread::scope(|scope| {
        for (replica, recorder) in [(&one, "r-1"), (&other, "r-2")] {
            scope.spawn(move || {
                for (number, body) in batches(recorder, 30).iter().enumerate() {
                    assert_eq!(replica.post(body).status, 200, "{recorder} {number}");
                }
            });
        }
        told.extend((0..60).map(|_| tail.told()));
    });
    told.sort();
    told.dedup();
    assert_eq!(told.len(), 60);
}

fn batches(recorder: &str, count: u64) -> Vec<Vec<u8>> {
    let entries: Vec<Vec<Value>> =
        (0..count).map(|number| vec![pods("s-1", &format!("{recorder}-{number}"), number)]).collect();
    chain(recorder, &entries.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

fn a_revoked_token_ends_its_tails() {
    let place = Place::new();
    let server = place.serve(&[]);
    let token = place.text(&["token", "create", "--role", "auditor", "--name", "alice"]);
    let mut tail = Tail::open(&server, "", token.trim(), None);
    let mut other = Tail::open(&server, "", AUDITOR, None);
    assert!(tail.next().is_some());
    let id = place.json(&["token", "list", "-o", "json"])[0]["id"].as_str().unwrap().to_owned();
    place.text(&["token", "revoke", &id]);
    while tail.next().is_some() {}
    assert!(other.next().is_some());
}

fn only_so_many_tail_and_only_who_may_read() {
    let place = Place::new();
    let server = place.serve(&["--max-tails", "2"]);
    for (token, status) in [(INGEST, 401), ("nobody", 401)] {
        assert_eq!(Tail::open(&server, "", token, None).status, status);
    }
    let tails = [(); 2].map(|()| Tail::open(&server, "", AUDITOR, None));
    assert_eq!(tails.each_ref().map(|tail| tail.status), [200, 200]);
    assert_eq!(Tail::open(&server, "", AUDITOR, None).status, 429);
    assert_eq!(server.get("/v1/sessions").status, 200, "tails take nobody's turn to read");
}

/// Processor time of a process, in hundredths of a second.
fn ticks(id: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

fn a_thousand_idle_tails_cost_next_to_nothing() {
    let place = Place::new();
    let server = place.serve(&["--max-tails-per-caller", "1000"]);
    let mut tails: Vec<Tail> = (0..1000).map(|_| Tail::open(&server, "", AUDITOR, None)).collect();
    assert!(tails.iter().all(|tail| tail.status == 200));
    tails.iter_mut().for_each(|tail| assert!(tail.next().is_some()));
    let before = ticks(server.id());
    // As long as it takes until every one has shown that it is alive.
    let since = Instant::now();
    tails.iter_mut().for_each(|tail| assert!(tail.next().unwrap().data.is_none()));
    let (spent, passed) = (ticks(server.id()) - before, since.elapsed());
    assert!(spent < 100, "{spent} hundredths of a second in {passed:?}");
    assert_eq!(server.post(&batches("r-1", 1)[0]).status, 200);
    tails.iter_mut().for_each(|tail| assert_eq!(tail.told(), "r-1-0 complete"));
}
