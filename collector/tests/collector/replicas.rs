//! Several collectors on one PostgreSQL, and databases of other versions.

use crate::support::*;
use serde_json::{Value, json};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

on_each_database!(
    a_newer_database_is_refused_and_an_older_one_upgraded_first,
    what_no_index_can_hold_is_still_recorded
);

/// Batches in a recorder's chain.
const BATCHES: u64 = 60;
const RECORDERS: usize = 4;

/// Each exchange in two batches; half of them in one session of all recorders, the others in none.
fn bodies(recorder: &str) -> Vec<Vec<u8>> {
    let batches: Vec<Vec<Value>> = (0..BATCHES)
        .map(|n| {
            let entries = |number: u64| {
                let id = format!("{recorder}-{number}");
                let session = if number.is_multiple_of(2) { "shared" } else { "" };
                let object = json!({"apiVersion": "v1", "resource": "pods", "namespace": "shop"});
                let request = with(
                    head(session, &id, "create", "/api/v1/namespaces/shop/pods", object),
                    json!({"type": "request", "timing": {"received": at(number)}}),
                );
                let response = json!({"type": "response", "exchange": id, "session": session,
                    "responseStatus": {"code": 201}, "outcome": "complete", "timing": {"complete": at(number + 5)}});
                (request, response)
            };
            let answered = n.checked_sub(1).map(|before| entries(before).1);
            answered.into_iter().chain((n < BATCHES - 1).then(|| entries(n).0)).collect()
        })
        .collect();
    chain(recorder, &batches.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// Two replicas, batches in any order to either; one is killed in the middle. What was acknowledged is there once, and
/// every exchange whose halves went through different replicas is whole.
#[test]
fn a_replica_dies_and_nothing_is_lost() {
    on(Kind::Postgres, || {
        let place = Place::new();
        let replicas = [place.serve(&[]), place.serve(&[])];
        let (victim, survivor) = (replicas[0].id(), &replicas[1]);
        let chains: Vec<Vec<Vec<u8>>> = (0..RECORDERS).map(|n| bodies(&format!("r-{n}"))).collect();
        let all: Vec<&Vec<u8>> = chains.iter().flatten().collect();
        let (next, acknowledged) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            for poster in 0..6 {
                let (next, acknowledged, all, replicas) = (&next, &acknowledged, &all, &replicas);
                scope.spawn(move || {
                    loop {
                        let turn = next.fetch_add(1, Ordering::Relaxed);
                        if turn >= all.len() {
                            return;
                        }
                        // 7 and 240 have no common divisor: every batch once, neighbours far apart.
                        let body = all[turn * 7 % all.len()];
                        let mut replica = (turn + poster) % 2;
                        while replicas[replica].try_post(body).is_none_or(|answer| answer.status != 200) {
                            replica = 1 - replica;
                        }
                        let mut acknowledged = acknowledged.lock().unwrap();
                        acknowledged.push(body);
                        if acknowledged.len() == all.len() / 2 {
                            let killed = std::process::Command::new("kill")
                                .args(["-KILL", &victim.to_string()])
                                .status();
                            assert!(killed.unwrap().success());
                        }
                    }
                });
            }
        });
        assert!(replicas[0].try_post(all[0]).is_none(), "the victim is dead");
        let acknowledged = acknowledged.into_inner().unwrap();
        assert_eq!(acknowledged.len(), all.len());
        let before = survivor.metric("chaperone_collector_retries_total");
        for body in &acknowledged {
            assert_eq!(survivor.post(body).status, 200);
        }
        assert_eq!(
            survivor.metric("chaperone_collector_retries_total") - before,
            all.len() as f64,
            "each was there"
        );

        let exchanges = RECORDERS as u64 * (BATCHES - 1);
        let sessions = survivor.get("/v1/sessions").json()["sessions"].as_array().unwrap().clone();
        assert_eq!(sessions.len(), 2, "one by name, and one made up: {sessions:#?}");
        let requests: u64 = sessions.iter().map(|session| session["requests"].as_u64().unwrap()).sum();
        assert_eq!(requests, exchanges);
        assert!(sessions.iter().all(|session| session["incomplete"] == 0), "{sessions:#?}");
        assert!(sessions.iter().all(|session| session["writes"] == session["requests"]), "{sessions:#?}");
        let report = place.json(&["verify", "--chains-only", "-o", "json"]);
        assert_eq!(
            (&report["batches"], &report["exchanges"], &report["problems"], &report["incomplete"]),
            (&json!(all.len()), &json!(exchanges), &json!([]), &json!([]))
        );
    });
}

