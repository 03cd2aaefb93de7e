//! Every route, asked by nobody, by methods that it does not take, and along paths that lead elsewhere.

use crate::hostile::told;
use crate::login::Browser;
use crate::support::*;
use serde_json::Value;

/// Pages and what else is not in the API's document.
const PAGES: &[&str] = &[
    "/",
    "/sessions",
    "/sessions/secret-session",
    "/exchanges/secret-exchange",
    "/objects",
    "/who",
    "/search?q=secret",
    "/verification",
    "/access-log",
    "/tokens",
    "/v1/me",
];

/// What tells nothing of any record, and is for everybody.
const OPEN: &[&str] = &[
    "/v1/openapi.json",
    "/healthz",
    "/readyz",
    "/metrics",
    "/login",
    "/login/once",
    "/login/oidc",
    "/login/callback",
];

fn recorded(place: &Place) -> Server {
    let server = place.serve(&[]);
    let record = batch("secret-recorder", 0, ZEROS, &[pods("secret-session", "secret-exchange", 0)]);
    assert_eq!(server.post(&record).status, 200);
    server
}

/// Every path of the API's document, and the pages.
fn paths(server: &Server) -> Vec<String> {
    let document = server.get_with("/v1/openapi.json", None).json();
    let documented = document["paths"]
        .as_object()
        .unwrap()
        .keys()
        .map(|path| path.replace("{session}", "secret-session").replace("{exchange}", "secret-exchange"));
    documented.chain(PAGES.iter().map(|path| (*path).to_owned())).collect()
}

#[test]
fn nothing_is_readable_without_a_role() {
    let place = Place::new();
    let server = recorded(&place);
    let mut browser = Browser::new(&server);
    let paths = paths(&server);
    assert!(paths.len() > 20, "{paths:?}");
    for path in paths.iter().filter(|path| !OPEN.contains(&path.as_str())) {
        let answer = browser.get(path);
        assert!([303, 401, 405].contains(&answer.status), "{path}: {answer:?}");
        for token in [INGEST, "", "chaperone_", "null", &format!("chaperone_{}", "A".repeat(43))] {
            let answer = server.get_with(path, Some(token));
            assert!([401, 405].contains(&answer.status), "{path} {token}: {answer:?}");
            assert!(
                !answer.body.contains("secret-recorder") && !answer.body.contains("alice"),
                "{path}: {answer:?}"
            );
        }
    }
    for path in OPEN {
        let answer = server.get_with(path, None);
        assert!(!answer.body.contains("secret-"), "{path}: {answer:?}");
    }
}

#[test]
fn paths_that_lead_elsewhere_lead_nowhere() {
    let place = Place::new();
    let server = recorded(&place);
    let asked = |method: &str, target: &str, token: bool| {
        let token = if token { format!("authorization: Bearer {AUDITOR}\r\n") } else { String::new() };
        told(&server, &format!("{method} {target} HTTP/1.1\r\nhost: c\r\nconnection: close\r\n{token}\r\n"))
    };
    for target in [
        "/../etc/passwd",
        "/..%2f..%2fetc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/assets/../../etc/passwd",
        "/assets/..%2f..%2fCargo.toml",
        "/assets/%2e%2e%2frecords.db",
        "/assets/%00",
        "/assets/%ff%fe",
        "/sessions/..%2f..%2frecords.db",
        "/v1/exchanges/..%2f..%2frecords.db",
        "/v1/sessions/%2e%2e%2ftokens",
        "/v1/sessions/../tokens",
        "//v1/sessions",
        "/v1//sessions",
        "/v1/sessions;x=y",
        "/V1/SESSIONS",
        "/v1/sessions/",
        "/v1/sessions%00",
        "/v1/%73essions",
        "http://evil.example/v1/sessions",
        "/login/../v1/sessions",
        "/healthz/../v1/sessions",
        "/assets/../v1/sessions",
    ] {
        let nobody = asked("GET", target, false);
        assert!(!nobody.starts_with("HTTP/1.1 200 ") && !nobody.contains("secret-"), "{target}: {nobody}");
        let auditor = asked("GET", target, true);
        assert!(!auditor.contains("root:") && !auditor.contains("SQLite format"), "{target}: {auditor}");
        assert!(!auditor.starts_with("HTTP/1.1 5"), "{target}: {auditor}");
    }
    for target in ["*", "c:443", "/v1/sessions"] {
        for method in ["OPTIONS", "TRACE", "CONNECT", "PUT", "PATCH", "DELETE", "POST", "PROPFIND"] {
            let answer = asked(method, target, true);
            assert!(answer.starts_with("HTTP/1.1 4"), "{method} {target}: {answer}");
            assert!(!answer.contains(AUDITOR), "{method} {target} echoes");
        }
    }
    let answer = asked("HEAD", "/v1/sessions", false);
    assert!(answer.starts_with("HTTP/1.1 401 ") || answer.starts_with("HTTP/1.1 303 "), "{answer}");
    // No method is hidden in another.
    let overridden = told(
        &server,
        &format!(
            "GET /v1/records HTTP/1.1\r\nhost: c\r\nconnection: close\r\nauthorization: Bearer {AUDITOR}\r\nx-http-method-override: POST\r\nx-original-url: /v1/tokens\r\nx-rewrite-url: /v1/tokens\r\n\r\n"
        ),
    );
    assert!(overridden.starts_with("HTTP/1.1 405 "), "{overridden}");
}

