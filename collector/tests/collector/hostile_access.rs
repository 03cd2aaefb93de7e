//! What somebody tries who wants what is not theirs: others' recorders, others' addresses, admins' pages, reading unseen,
//! forged cursors and events, and names that are paths.

use crate::hostile::{INJECTIONS, encoded};
use crate::login::{Browser, create};
use crate::support::*;
use serde_json::{Value, json};

on_each_database!(
    a_bound_token_posts_for_its_recorder_only,
    who_was_refused_is_in_the_access_log,
    from_which_event_is_read_is_in_the_access_log,
    forged_cursors_and_events_tell_nothing,
    odd_ids_are_kept_as_they_are,
);

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

fn a_bound_token_posts_for_its_recorder_only() {
    let place = Place::new();
    let bound = |name: &str, recorder: &str| {
        let made =
            place.text(&["token", "create", "--role", "ingest", "--name", name, "--recorder", recorder]);
        made.trim().to_owned()
    };
    let (one, some) = (bound("gateway-1", "r-1"), bound("gateway-2", "r-2.*"));
    let any = create(&place, "ingest", "gateway-3");
    let server = place.serve_without_tokens();
    for (case, token, recorder, status) in [
        ("its own", &one, "r-1", 200),
        ("another", &one, "r-2.a", 403),
        ("one that begins so", &one, "r-11", 403),
        ("the pattern's word", &one, "*", 400),
        ("another case", &one, "R-1", 403),
        ("one that the pattern takes", &some, "r-2.a", 200),
        ("another that it takes", &some, "r-2.", 200),
        ("one that it does not", &some, "r-2", 403),
        ("any", &any, "r-1", 200),
    ] {
        let answer = server.post_with(&batch(recorder, 0, ZEROS, &[]), &[("authorization", &bearer(token))]);
        assert_eq!(answer.status, status, "{case}: {answer:?}");
        if status == 403 {
            assert_eq!(answer.json()["code"], "recorder", "{case}");
            assert_eq!(answer.headers["content-type"], "application/problem+json", "{case}");
        }
    }
    let recorders = server.get_with("/v1/recorders", Some(&create(&place, "auditor", "alice"))).json();
    let names: Vec<&str> =
        recorders.as_array().unwrap().iter().map(|r| r["recorder"].as_str().unwrap()).collect();
    assert_eq!(names, ["r-1", "r-2.", "r-2.a"]);
    let list = place.text(&["token", "list"]);
    assert!(list.contains("RECORDER") && list.contains("r-2.*"), "{list}");
    for (role, recorder) in
        [("ingest", ""), ("ingest", "*"), ("ingest", "a/b"), ("ingest", "a*b"), ("auditor", "r-1")]
    {
        let made = place.run(&["token", "create", "--role", role, "--name", "x", "--recorder", recorder]);
        assert_eq!(made.status.code(), Some(2), "{role} {recorder}");
    }
}

fn accesses(server: &Server, admin: &str) -> Vec<String> {
    let log = server.get_with("/v1/access-log?limit=1000", Some(admin)).json();
    let told = |access: &Value| {
        let refused = if access["refused"] == json!(true) { "refused " } else { "" };
        format!("{refused}{}: {}", access["name"].as_str().unwrap(), access["request"].as_str().unwrap())
    };
    log["accesses"].as_array().unwrap().iter().map(told).collect()
}

fn who_was_refused_is_in_the_access_log() {
    let place = Place::new();
    let server = place.serve(&[]);
    let (alice, gateway) = (create(&place, "auditor", "alice"), create(&place, "ingest", "gateway-1"));
    let admin = create(&place, "admin", "root");
    for path in ["/v1/access-log?since=1h", "/v1/tokens"] {
        assert_eq!(server.get_with(path, Some(&alice)).status, 401);
    }
    for path in ["/v1/sessions?user=alice", "/v1/tail", "/v1/export"] {
        assert_eq!(server.get_with(path, Some(&gateway)).status, 401);
    }
    let mut browser = Browser::new(&server);
    browser.submit("/login", &[("token", &alice)]);
    assert_eq!(browser.get("/v1/tokens").status, 401);
    assert_eq!(
        accesses(&server, &admin),
        [
            "root: GET /v1/access-log?limit=1000",
            "refused alice: GET /v1/tokens",
            "alice: POST /login",
            "refused gateway-1: GET /v1/export",
            "refused gateway-1: GET /v1/tail",
            "refused gateway-1: GET /v1/sessions?user=alice",
            "refused alice: GET /v1/tokens",
            "refused alice: GET /v1/access-log?since=1h",
        ]
    );
    assert!(place.text(&["access-log"]).contains("refused: GET /v1/tokens"));
    // Nobody fills the log that way.
    let mut tries = (0..200).map(|_| server.get_with("/v1/tokens", Some(&gateway)));
    let answer = tries.find(|answer| answer.status != 401).expect("an end");
    assert_eq!((answer.status, &answer.json()["code"]), (429, &json!("tooOften")));
    assert_eq!(server.get_with("/v1/tokens", Some(&alice)).status, 401, "each has their own bound");
}

