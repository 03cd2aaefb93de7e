//! Exports for other programs, each read by an independent reader of its format.

use crate::support::*;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use std::process::Command;

on_each_database!(each_format_is_read_by_others, what_is_exported_depends_on_what_is_asked,);

/// What a format's reader must find: the formats, and where the reader comes from.
const READERS: [(&str, &str); 3] =
    [("har", "haralyzer"), ("ocsf", "ocsf_json_schema, jsonschema"), ("cloudevents", "cloudevents")];

/// Exchanges of every kind: refused, a write with its body, text, bytes, a long body in pieces, one that has no end.
fn recorded() -> Place {
    let place = Place::new();
    let server = place.serve(&[]);
    let secrets = json!({"apiVersion": "v1", "resource": "secrets", "namespace": "shop", "name": "db"});
    let read = with(
        exchange(
            head("s-1", "e-2", "get", "/api/v1/namespaces/shop/secrets/db", secrets.clone()),
            200,
            20,
            7,
        ),
        json!({"responseObject": {"kind": "Secret", "data": {"a": "W21hc2tlZCBieSBjaGFwZXJvbmVd"}},
               "responseDigest": {"sha256": ZEROS, "bytes": 64}, "masked": [{"path": "$.data.a", "count": 1}]}),
    );
    let refused = with(
        exchange(head("s-1", "e-3", "delete", "/api/v1/namespaces/shop/secrets/db", secrets), 403, 30, 1),
        json!({"outcome": "refused", "method": "DELETE",
               "responseStatus": {"code": 403, "reason": "Forbidden", "message": "no"},
               "decision": {"allowed": false, "rule": "access.rules[0]", "message": "no"}}),
    );
    let maps = json!({"apiVersion": "v1", "resource": "configmaps", "namespace": "shop"});
    let write = with(
        exchange(
            head("s-1", "e-4", "create", "/api/v1/namespaces/shop/configmaps?dryRun=All", maps),
            201,
            40,
            3,
        ),
        json!({"method": "POST", "requestObject": {"kind": "ConfigMap", "metadata": {"name": "new"}},
               "requestDigest": {"sha256": ZEROS, "bytes": 52}}),
    );
    let log = json!({"apiVersion": "v1", "resource": "pods", "subresource": "log", "namespace": "shop", "name": "web"});
    let text = with(
        exchange(head("s-1", "e-5", "get", "/api/v1/namespaces/shop/pods/web/log", log), 200, 50, 3),
        json!({"responseObject": {"encoding": "base64", "data": STANDARD.encode([0xff, 0x00, 0x80])}}),
    );
    let piece = |position: u64, data: &str| {
        json!({"type": "stream", "exchange": "e-1", "session": "s-1", "channel": "response", "offset": 1,
               "position": position, "data": data})
    };
    let anonymous = {
        let mut entry = exchange(head("", "e-6", "get", "/version", Value::Null), 401, 60, 1);
        let members = entry.as_object_mut().unwrap();
        members.remove("user");
        members.remove("objectRef");
        members.remove("attribution");
        entry
    };
    let asked = with(pods("s-1", "e-7", 70), json!({"type": "request"}));
    let entries = [
        pods("s-1", "e-1", 10),
        piece(6, "{}]}"),
        piece(0, "{\"x\":["),
        read,
        refused,
        write,
        text,
        anonymous,
        asked,
    ];
    for body in chain("r-1", &[&entries]) {
        assert_eq!(post(&server, &body, None).status, 200);
    }
    server.terminate();
    place
}

fn each_format_is_read_by_others() {
    let place = recorded();
    for (format, packages) in READERS {
        let able = Command::new(python()).args(["-c", &format!("import {packages}")]).output();
        if !able.is_ok_and(|output| output.status.success()) {
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "python3 with {packages} is needed");
            eprintln!("SKIPPED: no python3 with {packages}; the export as {format} was not read.");
            continue;
        }
        place.text(&["export", "--format", format, "--out", format]);
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/formats.py");
        let read = Command::new(python()).arg(script).arg(format).arg(place.path(format)).output().unwrap();
        let said = String::from_utf8_lossy(&read.stderr);
        assert!(read.status.success(), "{format}: {said}");
        assert_eq!(String::from_utf8_lossy(&read.stdout).trim(), "7", "{format}");
    }
}

fn what_is_exported_depends_on_what_is_asked() {
    let place = recorded();
    let har: Value =
        serde_json::from_str(&place.text(&["export", "--format", "har", "--session", "s-1"])).unwrap();
    let entries = har["log"]["entries"].as_array().unwrap();
    let ids: Vec<_> = entries.iter().map(|entry| entry["_chaperone"]["exchange"].as_str().unwrap()).collect();
    assert_eq!(ids, ["e-1", "e-2", "e-3", "e-4", "e-5", "e-7"]);
    for (at, pointer, expected) in [
        (0, "/response/content/text", json!("{\"x\":[{}]}")),
        (1, "/response/content/mimeType", json!("application/json")),
        (1, "/response/bodySize", json!(64)),
        (1, "/_chaperone/masked/0/path", json!("$.data.a")),
        (1, "/_chaperone/attribution/prompt/value", json!("prompt-1")),
        (2, "/response/status", json!(403)),
        (3, "/request/postData/mimeType", json!("application/json")),
        (3, "/request/queryString/0", json!({"name": "dryRun", "value": "All"})),
        (
            3,
            "/request/url",
            json!("https://kubernetes.default.svc/api/v1/namespaces/shop/configmaps?dryRun=All"),
        ),
        (4, "/response/content/encoding", json!("base64")),
        (4, "/response/content/text", json!(STANDARD.encode([0xff, 0x00, 0x80]))),
        (5, "/response/status", json!(0)),
    ] {
        assert_eq!(entries[at].pointer(pointer), Some(&expected), "{at} {pointer}");
    }
    let lines = |arguments: &[&str]| -> Vec<Value> {
        place.text(arguments).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let events = lines(&["export", "--format", "ocsf", "--session", "s-1"]);
    let refused = &events[2];
    assert_eq!(
        (&refused["activity_id"], &refused["type_uid"], &refused["status_id"]),
        (&json!(4), &json!(600_304), &json!(2))
    );
    assert_eq!(refused["actor"]["user"]["name"], "alice");
    assert_eq!(
        refused["resources"],
        json!([{"type": "secrets", "name": "db", "namespace": "shop", "uid": "/api/v1/namespaces/shop/secrets/db"}])
    );
    assert_eq!(refused["api"]["response"]["error_message"], "no");
    assert_eq!(lines(&["export", "--format", "cloudevents", "--since", &at(55)]).len(), 2);
    assert_eq!(
        lines(&["export", "--format", "ocsf", "--until", "2020-01-01T00:00:00Z"]),
        Vec::<Value>::new()
    );
    let empty = place.text(&["export", "--format", "har", "--until", "2020-01-01T00:00:00Z"]);
    let empty: Value = serde_json::from_str(&empty).unwrap();
    assert_eq!(empty["log"]["entries"], json!([]));
    let missing = place.run(&["export", "--format", "har", "--session", "nobody"]);
    assert!(!missing.status.success());
    assert!(String::from_utf8_lossy(&missing.stderr).contains("no such session: nobody"));
}
