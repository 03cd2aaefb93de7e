//! What cannot be made durable is never acknowledged, and what was acknowledged is there.

use crate::support::*;
use serde_json::json;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A limit on the size of files stands in for a full disk: every write beyond it fails.
#[test]
fn what_the_disk_does_not_take_is_not_acknowledged() {
    let place = Place::new();
    // 1 MiB, in blocks of 512 bytes; the soft limit only, so that it can be lifted again.
    let mut limited = Command::new("sh");
    limited
        .env_clear()
        .stdin(Stdio::null())
        .args(["-c", "trap '' XFSZ; ulimit -S -f 2048; exec \"$0\" \"$@\""]);
    limited.arg(env!("CARGO_BIN_EXE_chaperone"));
    let server = Server::start_as(limited, &place, &[], INGEST, AUDITOR);
    let padding = "x".repeat(100_000);
    let mut acknowledged = Vec::new();
    let padded =
        |n: u64| with(pods("s", &format!("e-{n}"), n), json!({"responseObject": {"padding": padding}}));
    let bodies: Vec<_> = (0..40).map(|n| batch("r-1", n, ZEROS, &[padded(n)])).collect();
    let refused = bodies.iter().find(|body| {
        let answer = server.post(body);
        match answer.status {
            200 => acknowledged.push((*body).clone()),
            503 => assert_eq!(answer.headers["retry-after"], "1"),
            other => panic!("{other}: {answer:?}"),
        }
        answer.status == 503
    });
    let refused = refused.expect("the limit is reached");
    assert!(!acknowledged.is_empty());
    let ready = server.get_with("/readyz", None);
    assert_eq!(ready.status, 503, "{ready:?}");
    assert!(ready.body.contains("the database cannot be written: "), "{ready:?}");
    assert_eq!(server.get_with("/healthz", None).status, 200);
    assert!(server.metric("chaperone_collector_refusals_total{reason=\"io\"}") >= 1.0);
    // Not over HTTP: there may be no room for the access log either.
    let recorders = place.json(&["recorders", "-o", "json"]);
    assert_eq!(recorders[0]["batches"], json!(acknowledged.len()), "nothing half stored");

    let lifted = Command::new("prlimit")
        .args(["--fsize=unlimited:unlimited", "--pid", &server.id().to_string()])
        .status();
    if lifted.is_ok_and(|status| status.success()) {
        let ready = server.get_with("/readyz", None);
        assert_eq!(ready.status, 200, "there is room again: {ready:?}");
        let answer = server.post(refused);
        assert_eq!(answer.status, 200, "{answer:?}");
        acknowledged.push(refused.clone());
    } else {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "prlimit is needed");
        eprintln!("SKIPPED: prlimit cannot lift the limit here; recovery was not tested.");
    }
    server.kill();
    let server = place.serve(&[]);
    for body in &acknowledged {
        assert_eq!(server.post(body).status, 200);
    }
    assert_eq!(
        server.metric("chaperone_collector_retries_total"),
        acknowledged.len() as f64,
        "each was there"
    );
}

/// The order of system calls is what durability rests on: the log is written and synced before the answer is.
#[test]
fn the_answer_follows_the_sync() {
    let place = Place::new();
    let mut traced = Command::new("strace");
    let trace = place.path("trace");
    traced.env_clear().stdin(Stdio::null()).args(["-D", "-f", "-y", "-s", "32"]);
    traced.args(["-e", "trace=pwrite64,fsync,fdatasync,sendto,write,writev"]);
    traced.arg("-o").arg(&trace).arg(env!("CARGO_BIN_EXE_chaperone"));
    if Command::new("strace").args(["-f", "true"]).stderr(Stdio::null()).status().is_ok_and(|s| s.success()) {
        let server = Server::start_as(traced, &place, &[], INGEST, AUDITOR);
        assert_eq!(server.post(&batch("r-1", 0, ZEROS, &[pods("s", "e-1", 0)])).status, 200);
        server.terminate();
    } else {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "strace is needed");
        return eprintln!("SKIPPED: strace cannot trace here.");
    }
    // The tracer writes its last line when the server is gone.
    let deadline = Instant::now() + Duration::from_secs(30);
    let trace = loop {
        let text = std::fs::read_to_string(&trace).unwrap();
        if text.contains("+++ exited with 0 +++") {
            break text;
        }
        assert!(Instant::now() < deadline, "the trace did not end: {text}");
        std::thread::yield_now();
    };
    let calls: Vec<&str> = trace.lines().collect();
    let answer = calls.iter().position(|call| call.contains("HTTP/1.1 200 OK")).expect("an answer");
    let of_the_log = |names: &[&str]| {
        calls[..answer].iter().rposition(|call| {
            call.contains("records.db-wal>") && names.iter().any(|name| call.contains(name))
        })
    };
    let (written, synced) = (of_the_log(&["pwrite64("]), of_the_log(&["fsync(", "fdatasync("]));
    assert!(
        written.is_some() && written < synced,
        "written {written:?}, synced {synced:?}, answered {answer}: {trace}"
    );
}

/// Verification of a database in use sees one moment of it, and so never takes what comes meanwhile for a fault.
#[tokio::test]
async fn verification_sees_one_moment() {
    use chaperone::evidence::{database, keys::KeySet, scope::Scope};
    use chaperone::store::batch::ReceivedBatch;
    use chaperone::store::{Reader, Writer};
    use chaperone_record::Timestamp;
    let place = Place::new();
    let now = Timestamp::from_micros(1_795_422_441_000_000);
    let bodies = chain("r-1", &[&[pods("s", "e-1", 0)], &[pods("s", "e-2", 5)]]);
    let received = |n: usize| ReceivedBatch::parse(bodies[n].clone(), None, None, now).unwrap();
    let mut writer = Writer::open(&place.database().parse().unwrap()).await.unwrap();
    writer.store(&[received(0)]).await.unwrap();
    let (before, live) = (
        Reader::snapshot(&place.database().parse().unwrap()).await.unwrap(),
        Reader::open(&place.database().parse().unwrap()).await.unwrap(),
    );
    writer.store(&[received(1)]).await.unwrap();
    for (reader, batches) in [(before, 1), (live, 2)] {
        let keys = KeySet::default();
        let report = database::verify(&reader, &keys, &keys, None, &Scope::Everything {}, now).await.unwrap();
        assert_eq!((report.batches, report.problems), (batches, vec![]));
    }
}
