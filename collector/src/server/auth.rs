//! Who may post and who may read: two bearer tokens that know nothing of each other.

use super::problem::Problem;
use axum::http::{HeaderMap, StatusCode, header};
use sha2::{Digest as _, Sha256};
use std::fmt;
use subtle::ConstantTimeEq as _;

/// A configured token. Only its digest is kept, so that comparing takes the same time for every length and content.
#[derive(Clone, PartialEq, Eq)]
pub struct Token([u8; 32]);

/// A token that cannot protect anything.
#[derive(Debug, thiserror::Error)]
#[error("a token must have at least 16 characters, all of them visible ASCII")]
pub struct WeakToken;

impl Token {
    /// Takes a token's text, with white space around it (a file's last newline) removed.
    pub fn new(text: &str) -> Result<Self, WeakToken> {
        let text = text.trim();
        if text.len() < 16 || !text.bytes().all(|c| c.is_ascii_graphic()) {
            return Err(WeakToken);
        }
        Ok(Self(Sha256::digest(text).into()))
    }

    fn matches(&self, presented: &str) -> bool {
        let digest: [u8; 32] = Sha256::digest(presented).into();
        self.0.ct_eq(&digest).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Lets a request pass that carries `token` as its only `Authorization: Bearer`. Without a configured token, none does.
pub(super) fn require(token: Option<&Token>, headers: &HeaderMap) -> Result<(), Problem> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let presented = match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok().and_then(|value| value.split_once(' ')),
        _ => None,
    };
    let presented =
        presented.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
    match (token, presented) {
        (Some(token), Some(presented)) if token.matches(presented) => Ok(()),
        _ => Err(Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", "a valid bearer token is required")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_one_token_passes() {
        let token = Token::new("0123456789abcdef\n").unwrap();
        let pass = |values: &[&str], token: Option<&Token>| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, value.parse().unwrap());
            }
            require(token, &headers).is_ok()
        };
        let good = "Bearer 0123456789abcdef";
        assert!(pass(&[good], Some(&token)));
        assert!(pass(&["bearer 0123456789abcdef"], Some(&token)));
        assert!(!pass(&[good], None));
        for wrong in [
            &[][..],
            &["Bearer"],
            &["Bearer "],
            &["Bearer 0123456789abcdeF"],
            &["Basic 0123456789abcdef"],
            &[good, good],
        ] {
            assert!(!pass(wrong, Some(&token)), "{wrong:?}");
        }
    }

    #[test]
    fn weak_tokens_are_refused_and_good_ones_are_not_shown() {
        for weak in ["", "short", "0123456789abcde", "0123456789 abcdef", "0123456789abcdéf"] {
            assert!(Token::new(weak).is_err(), "{weak}");
        }
        assert_eq!(format!("{:?}", Token::new("0123456789abcdef").unwrap()), "Token(..)");
    }
}