fn from_which_event_is_read_is_in_the_access_log() {
    let place = Place::new();
    let server = place.serve(&[]);
    let admin = create(&place, "admin", "root");
    let ask = |event: &str| {
        let request = ureq::get(format!("{}/v1/tail?user=bob", server.base));
        let config = request.config().http_status_as_error(false).build();
        config
            .header("authorization", bearer(AUDITOR))
            .header("last-event-id", event)
            .call()
            .unwrap()
            .status()
            .as_u16()
    };
    assert_eq!(ask("0"), 200);
    assert_eq!(ask("17 OR 1=1"), 400);
    assert_eq!(ask(&"9".repeat(10_000)), 414, "what the log cannot hold is not answered");
    // A query that is too long for the log is none that hides its end.
    let long = format!("/v1/exchanges?q={}&user=alice", "x".repeat(9_000));
    assert_eq!(server.get(&long).status, 414);
    assert_eq!(
        accesses(&server, &admin)[1..],
        [
            "configured: GET /v1/tail?user=bob (last-event-id: 17 OR 1=1)",
            "configured: GET /v1/tail?user=bob (last-event-id: 0)"
        ]
    );
}

fn forged_cursors_and_events_tell_nothing() {
    let place = Place::new();
    let server = place.serve(&[]);
    let admin = create(&place, "admin", "root");
    assert_eq!(server.post(&batch("r-1", 0, ZEROS, &[pods("s", "e-1", 0)])).status, 200);
    let cursors = [
        "9223372036854775807:zzz",
        "-9223372036854775808:",
        "9223372036854775808:x",
        "99999999999999999999:x",
        "0:",
        ":",
        "1:a:b",
        "1e9:x",
        "0x7f:x",
        "+1:x",
        " 1:x",
        "1:\u{0}",
        "1:' OR 1=1 --",
        "null",
        "[]",
    ];
    for cursor in cursors.iter().chain(INJECTIONS) {
        let cursor = encoded(cursor);
        for path in ["sessions", "exchanges", "sessions/s", "access-log", "recorders", "tokens"] {
            let answer = server.get_with(&format!("/v1/{path}?after={cursor}"), Some(&admin));
            assert!([200, 400].contains(&answer.status), "{path} {cursor}: {answer:?}");
            // The access log has what was asked for.
            assert!(path == "access-log" || !answer.body.contains("digest"), "{path} {cursor}");
        }
    }
    for event in ["-1", "9223372036854775808", "1e3", "0x1", "\u{a0}", "'", "1;2", "1, 2", "null"] {
        let request =
            ureq::get(format!("{}/v1/tail", server.base)).config().http_status_as_error(false).build();
        let asked =
            request.header("authorization", bearer(AUDITOR)).header("last-event-id", event).call().unwrap();
        assert_eq!(asked.status(), 400, "{event}");
    }
    let ahead = ureq::get(format!("{}/v1/tail", server.base)).config().http_status_as_error(false).build();
    let ahead = ahead
        .header("authorization", bearer(AUDITOR))
        .header("last-event-id", "9223372036854775807")
        .call()
        .unwrap();
    assert!([200, 410].contains(&ahead.status().as_u16()), "one that is to come, or never was");
    assert_eq!(server.get("/v1/sessions").status, 200);
}

