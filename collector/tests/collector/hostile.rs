//! What somebody tries who means ill: injection, forged and stolen sessions, bombs, and slowness.

use crate::login::{Browser, create};
use crate::support::*;
use serde_json::json;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

on_each_database!(
    nothing_asked_for_becomes_sql,
    a_forged_request_changes_nothing,
    a_session_cannot_be_planted_or_guessed,
);

/// What has broken queries elsewhere: SQL, FTS5 and tsquery syntax, LIKE and other wildcards, control characters.
pub const INJECTIONS: &[&str] = &[
    "'",
    "\"",
    "' OR '1'='1",
    "'; DROP TABLE batches; --",
    "\" OR 1=1 --",
    "x') UNION SELECT digest FROM tokens --",
    "1) OR (1=1",
    "$1",
    "?1",
    ":a",
    "%",
    "_",
    "*",
    "**",
    "a*b",
    "NEAR(a b)",
    "a AND",
    "OR",
    "NOT a",
    "-a",
    "^a",
    "body:secret",
    "{body} : x",
    "a:*",
    "a & | !b",
    "<->",
    "(",
    ")",
    "\\",
    "\\'",
    "\u{0}",
    "a\u{0}b",
    "\u{202e}",
    "\u{1F600}",
    "../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "%00",
    "\r\nset-cookie: x=y",
];

pub fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

fn nothing_asked_for_becomes_sql() {
    let place = Place::new();
    let server = place.serve(&["--client-timeout", "10s"]);
    assert_eq!(server.post(&batch("r-1", 0, ZEROS, &[pods("s", "e-1", 0)])).status, 200);
    let filters = [
        "q",
        "user",
        "group",
        "agent",
        "session",
        "namespace",
        "resource",
        "name",
        "verb",
        "status",
        "decision",
        "since",
        "until",
        "limit",
        "after",
        "ip",
        "model",
        "unknown",
    ];
    for injection in INJECTIONS {
        let text = encoded(injection);
        let queries = filters.iter().map(|filter| format!("/v1/exchanges?{filter}={text}"));
        let paths = ["sessions/", "exchanges/"].map(|path| format!("/v1/{path}{text}"));
        let more = [format!("/v1/search?q={text}"), format!("/v1/sessions?after={text}"), format!("/{text}")];
        for path in queries.chain(paths).chain(more) {
            let answer = server.get(&path);
            assert!([200, 400, 404].contains(&answer.status), "{path}: {answer:?}");
            assert!(!answer.body.contains("digest") && !answer.body.contains("root:"), "{path}: {answer:?}");
            assert!(!answer.headers.contains_key("set-cookie"), "{path}");
        }
        let answer = server.get(&format!("/v1/exchanges?user={text}"));
        assert!(answer.status == 400 || answer.json()["exchanges"] == json!([]), "{injection}: {answer:?}");
        let record = batch(injection, 0, ZEROS, &[pods(injection, "e-2", 0)]);
        assert!([200, 400].contains(&server.post(&record).status), "{injection}");
    }
    assert_eq!(server.get("/v1/exchanges/e-1").status, 200, "all is still there");
}

