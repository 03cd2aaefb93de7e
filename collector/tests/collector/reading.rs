//! What auditors see: the read API, and sessions, show and replay on the command line.

use crate::support::*;
use serde_json::{Value, json};

on_each_database!(
    a_replay_reads_like_what_happened,
    bodies_are_printed_with_masked_fields_marked,
    sessions_are_listed_for_people_and_for_scripts,
    hostile_records_are_inert,
    requests_without_a_session_are_gathered_by_user_and_time,
    nothing_is_readable_without_an_auditors_token,
    long_lists_come_in_pages,
    the_command_line_reads_while_the_server_writes,
);

/// A session as an agent's kubectl makes one: discovery, reads, a masked Secret, a write, a refusal, an exec.
fn agent_session(session: &str) -> Vec<Value> {
    let discovery = |id: &str, path: &str, started| {
        exchange(head(session, id, "get", path, Value::Null), 200, started, 2)
    };
    let secret = with(
        exchange(
            head(
                session,
                "e-3",
                "get",
                "/api/v1/namespaces/shop/secrets/db",
                json!({"resource": "secrets", "apiVersion": "v1", "namespace": "shop", "name": "db"}),
            ),
            200,
            1250,
            9,
        ),
        json!({"masked": [{"path": "$.data.password", "count": 1}, {"path": "$.data['tls.key']", "count": 1}],
            "responseObject": {"kind": "Secret", "data": {"password": "W21hc2tlZCBieSBjaGFwZXJvbmVd", "tls.key": "W21hc2tlZF0="},
                "metadata": {"name": "db"}}}),
    );
    let config = json!({"resource": "configmaps", "apiVersion": "v1", "namespace": "shop"});
    let create = with(
        head(
            session,
            "e-4",
            "create",
            "/api/v1/namespaces/shop/configmaps?fieldManager=kubectl-create",
            config,
        ),
        json!({"type": "request", "method": "POST", "timing": {"received": at(2000)}}),
    );
    let create_body = json!({"type": "request", "exchange": "e-4", "session": session, "timing": {"forwarded": at(2004)},
        "requestObject": {"kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"colour": "blue"}},
        "requestDigest": {"sha256": ZEROS, "bytes": 80}});
    let created = json!({"type": "response", "exchange": "e-4", "session": session, "responseStatus": {"code": 201},
        "outcome": "complete", "timing": {"complete": at(2031)}});
    let delete = with(
        head(
            session,
            "e-5",
            "delete",
            "/api/v1/namespaces/payments",
            json!({"resource": "namespaces", "apiVersion": "v1", "namespace": "payments", "name": "payments"}),
        ),
        json!({"type": "exchange", "method": "DELETE", "responseStatus": {"code": 403, "reason": "Forbidden"}, "outcome": "refused",
            "decision": {"allowed": false, "rule": "access.rules[0]", "message": "agents may not delete namespaces"},
            "attribution": {"prompt": {"value": "prompt-2", "source": "header:x-agent-prompt-id", "verified": false}},
            "timing": {"received": at(65_000), "complete": at(65_001)}}),
    );
    let exec = with(
        head(
            session,
            "e-6",
            "create",
            "/api/v1/namespaces/shop/pods/web/exec?command=id&stdout=true",
            json!({"resource": "pods", "subresource": "exec", "apiVersion": "v1", "namespace": "shop", "name": "web"}),
        ),
        json!({"type": "request", "method": "POST", "timing": {"received": at(66_000)}}),
    );
    let output = json!({"type": "stream", "exchange": "e-6", "session": session, "channel": "stdout", "offset": 1000,
        "position": 0, "data": "uid=0(root)\n"});
    vec![
        discovery("e-0", "/api?timeout=32s", 0),
        discovery("e-1", "/apis?timeout=32s", 5),
        pods(session, "e-2", 1000),
        secret,
        create,
        create_body,
        created,
        delete,
        exec,
        output,
    ]
}

fn place_with(entries: &[Value]) -> Place {
    let place = Place::new();
    let server = place.serve(&[]);
    let answer = server.post(&batch("r-1", 0, ZEROS, entries));
    assert_eq!(answer.status, 200, "{answer:?}");
    server.terminate();
    place
}

fn a_replay_reads_like_what_happened() {
    let place = place_with(&agent_session("s-1"));
    assert_eq!(
        place.text(&["replay", "s-1"]),
        "\
Session s-1
  user      alice (groups agents, devs) at https://idp.example.com
  agent     claude-code (verified, claim:act.sub)
  model     model-7 (asserted, header:x-agent-model)
  started   2026-11-23 08:00:00 UTC, took 1 min 6 s
  counts    7 requests, 2 writes, 1 refused, 2 values masked, 1 incomplete
  evidence  no signature was checked on arrival
  +00:00.000  2 discovery requests

Prompt prompt-1 (verified, claim:prompt_sha256)
  +00:01.000  listed pods in shop                               200     12 ms  buffered
  +00:01.250  read Secret db in shop                            200      9 ms  buffered   2 values masked: $.data.password, $.data['tls.key']
  +00:02.000  created ConfigMap settings in shop                201     31 ms  confirmed

Prompt prompt-2 (asserted, header:x-agent-prompt-id)
  +01:05.000  REFUSED delete namespace payments                 403      1 ms  buffered   agents may not delete namespaces (access.rules[0])

Prompt prompt-1 (verified, claim:prompt_sha256)
  +01:06.000  ran `id` in pod web in shop                         -         -  confirmed  INCOMPLETE: its end is not in the records; 1 piece recorded
"
    );
    let all = place.text(&["replay", "s-1", "--all"]);
    assert!(all.contains("GET /apis?timeout=32s") && !all.contains("discovery requests"), "{all}");
}

fn bodies_are_printed_with_masked_fields_marked() {
    let place = place_with(&agent_session("s-1"));
    let text = place.text(&["replay", "s-1", "--bodies"]);
    for expected in [
        "            \"password\": \"W21hc2tlZCBieSBjaGFwZXJvbmVd\", ← masked\n",
        "            \"tls.key\": \"W21hc2tlZF0=\" ← masked\n",
        "      request body, 80 bytes\n        {\n",
        "            \"colour\": \"blue\"\n",
        "      stdout stream, 12 bytes\n        uid=0(root)\n",
    ] {
        assert!(text.contains(expected), "{expected:?} in {text}");
    }
    assert_eq!(text.matches("← masked").count(), 2, "{text}");
    let shown = place.text(&["show", "e-3"]);
    assert!(shown.starts_with("read Secret db in shop\n  exchange    e-3\n  session     s-1\n"), "{shown}");
    assert!(
        shown.contains("recorded    exchange: recorder r-1, batch 0, entry 3; signature not checked"),
        "{shown}"
    );
    assert!(shown.contains("\"password\": \"W21hc2tlZCBieSBjaGFwZXJvbmVd\", ← masked"), "{shown}");
}

fn sessions_are_listed_for_people_and_for_scripts() {
    let place = place_with(&[agent_session("s-1"), vec![pods("s-2", "f-1", 120_000)]].concat());
    let text = place.text(&["sessions"]);
    let lines: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split("  ").map(str::trim).filter(|w| !w.is_empty()).collect())
        .collect();
    assert_eq!(lines[0][..4], ["SESSION", "STARTED", "DURATION", "USER"], "{text}");
    assert_eq!(
        lines[1][..4],
        ["s-2", "2026-11-23 08:02:00 UTC", "12 ms", "alice"],
        "the newest first: {text}"
    );
    assert_eq!(
        lines[2],
        [
            "s-1",
            "2026-11-23 08:00:00 UTC",
            "1 min 6 s",
            "alice",
            "claude-code",
            "model-7",
            "2",
            "7",
            "2",
            "1",
            "2",
            "1"
        ],
        "{text}"
    );
    let list = place.json(&["sessions", "-o", "json", "--limit", "1"]);
    assert_eq!(list["sessions"][0]["session"], "s-2");
    let replay = place.json(&["replay", "s-1", "-o", "json", "--bodies"]);
    assert_eq!(replay["exchanges"].as_array().unwrap().len(), 7);
    assert_eq!(replay["exchanges"][3]["entries"][0]["entry"]["responseObject"]["kind"], "Secret");
    for missing in [&["replay", "nowhere"][..], &["show", "nothing"]] {
        let output = place.run(missing);
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains("no such"));
    }
}

