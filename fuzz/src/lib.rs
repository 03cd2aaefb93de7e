//! What the fuzz targets share: an issuer, a clock that stands still, and a bound on the time that one input may take.
//!
//! Each target is a program: `cargo run --release --bin jwt`. See `README.md` beside this package.

pub mod oracle;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chaperone_filter::config::Authentication;
use chaperone_record::Timestamp;
use cpu_time::ThreadTime;
use ed25519_compact::{KeyPair, Seed};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// One input may take so much time of the processor.
const MOST: Duration = Duration::from_millis(50);
/// The issuer's URL.
pub const ISSUER: &str = "https://idp.example.com";
/// 2030-01-01, in seconds.
pub const NOW: u64 = 1_893_456_000;

/// Runs one input, says when it was the slowest so far, and fails when it was too slow.
pub fn timed(data: &[u8], run: impl FnOnce(&[u8])) {
    static SLOWEST: AtomicU64 = AtomicU64::new(0);
    let start = ThreadTime::now();
    run(data);
    let took = start.elapsed();
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    if SLOWEST.fetch_max(micros, Ordering::Relaxed) < micros {
        eprintln!("slowest so far: {micros} us for {} bytes", data.len());
    }
    assert!(took < MOST, "{} bytes took {micros} us", data.len());
}

/// The fuzzers' moment.
pub fn now() -> Timestamp {
    Timestamp::from_micros(NOW * 1_000_000)
}

/// The issuer's key.
pub fn key() -> KeyPair {
    KeyPair::from_seed(Seed::new([1; 32]))
}

/// An authentication section: keys inline, or to be fetched where there are none.
pub fn authentication(jwks: Option<Value>) -> Authentication {
    let jwt = json!({"issuer": {"url": ISSUER, "audiences": ["kubernetes"], "cluster": "idp", "jwks": jwks,
        "discoveryURL": format!("{ISSUER}/.well-known/openid-configuration")}});
    serde_json::from_value(json!({"jwt": [jwt]})).expect("a configuration")
}

/// The issuer's key set.
pub fn jwks() -> Value {
    json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "one", "x": URL_SAFE_NO_PAD.encode(*key().pk)}]})
}

/// A token of these texts, rightly signed.
pub fn sign(header: &[u8], claims: &[u8]) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = key().sk.sign(&signed, None);
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
}

/// A body in pieces, tiny to large, told by a seed.
pub fn cut(body: &[u8], seed: u8) -> impl Iterator<Item = &[u8]> {
    let mut state = u64::from(seed) + 0x9e37_79b9_7f4a_7c15;
    let mut rest = body;
    std::iter::from_fn(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let most = if seed.is_multiple_of(2) { 7 } else { 300 };
        let length = usize::try_from(state % most).unwrap_or(0) + 1;
        let (piece, tail) = rest.split_at(length.min(rest.len()));
        rest = tail;
        (!piece.is_empty()).then_some(piece)
    })
}
