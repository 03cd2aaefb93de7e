//! Logging in and out: what a browser and a person meet.

use crate::issuer::{CLIENT_SECRET, Issuer};
use crate::support::*;
use serde_json::{Value, json};
use std::collections::HashMap;

on_each_database!(
    a_token_logs_in_and_its_end_logs_out,
    a_link_works_once,
    an_issuer_says_who_may_do_what,
    no_other_answer_of_an_issuer_is_taken,
);

/// A browser that keeps cookies and follows nothing by itself.
pub struct Browser {
    agent: ureq::Agent,
    base: String,
    pub cookies: HashMap<String, String>,
}

impl Browser {
    pub fn new(server: &Server) -> Self {
        let config = ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0);
        Self { agent: config.build().into(), base: server.base.clone(), cookies: HashMap::new() }
    }

    pub fn get(&mut self, path: &str) -> Answer {
        self.send("GET", path, &[], &[])
    }

    /// Sends a form, as a page of the collector's own does.
    pub fn submit(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.send("POST", path, &[("sec-fetch-site", "same-origin"), ("origin", "null")], fields)
    }

    pub fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        fields: &[(&str, &str)],
    ) -> Answer {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if !cookies.is_empty() {
            request = request.header("cookie", cookies.join("; "));
        }
        let answer = answer(match method {
            "GET" => self.agent.run(request.body(()).unwrap()),
            _ => self.agent.run(request.body(body).unwrap()),
        });
        for set in answer.headers.get_all("set-cookie") {
            let (name, rest) = set.to_str().unwrap().split_once('=').unwrap();
            let (value, attributes) = rest.split_once(';').unwrap();
            assert!(attributes.contains("HttpOnly") && attributes.contains("SameSite=Lax"), "{attributes}");
            match value {
                "" => self.cookies.remove(name),
                _ => self.cookies.insert(name.to_owned(), value.to_owned()),
            };
        }
        answer
    }

    /// Who the server takes it for.
    pub fn me(&mut self) -> Option<Value> {
        let answer = self.get("/v1/me");
        match answer.status {
            200 => Some(answer.json()),
            303 => {
                assert_eq!(answer.headers["location"], "/login?next=%2Fv1%2Fme");
                None
            }
            _ => panic!("{answer:?}"),
        }
    }
}

pub fn create(place: &Place, role: &str, name: &str) -> String {
    place.text(&["token", "create", "--role", role, "--name", name]).trim().to_owned()
}

fn told(place: &Place) -> Vec<String> {
    let log = place.json(&["access-log", "-o", "json"]);
    let accesses = log["accesses"].as_array().unwrap().iter();
    accesses
        .map(|access| {
            format!("{}: {}", access["name"].as_str().unwrap(), access["request"].as_str().unwrap())
        })
        .collect()
}