/// Other sites' scripts are told nothing, whatever they ask with.
#[test]
fn no_other_site_is_let_in() {
    let place = Place::new();
    let server = recorded(&place);
    for origin in ["https://evil.example", "null", &server.base] {
        let answer = told(
            &server,
            &format!(
                "OPTIONS /v1/sessions HTTP/1.1\r\nhost: c\r\nconnection: close\r\norigin: {origin}\r\naccess-control-request-method: GET\r\naccess-control-request-headers: authorization\r\n\r\n"
            ),
        );
        assert!(!answer.contains("access-control-allow"), "{origin}: {answer}");
        let mut browser = Browser::new(&server);
        browser.submit("/login", &[("token", AUDITOR)]);
        let answer =
            browser.send("GET", "/v1/sessions", &[("origin", origin), ("sec-fetch-site", "cross-site")], &[]);
        assert!(!answer.headers.keys().any(|name| name.as_str().starts_with("access-control")), "{origin}");
        assert_eq!(answer.headers["cross-origin-resource-policy"], "same-origin");
    }
}

/// Batches that are JSON of the wrong shape, or right but enormous in one way.
#[test]
fn enormous_and_malformed_batches_are_answered() {
    let place = Place::new();
    let server = recorded(&place);
    let envelope =
        |entries: &str| format!(r#"{{"recorder":"r-9","batch":0,"previous":"{ZEROS}","entries":{entries}}}"#);
    let one = pods("s", "e-9", 0).to_string();
    let many = format!("[{}]", vec![r#"{"type":"gap"}"#; 200_000].join(","));
    let wide: Value = (0..100_000)
        .map(|number| (format!("k{number}"), Value::from(number)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let wide = format!("[{}]", with(pods("s", "e-8", 0), serde_json::json!({"x": wide})));
    for (case, body) in [
        ("the same member twice", envelope("[]").replace("{\"rec", "{\"recorder\":\"r-8\",\"rec")),
        ("two values", format!("{}{}", envelope("[]"), envelope("[]"))),
        ("a byte order mark", format!("\u{feff}{}", envelope("[]"))),
        ("entries that are none", envelope("[null,1,\"x\",[],{}]")),
        ("no list", envelope(&one)),
        ("a lone surrogate", envelope(&format!("[{}]", one.replace("e-9", "\\ud800")))),
        ("a number without end", envelope(&format!("[{}]", one.replace("200", &"9".repeat(100_000))))),
        ("a time without end", envelope(&format!("[{}]", one.replace("2026-11-23", "999999-99-99")))),
        (
            "deep within an entry",
            envelope(&format!(
                "[{}]",
                one.replace("\"list\"", &format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)))
            )),
        ),
        ("many entries of nothing", envelope(&many)),
        ("many members", envelope(&wide)),
        ("a batch number at the end", envelope("[]").replace("\"batch\":0", "\"batch\":9223372036854775807")),
        ("a batch number beyond", envelope("[]").replace("\"batch\":0", "\"batch\":18446744073709551615")),
    ] {
        let status = server.post(body.as_bytes()).status;
        assert!([200, 400, 409].contains(&status), "{case}: {status}");
    }
    assert_eq!(server.get("/v1/sessions").status, 200);
    assert_eq!(server.get("/v1/recorders").status, 200);
    assert_eq!(server.get("/v1/exchanges/secret-exchange").status, 200);
}
