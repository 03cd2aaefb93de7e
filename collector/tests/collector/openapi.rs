//! Every route answers as `/v1/openapi.json` says: schemathesis asks them all, with what is meant and what is not.

use crate::support::*;
use serde_json::json;
use std::path::Path;
use std::process::{Command, Output};

on_each_database!(every_route_answers_as_the_document_says);

fn every_route_answers_as_the_document_says() {
    let place = Place::new();
    let server = place.serve(&[]);
    let document = server.get_with("/v1/openapi.json", None);
    assert_eq!((document.status, &document.json()["openapi"]), (200, &json!("3.1.0")));
    for path in document.json()["paths"].as_object().unwrap().keys() {
        let path = path.replace(['{', '}'], "");
        assert_ne!(server.get_with(&path, None).status, 404, "{path}");
    }
    let python = concat!(env!("CARGO_MANIFEST_DIR"), "/../.venv/bin/python3");
    let python = if Path::new(python).exists() { python } else { "python3" };
    let able = Command::new(python).args(["-c", "import schemathesis"]).output();
    if !able.is_ok_and(|output| output.status.success()) {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "python3 with schemathesis is needed");
        return eprintln!(
            "SKIPPED: no python3 with schemathesis; the API was not held against its document."
        );
    }
    let lost = json!({"type": "response", "exchange": "e-2", "session": "7d9c",
        "responseStatus": {"code": 200}, "outcome": "complete", "timing": {"complete": at(5)}});
    let gap = json!({"type": "gap", "time": at(6), "entries": 1, "bytes": 2, "reason": "outboxFull"});
    let refused = with(
        pods("7d9c", "e-3", 7),
        json!({"outcome": "refused", "decision": {"allowed": false, "rule": "r", "message": "no"},
            "masked": [{"path": "$.data.a", "count": 1}]}),
    );
    for body in
        chain("r-1", &[&[pods("7d9c", "0199f0a2-7e3b-7c11-8d52-000000000001", 0), lost, gap, refused]])
    {
        assert_eq!(server.post(&body).status, 200);
    }
    let admin = place.text(&["token", "create", "--role", "admin", "--name", "root"]);
    // Long answers of the server's own end: a tail has none.
    for (token, only) in
        [(admin.trim(), ["--exclude-path", "/v1/tail"]), (INGEST, ["--include-path", "/v1/records"])]
    {
        let ask = |seed: &str| {
            Command::new(python)
            .args(["-m", "schemathesis.cli", "run", "--no-color", "--max-examples", "20", "--workers", "1"])
            .args(["--seed", seed])
            .args(["--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"])
            .args(["--phases", "examples,coverage,fuzzing", "--mode", "all", "--request-timeout", "30"])
            .args(["--header", &format!("Authorization: Bearer {token}")])
            .args(only)
            .arg(format!("{}/v1/openapi.json", server.base))
            .current_dir(place.folder.path())
            .output()
            .unwrap()
        };
        // Python 3.11 now and then fails by itself while it makes requests up; that says nothing of the collector.
        let own = |asked: &Output| {
            !asked.status.success()
                && String::from_utf8_lossy(&asked.stdout).contains("SystemError: AST constructor")
        };
        let asked = ["1", "2", "3"].into_iter().map(ask).find(|asked| !own(asked)).expect("an answer");
        let said = String::from_utf8_lossy(&asked.stdout).replace(token, "…");
        assert!(asked.status.success(), "{said}\n{}", String::from_utf8_lossy(&asked.stderr));
    }
    // What is listed and what is shown is as it is described, whatever was asked above.
    for path in ["/v1/exchanges", "/v1/sessions/7d9c", "/v1/exchanges/e-2", "/v1/recorders"] {
        assert_eq!(server.get(path).status, 200, "{path}");
    }
}
