//! Signatures on arrival, and verification afterwards.

use crate::support::*;
use serde_json::{Value, json};

on_each_database!(
    with_keys_only_what_they_signed_is_stored,
    without_keys_signatures_are_kept_unchecked,
    verification_says_what_is_wrong_and_where,
    a_key_is_never_overwritten_and_not_for_others_to_read,
);

fn with_keys_only_what_they_signed_is_stored() {
    let place = Place::new();
    let (key, kid) = keygen(&place, "keys");
    let (other, other_kid) = keygen(&place, "other");
    let server = place.serve(&["--public-key", place.path("keys/public-keys.json").to_str().unwrap()]);
    let bodies = chain("r-1", &[&[pods("s", "e-1", 0)], &[pods("s", "e-2", 5)]]);
    let good = sign(&key, &kid, &bodies[0]);
    for (name, signature) in [
        ("unsigned", None),
        ("malformedSignature", Some("x..y".to_owned())),
        ("unknownKey", Some(sign(&other, &other_kid, &bodies[0]))),
        ("badSignature", Some(sign(&other, &kid, &bodies[0]))),
        ("badSignature", Some(sign(&key, &kid, &bodies[1]))),
    ] {
        let metric = format!("chaperone_collector_refusals_total{{reason=\"{name}\"}}");
        let before = server.metric(&metric);
        let answer = post(&server, &bodies[0], signature.as_deref());
        assert_eq!((answer.status, &answer.json()["code"]), (403, &json!("signature")), "{name}");
        assert_eq!(server.metric(&metric), before + 1.0, "{name}");
    }
    assert_eq!(server.get("/v1/recorders").json(), json!([]), "nothing refused is stored");

    assert_eq!(post(&server, &bodies[0], Some(&good)).status, 200);
    assert_eq!(post(&server, &bodies[1], Some(&sign(&key, &kid, &bodies[1]))).status, 200);
    let exchange = server.get("/v1/exchanges/e-1").json();
    assert_eq!((&exchange["verified"], &exchange["entries"][0]["kid"]), (&json!(true), &json!(kid)));
    let text = place.text(&["verify", "--public-key", "keys/public-keys.json"]);
    assert_eq!(
        text,
        "2 batches of 1 recorder checked, with 2 exchanges.\n2 batches signed by a given key.\nNothing is wrong.\n"
    );
    let output = place.run(&["verify", "--public-key", "other/public-keys.json", "-o", "json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), report["problems"].as_array().unwrap().len()), (Some(1), 2));
}

fn without_keys_signatures_are_kept_unchecked() {
    let place = Place::new();
    let (key, kid) = keygen(&place, "keys");
    let server = place.serve(&[]);
    let body = batch("r-1", 0, ZEROS, &[pods("s", "e-1", 0)]);
    assert_eq!(post(&server, &body, Some(&sign(&key, &kid, &body))).status, 200);
    assert_eq!(server.get("/v1/exchanges/e-1").json()["verified"], false);
    server.terminate();
    // The signature was kept as it came: it can be checked later.
    assert_eq!(place.json(&["verify", "--public-key", "keys/public-keys.json", "-o", "json"])["signed"], 1);
    assert!(place.text(&["verify", "--chains-only"]).contains("Signatures were not checked"));
    assert_eq!(place.run(&["verify"]).status.code(), Some(2), "without keys it could not be checked");
}

fn verification_says_what_is_wrong_and_where() {
    let place = Place::new();
    let server = place.serve(&[]);
    let gap = json!({"type": "gap", "time": at(3), "entries": 4, "bytes": 900, "reason": "outboxFull"});
    let bodies =
        chain("r-1", &[&[pods("s", "e-0", 0)], &[gap], &[pods("s", "e-2", 5)], &[pods("s", "e-3", 6)]]);
    for body in [&bodies[0], &bodies[1], &bodies[3]] {
        assert_eq!(server.post(body).status, 200);
    }
    assert_eq!(server.post(&batch("r-2", 0, &"f".repeat(64), &[])).status, 200);
    server.terminate();
    let output = place.run(&["verify"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "4 batches of 2 recorders checked, with 2 exchanges.\n\
        Signatures were not checked: no --public-key was given.\n\
        GAP recorder r-1, batch 1: 4 entries (900 bytes) were lost before 2026-11-23T08:00:00.003000Z: outboxFull\n\
        WRONG recorder r-1, batch 2: batch 2 is missing\n\
        WRONG recorder r-2, batch 0: it does not follow from the batch before it\n\
        2 things wrong.\n"
    );
}

fn a_key_is_never_overwritten_and_not_for_others_to_read() {
    let place = Place::new();
    keygen(&place, "keys");
    let before = std::fs::read(place.path("keys/signing-key.pem")).unwrap();
    assert_eq!(place.run(&["keygen", "--out", "keys"]).status.code(), Some(2));
    assert_eq!(std::fs::read(place.path("keys/signing-key.pem")).unwrap(), before);
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(place.path("keys/signing-key.pem")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
