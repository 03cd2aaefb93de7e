//! Exports of pruned databases: what is missing is explained by tombstones, and by nothing else.

use crate::exports::changed;
use crate::support::*;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use std::fs;
use std::process::Command;

on_each_database!(both_verifiers_take_tombstones_for_what_they_are);

const KEYS: [&str; 2] = ["--public-key", "keys/public-keys.json"];
const PRUNING: [&str; 2] = ["--tombstone-public-key", "pruning/public-keys.json"];

/// What the second verifier says; none where its library is missing.
fn second(place: &Place, arguments: &[&str]) -> Option<(Option<i32>, Vec<String>)> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../test-harness/verifier/verify.py");
    let able = Command::new(python()).args(["-c", "import cryptography"]).output();
    if !able.is_ok_and(|output| output.status.success()) {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "python3 with `cryptography` is needed");
        eprintln!("SKIPPED: no python3 with the package `cryptography`; the second verifier did not run.");
        return None;
    }
    let mut command = Command::new(python());
    let output = command.arg(script).args(arguments).current_dir(place.folder.path()).output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    let problems: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    Some((output.status.code(), codes(&problems)))
}

fn both_verifiers_take_tombstones_for_what_they_are() {
    let place = Place::new();
    let (key, kid) = keygen(&place, "keys");
    keygen(&place, "pruning");
    let server = place.serve(&KEYS);
    let post_all = |bodies: &[Vec<u8>]| {
        for body in bodies {
            assert_eq!(post(&server, body, Some(&sign(&key, &kid, body))).status, 200);
        }
    };
    // Of r-1 the held batch and what follows it stay, of r-2 nothing does.
    let entries: Vec<Vec<Value>> = (0..5).map(|n| vec![pods("s-1", &format!("e-{n}"), n * 10)]).collect();
    let mut first: Vec<&[Value]> = entries.iter().map(Vec::as_slice).collect();
    let held = [pods("s-2", "e-held", 25)];
    first.insert(3, &held);
    post_all(&chain("r-1", &first));
    post_all(&chain("r-2", &[&[pods("s-3", "f-0", 0)], &[pods("s-3", "f-1", 3)]]));
    fs::write(place.path("checkpoint.json"), place.text(&["checkpoint"])).unwrap();
    place.text(&["hold", "s-2"]);
    place.text(&["prune", "--older-than", "0s", "--tombstone-key", "pruning/signing-key.pem"]);

    let all = place.text(&["export"]);
    let (part, held) =
        (place.text(&["export", "--session", "s-1"]), place.text(&["export", "--session", "s-2"]));
    let kinds: Vec<String> = all
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["type"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(kinds, ["manifest", "tombstone", "batch", "batch", "batch", "tombstone", "end"], "{all}");

    let none: [&str; 0] = [];
    let both = [&KEYS[..], &PRUNING].concat();
    let with_checkpoint = [&both[..], &["--checkpoint", "checkpoint.json"]].concat();
    let swapped = [&KEYS[..], &["--tombstone-public-key", "keys/public-keys.json"]].concat();
    let widened = changed(&all, |lines| {
        let body = STANDARD.decode(lines[1]["body"].as_str().unwrap()).unwrap();
        let text = String::from_utf8(body).unwrap().replace("\"first\":3", "\"first\":4");
        lines[1]["body"] = STANDARD.encode(text).into();
        lines.remove(2);
    });
    let cases: Vec<(&str, String, &[&str], Vec<&str>)> = vec![
        ("everything", all.clone(), &both, none.to_vec()),
        ("everything, and a checkpoint from before", all.clone(), &with_checkpoint, none.to_vec()),
        ("a session that began in what was pruned", part.clone(), &both, none.to_vec()),
        ("the same without the pruner's key", part, &KEYS, none.to_vec()),
        ("a held session", held, &both, none.to_vec()),
        (
            "no key for tombstones",
            all.clone(),
            &KEYS,
            vec!["missing r-1 0", "tombstone r-1", "tombstone r-2", "truncated r-2"],
        ),
        (
            "another key for tombstones",
            all.clone(),
            &swapped,
            vec!["missing r-1 0", "tombstone r-1", "tombstone r-2", "truncated r-2"],
        ),
        ("widened", widened, &both, vec!["missing r-1 0", "tombstone r-1"]),
        (
            "a tombstone taken away",
            changed(&all, |lines| drop(lines.remove(5))),
            &both,
            vec!["truncated r-2"],
        ),
        (
            "another chain's tombstone",
            changed(&all, |lines| {
                let (signature, body) = (lines[1]["signature"].clone(), lines[1]["body"].clone());
                (lines[5]["signature"], lines[5]["body"]) = (signature, body);
            }),
            &both,
            vec!["tombstone r-2", "truncated r-2"],
        ),
        (
            "a batch beyond the tombstone taken away",
            changed(&all, |lines| drop(lines.remove(2))),
            &both,
            vec!["missing r-1 3"],
        ),
        (
            "a tombstone after its batches",
            changed(&all, |lines| lines.swap(1, 2)),
            &both,
            vec!["bundle", "missing r-1 0"],
        ),
    ];
    for (name, text, arguments, expected) in cases {
        fs::write(place.path("case.jsonl"), text).unwrap();
        let expected: (Option<i32>, Vec<String>) =
            (Some(i32::from(!expected.is_empty())), expected.iter().map(|code| (*code).to_owned()).collect());
        let arguments = [&["case.jsonl"], arguments].concat();
        assert_eq!(place.verdict(&arguments), expected, "{name}");
        if let Some(verdict) = second(&place, &arguments) {
            assert_eq!(verdict, expected, "{name}, the second verifier");
        }
    }
    fs::write(place.path("case.jsonl"), &all).unwrap();
    let report = place.json(&[&["verify", "case.jsonl", "-o", "json"], &both[..]].concat());
    assert_eq!(codes(report["pruned"].as_array().unwrap()), ["pruned r-1 2", "pruned r-2 1"]);
    assert_eq!(report["batches"], json!(3));
}
