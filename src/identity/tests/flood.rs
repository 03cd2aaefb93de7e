#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::issuer::*;
use crate::identity::{Authenticator, SignatureVerifier};
use serde_json::json;
use std::cell::Cell;
use std::rc::Rc;

fn forged(index: usize) -> String {
    sign_text(9, &header().to_string(), &with("jti", json!(format!("forged-{index}"))).to_string())
}

/// Where wasm must verify, only so many signatures may fail in a second. Tokens that are known go on being taken.
#[test]
fn a_flood_of_wrong_signatures_does_not_starve_known_tokens() {
    let mut authenticator = authenticator(|_| ());
    let known = sign(&header(), &claims());
    assert_eq!(code(&answer(&mut authenticator, at(NOW), &known)), "ok");
    let codes: Vec<_> =
        (0..500).map(|index| code(&answer(&mut authenticator, at(NOW), &forged(index)))).collect();
    assert_eq!(codes.iter().filter(|code| **code == "tokenSignature").count(), 50);
    assert_eq!(codes.iter().filter(|code| **code == "tokenFlood").count(), 450);
    assert_eq!(code(&answer(&mut authenticator, at(NOW), &known)), "ok");
    let fresh = sign(&header(), &with("jti", json!("t-2")));
    let busy = crate::kube::Refusal::from(answer(&mut authenticator, at(NOW), &fresh).unwrap_err());
    assert_eq!(busy.status.code(), 429);
    assert!(busy.headers.contains(&("retry-after", "1".to_owned())));
    assert_eq!(code(&answer(&mut authenticator, at(NOW + 1), &fresh)), "ok");
}

/// Counts how often it is asked, and says no.
#[derive(Default)]
struct Refusing(Cell<usize>);

impl SignatureVerifier for Refusing {
    fn verify(&self, _: &str, _: &[u8], _: &[u8], _: &[u8]) -> Option<bool> {
        self.0.set(self.0.get() + 1);
        Some(false)
    }
}

/// P-256's base point.
fn ec_key(kid: &str) -> serde_json::Value {
    json!({"kty": "EC", "crv": "P-256", "kid": kid, "x": "axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY",
        "y": "T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU"})
}

fn host_issuer() -> Authenticator {
    authenticator(|jwt| jwt["issuer"]["jwks"] = json!({"keys": [ec_key("one"), ec_key("two")]}))
}

fn bearer(header: &serde_json::Value, claims: &serde_json::Value) -> String {
    format!("Bearer {}.{}.{}", b64(header.to_string()), b64(claims.to_string()), b64([7; 64]))
}

#[test]
fn everything_cheap_is_checked_before_a_signature() {
    let host = Refusing::default();
    let mut authenticator = host_issuer();
    let head = json!({"alg": "ES256", "kid": "one"});
    for (name, header, claims) in [
        ("expired", head.clone(), with("exp", json!(1))),
        ("not yet valid", head.clone(), with("nbf", json!(NOW + 100))),
        ("another audience", head.clone(), with("aud", json!("x"))),
        ("another issuer", head.clone(), with("iss", json!("x"))),
        ("no user", head.clone(), with("sub", json!(""))),
        ("an unknown key", json!({"alg": "ES256", "kid": "three"}), claims()),
        ("another algorithm", json!({"alg": "RS256", "kid": "one"}), claims()),
        ("no algorithm", json!({"alg": "none", "kid": "one"}), claims()),
    ] {
        let got = authenticator.authenticate(at(NOW), &[bearer(&header, &claims).as_bytes()], &host);
        assert!(got.is_err(), "{name}");
        assert_eq!(host.0.get(), 0, "{name}");
    }
}

#[test]
fn the_same_bad_token_is_verified_once() {
    let host = Refusing::default();
    let mut authenticator = host_issuer();
    let token = bearer(&json!({"alg": "ES256", "kid": "one"}), &claims());
    for _ in 0..100 {
        let got = authenticator.authenticate(at(NOW), &[token.as_bytes()], &host);
        assert_eq!(code(&got), "tokenSignature");
    }
    assert_eq!(host.0.get(), 1);
    // What the host verifies is cheap: it is not counted as a flood.
    for index in 0..200 {
        let claims = with("jti", json!(index.to_string()));
        let token = bearer(&json!({"alg": "ES256", "kid": "one"}), &claims);
        let got = authenticator.authenticate(at(NOW), &[token.as_bytes()], &host);
        assert_eq!(code(&got), "tokenSignature");
    }
}

#[test]
fn one_token_costs_few_signatures() {
    let keys: Vec<_> = (0..50).map(|_| ec_key("same")).collect();
    let mut authenticator = authenticator(|jwt| jwt["issuer"]["jwks"] = json!({"keys": keys}));
    for header in [json!({"alg": "ES256", "kid": "same"}), json!({"alg": "ES256"})] {
        let host = Refusing::default();
        let got = authenticator.authenticate(at(NOW), &[bearer(&header, &claims()).as_bytes()], &host);
        assert_eq!(code(&got), "tokenSignature");
        assert_eq!(host.0.get(), 4);
    }
}

#[test]
fn the_cache_is_bounded_and_outlives_no_token() {
    let mut config = config(|_| ());
    config.cache.max_tokens = 2;
    let mut authenticator = Authenticator::new(&config).unwrap();
    let token = |index: u64| sign(&header(), &with("jti", json!(format!("t-{index}"))));
    let mut known = |index| answer(&mut authenticator, at(NOW), &token(index)).unwrap();
    let first = known(0);
    assert!(Rc::ptr_eq(&known(0), &first), "remembered");
    known(1);
    known(2);
    assert!(!Rc::ptr_eq(&known(0), &first), "the oldest went");
    // Tokens are not taken once they end, remembered or not: exp and the skew.
    for (seconds, expected) in [(329, "ok"), (330, "tokenExpired"), (331, "tokenExpired")] {
        assert_eq!(code(&answer(&mut authenticator, at(NOW + seconds), &token(0))), expected, "{seconds}");
    }
}