/// Every text of a record is hostile: nothing of it reaches the terminal as anything but visible characters.
fn hostile_records_are_inert() {
    let evil = "\u{1b}[2J\u{1b}]0;pwn\u{7}\u{9b}31m\r\n\u{202e}gnp\u{200b}\u{feff}\u{2028}\u{e0041}";
    let attributed = json!({"value": evil, "source": evil, "verified": false});
    let entry = json!({
        "type": "exchange", "exchange": "e-1", "session": evil, "method": evil, "requestURI": format!("/x?command={evil}"), "verb": evil,
        "objectRef": {"apiGroup": evil, "resource": evil, "subresource": evil, "namespace": evil, "name": evil},
        "user": {"username": evil, "groups": [evil], "issuer": evil}, "sourceIPs": [evil], "userAgent": evil,
        "attribution": {"agent": attributed, "model": attributed, "prompt": attributed},
        "decision": {"allowed": false, "rule": evil, "message": evil},
        "requestObject": {evil: evil}, "responseObject": {"encoding": "utf-8", "data": evil},
        "responseStatus": {"code": 200, "reason": evil, "message": evil}, "masked": [{"path": evil, "count": 1}],
        "outcome": "cut", "reason": evil, "timing": {"received": at(0)},
    });
    let stream = json!({"type": "stream", "exchange": "e-1", "channel": "stdout", "offset": 0, "position": 0, "data": evil});
    let gap = json!({"type": "gap", "time": at(0), "entries": 1, "bytes": 1, "reason": evil});
    let place = place_with(&[entry, stream, gap]);
    for arguments in [
        &["sessions"][..],
        &["sessions", "-o", "json"],
        &["show", "e-1"],
        &["show", "e-1", "-o", "json"],
        &["replay", evil, "--bodies", "--all"],
        &["replay", evil, "-o", "json"],
        &["verify", "--chains-only"],
        &["verify", "--chains-only", "--session", evil],
        &["recorders"],
        &["export", "--session", evil],
    ] {
        let text = place.text(arguments);
        let bad: Vec<char> = text
            .chars()
            .filter(|c| {
                (c.is_control() && *c != '\n') || "\u{202e}\u{200b}\u{feff}\u{2028}\u{e0041}".contains(*c)
            })
            .collect();
        assert!(bad.is_empty(), "{arguments:?} prints {bad:?}: {text}");
        assert!(!text.lines().any(|line| line.starts_with("gnp")), "{arguments:?}");
    }
    let output = place.run(&["replay", &format!("{evil}x")]);
    assert!(!String::from_utf8_lossy(&output.stderr).contains('\u{1b}'));
    assert_eq!(
        place.json(&["show", "e-1", "-o", "json"])["session"],
        evil,
        "JSON still carries the very text"
    );
}