fn a_token_logs_in_and_its_end_logs_out() {
    let place = Place::new();
    let server = place.serve(&[]);
    let (alice, ingest) = (create(&place, "auditor", "alice"), create(&place, "ingest", "gateway"));
    let mut browser = Browser::new(&server);
    assert_eq!(browser.me(), None);
    for wrong in ["", "wrong-token-0123456789", &ingest, INGEST] {
        assert_eq!(browser.submit("/login", &[("token", wrong)]).status, 403, "{wrong}");
    }
    let entered = browser.submit("/login", &[("token", &alice), ("next", "/sessions?user=a")]);
    assert_eq!((entered.status, &entered.headers["location"]), (303, &"/sessions?user=a".parse().unwrap()));
    assert!(!entered.headers["set-cookie"].to_str().unwrap().contains("Secure"), "plain HTTP");
    let me = browser.me().unwrap();
    assert_eq!((&me["name"], &me["role"]), (&json!("alice"), &json!("auditor")));
    assert_eq!(browser.get("/v1/sessions").status, 200);
    assert_eq!(browser.get("/v1/tokens").status, 401, "for admins");
    let told = told(&place);
    let read =
        ["alice: GET /v1/tokens", "alice: GET /v1/sessions", "alice: GET /v1/me", "alice: POST /login"];
    assert_eq!(told[0..4], read);

    // Out, and the cookie's old value does nothing any more.
    let kept = browser.cookies.clone();
    let out = browser.submit("/logout", &[("csrf", me["csrf"].as_str().unwrap())]);
    assert_eq!((out.status, &out.headers["location"]), (303, &"/login".parse().unwrap()));
    assert!(browser.cookies.is_empty());
    browser.cookies = kept;
    assert_eq!(browser.me(), None);

    // A token's end is the end of what it logged in.
    browser.submit("/login", &[("token", &alice)]);
    assert!(browser.me().is_some());
    let tokens = place.json(&["token", "list", "-o", "json"]);
    let id = tokens.as_array().unwrap().iter().find(|token| token["name"] == "alice").unwrap()["id"].clone();
    place.text(&["token", "revoke", id.as_str().unwrap()]);
    assert_eq!(browser.me(), None);

    // So is that of the configured one; and replicas share sessions.
    browser.submit("/login", &[("token", AUDITOR)]);
    let mut other = Browser::new(&place.serve(&[]));
    other.cookies = browser.cookies.clone();
    let again = place.serve(&[]);
    other.base = again.base.clone();
    assert_eq!(other.me().unwrap()["name"], "configured");
    let without = place.serve_without_auditors();
    other.base = without.base.clone();
    assert_eq!(other.me(), None);
}

fn a_link_works_once() {
    let place = Place::new();
    let server = place.serve(&[]);
    let link = place.text(&["token", "login", "--public-url", &server.base]);
    let path = link.trim().strip_prefix(&server.base).unwrap();
    let token = path.strip_prefix("/login/once?token=").unwrap();
    let mut browser = Browser::new(&server);
    // Previews look at it as often as they like.
    for _ in 0..3 {
        let page = browser.get(path);
        assert!(page.status == 200 && page.body.contains("<button>"), "{page:?}");
    }
    assert_eq!(browser.submit("/login/once", &[("token", token)]).status, 303);
    assert_eq!(browser.me().unwrap()["role"], "admin");
    assert_eq!(browser.get("/v1/access-log").status, 200);
    let mut other = Browser::new(&server);
    assert_eq!(other.submit("/login/once", &[("token", token)]).status, 403);
    place.sql("UPDATE logins SET used = 0");
    assert_eq!(browser.me(), None, "not used for too long");
    let link = place.text(&["token", "login"]);
    place.sql("UPDATE login_links SET expires = 1");
    let token = link.trim().split_once("token=").unwrap().1;
    assert_eq!(other.submit("/login/once", &[("token", token)]).status, 403, "too old");
}

fn with_issuer(place: &Place, url: &str) -> Server {
    std::fs::write(place.path("secret"), format!("{CLIENT_SECRET}\n")).unwrap();
    let groups = ["--oidc-auditor-group", "auditors", "--oidc-admin-group", "root"];
    let client =
        ["--oidc-issuer", url, "--oidc-client-id", "chaperone", "--oidc-client-secret-file", "secret"];
    place.serve(&[&client[..], &groups].concat())
}

