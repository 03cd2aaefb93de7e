//! Filters and full-text search, over HTTP and on the command line.

use crate::support::*;
use serde_json::{Value, json};

on_each_database!(
    filters_take_what_they_say,
    words_are_found_in_requests_and_responses,
    hostile_questions_are_only_words,
    pages_hold_what_thousands_have,
    pages_of_a_search_hold_each_exchange_once
);

/// Five exchanges that differ in everything that is filtered by.
fn recorded() -> (Place, Server) {
    let place = Place::new();
    let server = place.serve(&[]);
    let object = |group: &str, resource: &str, sub: &str, namespace: &str, name: &str| {
        json!({"apiGroup": group, "apiVersion": "v1", "resource": resource, "subresource": sub,
            "namespace": namespace, "name": name})
    };
    let secret = with(
        exchange(
            head(
                "s-1",
                "e-secret",
                "get",
                "/api/v1/namespaces/shop/secrets/db-password",
                object("", "secrets", "", "shop", "db-password"),
            ),
            200,
            1_000,
            5,
        ),
        json!({"masked": [{"path": "$.data.password", "count": 1}],
            "responseObject": {"kind": "Secret", "data": {"password": "W21hc2tlZF0="}, "metadata": {"labels": {"team": "Grün"}}}}),
    );
    let refused = with(
        exchange(
            head(
                "s-1",
                "e-refused",
                "delete",
                "/api/v1/namespaces/payments",
                object("", "namespaces", "", "payments", "payments"),
            ),
            403,
            2_000,
            5,
        ),
        json!({"decision": {"allowed": false, "rule": "access.rules[0]", "message": "agents may not"}, "outcome": "refused"}),
    );
    let bob = with(
        exchange(
            head(
                "s-2",
                "e-bob",
                "create",
                "/apis/apps/v1/namespaces/shop/deployments",
                object("apps", "deployments", "", "shop", ""),
            ),
            201,
            3_000,
            5,
        ),
        json!({"user": {"username": "bob", "groups": ["ops%", "a\nb"], "issuer": "https://idp.example.com"},
            "attribution": {"model": {"value": "model-9", "source": "x", "verified": true}},
            "requestObject": {"metadata": {"name": "web"}, "spec": {"image": "registry.example.com/shop/web:v2"}}}),
    );
    let exec = with(
        head(
            "s-2",
            "e-exec",
            "create",
            "/api/v1/namespaces/shop/pods/web/exec?command=id",
            object("", "pods", "exec", "shop", "web"),
        ),
        json!({"type": "request", "timing": {"received": at(4_000)}}),
    );
    let printed = json!({"type": "stream", "exchange": "e-exec", "channel": "stdout", "offset": 1, "position": 0, "data": "uid=0(root)"});
    let bodies = chain("r-1", &[&[secret, refused], &[bob, exec], &[printed]]);
    for body in &bodies {
        assert_eq!(server.post(body).status, 200);
    }
    (place, server)
}

fn ids(list: &Value) -> Vec<String> {
    list["exchanges"].as_array().unwrap().iter().map(|e| e["exchange"].as_str().unwrap().to_owned()).collect()
}

