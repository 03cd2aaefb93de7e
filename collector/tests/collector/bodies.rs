//! Batches' bytes beside the database: in a folder and in S3, as long as all is well and when it is not.

use crate::s3::S3;
use crate::support::*;
use serde_json::{Value, json};
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

on_each_database!(
    a_folder_keeps_batches,
    s3_keeps_batches,
    nothing_is_acknowledged_while_a_folder_is_gone,
    nothing_is_acknowledged_while_s3_is_down,
    a_batch_that_comes_while_its_object_is_removed_is_kept,
);

const KEYS: [&str; 2] = ["--public-key", "keys/public-keys.json"];

/// A place for batches, seen past the collector.
enum Shelf {
    Folder,
    S3(S3),
}

impl Shelf {
    fn url(&self, place: &Place) -> String {
        match self {
            Self::Folder => format!("file://{}", place.path("bodies/here").display()),
            Self::S3(_) => "s3://records/of/cluster-1".to_owned(),
        }
    }

    fn environment(&self) -> Vec<(&str, &str)> {
        match self {
            Self::Folder => Vec::new(),
            Self::S3(s3) => s3.environment().to_vec(),
        }
    }

    fn serve(&self, place: &Place, arguments: &[&str]) -> Server {
        let mut program = program();
        program.envs(self.environment());
        Server::start_as(program, place, arguments, INGEST, AUDITOR)
    }

    /// Runs a command that knows where batches are.
    fn run(&self, place: &Place, arguments: &[&str]) -> (Option<i32>, String, String) {
        let url = self.url(place);
        let mut environment = self.environment();
        environment.push(("CHAPERONE_BODIES", &url));
        let output = place.run_with(arguments, &environment);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }

    /// The objects of a chain, in order.
    fn objects(&self, place: &Place, recorder: &str) -> Vec<String> {
        match self {
            Self::Folder => {
                let folder = place.path("bodies/here").join(recorder);
                if folder.exists() { files(&folder) } else { Vec::new() }
            }
            Self::S3(s3) => {
                let prefix = format!("of/cluster-1/{recorder}/");
                s3.keys().iter().filter_map(|key| Some(key.strip_prefix(&prefix)?.to_owned())).collect()
            }
        }
    }

    /// Puts other bytes there, or none.
    fn spoil(&self, place: &Place, recorder: &str, object: &str, bytes: Option<&[u8]>) {
        match self {
            Self::Folder => {
                let path = place.path("bodies/here").join(recorder).join(object);
                match bytes {
                    Some(bytes) => {
                        fs::create_dir_all(path.parent().unwrap()).unwrap();
                        fs::write(path, bytes).unwrap();
                    }
                    None => fs::remove_file(path).unwrap(),
                }
            }
            Self::S3(s3) => {
                let path = format!("records/of/cluster-1/{recorder}/{object}");
                let done = match bytes {
                    Some(bytes) => s3.call("PUT", &path, bytes),
                    None => s3.call("DELETE", &path, b""),
                };
                assert!([200, 204].contains(&done), "{done}");
            }
        }
    }
}

fn a_folder_keeps_batches() {
    keeps_batches(&Shelf::Folder);
}

fn s3_keeps_batches() {
    if let Some(s3) = S3::start() {
        keeps_batches(&Shelf::S3(s3));
    }
}

