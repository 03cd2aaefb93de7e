//! Records in a terminal: browsed on the whole screen, played, and told, whatever they hold.

use crate::replaying::Replay;
use crate::support::*;
use serde_json::{Value, json};
use std::io::Write as _;
use std::process::{Command, Stdio};

fn place_with(entries: &[Value]) -> Place {
    let place = Place::new();
    let server = place.serve(&[]);
    let answer = server.post(&batch("r-1", 0, ZEROS, entries));
    assert_eq!(answer.status, 200, "{answer:?}");
    server.terminate();
    place
}

/// An exec with these options, what its channels carried, and its exit code.
fn exec(session: &str, id: &str, options: Value, pieces: &[(&str, u64, &str)], code: i32) -> Vec<Value> {
    let object = json!({"resource": "pods", "subresource": "exec", "apiVersion": "v1", "namespace": "shop", "name": "web"});
    let request = with(
        head(session, id, "create", "/api/v1/namespaces/shop/pods/web/exec?command=sh", object),
        json!({"type": "request", "streamOptions": options, "timing": {"received": at(0)}}),
    );
    let end = json!({"type": "end", "exchange": id, "session": session, "responseStatus": {"code": 101}, "outcome": "complete",
        "stream": {"subprotocol": "v5.channel.k8s.io", "exitCode": code}, "timing": {"complete": at(5000)}});
    let mut entries = vec![request];
    let mut position = std::collections::HashMap::<&str, usize>::new();
    for (channel, offset, data) in pieces {
        let at = position.entry(channel).or_default();
        entries.push(json!({"type": "stream", "exchange": id, "session": session, "channel": channel,
            "offset": offset * 1000, "position": at, "data": data}));
        *at += data.len();
    }
    entries.push(end);
    entries
}

#[test]
fn the_browser_gives_the_terminal_back() {
    let python = python();
    let able = Command::new(&python).args(["-c", "import termios; termios.tcsetwinsize"]).output();
    if !able.is_ok_and(|able| able.status.success()) {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "python3 of 3.11 or later is needed");
        return eprintln!("SKIPPED: no python3 of 3.11 or later; the browser was not run in a terminal.");
    }
    let place = place_with(&[pods("s-1", "e-1", 0)]);
    let ended = |arguments: &[&str], keys: &str| {
        let mut child = Command::new(&python)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tui.py"))
            .arg(env!("CARGO_BIN_EXE_chaperone"))
            .args(arguments)
            .env("CHAPERONE_DATABASE", place.database())
            .env("TERM", "xterm-256color")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(keys.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "restored\n", "{keys:?}: {said}");
    };
    ended(&["tui"], "SESSION\t\\r\nSession s-1\tG\\r\n/api/v1/namespaces/shop/pods\tQ\n");
    ended(&["tui"], "SESSION\t\\x03\n");
    ended(&["tui", "s-1"], "Session s-1\tqq\n");
    let output = place.run(&["tui"]);
    assert_eq!(output.status.code(), Some(2), "without a terminal");
    assert!(String::from_utf8_lossy(&output.stderr).contains("needs a terminal"));
}

#[test]
fn an_exec_is_played() {
    let shell = exec(
        "s-1",
        "e-1",
        json!({"command": ["sh"], "stdin": true, "stdout": true, "tty": true}),
        &[
            ("resize", 1, "{\"Width\":120,\"Height\":40}"),
            ("stdin", 5, "ls\r"),
            ("stdout", 10, "$ ls\r\n\u{1b}[1mfi"),
            ("stdout", 20, "le\u{1b}[0m\r\n\u{1b}]52;c;cm0=\u{7}$ "),
        ],
        0,
    );
    let command = exec(
        "s-1",
        "e-2",
        json!({"command": ["make", "all"], "stdout": true, "stderr": true}),
        &[("stdout", 1, "one\n"), ("stderr", 2, "warning\u{1b}[2J\n"), ("stdout", 3, "two\n")],
        2,
    );
    let place = place_with(&[shell, command].concat());
    let started = std::time::Instant::now();
    assert_eq!(
        place.text(&["replay", "s-1", "--exchange", "e-1", "--speed", "0.1"]),
        "ran `sh` in pod web in shop\nin a terminal of 120 columns and 40 lines\n$ ls\nfile\n$ \nexit code  0\n"
    );
    assert!(started.elapsed().as_millis() >= 200, "as slow as it was, and ten times slower");
    let raw = place.text(&["replay", "s-1", "--exchange", "e-1", "--raw"]);
    assert!(raw.contains("\u{1b}]52;c;cm0=\u{7}"), "{raw:?}");
    assert_eq!(
        place.text(&["replay", "s-1", "--exchange", "e-2"]),
        "ran `sh` in pod web in shop\ncommand    make all\nstdout\n  one\n  two\nstderr\n  warning\\u001b[2J\nexit code  2\n"
    );
    let elsewhere = place.run(&["replay", "s-2", "--exchange", "e-2"]);
    assert_eq!(elsewhere.status.code(), Some(2));
}

