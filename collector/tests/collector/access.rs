//! Tokens, their roles, and the log of who read what.

use crate::support::*;
use serde_json::{Value, json};

on_each_database!(
    a_token_does_what_its_role_is_for,
    a_token_ends_when_it_expires_or_is_revoked,
    every_reading_is_in_the_access_log,
);

fn create(place: &Place, role: &str, name: &str) -> String {
    place.text(&["token", "create", "--role", role, "--name", name]).trim().to_owned()
}

fn a_token_does_what_its_role_is_for() {
    let place = Place::new();
    // Without any configured token, and made while the server runs as well as before.
    let ingest = create(&place, "ingest", "gateway-1");
    let server = place.serve_without_tokens();
    let (auditor, admin) = (create(&place, "auditor", "alice"), create(&place, "admin", "root"));
    let body = batch("r-1", 0, ZEROS, &[pods("s", "e-1", 0)]);
    for (token, posts, reads, administers) in
        [(&ingest, 200, 401, 401), (&auditor, 401, 200, 401), (&admin, 401, 200, 200)]
    {
        let bearer = format!("Bearer {token}");
        assert_eq!(server.post_with(&body, &[("authorization", &bearer)]).status, posts);
        for path in [
            "/v1/sessions",
            "/v1/sessions/s",
            "/v1/exchanges",
            "/v1/exchanges/e-1",
            "/v1/search?q=pods",
            "/v1/recorders",
        ] {
            assert_eq!(server.get_with(path, Some(token)).status, reads, "{path}");
        }
        for path in ["/v1/access-log", "/v1/tokens"] {
            let answer = server.get_with(path, Some(token));
            assert_eq!(answer.status, administers, "{path}");
            assert!(!answer.body.contains("chaperone_"), "no token's text: {answer:?}");
        }
    }
    let almost = format!("{}A", &auditor[..auditor.len() - 1]);
    for wrong in [
        INGEST,
        AUDITOR,
        "chaperone_",
        &auditor[..20],
        &almost.replace("chaperone_", "Chaperone_"),
        &format!("{auditor}="),
    ] {
        let answer = server.get_with("/v1/sessions", Some(wrong));
        assert_eq!((answer.status, &answer.json()["code"]), (401, &json!("unauthorized")), "{wrong}");
        assert_eq!(answer.headers["content-type"], "application/problem+json");
    }
    // Only digests are kept.
    let list = place.text(&["token", "list", "-o", "json"]);
    assert!(
        [&ingest, &auditor, &admin].iter().all(|token| token.len() == 53 && !list.contains(token.as_str()))
    );
    if place.is_file() {
        server.terminate();
        let bytes = std::fs::read(place.database()).unwrap();
        assert!(!bytes.windows(auditor.len()).any(|window| window == auditor.as_bytes()));
    }
}

fn a_token_ends_when_it_expires_or_is_revoked() {
    let place = Place::new();
    let server = place.serve(&[]);
    let (alice, bob) = (create(&place, "auditor", "alice"), create(&place, "auditor", "bob"));
    let short = place.text(&["token", "create", "--role", "auditor", "--name", "carol", "--expires", "0s"]);
    assert_eq!(server.get_with("/v1/sessions", Some(short.trim())).status, 401, "expired");
    let tokens = place.json(&["token", "list", "-o", "json"]);
    let id = tokens.as_array().unwrap().iter().find(|token| token["name"] == "alice").unwrap()["id"].clone();
    assert_eq!(server.get_with("/v1/sessions", Some(&alice)).status, 200);
    place.text(&["token", "revoke", id.as_str().unwrap()]);
    assert_eq!(server.get_with("/v1/sessions", Some(&alice)).status, 401, "at once");
    assert_eq!(server.get_with("/v1/sessions", Some(&bob)).status, 200);
    assert_eq!(server.get("/v1/sessions").status, 200, "the configured token goes on working");
    assert_eq!(place.run(&["token", "revoke", id.as_str().unwrap()]).status.code(), Some(2));
    let list = place.text(&["token", "list"]);
    for state in ["revoked 20", "expired 20", "  good"] {
        assert!(list.contains(state), "{state}: {list}");
    }
    for bad in [&["--name", ""][..], &["--name", "a\nb"], &["--name", "x", "--expires", "soon"]] {
        let output = place.run(&[&["token", "create", "--role", "admin"], bad].concat());
        assert_eq!(output.status.code(), Some(2), "{bad:?}");
    }
}

fn every_reading_is_in_the_access_log() {
    let place = Place::new();
    let server = place.serve(&[]);
    assert_eq!(server.post(&batch("r-1", 0, ZEROS, &[pods("s", "e-1", 0)])).status, 200);
    let admin = create(&place, "admin", "root");
    server.get("/v1/sessions?user=alice");
    server.get_with("/v1/exchanges/e-1", Some(&admin));
    server.get_with("/v1/exchanges/nothing", Some(&admin));
    server.get_with("/v1/sessions", Some("wrong-token-0123456789"));
    let log = server.get_with("/v1/access-log", Some(&admin)).json();
    let told: Vec<String> = log["accesses"]
        .as_array()
        .unwrap()
        .iter()
        .map(|access| {
            [&access["name"], &access["request"]].map(|v: &Value| v.as_str().unwrap().to_owned()).join(": ")
        })
        .collect();
    assert_eq!(
        told,
        [
            "root: GET /v1/access-log",
            "root: GET /v1/exchanges/nothing",
            "root: GET /v1/exchanges/e-1",
            "configured: GET /v1/sessions?user=alice"
        ]
    );
    let first = server.get_with("/v1/access-log?limit=2", Some(&admin)).json();
    let next = first["next"].as_str().unwrap();
    let second = server.get_with(&format!("/v1/access-log?limit=100&after={next}"), Some(&admin)).json();
    assert_eq!(second["accesses"].as_array().unwrap().len(), 3, "{second}");
    let text = place.text(&["access-log", "--since", "1h"]);
    assert!(text.contains("GET /v1/exchanges/e-1") && text.lines().count() > 5, "{text}");
}
