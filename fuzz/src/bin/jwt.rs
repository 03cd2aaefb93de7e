//! `Authorization`, as bytes; and any header and claims, rightly signed (a line each).
#![no_main]

use chaperone_filter::identity::{Authenticator, NoHost};
use chaperone_fuzz::{authentication, jwks, now, sign, timed};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| timed(data, |data| {
    let mut authenticator = Authenticator::new(&authentication(Some(jwks()))).expect("keys");
    let raw = authenticator.authenticate(now(), &[data], &NoHost);
    assert!(
        raw.is_err() || data.starts_with(b"Bearer ") || data.starts_with(b"bearer "),
        "a token without its scheme"
    );
    let line = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (header, claims) = data.split_at(line);
    let bearer = format!("Bearer {}", sign(header, claims.get(1..).unwrap_or_default()));
    if let Ok(identity) = authenticator.authenticate(now(), &[bearer.as_bytes()], &NoHost) {
        assert!(!identity.user.username.is_empty() && identity.expires > now());
        let again =
            authenticator.authenticate(now(), &[bearer.as_bytes()], &NoHost).expect("it is remembered");
        assert_eq!(again.user, identity.user);
    }
}));