#[test]
fn prompts_and_changes_of_a_session_are_told() {
    let object =
        json!({"resource": "configmaps", "apiVersion": "v1", "namespace": "shop", "name": "settings"});
    let uri = "/api/v1/namespaces/shop/configmaps/settings";
    let with_state = |id: &str, verb: &str, started, colour: &str| {
        let state = json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "settings", "resourceVersion": id},
            "data": {"colour": colour}});
        with(
            exchange(head("s-1", id, verb, uri, object.clone()), 200, started, 1),
            json!({"responseObject": state}),
        )
    };
    let place = place_with(&[with_state("e-1", "get", 0, "red"), with_state("e-2", "patch", 10, "blue")]);
    let told = place.text(&["replay", "s-1", "--diff"]);
    for line in ["      -     \"colour\": \"red\"\n", "      +     \"colour\": \"blue\"\n"] {
        assert!(told.contains(line), "{line} in {told}");
    }
    assert_eq!(told.matches("change\n").count(), 1, "reading changes nothing: {told}");
    let told = place.text(&["replay", "s-1", "--prompts"]);
    assert!(
        told.contains("Prompt prompt-1") && told.contains("  2 requests, 1 write, 0 refused\n"),
        "{told}"
    );
}

/// Every text of a record is hostile: nothing of it reaches the terminal as anything but visible characters.
#[test]
fn hostile_records_are_inert_however_they_are_told() {
    let evil = "\u{1b}[2J\u{1b}]0;pwn\u{7}\u{9b}31m\r\n\u{202e}gnp\u{200b}\u{feff}\u{2028}\u{e0041}<script>";
    let attributed = json!({"value": evil, "source": evil, "verified": false});
    let hostile = |id: &str, verb: &str, started: u64, data: &str| {
        json!({
            "type": "exchange", "exchange": id, "session": evil, "method": evil, "requestURI": format!("/x?command={evil}"),
            "verb": verb, "objectRef": {"apiGroup": evil, "resource": evil, "namespace": evil, "name": evil},
            "user": {"username": evil, "groups": [evil], "issuer": evil}, "sourceIPs": [evil], "userAgent": evil,
            "attribution": {"agent": attributed, "model": attributed, "prompt": attributed},
            "decision": {"allowed": true, "rule": evil, "message": evil},
            "streamOptions": {"command": [evil], "container": evil, "tty": id == "e-3"},
            "requestObject": {evil: evil}, "masked": [{"path": evil, "count": 1}],
            "responseObject": {"kind": evil, "metadata": {"name": evil}, evil: data},
            "responseStatus": {"code": 200, "reason": evil, "message": evil},
            "outcome": "complete", "reason": evil, "timing": {"received": at(started)},
        })
    };
    let stream = |id: &str, channel: &str| json!({"type": "stream", "exchange": id, "session": evil, "channel": channel, "offset": 0, "position": 0, "data": evil});
    let place = place_with(&[
        hostile("e-1", "get", 0, "a"),
        hostile("e-2", "patch", 1, evil),
        hostile("e-3", evil, 2, evil),
        stream("e-2", "stdout"),
        stream("e-2", "stderr"),
        stream("e-3", "stdout"),
        stream("e-3", "resize"),
        json!({"type": "gap", "time": at(0), "entries": 1, "bytes": 1, "reason": evil}),
    ]);
    for arguments in [
        &["sessions"][..],
        &["show", "e-2"],
        &["replay", evil],
        &["replay", evil, "--bodies", "--diff", "--all"],
        &["replay", evil, "--prompts"],
        &["replay", evil, "--exchange", "e-2"],
        &["replay", evil, "--exchange", "e-3"],
    ] {
        let text = place.text(arguments);
        let bad: Vec<char> = text
            .chars()
            .filter(|c| {
                (c.is_control() && *c != '\n') || "\u{202e}\u{200b}\u{feff}\u{2028}\u{e0041}".contains(*c)
            })
            .collect();
        assert!(bad.is_empty(), "{arguments:?} prints {bad:?}: {text}");
    }
    // What a server says of it: of the report, JSON that was read, its text is as it was printed.
    let (code, report, said) = Replay::start(&place, evil, &[]).interrupted();
    assert_eq!(code, Some(1));
    for said in [report["notMade"].to_string(), said] {
        assert!(!said.contains(['\u{1b}', '\u{9b}', '\u{202e}', '\u{200b}']), "{said}");
    }
}