fn a_forged_request_changes_nothing() {
    let place = Place::new();
    let server = place.serve(&[]);
    let mut browser = Browser::new(&server);
    browser.submit("/login", &[("token", &create(&place, "auditor", "alice"))]);
    let csrf = browser.me().unwrap()["csrf"].as_str().unwrap().to_owned();
    let mut other = Browser::new(&server);
    other.submit("/login", &[("token", AUDITOR)]);
    let foreign = other.me().unwrap()["csrf"].as_str().unwrap().to_owned();
    let own = server.base.clone();
    for (case, headers, csrf) in [
        ("no token", &[("origin", &*own)][..], ""),
        ("another session's", &[("origin", &own)], &*foreign),
        ("a longer one", &[("origin", &own)], &format!("{csrf}x")),
        ("another site", &[("origin", "https://evil.example")], &csrf),
        ("another site, says the browser", &[("sec-fetch-site", "cross-site")], &csrf),
        ("the same site's other host", &[("sec-fetch-site", "same-site")], &csrf),
        ("a sandboxed page", &[("origin", "null")], &csrf),
    ] {
        let answer = browser.send("POST", "/logout", headers, &[("csrf", csrf)]);
        assert_eq!(answer.status, 403, "{case}: {answer:?}");
        assert!(browser.me().is_some(), "{case}");
    }
    let login = other.send("POST", "/login", &[("origin", "https://evil.example")], &[("token", AUDITOR)]);
    assert_eq!(login.status, 403, "nobody is logged in by another site");
    assert_eq!(browser.send("GET", "/logout", &[], &[]).status, 405);
    let script = [("x-csrf-token", csrf.as_str()), ("sec-fetch-site", "same-origin")];
    assert_eq!(browser.send("POST", "/logout", &script, &[]).status, 303);
    // No other site is gone to.
    for next in ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"] {
        let answer = other.submit("/login", &[("token", AUDITOR), ("next", next)]);
        assert_eq!(answer.headers["location"], "/", "{next}");
        let page = other.get(&format!("/login?next={}", encoded("\"><script>alert(1)</script>")));
        assert!(!page.body.contains("<script"), "{page:?}");
    }
}

fn a_session_cannot_be_planted_or_guessed() {
    let place = Place::new();
    let server = place.serve(&[]);
    let mut browser = Browser::new(&server);
    let planted = "A".repeat(43);
    browser.cookies.insert("chaperone".to_owned(), planted.clone());
    browser.submit("/login", &[("token", AUDITOR)]);
    let id = browser.cookies["chaperone"].clone();
    assert_ne!(id, planted, "a new id with each login");
    browser.submit("/login", &[("token", AUDITOR)]);
    let mut thief = Browser::new(&server);
    for value in [&*id, &planted, &id[..42], "", "'", "' OR '1'='1", &"A".repeat(4000)] {
        thief.cookies.insert("chaperone".to_owned(), value.to_owned());
        assert_eq!(thief.me(), None, "{value}");
    }
    // What the database holds logs nobody in.
    if place.is_file() {
        let good = browser.cookies["chaperone"].clone();
        server.terminate();
        let bytes = std::fs::read(place.database()).unwrap();
        assert!(!bytes.windows(43).any(|window| window == good.as_bytes()));
    }
}

#[test]
fn logins_that_fail_are_few() {
    let place = Place::new();
    let server = place.serve(&[]);
    let mut browser = Browser::new(&server);
    let mut tries =
        (0..30).map(|guess| browser.submit("/login", &[("token", &format!("guess-{guess:020}"))]));
    let answer = tries.find(|answer| answer.status != 403).expect("an end");
    assert_eq!(answer.status, 429);
    assert!(answer.headers["retry-after"].to_str().unwrap().parse::<u32>().unwrap() >= 1);
    assert_eq!(server.get("/v1/sessions").status, 200, "bearer tokens go on");
}

#[test]
fn who_posts_too_often_waits() {
    let place = Place::new();
    let server = place.serve(&["--recorder-rate", "1"]);
    let batches = chain("r-1", &[&[pods("s", "e-1", 0)], &[], &[]]);
    let statuses: Vec<u16> = batches.iter().map(|batch| server.post(batch).status).collect();
    assert_eq!(statuses, [200, 200, 429]);
    assert_eq!(server.post(&batch("r-2", 0, ZEROS, &[])).status, 200, "another's pace is its own");
}

#[test]
fn every_answer_is_safe_in_a_browser() {
    let place = Place::new();
    let server = place.serve(&["--public-url", "https://records.example.com"]);
    for path in ["/", "/login", "/v1/sessions", "/healthz", "/nothing"] {
        let headers = server.get(path).headers;
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self';") && !policy.contains("unsafe"),
            "{path}"
        );
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["referrer-policy"], "no-referrer", "{path}");
        assert_eq!(headers["cache-control"], "no-store", "{path}");
        assert_eq!(headers["strict-transport-security"], "max-age=31536000", "{path}");
    }
    let login = Browser::new(&server).submit("/login", &[("token", AUDITOR)]);
    let cookie = login.headers["set-cookie"].to_str().unwrap();
    assert!(cookie.starts_with("__Host-chaperone=") && cookie.ends_with("; Secure"), "{cookie}");
}

