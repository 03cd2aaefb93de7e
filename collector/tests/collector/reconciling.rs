//! `reconcile`: an audit log against the records.

use crate::support::*;
use serde_json::{Value, json};
use std::fs;

on_each_database!(what_went_around_and_what_was_never_logged,);

fn event(id: &str, user: &str, verb: &str, uri: &str, millis: u64, stage: &str) -> String {
    json!({"kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "auditID": id, "stage": stage,
           "requestURI": uri, "verb": verb, "user": {"username": user, "groups": []}, "sourceIPs": ["192.0.2.9"],
           "userAgent": "curl/8", "requestReceivedTimestamp": at(millis), "stageTimestamp": at(millis)})
    .to_string()
}

fn what_went_around_and_what_was_never_logged() {
    const GATEWAY: &str = "system:serviceaccount:chaperone:gateway";
    const PODS: &str = "/api/v1/namespaces/shop/pods";
    let place = Place::new();
    let server = place.serve(&[]);
    let forwarded = |id: &str, started: u64| {
        let timing =
            json!({"received": at(started), "forwarded": at(started + 1), "complete": at(started + 5)});
        with(pods("s-1", id, started), json!({"timing": timing}))
    };
    let refused = with(pods("s-1", "e-3", 30), json!({"outcome": "refused"}));
    // Forwarded after the log's last moment: the next file may have it.
    let entries = [forwarded("e-1", 10), forwarded("e-2", 20), refused, forwarded("e-4", 5000)];
    for body in chain("r-1", &[&entries]) {
        assert_eq!(post(&server, &body, None).status, 200);
    }
    server.terminate();
    let lines = [
        event("e-1", GATEWAY, "list", PODS, 11, "RequestReceived"),
        event("e-1", GATEWAY, "list", PODS, 11, "ResponseComplete"),
        event("x-1", GATEWAY, "delete", "/api/v1/namespaces/shop\u{1b}[2J", 25, "ResponseComplete"),
        event("x-2", "system:kube-scheduler", "list", PODS, 26, "ResponseComplete"),
        event("x-3", GATEWAY, "get", PODS, 24, "ResponseComplete"),
        event("x-4", "system:apiserver", "get", PODS, 1000, "ResponseComplete"),
        String::new(),
    ];
    fs::write(place.path("audit.log"), lines.join("\n")).unwrap();

    let run = |arguments: &[&str]| {
        let output = place.run(&[&["reconcile", "audit.log"], arguments].concat());
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, text) = run(&["--user", GATEWAY]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("3 requests in the audit log") && text.contains("1 in the records"), "{text}");
    assert!(text.contains("2 requests around the gateway:") && !text.contains('\u{1b}'), "{text}");
    assert!(text.contains("1 request forwarded and not in the audit log:") && text.contains("e-2"), "{text}");
    let (_, json) = run(&["--user", GATEWAY, "-o", "json"]);
    let found: Value = serde_json::from_str(&json).unwrap();
    let ids = |list: &str, id: &str| -> Vec<String> {
        let list = found[list].as_array().unwrap().iter();
        list.map(|one| one[id].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids("around", "auditID"), ["x-3", "x-1"]);
    assert_eq!(ids("unlogged", "exchange"), ["e-2"]);
    let (_, json) = run(&["-o", "json"]);
    let everybody: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(everybody["around"].as_array().unwrap().len(), 4);

    // Both tell of the same; and what is no audit event is not passed over.
    let same = [
        event("e-1", GATEWAY, "list", PODS, 11, "ResponseComplete"),
        event("e-2", GATEWAY, "list", PODS, 21, "Panic"),
    ];
    fs::write(place.path("audit.log"), same.join("\n")).unwrap();
    let (code, text) = run(&[]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("Both tell of the same requests."), "{text}");
    fs::write(place.path("audit.log"), format!("{}\n{{}}\nnonsense\n", same.join("\n"))).unwrap();
    let (code, text) = run(&[]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("2 lines are no audit event"), "{text}");
    fs::remove_file(place.path("audit.log")).unwrap();
    assert_eq!(run(&[]).0, Some(2));
}
