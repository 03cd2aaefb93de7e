//! The short, repeatable form of what `fuzz/` does at length.

use super::issuer::*;
use proptest::prelude::*;
use serde_json::json;

proptest! {
    #[test]
    fn any_header_value_is_answered(value in proptest::collection::vec(any::<u8>(), 0..300)) {
        let got = authenticator(|_| ()).authenticate(at(NOW), &[&value], &crate::identity::NoHost);
        prop_assert!(got.is_err());
    }

    #[test]
    fn any_three_parts_are_answered(parts in proptest::collection::vec("[A-Za-z0-9_=-]{0,60}", 1..5)) {
        prop_assert!(ask(&parts.join(".")).is_err());
    }

    /// Whatever a signed token says, the answer is an identity or an error.
    #[test]
    fn any_signed_texts_are_answered(header in ".{0,80}", claims in ".{0,200}") {
        prop_assert!(ask(&sign_text(1, &header, &claims)).is_err());
    }

    #[test]
    fn one_changed_byte_makes_a_token_bad(at_byte in any::<proptest::sample::Index>(), byte in 0x21u8..0x7f) {
        let good = sign(&header(), &claims());
        let mut bytes = good.clone().into_bytes();
        let index = at_byte.index(bytes.len());
        bytes[index] = byte;
        let changed = String::from_utf8(bytes).unwrap();
        prop_assert_eq!(ask(&changed).is_ok(), changed == good);
    }

    #[test]
    fn any_key_set_is_read_or_refused(body in "(\\{|\\}|\\[|\\]|\"keys\"|\"kty\"|\"RSA\"|\"n\"|\"e\"|\"AQAB\"|:|,|1| ){0,40}") {
        let mut authenticator = authenticator(|jwt| {
            jwt["issuer"] = json!({"url": URL, "audiences": ["a"], "cluster": "c", "discoveryURL": "https://idp/"});
        });
        let fetch = authenticator.poll(at(NOW)).pop().unwrap();
        let document = json!({"issuer": URL, "jwks_uri": "https://idp/keys"}).to_string();
        authenticator.on_answer(at(NOW), 0, fetch.id, Some(200), document.as_bytes()).unwrap();
        let fetch = authenticator.poll(at(NOW)).pop().unwrap();
        prop_assert!(authenticator.on_answer(at(NOW), 0, fetch.id, Some(200), body.as_bytes()).is_err());
    }
}