fn odd_ids_are_kept_as_they_are() {
    let place = Place::new();
    let server = place.serve(&[]);
    let odd = [
        "\u{202e}evil",
        "a\u{0}b",
        "\u{feff}",
        "e\u{301}",
        "\u{e9}",
        "\u{1f468}\u{200d}\u{1f469}",
        "\r\nset-cookie: x=y",
        "../../x",
        "..",
        ".",
        "%2e%2e",
        "a/b?c#d",
        "<script>",
        "\u{ffff}",
        " ",
        "\u{10ffff}",
    ];
    for (number, id) in odd.iter().enumerate() {
        let exchange = format!("{id}-{number}");
        let body = batch(&format!("r-{number}"), 0, ZEROS, &[pods(&exchange, &exchange, number as u64)]);
        let posted = server.post(&body).status;
        assert!([200, 400].contains(&posted), "{id:?}");
        let answer = server.get(&format!("/v1/exchanges/{}", encoded(&exchange)));
        if posted == 200 {
            assert_eq!(answer.status, 200, "{id:?}: {answer:?}");
        }
        for path in ["/v1/sessions/", "/sessions/", "/exchanges/"] {
            let answer = server.get(&format!("{path}{}", encoded(&exchange)));
            assert!([200, 400, 404].contains(&answer.status), "{path}{id:?}: {answer:?}");
            assert!(
                !answer.headers.contains_key("set-cookie")
                    && (path.starts_with("/v1/") || !answer.body.contains("<script>-")),
                "{id:?}"
            );
        }
    }
    assert_eq!(place.json(&["verify", "--chains-only", "-o", "json"])["problems"], json!([]));
}

#[test]
fn recorders_that_are_paths_stay_in_the_folder() {
    let place = Place::new();
    let folder = place.path("bodies");
    std::fs::create_dir(&folder).unwrap();
    let server = place.serve(&["--bodies", &format!("file://{}", folder.display())]);
    for recorder in [".", "..", "../x", "/etc", "a/b", "a\\b", "%2e%2e", "", "a b", "\u{0}", "\u{2025}", "~"]
    {
        let answer = server.post(&batch(recorder, 0, ZEROS, &[]));
        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("malformed")), "{recorder}");
        assert!(answer.body.contains("`recorder` must be"), "{answer:?}");
    }
    for recorder in ["...", ".x", "..x", "-", "_:", "C:", "con"] {
        let body = batch(recorder, 0, ZEROS, &[pods("s", recorder, 0)]);
        assert_eq!(server.post(&body).status, 200, "{recorder}");
        assert_eq!(server.get(&format!("/v1/exchanges/{recorder}")).status, 200, "{recorder}");
        assert!(folder.join(recorder).is_dir(), "{recorder}: {:?}", files(&folder));
    }
    let beside: Vec<_> =
        files(place.folder.path()).into_iter().filter(|name| !name.starts_with("records.db")).collect();
    assert_eq!(beside, ["bodies", "port"]);
}

/// Tries to log in from an address that is only claimed, until it is tried too often.
fn guesses(server: &Server, forwarded: impl Fn(usize) -> String) -> usize {
    let mut browser = Browser::new(server);
    let tries = (0..40).take_while(|&guess| {
        let from = forwarded(guess);
        let headers = [("sec-fetch-site", "same-origin"), ("x-forwarded-for", &*from)];
        browser.send("POST", "/login", &headers, &[("token", &format!("guess-{guess:020}"))]).status == 403
    });
    tries.count()
}

#[test]
fn only_trusted_proxies_say_where_somebody_comes_from() {
    let place = Place::new();
    let server = place.serve(&[]);
    assert_eq!(guesses(&server, |guess| format!("203.0.113.{guess}")), 10, "nobody is believed");
    drop(server);
    let server = place.serve(&["--trusted-proxies", "127.0.0.0/8,10.0.0.0/8"]);
    let first = guesses(&server, |guess| format!("198.51.100.{guess}, 203.0.113.1"));
    assert_eq!(first, 10, "what stands before the last address is anybody's word");
    assert_eq!(guesses(&server, |_| "203.0.113.2, 10.1.2.3".to_owned()), 10, "another's bucket is their own");
    assert_eq!(guesses(&server, |_| "203.0.113.1".to_owned()), 0);
    assert_eq!(guesses(&server, |guess| format!("2001:db8:1:1::{guess:x}")), 10, "an IPv6 network is one");
    // All those failures lock nobody else out.
    for network in 0..20 {
        assert_eq!(guesses(&server, |_| format!("2001:db8:2:{network:x}::1")), 10);
    }
    let mut browser = Browser::new(&server);
    let headers = [("sec-fetch-site", "same-origin"), ("x-forwarded-for", "192.0.2.7")];
    assert_eq!(browser.send("POST", "/login", &headers, &[("token", AUDITOR)]).status, 303);
    let bad = place.run(&["serve", "--trusted-proxies", "everybody"]);
    assert_eq!(bad.status.code(), Some(2));
}