/// To the issuer: what the collector asks it.
fn begin(browser: &mut Browser, issuer: &Issuer) -> HashMap<String, String> {
    let sent = browser.get("/login/oidc?next=/sessions");
    let location = sent.headers["location"].to_str().unwrap();
    let query = location.strip_prefix(&format!("{}/authorize?", issuer.url)).unwrap();
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

fn come_back(browser: &mut Browser, state: &str, code: &str) -> Answer {
    browser.get(&format!("/login/callback?state={state}&code={code}"))
}

fn an_issuer_says_who_may_do_what() {
    let (place, issuer) = (Place::new(), Issuer::start());
    let server = with_issuer(&place, &issuer.url);
    for (groups, status, role) in [
        (json!({"groups": ["devs", "auditors"]}), 303, "auditor"),
        (json!({"groups": ["auditors", "root"]}), 303, "admin"),
        (json!({"groups": "root"}), 303, "admin"),
        (json!({"groups": ["devs"]}), 403, ""),
        (json!({"groups": {"root": true}}), 403, ""),
        (json!({}), 403, ""),
    ] {
        let mut browser = Browser::new(&server);
        assert!(browser.get("/login").body.contains("href=\"/login/oidc?next=%2F\""));
        let asked = begin(&mut browser, &issuer);
        assert_eq!(asked["redirect_uri"], format!("{}/login/callback", server.base));
        let code = issuer.code(&asked, groups.clone());
        let back = come_back(&mut browser, &asked["state"], &code);
        assert_eq!(back.status, status, "{groups}: {back:?}");
        match status {
            303 => {
                assert_eq!(back.headers["location"], "/sessions");
                let me = browser.me().unwrap();
                assert_eq!((&me["name"], &me["role"]), (&json!("alice (00u1)"), &json!(role)), "{groups}");
            }
            _ => assert!(back.body.contains("alice (00u1), and in no group"), "{back:?}"),
        }
    }
    assert!(told(&place).contains(&"alice (00u1): GET /login/callback".to_owned()));
}

fn no_other_answer_of_an_issuer_is_taken() {
    let (place, issuer) = (Place::new(), Issuer::start());
    let server = with_issuer(&place, &issuer.url);
    let auditor = json!({"groups": ["auditors"]});
    let also = |claims| with(json!({"groups": ["auditors"]}), claims);
    for (case, claims) in [
        ("wrong nonce", also(json!({"nonce": "other"}))),
        ("no nonce", also(json!({"nonce": null}))),
        ("other audience", also(json!({"aud": "other"}))),
        ("other issuer", also(json!({"iss": "https://evil.example"}))),
        ("expired", also(json!({"exp": 1}))),
    ] {
        let mut browser = Browser::new(&server);
        let asked = begin(&mut browser, &issuer);
        let code = issuer.code(&asked, claims);
        assert_eq!(come_back(&mut browser, &asked["state"], &code).status, 403, "{case}");
        assert_eq!(browser.me(), None, "{case}");
    }
    // A wrong state uses the login up. (Another collector: so many logins may fail at one.)
    let server = with_issuer(&place, &issuer.url);
    let mut browser = Browser::new(&server);
    let asked = begin(&mut browser, &issuer);
    let code = issuer.code(&asked, auditor.clone());
    assert_eq!(come_back(&mut browser, "wrong", &code).status, 400);
    assert_eq!(come_back(&mut browser, &asked["state"], &code).status, 400);
    // A right answer in another browser, and the same answer twice.
    let asked = begin(&mut browser, &issuer);
    let code = issuer.code(&asked, auditor.clone());
    assert_eq!(come_back(&mut Browser::new(&server), &asked["state"], &code).status, 400);
    let cookies = browser.cookies.clone();
    assert_eq!(come_back(&mut browser, &asked["state"], &code).status, 303);
    let mut replay = Browser::new(&server);
    replay.cookies = cookies;
    assert_eq!(come_back(&mut replay, &asked["state"], &code).status, 400);
    // A code that was used, in a new login; and one that the issuer bound to another login.
    let asked = begin(&mut replay, &issuer);
    assert_eq!(come_back(&mut replay, &asked["state"], &code).status, 403);
    let other = begin(&mut Browser::new(&server), &issuer);
    let asked = begin(&mut replay, &issuer);
    let code = issuer.code(&other, auditor);
    assert_eq!(come_back(&mut replay, &asked["state"], &code).status, 403);
    assert_eq!(replay.me(), None);
    // The collector goes on without it.
    drop(issuer);
    let down = replay.get("/login/oidc");
    assert!(down.status == 502 && down.body.contains("The issuer cannot be reached"), "{down:?}");
    assert_eq!(with_issuer(&place, "http://127.0.0.1:1").get("/v1/sessions").status, 200);
}
