//! Exports, checkpoints and recorders on the command line; and a second verifier that gets the same verdicts.

use crate::support::*;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chaperone::evidence::sha256_hex;
use serde_json::{Value, json};
use std::fs;
use std::process::Command;

on_each_database!(
    a_session_is_exported_with_what_proves_it,
    what_an_export_holds_depends_on_what_is_asked,
    a_checkpoint_shows_what_was_taken_away,
    an_index_that_lies_is_found_out,
    recorders_without_a_farewell_are_shown,
    a_second_verifier_gets_the_same_verdicts,
);

const KEYS: [&str; 4] = ["--public-key", "a/public-keys.json", "--public-key", "b/public-keys.json"];

/// Two recorders under keys of their own, as after a rotation, and three sessions.
fn recorded() -> Place {
    let place = Place::new();
    let (a, b) = (keygen(&place, "a"), keygen(&place, "b"));
    let server = place.serve(&KEYS);
    let asked = with(pods("s-3", "e-6", 40), json!({"type": "request"}));
    let open = json!({"type": "open", "time": at(0), "filter": {"version": "0.1.0", "build": "abc"},
        "configDigest": ZEROS, "node": "envoy-1", "worker": "1"});
    for (recorder, (key, kid), batches) in [
        (
            "r-1",
            &a,
            vec![
                vec![open, pods("s-1", "e-0", 0)],
                vec![pods("s-2", "e-1", 5)],
                vec![pods("s-1", "e-2", 9)],
                vec![pods("s-2", "e-3", 12)],
            ],
        ),
        ("r-2", &b, vec![vec![pods("s-2", "e-4", 20)], vec![pods("s-1", "e-5", 30)], vec![asked]]),
    ] {
        let batches: Vec<&[Value]> = batches.iter().map(Vec::as_slice).collect();
        for body in chain(recorder, &batches) {
            assert_eq!(post(&server, &body, Some(&sign(key, kid, &body))).status, 200);
        }
    }
    server.terminate();
    place
}

fn a_session_is_exported_with_what_proves_it() {
    let mut place = recorded();
    place.text(&["export", "--session", "s-1", "--out", "s-1.jsonl"]);
    // Nothing but the file and the keys: the database is gone.
    place.forget_database();
    let text = place.text(&[&["verify", "s-1.jsonl"][..], &KEYS].concat());
    let (first, rest) = text.split_once(", made ").unwrap();
    assert_eq!(first, "Export of session s-1");
    let (_, rest) = rest.split_once('\n').unwrap();
    let kids: Vec<&str> = rest.lines().filter(|line| line.starts_with("  ")).collect();
    assert_eq!(kids.len(), 2, "one line a key: {text}");
    assert!(
        rest.starts_with(
            "It is a part: what came before its first and after its last batches is not in it.\n\
        4 batches of 2 recorders checked, with 3 exchanges.\n4 batches signed by a given key.\n"
        ),
        "{text}"
    );
    assert!(rest.ends_with("Nothing is wrong.\n"), "{text}");
    let lines = fs::read_to_string(place.path("s-1.jsonl")).unwrap();
    let batches: Vec<String> = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line["type"] == "batch")
        .map(|line| format!("{} {}", line["recorder"], line["batch"]))
        .collect();
    assert_eq!(
        batches,
        ["\"r-1\" 0", "\"r-1\" 1", "\"r-1\" 2", "\"r-2\" 1"],
        "all from the first to the last"
    );
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(fs::metadata(place.path("s-1.jsonl")).unwrap().permissions().mode() & 0o777, 0o600);
}

fn what_an_export_holds_depends_on_what_is_asked() {
    let place = recorded();
    for (arguments, batches, exchanges, incomplete) in [
        (&[][..], 7, 7, 1),
        (&["--session", "s-3"], 1, 1, 1),
        (&["--since", "2026-11-23T08:00:00.006Z", "--until", "2026-11-23T08:00:00.025Z"], 3, 3, 0),
        (&["--since", "2026-11-23T08:00:00.030Z"], 2, 2, 1),
        (&["--until", "2026-11-23T07:00:00Z"], 0, 0, 0),
    ] {
        let _ = fs::remove_file(place.path("x.jsonl"));
        place.text(&[&["export", "--out", "x.jsonl"], arguments].concat());
        let report = place.json(&[&["verify", "x.jsonl", "-o", "json"][..], &KEYS].concat());
        let counts =
            (&report["batches"], &report["exchanges"], report["incomplete"].as_array().unwrap().len());
        assert_eq!(counts, (&json!(batches), &json!(exchanges), incomplete), "{arguments:?}: {report:#}");
    }
    assert_eq!(place.run(&["export", "--out", "x.jsonl"]).status.code(), Some(2), "never overwritten");
    assert_eq!(place.run(&["export", "--session", "nobody"]).status.code(), Some(2));
    // One session, in the database itself.
    let report = place.json(&[&["verify", "--session", "s-3", "-o", "json"][..], &KEYS].concat());
    assert_eq!((&report["batches"], &report["exchanges"]), (&json!(1), &json!(1)));
    assert_eq!(report["incomplete"][0]["message"], "exchange e-6: its end is not in the records");
}