fn filters_take_what_they_say() {
    let (place, server) = recorded();
    for (query, expected) in [
        ("", "e-exec e-bob e-refused e-secret"),
        ("user=alice", "e-exec e-refused e-secret"),
        ("user=ALICE", ""),
        ("group=devs", "e-exec e-refused e-secret"),
        ("group=dev", ""),
        ("group=ops%25", "e-bob"),
        ("group=%25", ""),
        ("group=a%0Ab", "e-bob"),
        ("agent=claude-code", "e-exec e-refused e-secret"),
        ("model=model-9", "e-bob"),
        ("prompt=prompt-1&verb=get", "e-secret"),
        ("apiGroup=apps", "e-bob"),
        ("apiGroup=&verb=create", "e-exec"),
        ("resource=pods/exec", "e-exec"),
        ("namespace=shop&name=web", "e-exec e-bob"),
        ("decision=refused", "e-refused"),
        ("decision=allowed&status=201", "e-bob"),
        ("masked=true", "e-secret"),
        ("incomplete", "e-exec"),
        ("unverified=true&status=403", "e-refused"),
        ("since=2026-11-23T08:00:02Z&until=2026-11-23T08:00:03Z", "e-bob e-refused"),
        ("since=2h", ""),
    ] {
        let answer = server.get(&format!("/v1/exchanges?{query}"));
        assert_eq!((answer.status, ids(&answer.json()).join(" ").as_str()), (200, expected), "{query}");
    }
    for (query, expected) in [
        ("", "s-2 s-1"),
        ("user=bob", "s-2"),
        ("decision=refused", "s-1"),
        ("q=root", "s-2"),
        ("q=root%20exec", "s-2"),
        ("user=eve", ""),
        ("user=", ""),
        ("model=model-9", "s-2"),
        ("agent=claude-code", "s-2 s-1"),
        ("prompt=prompt-1", "s-2 s-1"),
        ("prompt=prompt-1&namespace=payments", "s-1"),
        ("namespace=shop", "s-2 s-1"),
        ("namespace=payments", "s-1"),
        ("namespace=payments&verb=get", ""),
        ("namespace=shop&user=bob", "s-2"),
        ("namespace=shop&resource=secrets", "s-1"),
        ("until=2026-11-23T08:00:02Z", "s-1"),
        ("until=2026-11-23T08:00:03Z", "s-2 s-1"),
        ("since=2026-11-23T08:00:03Z", "s-2"),
        ("session=s-1", "s-1"),
        ("session=s-1&user=bob", ""),
    ] {
        let list = server.get(&format!("/v1/sessions?{query}")).json();
        let sessions: Vec<&str> =
            list["sessions"].as_array().unwrap().iter().map(|s| s["session"].as_str().unwrap()).collect();
        assert_eq!(sessions.join(" "), expected, "{query}");
    }
    for bad in ["colour=red", "status=x", "since=yesterday", "limit=x", "user=a&user=b", "masked=1", "q=--"] {
        let answer = server.get(&format!("/v1/exchanges?{bad}"));
        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("query")), "{bad}");
        assert_eq!(answer.headers["content-type"], "application/problem+json", "{bad}");
    }
    assert_eq!(server.get("/v1/search").status, 400);
    assert_eq!(server.get("/v1/sessions/s-1?user=alice").status, 400);
    let long = server.get(&format!("/v1/exchanges?user={}", "x".repeat(600)));
    assert_eq!((long.status, &long.json()["code"]), (400, &json!("query")));
    let id = server.get("/v1/exchanges/%FF");
    assert_eq!((id.status, &id.json()["code"]), (400, &json!("path")));

    let list = place.json(&["sessions", "--user", "bob", "-o", "json"]);
    assert_eq!(list["sessions"].as_array().unwrap().len(), 1);
    assert_eq!(place.text(&["sessions", "--since", "1h"]), "No sessions.\n");
}

fn words_are_found_in_requests_and_responses() {
    let (place, server) = recorded();
    for (question, expected) in [
        ("db-password", "e-secret"),
        ("PASSWORD secret", "e-secret"),
        ("pass*", "e-secret"),
        ("pass", ""),
        ("grün", "e-secret"),
        ("registry.example.com v2", "e-bob"),
        ("web", "e-exec e-bob"),
        ("root uid", "e-exec"),
        ("root exec", "e-exec"),
        ("root secret", ""),
        ("model-9", "e-bob"),
    ] {
        let query = question.replace(' ', "%20").replace('ü', "%C3%BC");
        let answer = server.get(&format!("/v1/search?q={query}"));
        assert_eq!((answer.status, ids(&answer.json()).join(" ").as_str()), (200, expected), "{question}");
        let arguments = [&["search", "-o", "json"], &question.split(' ').collect::<Vec<_>>()[..]].concat();
        assert_eq!(ids(&place.json(&arguments)).join(" "), expected, "{question}");
    }
    let text = place.text(&["search", "db-password", "--verb", "get"]);
    assert!(text.contains("read Secret db-password in shop") && text.contains("e-secret"), "{text}");
    let yaml = place.text(&["search", "grün", "-o", "yaml"]);
    assert!(yaml.starts_with("exchanges:\n") && yaml.contains("exchange: e-secret"), "{yaml}");
    assert_eq!(place.text(&["search", "nowhere"]), "Nothing found.\n");
}