fn keeps_batches(shelf: &Shelf) {
    let place = Place::new();
    let (key, kid) = keygen(&place, "keys");
    keygen(&place, "pruning");
    let url = shelf.url(&place);
    let server = shelf.serve(&place, &[&KEYS[..], &["--bodies", &url]].concat());
    let signed = |server: &Server, body: &[u8]| post(server, body, Some(&sign(&key, &kid, body))).status;
    let marker = "the-marker-of-this-test";
    let entries: Vec<[Value; 1]> = (0..20)
        .map(|n| [with(pods("s-1", &format!("e-{n}"), n * 10), json!({"requestObject": {"note": marker}}))])
        .collect();
    let bodies = chain("r-1", &entries.iter().map(|entries| &entries[..]).collect::<Vec<_>>());
    std::thread::scope(|scope| {
        for body in &bodies {
            scope.spawn(|| assert_eq!(signed(&server, body), 200));
        }
    });
    assert_eq!(signed(&server, &bodies[3]), 200, "again");
    assert_eq!(server.metric("chaperone_collector_retries_total"), 1.0);
    let fork = batch("r-1", 3, ZEROS, &[pods("s-1", "e-3", 1)]);
    assert_eq!(signed(&server, &fork), 409);
    let objects = shelf.objects(&place, "r-1");
    assert_eq!(objects.len(), 21, "each batch once, and the fork");
    let name =
        |number: usize| format!("{number:019}-{}.json", chaperone::evidence::sha256_hex(&bodies[number]));
    assert_eq!(objects[0], name(0));
    if matches!(shelf, Shelf::Folder) {
        let kept = fs::read(place.path("bodies/here/r-1").join(name(0))).unwrap();
        assert_eq!(kept, bodies[0], "the very bytes");
    }
    if place.is_file() {
        // Not in the database, neither the file nor its log.
        for file in files(place.folder.path()).iter().filter(|name| name.starts_with("records.db")) {
            let text = fs::read(place.path(file)).unwrap();
            let found = text.windows(marker.len()).any(|window| window == marker.as_bytes());
            assert!(!found, "{file}");
        }
    }
    assert_eq!(server.get_with("/readyz", None).status, 200);

    // Readers find them where the row says.
    let detail = server.get("/v1/exchanges/e-7").json();
    assert_eq!(detail["entries"][0]["entry"]["requestObject"]["note"], marker);
    for arguments in [&["show", "e-7"][..], &["replay", "s-1", "--bodies"]] {
        let (status, out, errors) = shelf.run(&place, arguments);
        assert_eq!(status, Some(0), "{arguments:?}: {errors}");
        assert!(out.contains(marker), "{arguments:?}: {out}");
        let output = place.run(arguments);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && errors.contains("CHAPERONE_BODIES"), "{errors}");
    }
    let verify = ["verify", "-o", "json", KEYS[0], KEYS[1]];
    let problems = || {
        let (status, out, errors) = shelf.run(&place, &verify);
        let report: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{errors}"));
        (status, codes(report["problems"].as_array().unwrap()))
    };
    assert_eq!(problems(), (Some(1), vec!["fork r-1 3".to_owned()]));
    place.sql("DELETE FROM forks");
    assert_eq!(problems(), (Some(0), vec![]));
    let (_, exported, _) = shelf.run(&place, &["export"]);
    fs::write(place.path("export.jsonl"), exported).unwrap();
    assert_eq!(place.verdict(&["export.jsonl", KEYS[0], KEYS[1]]), (Some(0), vec![]));
    let (status, checkpoint, _) = shelf.run(&place, &["checkpoint"]);
    assert!(status == Some(0) && checkpoint.contains("\"batch\": 19"), "{checkpoint}");

    // A server that keeps its batches in the database, and one that does so no longer, know what they had.
    drop(server);
    let server = shelf.serve(&place, &KEYS);
    assert_eq!(signed(&server, &bodies[4]), 200);
    let next = batch("r-2", 0, ZEROS, &[pods("s-2", "f-1", 0)]);
    assert_eq!(signed(&server, &next), 200);
    assert_eq!(server.get("/v1/exchanges/e-7").status, 500);
    assert_eq!(server.get("/v1/exchanges/f-1").status, 200);
    drop(server);
    let server = shelf.serve(&place, &[&KEYS[..], &["--bodies", &url]].concat());
    assert_eq!(signed(&server, &next), 200);
    assert_eq!(server.get("/v1/exchanges/f-1").status, 200);
    assert_eq!(problems(), (Some(0), vec![]));

    // What is lost or changed is told, and nothing is exported around it.
    drop(server);
    shelf.spoil(&place, "r-1", &name(5), None);
    shelf.spoil(&place, "r-1", &name(9), Some(b"{}"));
    assert_eq!(problems(), (Some(1), vec!["body r-1 5".to_owned(), "body r-1 9".to_owned()]));
    for (arguments, why) in [
        (&["show", "e-5"][..], "is not there"),
        (&["show", "e-9"], "is not what was received"),
        (&["export"], "batch 5 of recorder r-1 cannot be exported"),
        (&["export", "--format", "har"], "its SHA-256 is another"),
    ] {
        let (status, _, errors) = shelf.run(&place, arguments);
        assert!(status == Some(2) && errors.contains(why), "{arguments:?}: {status:?} {errors}");
        assert!(errors.contains(&url), "{errors}");
    }
    // Other bytes are never replaced, nor taken for the batch.
    let server = shelf.serve(&place, &[&KEYS[..], &["--bodies", &url]].concat());
    assert_eq!(signed(&server, &bodies[9]), 503);
    assert_eq!(problems().1.len(), 2);
    drop(server);

    // Pruned with their rows; with them goes what no row names.
    shelf.spoil(&place, "r-9", &name(2), Some(b"an orphan"));
    let prune = ["prune", "--older-than", "0s", "--tombstone-key", "pruning/signing-key.pem"];
    let (status, out, errors) = shelf.run(&place, &prune);
    assert_eq!((status, out.as_str()), (Some(0), "Pruned 21 batches with 21 exchanges.\n"), "{errors}");
    assert!(shelf.objects(&place, "r-1").is_empty() && shelf.objects(&place, "r-9").is_empty());
    assert!(shelf.objects(&place, "r-2").is_empty(), "that of the batch that came again");
    let tombstones = ["--tombstone-public-key", "pruning/public-keys.json"];
    let (status, _, _) = shelf.run(&place, &[&verify[..], &tombstones].concat());
    assert_eq!(status, Some(0));
}