fn a_checkpoint_shows_what_was_taken_away() {
    let place = recorded();
    let checkpoint = place.text(&["checkpoint"]);
    fs::write(place.path("checkpoint.json"), &checkpoint).unwrap();
    let heads = &serde_json::from_str::<Value>(&checkpoint).unwrap()["heads"];
    assert_eq!(
        (&heads[0]["recorder"], &heads[0]["batch"], &heads[1]["batch"]),
        (&json!("r-1"), &json!(3), &json!(2))
    );
    assert!(heads[1]["signature"].as_str().unwrap().contains(".."));
    let with_checkpoint = [&KEYS[..], &["--checkpoint", "checkpoint.json"]].concat();
    assert_eq!(place.verdict(&with_checkpoint), (Some(0), vec![]));

    let forget = |recorder: &str, from: i64| {
        let tables = ["batches", "entries", "gaps"]
            .map(|table| format!("DELETE FROM {table} WHERE recorder = '{recorder}' AND batch >= {from};"));
        let rest = format!(
            "DELETE FROM exchanges WHERE exchange NOT IN (SELECT exchange FROM entries WHERE exchange IS NOT NULL);
            UPDATE recorders SET last_batch = {from} - 1 WHERE recorder = '{recorder}';
            DELETE FROM recorders WHERE recorder NOT IN (SELECT recorder FROM batches);
            DELETE FROM sessions WHERE session NOT IN (SELECT session FROM exchanges);
            UPDATE sessions SET requests = (SELECT count(*) FROM exchanges x WHERE x.session = sessions.session);"
        );
        place.sql(&[&tables.concat(), rest.as_str()].concat());
    };
    forget("r-1", 2);
    assert_eq!(place.verdict(&KEYS), (Some(0), vec![]), "without the checkpoint the tail is not missed");
    assert_eq!(place.verdict(&with_checkpoint), (Some(1), vec!["truncated r-1 1".into()]));
    forget("r-2", 0);
    assert_eq!(
        place.verdict(&with_checkpoint),
        (Some(1), vec!["removed r-2".into(), "truncated r-1 1".into()])
    );
    place.text(&["export", "--session", "s-1", "--out", "part.jsonl"]);
    let part = [&["part.jsonl"][..], &with_checkpoint].concat();
    assert_eq!(place.verdict(&part).0, Some(2), "a part cannot be held against a checkpoint");
}

/// The batches may be whole and what is shown of them false: the index is held against them.
fn an_index_that_lies_is_found_out() {
    for (change, code) in [
        (
            "UPDATE exchanges SET summary = (SELECT summary FROM exchanges WHERE exchange = 'e-6') WHERE exchange = 'e-2'",
            "index r-1",
        ),
        ("UPDATE exchanges SET session = 's-9' WHERE exchange = 'e-2'", "index r-1"),
        ("UPDATE exchanges SET state = 'complete' WHERE exchange = 'e-6'", "index r-2"),
        ("UPDATE exchanges SET summary = '{' WHERE exchange = 'e-2'", "index r-1"),
        ("UPDATE sessions SET refused = 1 WHERE session = 's-1'", "index"),
        ("UPDATE session_values SET value = replace(value, 'alice', 'bob') WHERE kind = 'user'", "index"),
        ("DELETE FROM sessions WHERE session = 's-1'", "index"),
        (
            "INSERT INTO sessions SELECT 's-9', derived, started, ended, requests, writes, refused, failed, incomplete, unverified, masked \
            FROM sessions WHERE session = 's-1'",
            "index",
        ),
        ("DELETE FROM exchanges WHERE exchange = 'e-2'", "index"),
        ("DELETE FROM entries WHERE exchange = 'e-2'", "index r-1"),
        ("UPDATE entries SET start = start + 1 WHERE exchange = 'e-2'", "index r-1"),
        ("UPDATE batches SET kid = NULL WHERE recorder = 'r-1' AND batch = 2", "index r-1"),
        ("UPDATE recorders SET last_batch = 9 WHERE recorder = 'r-1'", "truncated r-1 3"),
        (
            "INSERT INTO exchanges (exchange, recorder, session, time, state, masked, summary) \
            SELECT 'e-x', recorder, session, time, state, masked, summary FROM exchanges WHERE exchange = 'e-2'",
            "index",
        ),
    ] {
        let place = recorded();
        assert_eq!(place.verdict(&KEYS), (Some(0), vec![]));
        place.sql(change);
        let (status, codes) = place.verdict(&KEYS);
        assert_eq!(status, Some(1), "{change}");
        assert!(codes.iter().any(|found| found.starts_with(code)), "{change}: {codes:?}");
    }
}

