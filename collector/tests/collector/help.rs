//! What the help says works: every example in it is run.

use crate::support::*;
use serde_json::json;
use std::process::{Command, Stdio};

const EXCHANGE: &str = "0199f0a2-7e3b-7c11-8d52-000000000001";

/// Every command and the exit status of each of its examples.
const COMMANDS: [(&str, &[i32]); 18] = [
    ("sessions", &[0, 0]),
    ("search", &[0, 0, 0]),
    ("show", &[0, 0]),
    ("replay", &[0, 0]),
    // It needs a terminal.
    ("tui", &[2, 2]),
    ("recorders", &[0]),
    ("verify", &[0, 0, 0]),
    ("checkpoint", &[0]),
    ("export", &[0, 0, 0, 0]),
    ("access-log", &[0]),
    ("prune", &[0, 0]),
    ("hold", &[0, 0]),
    ("completions", &[0, 0, 0]),
    ("keygen", &[0, 0]),
    ("token", &[0, 0]),
    ("token create", &[0, 0, 0]),
    ("reconcile", &[1]),
    ("config", &[0, 0]),
];

#[test]
fn every_example_of_the_help_works() {
    for (command, statuses) in COMMANDS {
        let place = prepared();
        if command == "export" {
            // What is there is never overwritten.
            std::fs::remove_file(place.path("incident.jsonl")).unwrap();
        }
        let server = place.serve(&[]);
        let help = place.text(&[command.split(' ').collect::<Vec<_>>(), vec!["--help"]].concat());
        let examples: Vec<&str> = help
            .split_once("Example")
            .unwrap_or_else(|| panic!("{command} has no example"))
            .1
            .lines()
            .filter_map(|line| line.trim().strip_prefix("chaperone "))
            // These go on until Ctrl-C.
            .filter(|example| !["--follow", "--serve "].iter().any(|endless| example.contains(endless)))
            .collect();
        assert_eq!(examples.len(), statuses.len(), "{command}: {examples:?}");
        for (example, status) in examples.iter().zip(statuses) {
            // Names of the place instead of those that stand for anybody's.
            let example = example
                .replace("https://collector.example.com", &server.base)
                .replace("less -R", "cat")
                .replace("/var/log/kubernetes/audit.log", "audit.log");
            let ran = Command::new("sh")
                .args(["-c", &format!("\"$PROGRAM\" {example}")])
                .env_clear()
                .env("PATH", std::env::var("PATH").unwrap())
                .env("PROGRAM", env!("CARGO_BIN_EXE_chaperone"))
                .current_dir(place.folder.path())
                .env("CHAPERONE_DATABASE", "records.db")
                .stdin(Stdio::null())
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&ran.stderr);
            assert_eq!(ran.status.code(), Some(*status), "chaperone {example}: {said}");
        }
    }
}

/// A folder with everything that examples name.
fn prepared() -> Place {
    let place = Place::new();
    let (key, kid) = keygen(&place, "keys");
    place.text(&["keygen", "--out", "pruning"]);
    std::fs::copy(place.path("keys/public-keys.json"), place.path("public-keys.json")).unwrap();
    std::fs::write(place.path("token"), AUDITOR).unwrap();
    let audit = json!({"kind": "Event", "apiVersion": "audit.k8s.io/v1", "stage": "ResponseComplete", "auditID": "a-1",
        "verb": "get", "requestURI": "/api/v1/pods",
        "user": {"username": "system:serviceaccount:chaperone:gateway"}});
    std::fs::write(place.path("audit.log"), format!("{audit}\n")).unwrap();
    let configuration = json!({
        "apiVersion": "chaperone.dev/v1alpha1", "kind": "FilterConfig",
        "authentication": {"jwt": [{"issuer": {"url": "https://idp.example.com", "audiences": ["k"], "cluster": "idp"}}]},
        "credential": {"bearerToken": {"env": "TOKEN"}},
        "recording": {"collector": {"cluster": "collector", "token": {"env": "TOKEN"}}, "signingKey": {"env": "KEY"}},
    });
    std::fs::write(place.path("filter.yaml"), configuration.to_string()).unwrap();
    let plugin = json!({"kind": "WasmPlugin", "spec": {"pluginConfig": configuration}});
    std::fs::write(place.path("wasmplugin.yaml"), plugin.to_string()).unwrap();
    let server = place.serve(&[]);
    for body in chain("r-1", &[&[pods("7d9c", EXCHANGE, 0)]]) {
        assert_eq!(post(&server, &body, Some(&sign(&key, &kid, &body))).status, 200);
    }
    server.terminate();
    std::fs::write(place.path("monday.json"), place.text(&["checkpoint"])).unwrap();
    std::fs::write(place.path("incident.jsonl"), place.text(&["export"])).unwrap();
    place
}
