//! What an issuer answers: a discovery document and a key set (a line each).
#![no_main]

use chaperone_filter::identity::{Authenticator, NoHost};
use chaperone_fuzz::{ISSUER, authentication, now, sign, timed};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| timed(data, |data| {
    let line = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (discovery, set) = data.split_at(line);
    let usual = format!("{{\"issuer\":\"{ISSUER}\",\"jwks_uri\":\"{ISSUER}/keys\"}}");
    for discovery in [discovery, usual.as_bytes()] {
        let mut authenticator = Authenticator::new(&authentication(None)).expect("a URL");
        for answer in [discovery, set.get(1..).unwrap_or_default()] {
            let Some(fetch) = authenticator.poll(now()).pop() else { break };
            let _ = authenticator.on_answer(now(), 7, fetch.id, Some(200), answer);
        }
        let head = b"{\"alg\":\"EdDSA\",\"kid\":\"one\"}";
        let claims =
            format!("{{\"iss\":\"{ISSUER}\",\"aud\":\"kubernetes\",\"sub\":\"a\",\"exp\":9999999999}}");
        let bearer = format!("Bearer {}", sign(head, claims.as_bytes()));
        let _ = authenticator.authenticate(now(), &[bearer.as_bytes()], &NoHost);
    }
}));