fn recorders_without_a_farewell_are_shown() {
    let place = recorded();
    let recorders = place.json(&["recorders", "-o", "json"]);
    assert_eq!((&recorders[0]["state"], &recorders[0]["open"]["node"]), (&json!("open"), &json!("envoy-1")));
    place.sql("UPDATE recorders SET last_received = 1795422441000000 WHERE recorder = 'r-2'");
    let text = place.text(&["recorders"]);
    let rows: Vec<Vec<&str>> =
        text.lines().map(|row| row.split("  ").map(str::trim).filter(|w| !w.is_empty()).collect()).collect();
    assert_eq!(rows[1], ["r-1", "open", "envoy-1", "0.1.0", "4", "5", "0", "0", "0", "0"], "{text}");
    assert_eq!(
        rows[2],
        ["r-2", "silent since 2026-11-23 08:27:21 UTC", "-", "-", "3", "3", "0", "0", "0", "1"],
        "{text}"
    );
    let verified = place.text(&[&["verify"][..], &KEYS].concat());
    assert!(
        verified.contains("INCOMPLETE recorder r-2, batch 2: exchange e-6: its end is not in the records\n"),
        "{verified}"
    );
    assert!(
        verified.contains(
            "SILENT recorder r-2, batch 2: nothing came since 2026-11-23T08:27:21.000000Z, and 1 of its"
        ),
        "{verified}"
    );
}

/// An export as lines of JSON, changed, with its end made to fit again.
pub fn changed(text: &str, change: impl Fn(&mut Vec<Value>)) -> String {
    let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    lines.pop();
    change(&mut lines);
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let end = json!({"type": "end", "sha256": sha256_hex(text.as_bytes())});
    format!("{text}{end}\n")
}

/// Puts other bytes into a batch's line.
fn rewrite(line: &mut Value, change: impl Fn(String) -> String) {
    let body = String::from_utf8(STANDARD.decode(line["body"].as_str().unwrap()).unwrap()).unwrap();
    line["body"] = STANDARD.encode(change(body)).into();
}

