//! The command line against a collector: what it prints is what it prints of the database.

use crate::support::*;
use serde_json::json;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::process::{Command, Stdio};

on_each_database!(
    a_server_answers_as_the_database_does,
    what_goes_wrong_is_told,
    a_session_is_followed_as_it_goes_on,
    exports_come_in_every_format,
);

fn recorded() -> (Place, Server) {
    let place = Place::new();
    let server = place.serve(&[]);
    let refused = with(
        pods("s 1/ä", "e/2 ü", 700),
        json!({"outcome": "refused", "responseStatus": {"code": 403}, "decision": {"allowed": false, "rule": "r"}}),
    );
    for body in chain("r-1", &[&[pods("s 1/ä", "e-1", 0), refused], &[pods("s-2", "e-3", 1500)]]) {
        assert_eq!(server.post(&body).status, 200);
    }
    std::fs::write(place.path("token"), format!("{AUDITOR}\n")).unwrap();
    (place, server)
}

fn a_server_answers_as_the_database_does() {
    let (place, server) = recorded();
    for arguments in [
        &["sessions"][..],
        &["sessions", "--decision", "refused", "-o", "json"],
        &["search", "--status", "200", "--limit", "1", "-o", "yaml"],
        &["search", "--session", "s 1/ä"],
        &["search", "pods", "--namespace", "shop", "--since", "2020-01-01T00:00:00Z"],
        &["show", "e/2 ü"],
        &["show", "e-1", "-o", "yaml"],
        &["replay", "s 1/ä", "--bodies"],
        &["replay", "s 1/ä", "--bodies", "-o", "json"],
        &["replay", "s 1/ä", "--speed", "1000"],
        &["recorders"],
        &["recorders", "-o", "json"],
        &["export", "--format", "har", "--decision", "refused"],
        &["export", "--format", "ocsf", "--session", "s 1/ä"],
        &["verify", "--chains-only", "-o", "json"],
    ] {
        let remote = [arguments, &["--server", &server.base]].concat();
        let (here, there) = (place.text(arguments), place.run_with(&remote, &[("CHAPERONE_TOKEN", AUDITOR)]));
        let said = String::from_utf8_lossy(&there.stderr);
        let there = String::from_utf8(there.stdout).unwrap();
        if arguments[0] == "verify" {
            let report: serde_json::Value = serde_json::from_str(&there).unwrap();
            assert_eq!((&report["batches"], &report["problems"]), (&json!(2), &json!([])), "{said}");
        } else {
            assert_eq!(here, there, "{arguments:?}: {said}");
        }
    }
    let admin = place.text(&["token", "create", "--role", "admin", "--name", "root"]);
    let log = place.run_with(
        &["access-log", "--server", &server.base, "--limit", "3", "-o", "json"],
        &[("CHAPERONE_TOKEN", admin.trim())],
    );
    let log: serde_json::Value = serde_json::from_slice(&log.stdout).unwrap();
    assert_eq!(log["accesses"].as_array().unwrap().len(), 3);
    let from_file = place.run_with(
        &["sessions", "--token-file", "token"],
        &[("CHAPERONE_SERVER", &format!("{}/", server.base))],
    );
    assert_eq!(String::from_utf8_lossy(&from_file.stdout), place.text(&["sessions"]));
}

fn what_goes_wrong_is_told() {
    let (place, server) = recorded();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let moved = TcpListener::bind("127.0.0.1:0").unwrap();
    let elsewhere = format!("http://{}", moved.local_addr().unwrap());
    let target = format!("{}/v1/sessions", server.base);
    let answers = std::thread::spawn(move || {
        let (mut stream, _) = moved.accept().unwrap();
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).unwrap();
        let answer = format!("HTTP/1.1 302 Found\r\nlocation: {target}\r\ncontent-length: 0\r\n\r\n");
        std::io::Write::write_all(&mut stream, answer.as_bytes()).unwrap();
    });
    let (base, closed) = (server.base.as_str(), format!("http://{closed}"));
    for (arguments, token, said) in [
        (&["sessions", "--server", base][..], "wrong-token-0123456789", "refused the token (401)"),
        (&["sessions", "--server", base], "", "no token for the collector"),
        (&["show", "nothing", "--server", base], AUDITOR, "no such exchange: nothing"),
        (&["replay", "nobody", "--server", base], AUDITOR, "no such session: nobody"),
        (&["export", "--session", "nobody", "--server", base], AUDITOR, "no such session: nobody"),
        (&["export", "--user", "alice", "--server", base], AUDITOR, "a bundle holds whole batches"),
        (&["access-log", "--server", base], AUDITOR, "(401)"),
        (&["sessions", "--server", &closed], AUDITOR, "cannot reach"),
        (&["sessions", "--server", &elsewhere], AUDITOR, "redirects are not followed"),
        (&["sessions", "--server", "ftp://x"], AUDITOR, "not the URL of a collector"),
        (&["sessions", "--server", base, "--ca-file", "token"], AUDITOR, "no certificate in PEM"),
    ] {
        let output = place.run_with(arguments, &[("CHAPERONE_TOKEN", token)]);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains(said), "{arguments:?}: {error}");
        assert!(token.is_empty() || !error.contains(token), "{error}");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
    answers.join().unwrap();
}

fn a_session_is_followed_as_it_goes_on() {
    let (place, server) = recorded();
    for from_server in [true, false] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chaperone"));
        command.env_clear().env("CHAPERONE_TOKEN", AUDITOR).args(["replay", "s-2", "--follow"]);
        match from_server {
            true => command.args(["--server", &server.base]),
            false => command.args(["--database", &place.database()]),
        };
        let mut child = command.current_dir(place.folder.path()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        assert!(lines.any(|line| line.contains("buffered")), "what is there is told first");
        let recorder = format!("r-{from_server}");
        let next =
            with(pods("s-2", &format!("e-{from_server}"), 2500), json!({"responseStatus": {"code": 299}}));
        assert_eq!(server.post(&batch(&recorder, 0, ZEROS, &[next])).status, 200);
        assert!(lines.any(|line| line.contains("299")), "and what comes, then");
        let interrupted = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert!(interrupted.success());
        assert!(child.wait().unwrap().success());
    }
}

fn exports_come_in_every_format() {
    let (place, server) = recorded();
    for (query, media_type) in [
        ("", "application/x-ndjson"),
        ("?format=har", "application/json"),
        ("?format=ocsf&user=alice", "application/x-ndjson"),
        ("?format=cloudevents&session=s-2", "application/x-ndjson"),
    ] {
        let answer = server.get(&format!("/v1/export{query}"));
        assert_eq!(answer.status, 200, "{query}");
        assert_eq!(answer.headers["content-type"], media_type);
    }
    for (query, status) in [
        ("?format=pdf", 400),
        ("?format=har&format=har", 400),
        ("?user=alice", 400),
        ("?session=s-2&since=1h", 400),
        ("?session=nobody", 404),
        ("?format=har&session=nobody", 404),
    ] {
        assert_eq!(server.get(&format!("/v1/export{query}")).status, status, "{query}");
    }
    assert_eq!(server.get_with("/v1/export", Some(INGEST)).status, 401);
    let out = ["export", "--server", &server.base, "--token-file", "token", "--out", "all.jsonl"];
    place.text(&out);
    assert_eq!(place.verdict(&["all.jsonl", "--chains-only"]), (Some(0), vec![]));
    assert!(!place.run(&out).status.success(), "what is there is never overwritten");
}