fn nothing_is_acknowledged_while_a_folder_is_gone() {
    let place = Place::new();
    let shelf = Shelf::Folder;
    let server = place.serve(&["--bodies", &shelf.url(&place)]);
    let bodies = chain("r-1", &[&[pods("s", "e-1", 0)], &[pods("s", "e-2", 5)]]);
    assert_eq!(server.post(&bodies[0]).status, 200);
    fs::rename(place.path("bodies"), place.path("away")).unwrap();
    fs::write(place.path("bodies"), b"").unwrap();
    refuses(&server, &bodies[1]);
    fs::remove_file(place.path("bodies")).unwrap();
    fs::rename(place.path("away"), place.path("bodies")).unwrap();
    assert_eq!(server.get_with("/readyz", None).status, 200);
    assert_eq!(server.post(&bodies[1]).status, 200);
    let (status, out, _) = shelf.run(&place, &["verify", "--chains-only", "-o", "json"]);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((status, &report["batches"], &report["problems"]), (Some(0), &json!(2), &json!([])));
}

fn nothing_is_acknowledged_while_s3_is_down() {
    let Some(mut s3) = S3::start() else { return };
    let place = Place::new();
    let mut program = program();
    program.envs(s3.environment());
    let server =
        Server::start_as(program, &place, &["--bodies", "s3://records/of/cluster-1"], INGEST, AUDITOR);
    let bodies = chain("r-1", &[&[pods("s", "e-1", 0)], &[pods("s", "e-2", 5)]]);
    assert_eq!(server.post(&bodies[0]).status, 200);
    s3.stop();
    refuses(&server, &bodies[1]);
    let s3 = s3.restart();
    let deadline = Instant::now() + Duration::from_secs(30);
    while server.get_with("/readyz", None).status != 200 {
        assert!(Instant::now() < deadline);
    }
    assert_eq!(server.post(&bodies[1]).status, 200);
    assert_eq!(Shelf::S3(s3).objects(&place, "r-1").len(), 1, "the other one went with the server");
}

fn refuses(server: &Server, body: &[u8]) {
    let answer = server.post(body);
    assert_eq!((answer.status, answer.headers["retry-after"].to_str().unwrap()), (503, "1"), "{answer:?}");
    let ready = server.get_with("/readyz", None);
    assert!(ready.status == 503 && ready.body.contains("batches' bytes cannot be kept"), "{ready:?}");
    assert_eq!(server.metric("chaperone_collector_refusals_total{reason=\"bodies\"}"), 1.0);
    assert_eq!(server.get("/v1/recorders").json()[0]["batches"], 1, "nothing was stored");
}