/// Whatever is asked is taken for words: it is answered, changes nothing, and finds no more than its words.
fn hostile_questions_are_only_words() {
    let (_place, server) = recorded();
    for question in [
        "' OR '1'='1",
        "\" OR words:*",
        "NEAR(root uid)",
        "root AND uid",
        "{words}: ^x",
        "a'); DROP TABLE batches; --",
        "'):*",
        "root' | 'uid",
        "!root",
        "x & !y",
        "<-> web",
        "*",
        "**web",
        "web:*A",
        "\\",
        "%",
        "_",
        "\u{0}x",
        "🦀",
        "a\u{300}b",
        "$1",
        "?1",
        ":web",
        "@web",
        "\"\"\"",
        "''''",
        "COLUMN : web",
    ] {
        let query: String = question.bytes().map(|byte| format!("%{byte:02X}")).collect();
        for path in [
            "/v1/search?q=",
            "/v1/sessions?q=",
            "/v1/exchanges?user=",
            "/v1/exchanges?group=",
            "/v1/exchanges?after=",
        ] {
            let answer = server.get(&format!("{path}{query}"));
            let known = answer.status == 200 || (answer.status == 400 && answer.json()["code"] == "query");
            assert!(known, "{path}{question}: {answer:?}");
        }
    }
    assert_eq!(ids(&server.get("/v1/exchanges").json()).len(), 4);
    assert_eq!(
        ids(&server.get("/v1/search?q=%27%20OR%20%27uid").json()),
        Vec::<String>::new(),
        "`or` is a word"
    );
}

/// What thousands have is not gathered: sessions and exchanges are walked backwards.
fn pages_hold_what_thousands_have() {
    let place = Place::new();
    let server = place.serve(&[]);
    let entries: Vec<Value> = (0..5_100)
        .map(|n| match n % 100 {
            0 => with(
                pods(&format!("s-{n}"), &format!("e-{n}"), n),
                json!({"user": {"username": "bob", "issuer": "x"}}),
            ),
            _ => pods(&format!("s-{n}"), &format!("e-{n}"), n),
        })
        .collect();
    let (first, second) = entries.split_at(2_500);
    for body in chain("r-1", &[first, second]) {
        assert_eq!(server.post(&body).status, 200);
    }
    for (list, query, count) in [
        ("sessions", "user=alice", 5_049),
        ("sessions", "user=alice&verb=list", 5_049),
        ("sessions", "user=alice&verb=get", 0),
        ("sessions", "user=bob", 51),
        ("sessions", "user=bob&agent=claude-code", 51),
        ("sessions", "agent=claude-code", 5_100),
        ("exchanges", "q=pods%20shop", 5_100),
        ("exchanges", "q=pods%20bob", 51),
        ("exchanges", "q=po*&user=bob", 51),
    ] {
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let page = server.get(&format!("/v1/{list}?{query}&limit=1000{after}")).json();
            let id = list.trim_end_matches('s');
            seen.extend(
                page[list].as_array().unwrap().iter().map(|one| one[id].as_str().unwrap().to_owned()),
            );
            let Some(next) = page["next"].as_str() else { break };
            after = format!("&after={next}");
        }
        seen.dedup();
        assert_eq!(seen.len(), count, "{query}");
        let number = |id: &String| id[2..].parse::<u32>().unwrap();
        assert!(seen.iter().map(number).is_sorted_by(|a, b| a > b), "{query}: newest first");
    }
}

fn pages_of_a_search_hold_each_exchange_once() {
    let place = Place::new();
    let server = place.serve(&[]);
    let entries: Vec<Value> =
        (0..25).map(|n| pods(&format!("s-{}", n % 5), &format!("e-{n}"), n / 10)).collect();
    assert_eq!(server.post(&batch("r-1", 0, ZEROS, &entries)).status, 200);
    for path in [
        "/v1/search?q=pods&limit=7",
        // Fills its page from the latest exchanges.
        "/v1/search?q=pods&limit=1",
        "/v1/exchanges?user=alice&limit=7",
    ] {
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let page = server.get(&format!("{path}{after}")).json();
            seen.extend(ids(&page));
            let Some(next) = page["next"].as_str() else { break };
            after = format!("&after={next}");
        }
        let count = seen.len();
        seen.sort();
        seen.dedup();
        assert_eq!((count, seen.len()), (25, 25), "{path}");
    }
}
