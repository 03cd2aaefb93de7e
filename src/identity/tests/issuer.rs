//! An issuer for tests: it signs any header and any claims, well-formed or not.

use crate::config::Authentication;
use crate::identity::{AuthError, Authenticator, Identity, NoHost};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chaperone_record::Timestamp;
use ed25519_compact::{KeyPair, Seed};
use serde_json::{Value, json};
use std::rc::Rc;

pub(super) const URL: &str = "https://idp.example.com";
/// 2030-01-01.
pub(super) const NOW: u64 = 1_893_456_000;

pub(super) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

pub(super) fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A key of an issuer, made of one byte.
pub(super) fn pair(seed: u8) -> KeyPair {
    KeyPair::from_seed(Seed::new([seed; 32]))
}

pub(super) fn jwk(seed: u8, kid: &str) -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": b64(&pair(seed).pk[..])})
}

pub(super) fn header() -> Value {
    json!({"alg": "EdDSA", "typ": "JWT", "kid": "one"})
}

pub(super) fn claims() -> Value {
    json!({"iss": URL, "aud": "kubernetes", "sub": "agent-7", "exp": NOW + 300, "iat": NOW, "jti": "t-1",
        "groups": ["agents"]})
}

/// Signs the texts as they are.
pub(super) fn sign_text(seed: u8, header: &str, claims: &str) -> String {
    let signed = format!("{}.{}", b64(header), b64(claims));
    format!("{signed}.{}", b64(pair(seed).sk.sign(&signed, None).as_ref()))
}

pub(super) fn sign(header: &Value, claims: &Value) -> String {
    sign_text(1, &header.to_string(), &claims.to_string())
}

/// The ordinary claims with one of them set, or left out where null.
pub(super) fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

/// The configuration of one issuer whose key `one` is given inline, as changed.
pub(super) fn config(change: impl FnOnce(&mut Value)) -> Authentication {
    let mut jwt = json!({"issuer": {"url": URL, "audiences": ["kubernetes", "chaperone"], "jwks": {"keys": [jwk(1, "one")]}}});
    change(&mut jwt);
    serde_json::from_value(json!({"jwt": [jwt]})).unwrap()
}

pub(super) fn authenticator(change: impl FnOnce(&mut Value)) -> Authenticator {
    Authenticator::new(&config(change)).unwrap()
}

/// The answer to one bearer token.
pub(super) fn answer(
    authenticator: &mut Authenticator,
    now: Timestamp,
    token: &str,
) -> Result<Rc<Identity>, AuthError> {
    authenticator.authenticate(now, &[format!("Bearer {token}").as_bytes()], &NoHost)
}

/// The same by an issuer as configured, now.
pub(super) fn ask(token: &str) -> Result<Rc<Identity>, AuthError> {
    answer(&mut authenticator(|_| ()), at(NOW), token)
}

/// Its error's code, `ok` where there is none.
pub(super) fn code(answer: &Result<Rc<Identity>, AuthError>) -> &'static str {
    answer.as_ref().map_or_else(|error| error.code(), |_| "ok")
}