#[test]
fn bombs_and_broken_batches_are_refused() {
    let place = Place::new();
    let server = place.serve(&["--max-batch-bytes", "100000"]);
    let bearer = format!("Bearer {INGEST}");
    for (encoding, status) in [("gzip", 415), ("br", 415), ("zstd", 415), ("gzip, identity", 415)] {
        let headers = [("authorization", &*bearer), ("content-encoding", encoding)];
        assert_eq!(server.post_with(b"\x1f\x8b", &headers).status, status, "{encoding}");
    }
    let deep = format!(
        "{{\"recorder\":\"r\",\"batch\":0,\"previous\":\"{ZEROS}\",\"entries\":{}1{}}}",
        "[".repeat(40_000),
        "]".repeat(40_000)
    );
    for (case, body, status) in [
        ("nothing", &b""[..], 400),
        ("not JSON", b"\xff\xfe", 400),
        ("deep", deep.as_bytes(), 400),
        ("a number too large", b"{\"recorder\":\"r\",\"batch\":1e400,\"previous\":\"\",\"entries\":[]}", 400),
        ("negative", b"{\"recorder\":\"r\",\"batch\":-1,\"previous\":\"\",\"entries\":[]}", 400),
        ("too large", &[b' '; 100_001], 413),
    ] {
        assert_eq!(server.post(body).status, status, "{case}");
    }
    assert_eq!(server.get("/v1/sessions").status, 200);
}

/// What a server answers until it closes the connection.
pub fn told(server: &Server, sent: &str) -> String {
    let mut stream = TcpStream::connect(server.base.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(sent.as_bytes()).unwrap();
    let mut told = Vec::new();
    stream.read_to_end(&mut told).expect("the server closes it");
    String::from_utf8(told).unwrap()
}

#[test]
fn who_is_slow_is_not_waited_for() {
    let place = Place::new();
    let server = place.serve(&["--client-timeout", "1s", "--max-connections", "2"]);
    let post = format!(
        "POST /v1/records HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {INGEST}\r\ncontent-length: 100\r\n\r\n{{"
    );
    let form = "POST /login HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 100\r\n\r\ntoken=";
    let cases = [("silence", "", ""), ("half a head", "GET / HTTP/1.1\r\nhost: x\r\n", "")];
    let bodies = [("half a batch", &*post, "HTTP/1.1 408 "), ("half a form", form, "HTTP/1.1 408 ")];
    for (case, sent, answer) in cases.into_iter().chain(bodies) {
        assert!(told(&server, sent).starts_with(answer), "{case}");
    }
    // More than may be connected: they wait until those that say nothing are gone.
    let address = server.base.strip_prefix("http://").unwrap();
    let _idle: Vec<_> = (0..4).map(|_| TcpStream::connect(address).unwrap()).collect();
    assert_eq!(server.get("/v1/sessions").status, 200);
}

#[test]
fn tls_is_served_and_its_certificate_changes() {
    let place = Place::new();
    let write = || {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        std::fs::write(place.path("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(place.path("key.pem"), made.signing_key.serialize_pem()).unwrap();
        made.cert.pem()
    };
    let first = write();
    let server = place.serve(&["--tls-cert", "cert.pem", "--tls-key", "key.pem"]);
    let asked = |trusted: &str| {
        let root = ureq::tls::Certificate::from_pem(trusted.as_bytes()).unwrap();
        let tls =
            ureq::tls::TlsConfig::builder().root_certs(ureq::tls::RootCerts::new_with_certs(&[root])).build();
        let agent: ureq::Agent = ureq::Agent::config_builder().tls_config(tls).build().into();
        agent.get(server.base.replace("http://", "https://") + "/login").call()
    };
    let answer = asked(&first).unwrap();
    assert!(answer.headers().contains_key("strict-transport-security"));
    let second = write();
    assert!(asked(&second).is_err(), "not read yet");
    let id = server.id().to_string();
    assert!(std::process::Command::new("kill").args(["-HUP", &id]).status().unwrap().success());
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while asked(&second).is_err() {
        assert!(std::time::Instant::now() < deadline, "the new certificate is served");
        std::thread::yield_now();
    }
}