/// A version of this program that is not this one's.
fn a_newer_database_is_refused_and_an_older_one_upgraded_first() {
    let place = Place::new();
    place.serve(&[]).terminate();
    let versions = "(version, description, success, checksum, execution_time)";
    let checksum = if place.is_file() { "X'00'" } else { "'\\x00'" };
    place.sql(&format!("INSERT INTO _sqlx_migrations {versions} VALUES (99, 'later', true, {checksum}, 0)"));
    for arguments in [&["sessions"][..], &["serve", "--listen", "127.0.0.1:0"]] {
        let output = place.run_with(arguments, &[("CHAPERONE_COLLECTOR_TOKEN", INGEST)]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains("a newer version of chaperone made this database"), "{arguments:?}: {said}");
    }
    place.sql("DELETE FROM _sqlx_migrations WHERE version <> 1");
    let said = place.run(&["sessions"]).stderr;
    assert!(String::from_utf8_lossy(&said).contains("an older version of chaperone made this database"));
}

/// NUL, which no database's text holds, and names longer than its indexes take: an agent can send both.
fn what_no_index_can_hold_is_still_recorded() {
    let place = Place::new();
    let server = place.serve(&[]);
    let random: String =
        (0..400).map(|n| chaperone::evidence::sha256_hex(format!("{n}").as_bytes())).collect();
    let attributed = json!({"value": random, "source": "header:x", "verified": false});
    let object = json!({"apiVersion": "v1", "resource": random, "namespace": "n\0s", "name": random});
    let session = format!("s\0{random}");
    let mut entry = pods(&session, &format!("e\0{random}"), 0);
    entry["objectRef"] = object;
    entry["user"] = json!({"username": random, "groups": [random, "g\0"], "issuer": random});
    entry["attribution"] = json!({"agent": attributed, "model": attributed, "prompt": attributed});
    entry["requestObject"] = json!({"metadata": {"name": "a\0b"}, "data": "x\0y"});
    let gap = json!({"type": "gap", "time": at(3), "entries": 4, "bytes": 900, "reason": "out\0Full"});
    let unnamed = with(entry.clone(), json!({"session": "", "exchange": "e-2"}));
    let answer = server.post(&batch("r-1", 0, ZEROS, &[entry, gap, unnamed]));
    assert_eq!(answer.status, 200, "{answer:?}");
    let sessions = server.get("/v1/sessions").json();
    assert_eq!(sessions["sessions"].as_array().unwrap().len(), 2);
    let report = place.json(&["verify", "--chains-only", "-o", "json"]);
    assert_eq!(report["problems"], json!([]));
}

/// A PostgreSQL that goes away and comes back: nothing is acknowledged meanwhile, everything goes on afterwards.
#[test]
fn a_database_that_goes_away_is_waited_for() {
    on(Kind::Postgres, || {
        let place = Place::new();
        let server = place.serve(&[]);
        let bodies = chain("r-1", &[&[pods("s", "e-1", 0)], &[pods("s", "e-2", 5)]]);
        assert_eq!(server.post(&bodies[0]).status, 200);
        place.disconnect(false);
        for _ in 0..2 {
            let answer = server.post(&bodies[1]);
            assert_eq!((answer.status, &answer.json()["code"]), (503, &json!("unavailable")));
        }
        assert_eq!(server.get_with("/readyz", None).status, 503);
        assert_eq!(server.get_with("/healthz", None).status, 200);
        place.disconnect(true);
        let status = |_| server.post(&bodies[1]).status;
        assert!((0..5).map(status).any(|status| status == 200));
        assert_eq!(server.get_with("/readyz", None).status, 200);
        assert_eq!(place.json(&["verify", "--chains-only", "-o", "json"])["batches"], 2);
    });
}
