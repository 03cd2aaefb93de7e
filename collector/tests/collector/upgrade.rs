//! A database that an older version of this program made: `schema-1.sqlite`, by its first schema.

use crate::support::*;
use serde_json::json;
use std::fs;

on_each_database!(
    tokens_of_an_older_database_go_on_working,
    what_an_older_database_has_is_found_by_new_indexes
);

#[test]
fn an_old_database_is_brought_up_to_date_and_verifies() {
    let place = Place::new();
    fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/collector/schema-1.sqlite"), place.database())
        .unwrap();
    let said = place.run(&["sessions"]).stderr;
    assert!(String::from_utf8_lossy(&said).contains("an older version of chaperone made this database"));
    let server = place.serve(&[]);
    let report = place.json(&["verify", "--chains-only", "-o", "json"]);
    assert_eq!(
        (&report["batches"], &report["exchanges"], &report["problems"]),
        (&json!(3), &json!(3), &json!([]))
    );
    // What is filtered by is made from what was there.
    for (query, count) in
        [("group=devs", 3), ("decision=refused", 1), ("unverified=true", 3), ("resource=pods&verb=list", 2)]
    {
        let list = server.get(&format!("/v1/exchanges?{query}")).json();
        assert_eq!(list["exchanges"].as_array().unwrap().len(), count, "{query}");
    }
    // The session goes on.
    assert_eq!(server.post(&batch("r-2", 0, ZEROS, &[pods("s-1", "e-4", 0)])).status, 200);
    assert_eq!(server.get("/v1/sessions/s-1").json()["requests"], 3);
    assert_eq!(place.json(&["verify", "--chains-only", "-o", "json"])["problems"], json!([]));
}

/// Before tokens were bound to recorders.
fn tokens_of_an_older_database_go_on_working() {
    let place = Place::new();
    let [ingest, admin] = ["ingest", "admin"].map(|role| crate::login::create(&place, role, role));
    place.serve_without_tokens().terminate();
    place.sql(
        "ALTER TABLE tokens DROP COLUMN recorder; ALTER TABLE access_log DROP COLUMN refused; \
        INSERT INTO access_log (time, id, name, token, role, request) VALUES (1, 'a', 'alice', NULL, 'auditor', 'GET /'); \
        DELETE FROM _sqlx_migrations WHERE version = 11",
    );
    let server = place.serve_without_tokens();
    for recorder in ["r-1", "r-2"] {
        let bearer = format!("Bearer {ingest}");
        let posted = server.post_with(&batch(recorder, 0, ZEROS, &[]), &[("authorization", &bearer)]);
        assert_eq!(posted.status, 200, "{recorder}: {posted:?}");
    }
    let log = server.get_with("/v1/access-log", Some(&admin)).json();
    assert_eq!(log["accesses"][1]["name"], "alice");
    assert_eq!(log["accesses"][1].get("refused"), None);
}

/// Before namespaces stood with sessions.
fn what_an_older_database_has_is_found_by_new_indexes() {
    let place = Place::new();
    let server = place.serve(&[]);
    assert_eq!(
        server.post(&batch("r-1", 0, ZEROS, &[pods("s-1", "e-1", 0), pods("s-1", "e-2", 1)])).status,
        200
    );
    let session = server.get("/v1/sessions/s-1").json();
    server.terminate();
    place.sql(
        "DROP INDEX exchanges_by_model; DROP INDEX exchanges_by_agent; DROP INDEX entries_in_parts; \
        CREATE INDEX exchanges_by_prompt ON exchanges (prompt) WHERE prompt IS NOT NULL; \
        DELETE FROM session_values WHERE kind = 'namespace'; DELETE FROM _sqlx_migrations WHERE version = 12",
    );
    let server = place.serve(&[]);
    assert_eq!(server.get("/v1/sessions/s-1").json(), session);
    for (query, count) in [("namespace=shop", 1), ("namespace=other", 0), ("prompt=prompt-1", 1)] {
        let list = server.get(&format!("/v1/sessions?{query}")).json();
        assert_eq!(list["sessions"].as_array().unwrap().len(), count, "{query}");
    }
    for (query, count) in [("model=model-7", 2), ("agent=claude-code", 2), ("prompt=prompt-1", 2)] {
        let list = server.get(&format!("/v1/exchanges?{query}")).json();
        assert_eq!(list["exchanges"].as_array().unwrap().len(), count, "{query}");
    }
}
