#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use crate::config::{FromEnv, MintRule, TokenRequest};
use chaperone_record::{Attributed, Attribution, User};
use serde_json::{Value, json};
use std::time::Duration;

/// 2026-11-24T12:00:00Z.
const NOON: u64 = 1_795_521_600_000_000;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(NOON + seconds * 1_000_000)
}

fn identity(username: &str, groups: &[&str]) -> Identity {
    Identity {
        user: User {
            username: username.to_owned(),
            uid: "u-1".to_owned(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            issuer: "https://idp.example.com".to_owned(),
            token_id: None,
        },
        claims: Value::Null,
        expires: at(600),
        issuer: 0,
        key: [0; 32],
    }
}

/// With a rule for each of these groups, which names its service account.
fn minting(most: usize, groups: &[&str]) -> Credentials {
    let rule = |group: &&str| MintRule {
        groups: vec![(*group).to_owned()],
        service_account: group.replace('*', "reader"),
        namespace: "agents".to_owned(),
        audiences: vec!["api".to_owned()],
        expiration: Duration::from_secs(3600),
    };
    let request = TokenRequest {
        cluster: "kubernetes-api".to_owned(),
        authority: "kubernetes.default.svc".to_owned(),
        rules: groups.iter().map(rule).collect(),
    };
    let bootstrap = FromEnv { env: "B".to_owned(), value: Some(Secret::new("bootstrap")) };
    Credentials::new(
        &Credential { bearer_token: bootstrap, token_request: Some(request), impersonate: false },
        most,
    )
}

/// An answer with a token that ends at noon and so many seconds.
fn granted(seconds: u64) -> Answer {
    let payload = base64::Engine::encode(
        &base64::engine::general_purpose::URL_SAFE_NO_PAD,
        format!(r#"{{"jti":"jti-{seconds}"}}"#),
    );
    let body = json!({"kind": "TokenRequest", "status": {
        "token": format!("e30.{payload}.sig"), "expirationTimestamp": at(seconds).to_string(),
    }});
    Answer { status: Some(201), body: body.to_string().into_bytes() }
}

fn to_mint(credentials: &mut Credentials, now: Timestamp, identity: &Identity) -> Mint {
    match credentials.token_for(now, identity) {
        Ok(Lookup::Mint(mint)) => mint,
        other => panic!("{other:?}"),
    }
}

fn ready(credentials: &mut Credentials, now: Timestamp, identity: &Identity) -> Rc<UpstreamToken> {
    match credentials.token_for(now, identity) {
        Ok(Lookup::Ready(token)) => token,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_token_is_minted_once_for_an_agent_and_kept() {
    let mut credentials = minting(10, &["writers", "*"]);
    let alice = identity("alice", &["writers"]);
    let mint = to_mint(&mut credentials, at(0), &alice);
    let callout = credentials.callout(&mint, 0).unwrap();
    let header = |name: &str| {
        callout
            .headers
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.as_str())
            .unwrap_or_default()
    };
    assert_eq!(callout.cluster, "kubernetes-api");
    assert_eq!(header(":path"), "/api/v1/namespaces/agents/serviceaccounts/writers/token");
    assert_eq!(header("authorization"), "Bearer bootstrap");
    let body: Value = serde_json::from_slice(&callout.body).unwrap();
    assert_eq!(body["spec"], json!({"audiences": ["api"], "expirationSeconds": 3600}));

    let token = credentials.minted(at(0), &mint, &granted(3600)).unwrap();
    let minted = token.minted.as_ref().unwrap();
    assert_eq!(
        (minted.service_account.as_str(), minted.namespace.as_str(), minted.token_id.as_deref()),
        ("writers", "agents", Some("jti-3600"))
    );
    assert!(!format!("{token:?}").contains("sig"));
    assert!(Rc::ptr_eq(&token, &ready(&mut credentials, at(1), &alice)));
    let other = to_mint(&mut credentials, at(1), &identity("bob", &["writers"]));
    assert_ne!(mint, other, "another agent has another token");
    let reader = to_mint(&mut credentials, at(1), &identity("alice", &["readers"]));
    assert!(
        credentials
            .callout(&reader, 0)
            .unwrap()
            .headers
            .iter()
            .any(|(_, value)| value.ends_with("/reader/token"))
    );
}

#[test]
fn it_is_renewed_before_it_ends_where_it_is_used() {
    let mut credentials = minting(10, &["writers", "*"]);
    let (alice, bob) = (identity("alice", &["writers"]), identity("bob", &["writers"]));
    for agent in [&alice, &bob] {
        let mint = to_mint(&mut credentials, at(0), agent);
        credentials.minted(at(0), &mint, &granted(600)).unwrap();
    }
    let old = ready(&mut credentials, at(1), &alice);
    assert!(credentials.poll(at(471)).is_empty());
    let due = credentials.poll(at(472));
    assert_eq!(due.len(), 1, "bob's is not used");
    assert!(credentials.poll(at(473)).is_empty(), "one renewal at a time");
    assert!(Rc::ptr_eq(&old, &ready(&mut credentials, at(473), &alice)), "meanwhile the old one serves");
    assert!(credentials.minted(at(474), &due[0], &Answer::NONE).is_err());
    assert!(
        Rc::ptr_eq(&old, &ready(&mut credentials, at(475), &alice)),
        "a failed renewal costs nothing yet"
    );
    let again = credentials.poll(at(485));
    let new = credentials.minted(at(486), &again[0], &granted(1200)).unwrap();
    assert!(Rc::ptr_eq(&new, &ready(&mut credentials, at(487), &alice)));
    to_mint(&mut credentials, at(591), &bob);
}

#[test]
fn what_is_no_token_is_refused_and_not_asked_for_again_at_once() {
    let json = |body: &Value| Answer { status: Some(201), body: body.to_string().into_bytes() };
    let cases = [
        ("none", Answer::NONE),
        ("forbidden", Answer { status: Some(403), body: Vec::new() }),
        ("not JSON", Answer { status: Some(201), body: b"<html>".to_vec() }),
        ("no status", json(&json!({"kind": "TokenRequest"}))),
        ("empty", json(&json!({"status": {"token": "", "expirationTimestamp": at(600).to_string()}}))),
        (
            "two lines",
            json(&json!({"status": {"token": "a\r\nb: c", "expirationTimestamp": at(600).to_string()}})),
        ),
        (
            "too long",
            json(
                &json!({"status": {"token": "a".repeat(20_000), "expirationTimestamp": at(600).to_string()}}),
            ),
        ),
        ("no end", json(&json!({"status": {"token": "a", "expirationTimestamp": "soon"}}))),
        ("ended", granted(0)),
        ("ends at once", granted(9)),
    ];
    for (name, answer) in cases {
        let mut credentials = minting(10, &["writers", "*"]);
        let alice = identity("alice", &["writers"]);
        let mint = to_mint(&mut credentials, at(0), &alice);
        let refusal = credentials.minted(at(0), &mint, &answer).expect_err(name);
        assert_eq!(refusal.status.code(), 503, "{name}");
        assert!(refusal.headers.iter().any(|(header, _)| *header == "retry-after"), "{name}");
        assert!(credentials.token_for(at(0), &alice).is_err(), "{name}");
        to_mint(&mut credentials, at(2), &alice);
    }
}

#[test]
fn an_agent_without_a_service_account_is_refused() {
    let mut credentials = minting(10, &["writers"]);
    let refusal = credentials.token_for(at(0), &identity("alice", &["readers"])).unwrap_err();
    assert_eq!(refusal.status.code(), 403);
}

#[test]
fn a_rejected_token_is_asked_for_anew_and_places_are_bounded() {
    let mut credentials = minting(2, &["writers"]);
    let agents = ["a", "b", "c"].map(|name| identity(name, &["writers"]));
    for (agent, end) in agents.iter().zip([300, 100, 200]) {
        let mint = to_mint(&mut credentials, at(0), agent);
        credentials.minted(at(0), &mint, &granted(end)).unwrap();
    }
    to_mint(&mut credentials, at(1), &agents[1]);
    let token = ready(&mut credentials, at(1), &agents[0]);
    credentials.rejected(&token);
    to_mint(&mut credentials, at(1), &agents[0]);
    ready(&mut credentials, at(1), &agents[2]);
}

#[test]
fn impersonation_tells_who_the_agent_is() {
    let told =
        |value: &str| Some(Attributed { value: value.to_owned(), source: "x".to_owned(), verified: true });
    let attribution = Attribution { agent: told("coder"), model: told("m 1"), ..Attribution::default() };
    let headers = impersonation(&identity("alice", &["dev", "ops"]), "s-1", &attribution).unwrap();
    let text: Vec<String> = headers
        .iter()
        .map(|(name, value)| format!("{}: {}", String::from_utf8_lossy(name), String::from_utf8_lossy(value)))
        .collect();
    assert_eq!(
        text,
        [
            "impersonate-user: alice",
            "impersonate-group: dev",
            "impersonate-group: ops",
            "impersonate-uid: u-1",
            "impersonate-extra-chaperone.dev%2fsession: s-1",
            "impersonate-extra-chaperone.dev%2fagent: coder",
            "impersonate-extra-chaperone.dev%2fmodel: m 1",
        ]
    );
}

#[test]
fn the_clusters_own_names_are_not_impersonated() {
    for (user, groups) in [
        ("system:admin", vec![]),
        ("alice", vec!["system:masters"]),
        ("alice", vec!["dev", "system:nodes"]),
        ("", vec![]),
        ("alice", vec![""]),
        ("alice\r\nx: y", vec![]),
        (" alice", vec![]),
    ] {
        let refused = impersonation(&identity(user, &groups), "", &Attribution::default());
        assert_eq!(refused.unwrap_err().status.code(), 403, "{user:?} {groups:?}");
    }
}
