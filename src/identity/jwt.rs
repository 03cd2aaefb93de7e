//! Bearer tokens: compact JWS (RFC 7515 section 7.1) with a claims set (RFC 7519), read strictly.

use super::AuthError;
use crate::strict_json;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jwt_simple::prelude::{JWTClaims, NoCustomClaims, Token};
use serde_json::Value;

/// Longer tokens are refused.
const MOST_BYTES: usize = 16 * 1024;
/// A longer header is refused; jwt-simple has the same bound.
const MOST_HEADER: usize = 8 * 1024;
/// A longer `kid` is no issuer's.
const MOST_KID: usize = 512;

/// A token's parts; nothing in it is verified yet.
pub(super) struct Jwt<'a> {
    /// The whole token.
    pub(super) token: &'a str,
    /// What is signed: header, dot, payload.
    pub(super) signed: &'a str,
    pub(super) signature: Vec<u8>,
    pub(super) algorithm: String,
    pub(super) kid: Option<String>,
    pub(super) claims: Value,
}

/// The token in the values of `Authorization`.
pub(super) fn bearer<'a>(values: &[&'a [u8]]) -> Result<&'a str, AuthError> {
    let value = match values {
        [] => return Err(AuthError::Missing),
        [one] => one,
        _ => return Err(AuthError::Multiple),
    };
    let text = std::str::from_utf8(value).map_err(|_| AuthError::Malformed("it is not ASCII"))?;
    // Envoy joins repeated headers by a comma, which no token has.
    if text.contains(',') {
        return Err(AuthError::Multiple);
    }
    let (scheme, token) = text.trim().split_once(' ').ok_or(AuthError::Missing)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(AuthError::Missing);
    }
    let token = token.trim_start_matches(' ');
    if token.len() > MOST_BYTES {
        return Err(AuthError::Malformed("it is longer than 16 KiB"));
    }
    Ok(token)
}

impl<'a> Jwt<'a> {
    /// Reads a token's parts. Header parameters that name or carry a key (`jku`, `jwk`, `x5u`, `x5c`) are never used.
    pub(super) fn parse(token: &'a str) -> Result<Self, AuthError> {
        use AuthError::Malformed;
        let (signed, signature) = token.rsplit_once('.').ok_or(Malformed("it has not three parts"))?;
        let (header, payload) = signed.split_once('.').ok_or(Malformed("it has not three parts"))?;
        if payload.contains('.') {
            return Err(Malformed("it has not three parts"));
        }
        if header.len() > MOST_HEADER {
            return Err(Malformed("its header is longer than 8 KiB"));
        }
        let decode =
            |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| Malformed("a part is not base64url"));
        let object = |bytes: &[u8]| strict_json::parse(bytes).ok().filter(Value::is_object);
        let header = object(&decode(header)?)
            .ok_or(Malformed("its header is not a JSON object without repeated members"))?;
        let payload = decode(payload)?;
        let claims =
            object(&payload).ok_or(Malformed("its claims are not a JSON object without repeated members"))?;
        let signature = decode(signature)?;
        if ["crit", "b64", "zip", "enc", "cty", "salt"].iter().any(|name| header.get(name).is_some()) {
            return Err(Malformed("its header asks for an extension, encryption or nesting"));
        }
        if let Some(kind) = header.get("typ") {
            let kind = kind.as_str().unwrap_or_default().to_ascii_lowercase();
            let kind = kind.strip_prefix("application/").unwrap_or(&kind);
            if !matches!(kind, "jwt" | "at+jwt") {
                return Err(Malformed("its typ is neither JWT nor at+jwt"));
            }
        }
        let algorithm =
            header.get("alg").and_then(Value::as_str).ok_or(Malformed("it names no algorithm"))?;
        let kid = match header.get("kid") {
            None => None,
            Some(Value::String(kid)) if kid.len() <= MOST_KID => Some(kid.clone()),
            Some(_) => return Err(Malformed("its kid is not a short string")),
        };
        // What jwt-simple would not read is refused before the host is asked: both give the same answers.
        if Token::decode_metadata(token).is_err()
            || serde_json::from_slice::<JWTClaims<NoCustomClaims>>(&payload).is_err()
        {
            return Err(Malformed(
                "a registered header parameter or claim is of another type than in RFC 7519",
            ));
        }
        Ok(Self { token, signed, signature, algorithm: algorithm.to_owned(), kid, claims })
    }
}