fn requests_without_a_session_are_gathered_by_user_and_time() {
    const MINUTE: u64 = 60_000;
    let unnamed = |id: &str, started| pods("", id, started);
    let stranger = with(unnamed("e-9", 3), json!({"user": null, "sourceIPs": ["198.51.100.7"]}));
    let place = Place::new();
    let server = place.serve(&[]);
    // The last to happen comes first: arrival does not matter within a batch, and little between batches.
    for (number, entries) in
        [vec![unnamed("e-3", 55 * MINUTE)], vec![unnamed("e-2", 20 * MINUTE), unnamed("e-1", 0), stranger]]
            .iter()
            .enumerate()
    {
        assert_eq!(server.post(&batch("r-1", number as u64, ZEROS, entries)).status, 200);
    }
    let of =
        |id: &str| server.get(&format!("/v1/exchanges/{id}")).json()["session"].as_str().unwrap().to_owned();
    assert_eq!(of("e-1"), of("e-2"), "20 minutes apart");
    assert_ne!(of("e-2"), of("e-3"), "35 minutes apart");
    assert!(![of("e-1"), of("e-3")].contains(&of("e-9")), "nobody's session is not alice's");
    let session = server.get(&format!("/v1/sessions/{}", of("e-1"))).json();
    assert_eq!((&session["derived"], &session["requests"]), (&json!(true), &json!(2)));
}

fn nothing_is_readable_without_an_auditors_token() {
    let place = Place::new();
    let server = place.serve(&[]);
    assert_eq!(server.post(&batch("r-1", 0, ZEROS, &agent_session("s/1 ü"))).status, 200);
    let paths = ["/v1/sessions", "/v1/sessions/s%2F1%20%C3%BC", "/v1/exchanges/e-1", "/v1/recorders"];
    for path in paths {
        assert_eq!(server.get(path).status, 200, "{path}");
        for token in [None, Some(""), Some(INGEST), Some("wrong")] {
            let answer = server.get_with(path, token);
            assert_eq!(answer.status, 401, "{path} with {token:?}");
            assert!(!answer.body.contains("alice"));
        }
    }
    drop(server);
    let server = place.serve_without_auditors();
    for path in paths {
        for token in [None, Some(""), Some(INGEST), Some(AUDITOR)] {
            assert_eq!(server.get_with(path, token).status, 401, "{path} with {token:?}, none configured");
        }
    }
}

fn long_lists_come_in_pages() {
    let place = Place::new();
    let server = place.serve(&[]);
    let entries: Vec<Value> =
        (0..25).map(|n| pods(&format!("s-{}", n % 5), &format!("e-{n}"), n / 10)).collect();
    assert_eq!(server.post(&batch("r-1", 0, ZEROS, &entries)).status, 200);
    for (path, list, id, all) in
        [("/v1/sessions", "sessions", "session", 5), ("/v1/sessions/s-1", "exchanges", "exchange", 5)]
    {
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let page = server.get(&format!("{path}?limit=2{after}")).json();
            seen.extend(
                page[list].as_array().unwrap().iter().map(|one| one[id].as_str().unwrap().to_owned()),
            );
            let Some(next) = page["next"].as_str() else { break };
            after = format!("&after={next}");
        }
        let count = seen.len();
        seen.sort();
        seen.dedup();
        assert_eq!((count, seen.len()), (all, all), "{path}");
    }
}

fn the_command_line_reads_while_the_server_writes() {
    let place = Place::new();
    let server = place.serve(&[]);
    assert_eq!(server.post(&batch("r-1", 0, ZEROS, &agent_session("s-1"))).status, 200);
    assert!(place.text(&["replay", "s-1"]).contains("read Secret db in shop"));
    assert_eq!(server.post(&batch("r-1", 1, ZEROS, &[pods("s-1", "e-7", 70_000)])).status, 200);
    assert!(place.text(&["replay", "s-1"]).contains("8 requests"));
    let nowhere = Place::new().run(&["sessions"]);
    assert_eq!(nowhere.status.code(), Some(2));
    let said = String::from_utf8_lossy(&nowhere.stderr).into_owned();
    assert!(said.contains("no such database") || said.contains("not a database of chaperone's"), "{said}");
}