/// File and folder are on disk before the row is, and that before the answer.
#[test]
fn the_row_follows_the_object() {
    let place = Place::new();
    let mut traced = Command::new("strace");
    let trace = place.path("trace");
    traced.env_clear().stdin(Stdio::null()).args(["-D", "-f", "-y", "-s", "32"]);
    traced.args(["-e", "trace=fsync,fdatasync,link,linkat,sendto,write,writev"]);
    traced.arg("-o").arg(&trace).arg(env!("CARGO_BIN_EXE_chaperone"));
    if !Command::new("strace").args(["-f", "true"]).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
    {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "strace is needed");
        return eprintln!("SKIPPED: strace cannot trace here.");
    }
    let server = Server::start_as(traced, &place, &["--bodies", &Shelf::Folder.url(&place)], INGEST, AUDITOR);
    assert_eq!(server.post(&batch("r-1", 0, ZEROS, &[pods("s", "e-1", 0)])).status, 200);
    server.terminate();
    // The tracer writes its last line when the server is gone.
    let deadline = Instant::now() + Duration::from_secs(30);
    let trace = loop {
        let text = fs::read_to_string(&trace).unwrap();
        if text.contains("+++ exited with 0 +++") {
            break text;
        }
        assert!(Instant::now() < deadline, "the trace did not end: {text}");
        std::thread::yield_now();
    };
    let calls: Vec<&str> = trace.lines().collect();
    let first = |what: &dyn Fn(&str) -> bool| calls.iter().position(|call| what(call));
    let is_sync = |call: &str| call.contains("fsync(") || call.contains("fdatasync(");
    let answer = first(&|call| call.contains("HTTP/1.1 200 OK")).expect("an answer");
    let row = calls[..answer]
        .iter()
        .rposition(|call| is_sync(call) && call.contains("records.db-wal>"))
        .expect("a row");
    let file = first(&|call| is_sync(call) && call.contains("/bodies/here/r-1/")).expect("a file");
    let link = first(&|call| call.contains("link") && call.contains("/bodies/here/r-1/")).expect("a name");
    let folder = calls[link..row].iter().position(|call| is_sync(call) && call.contains("/bodies/here/r-1>"));
    let parent = first(&|call| is_sync(call) && call.contains("/bodies/here>")).expect("the folder's own");
    assert!(file < link && folder.is_some() && parent < row && row < answer, "{trace}");
}

/// Between writing down a removal and the removal itself, the same bytes come (again): they go into the database.
fn a_batch_that_comes_while_its_object_is_removed_is_kept() {
    let place = Place::new();
    let shelf = Shelf::Folder;
    keygen(&place, "pruning");
    let server = place.serve(&["--bodies", &shelf.url(&place)]);
    let body = batch("r-1", 0, ZEROS, &[pods("s", "e-1", 0)]);
    let digest = chaperone::evidence::sha256_hex(&body);
    place.sql(&format!("INSERT INTO removals (location, time) VALUES ('r-1/{:019}-{digest}.json', 1)", 0));
    assert_eq!(server.post(&body).status, 200);
    let other = batch("r-2", 0, ZEROS, &[pods("s", "f-1", 0)]);
    assert_eq!(server.post(&other).status, 200);
    // Nothing is old enough to be pruned, but what was written down is removed.
    let prune = ["prune", "--older-than", "1h", "--tombstone-key", "pruning/signing-key.pem"];
    assert_eq!(shelf.run(&place, &prune).0, Some(0));
    assert!(shelf.objects(&place, "r-1").is_empty());
    assert_eq!(shelf.objects(&place, "r-2").len(), 1);
    assert_eq!(shelf.run(&place, &["verify", "--chains-only"]).0, Some(0));
    assert_eq!(server.get("/v1/exchanges/e-1").status, 200);
    assert_eq!(server.post(&body).status, 200, "known");
}
