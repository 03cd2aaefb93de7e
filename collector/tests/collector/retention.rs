//! Pruning, holds, and that verification tells what was pruned from what was taken away.

use crate::support::*;
use serde_json::json;
use std::fs;

on_each_database!(pruned_records_are_explained_and_missing_ones_are_not, a_server_prunes_by_itself);

const KEYS: [&str; 4] =
    ["--public-key", "keys/public-keys.json", "--tombstone-public-key", "pruning/public-keys.json"];

fn prune(place: &Place, age: &str) -> String {
    place.text(&["prune", "--older-than", age, "--tombstone-key", "pruning/signing-key.pem"])
}

fn pruned_records_are_explained_and_missing_ones_are_not() {
    let place = Place::new();
    let (key, kid) = keygen(&place, "keys");
    keygen(&place, "pruning");
    let server = place.serve(&KEYS[..2]);
    let asked = with(pods("s-2", "e-3", 9), json!({"type": "request"}));
    let answered = json!({"type": "end", "exchange": "e-3", "session": "s-2", "responseStatus": {"code": 200}, "outcome": "complete"});
    let held = vec![pods("s-3", "e-5", 20)];
    let gap = json!({"type": "gap", "time": at(3), "entries": 4, "bytes": 900, "reason": "outboxFull"});
    let whole = [
        vec![pods("s-1", "e-0", 0)],
        vec![gap, pods("s-2", "e-1", 5)],
        vec![asked],
        vec![answered],
        held,
        vec![pods("s-2", "e-6", 30)],
    ];
    let chains = [
        ("r-1", chain("r-1", &whole.iter().map(Vec::as_slice).collect::<Vec<_>>())),
        ("r-2", chain("r-2", &[&[pods("s-2", "f-0", 0)], &[pods("s-2", "f-1", 0)]])),
    ];
    for body in chains.iter().flat_map(|(_, bodies)| bodies) {
        assert_eq!(post(&server, body, Some(&sign(&key, &kid, body))).status, 200);
    }
    fs::write(place.path("checkpoint.json"), place.text(&["checkpoint"])).unwrap();
    assert_eq!(place.text(&["hold", "s-3"]), "Session s-3 is held.\n");
    assert_eq!(place.text(&["hold"]), "s-3\n");
    assert_eq!(prune(&place, "1h"), "Pruned 0 batches with 0 exchanges.\n");
    let would = place.text(&["prune", "--older-than", "0s", "--dry-run"]);
    assert_eq!(would, "Would prune 6 batches with 5 exchanges.\n");
    assert_eq!(
        place.json(&["prune", "--older-than", "0s", "--dry-run", "-o", "json"]),
        json!({"pruned": false, "batches": 6, "exchanges": 5, "objects": 0})
    );
    assert_eq!(place.json(&["hold", "-o", "json"]), json!(["s-3"]));
    assert_eq!(server.get("/v1/sessions/s-1").status, 200, "nothing was done");
    assert_eq!(prune(&place, "0s"), "Pruned 6 batches with 5 exchanges.\n");

    assert_eq!(server.get("/v1/sessions/s-1").status, 404);
    assert_eq!(server.get("/v1/sessions/s-2").json()["requests"], 1, "what is after the held one");
    assert_eq!(server.get("/v1/search?q=pods").json()["exchanges"].as_array().unwrap().len(), 2);
    let with_checkpoint = [&KEYS[..], &["--checkpoint", "checkpoint.json"]].concat();
    let report = place.json(&[&["verify", "-o", "json"], &with_checkpoint[..]].concat());
    assert_eq!((&report["problems"], &report["batches"]), (&json!([]), &json!(2)), "{report:#}");
    assert_eq!(codes(report["pruned"].as_array().unwrap()), ["pruned r-1 3", "pruned r-2 1"]);
    // A tombstone is worth nothing without its key.
    assert_eq!(place.verdict(&KEYS[..2]).1[0], "missing r-1 0");
    let swapped =
        ["--public-key", "keys/public-keys.json", "--tombstone-public-key", "keys/public-keys.json"];
    assert!(place.verdict(&swapped).1.contains(&"tombstone r-1".to_owned()));

    // What was pruned is known when it comes again, and the chains go on.
    let (_, bodies) = &chains[0];
    assert_eq!(post(&server, &bodies[0], Some(&sign(&key, &kid, &bodies[0]))).status, 200);
    let next = batch("r-2", 2, &chaperone::evidence::sha256_hex(&chains[1].1[1]), &[pods("s-1", "f-2", 50)]);
    assert_eq!(post(&server, &next, Some(&sign(&key, &kid, &next))).status, 200);
    assert_eq!(place.verdict(&with_checkpoint), (Some(0), vec![]));
    // Released, it goes too; of an older tombstone nothing is left.
    assert_eq!(place.text(&["hold", "s-3", "--release"]), "Session s-3 is held no longer.\n");
    assert_eq!(prune(&place, "0s"), "Pruned 3 batches with 3 exchanges.\n");
    assert_eq!(place.verdict(&with_checkpoint), (Some(0), vec![]));

    // What somebody takes away beyond that is missing.
    let more: Vec<_> = (3..6).map(|n| batch("r-2", n, ZEROS, &[])).collect();
    for body in &more {
        assert_eq!(post(&server, body, Some(&sign(&key, &kid, body))).status, 200);
    }
    drop(server);
    place.sql("DELETE FROM batches WHERE recorder = 'r-2' AND batch = 3");
    assert!(place.verdict(&KEYS).1.contains(&"missing r-2 3".to_owned()));
    assert_eq!(prune(&place, "0s"), "Pruned 0 batches with 0 exchanges.\n", "nothing beyond a hole");
    place.sql("UPDATE prunings SET tombstone = replace(tombstone, '\"first\":3', '\"first\":4') WHERE recorder = 'r-2'");
    assert!(place.verdict(&KEYS).1.contains(&"tombstone r-2".to_owned()), "a tombstone cannot be widened");
}

fn a_server_prunes_by_itself() {
    let place = Place::new();
    keygen(&place, "pruning");
    let server = place.serve(&[]);
    assert_eq!(server.post(&batch("r-1", 0, ZEROS, &[pods("s", "e-1", 0)])).status, 200);
    server.terminate();
    assert_eq!(
        place.run_with(&["serve", "--retain", "90d"], &[("CHAPERONE_COLLECTOR_TOKEN", INGEST)]).status.code(),
        Some(2)
    );
    let server = place.serve(&["--retain", "0s", "--tombstone-key", "pruning/signing-key.pem"]);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while server.get("/v1/exchanges/e-1").status != 404 {
        assert!(std::time::Instant::now() < deadline);
        std::thread::yield_now();
    }
    server.terminate();
    assert_eq!(place.json(&["verify", "--chains-only", "-o", "json"])["problems"], json!([]));
}