fn a_second_verifier_gets_the_same_verdicts() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../test-harness/verifier/verify.py");
    let able = Command::new(python()).args(["-c", "import cryptography"]).output();
    if !able.is_ok_and(|output| output.status.success()) {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "python3 with `cryptography` is needed");
        return eprintln!(
            "SKIPPED: no python3 with the package `cryptography`; the second verifier did not run."
        );
    }
    let place = recorded();
    fs::write(place.path("checkpoint.json"), place.text(&["checkpoint"])).unwrap();
    let all = place.text(&["export"]);
    let part = place.text(&["export", "--session", "s-1"]);
    let stranger = keygen(&place, "stranger");
    let forge = |line: &mut Value| {
        rewrite(line, |body| body.replace("alice", "mallory"));
        let body = STANDARD.decode(line["body"].as_str().unwrap()).unwrap();
        line["signature"] = sign(&stranger.0, &stranger.1, &body).into();
    };
    let cases: Vec<(&str, String, &[&str])> = vec![
        ("whole", all.clone(), &[]),
        ("a part", part.clone(), &[]),
        ("cut short", all[..all.len() - 50].to_owned(), &["bundle"]),
        ("one character", all.replacen("r-1", "r-7", 1), &["bundle", "truncated r-7"]),
        ("something after the end", format!("{all}{{}}\n"), &["bundle"]),
        ("removed", changed(&all, |l| drop(l.remove(2))), &["missing r-1 1"]),
        ("removed of a part", changed(&part, |l| drop(l.remove(2))), &["missing r-1 1"]),
        ("removed tail", changed(&all, |l| drop(l.remove(4))), &["truncated r-1 2"]),
        ("removed tail of a part", changed(&part, |l| drop(l.remove(4))), &["exchange", "truncated r-2"]),
        ("reordered", changed(&all, |l| l.swap(2, 3)), &["missing r-1 1", "order r-1 1"]),
        ("duplicated", changed(&all, |l| l.insert(3, l[2].clone())), &["order r-1 1"]),
        ("chains swapped", changed(&all, |l| l[1..].rotate_left(4)), &["bundle", "truncated r-1"]),
        (
            "replayed",
            changed(&all, |l| {
                let mut copy = l[2].clone();
                copy["batch"] = 4.into();
                l.insert(5, copy);
            }),
            &["place r-1 4", "previous r-1 4", "rewritten r-1 4"],
        ),
        ("forged", changed(&all, |l| forge(&mut l[2])), &["previous r-1 2", "signature r-1 1"]),
        (
            "renumbered",
            changed(&all, |l| rewrite(&mut l[2], |b| b.replace("\"batch\":1", "\"batch\":2"))),
            &["place r-1 1", "previous r-1 2", "signature r-1 1"],
        ),
        (
            "unsigned",
            changed(&all, |l| drop(l[1].as_object_mut().unwrap().remove("signature"))),
            &["signature r-1 0"],
        ),
        (
            "no batch",
            changed(&all, |l| rewrite(&mut l[2], |_| "{}".into())),
            &["previous r-1 2", "shape r-1 1", "signature r-1 1"],
        ),
        ("another field", changed(&all, |l| l[1]["received"] = 1.into()), &["bundle", "missing r-1 0"]),
        ("not base64", changed(&all, |l| l[1]["body"] = "e30".into()), &["bundle", "missing r-1 0"]),
        (
            "a fork",
            changed(&all, |l| {
                let mut fork = l[2].clone();
                fork["type"] = "fork".into();
                l.insert(5, fork);
            }),
            &["fork r-1 1"],
        ),
    ];
    let python = |file: &str, more: &[&str]| {
        let mut command = Command::new(python());
        let output = command
            .arg(script)
            .arg(file)
            .args(KEYS)
            .args(more)
            .current_dir(place.folder.path())
            .output()
            .unwrap();
        let lines = String::from_utf8(output.stdout).unwrap();
        let problems: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (output.status.code(), codes(&problems))
    };
    let ours = |file: &str, more: &[&str]| place.verdict(&[&[file], &KEYS[..], more].concat());
    for (name, text, expected) in cases {
        fs::write(place.path("case.jsonl"), text).unwrap();
        let expected =
            (Some(i32::from(!expected.is_empty())), expected.iter().map(|c| (*c).to_owned()).collect());
        assert_eq!(ours("case.jsonl", &[]), expected, "{name}");
        assert_eq!(python("case.jsonl", &[]), expected, "{name}, the second verifier");
    }
    let kept = ["--checkpoint", "checkpoint.json"];
    for (name, text, expected) in [
        ("whole", all.clone(), (Some(0), vec![])),
        ("a part", part, (Some(2), vec![])),
        ("no export", "{}\n".into(), (Some(2), vec![])),
        (
            "a chain gone",
            changed(&all, |l| {
                l.drain(1..5);
                l[0]["chains"].as_array_mut().unwrap().remove(0);
            }),
            (Some(1), vec!["removed r-1".to_owned()]),
        ),
        (
            "a tail gone",
            changed(&all, |l| {
                let body = STANDARD.decode(l[2]["body"].as_str().unwrap()).unwrap();
                l.drain(3..5);
                l[0]["chains"][0] =
                    json!({"recorder": "r-1", "first": 0, "last": 1, "digest": sha256_hex(&body)});
            }),
            (Some(1), vec!["truncated r-1 1".to_owned()]),
        ),
    ] {
        fs::write(place.path("case.jsonl"), text).unwrap();
        assert_eq!(ours("case.jsonl", &kept), expected, "{name}");
        assert_eq!(python("case.jsonl", &kept), expected, "{name}, the second verifier");
    }
}
