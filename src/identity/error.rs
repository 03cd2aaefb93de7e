//! Why a token is not taken.

use crate::kube::Refusal;
use std::fmt;

/// Why a token is not taken. Its text never holds any of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthError {
    /// No `Authorization` header.
    Missing,
    /// More than one credential.
    Multiple,
    /// Not a compact JWS with strict base64url and JSON.
    Malformed(&'static str),
    /// `alg` is none of the issuer's, or not the key's.
    Algorithm,
    /// `iss` is none of the configured.
    UnknownIssuer,
    /// No key of the issuer fits.
    UnknownKey,
    /// The issuer's keys have not been fetched yet, or too long ago.
    KeysUnavailable,
    /// The signature does not verify.
    Signature,
    /// So many signatures failed lately that no more are verified for a moment.
    Busy,
    /// Past `exp`.
    Expired,
    /// Before `nbf`, or `iat` in the future.
    NotYetValid,
    /// `aud` has none of the issuer's audiences.
    Audience,
    /// A claim is missing or of another shape.
    Claims(&'static str),
}

impl AuthError {
    /// A short stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Missing => "tokenMissing",
            Self::Multiple => "tokenMultiple",
            Self::Malformed(_) => "tokenMalformed",
            Self::Algorithm => "tokenAlgorithm",
            Self::UnknownIssuer => "tokenIssuer",
            Self::UnknownKey => "tokenKey",
            Self::KeysUnavailable => "keysUnavailable",
            Self::Signature => "tokenSignature",
            Self::Busy => "tokenFlood",
            Self::Expired => "tokenExpired",
            Self::NotYetValid => "tokenNotYetValid",
            Self::Audience => "tokenAudience",
            Self::Claims(_) => "tokenClaims",
        }
    }
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("no bearer token; send the agent's OIDC token in Authorization"),
            Self::Multiple => f.write_str("more than one Authorization value; send one bearer token"),
            Self::Malformed(what) => write!(f, "the token is malformed: {what}"),
            Self::Algorithm => f.write_str("the token's algorithm is not allowed for its issuer or key"),
            Self::UnknownIssuer => f.write_str("the token's issuer is not configured"),
            Self::UnknownKey => {
                f.write_str("the token is signed with a key that its issuer does not publish")
            }
            Self::KeysUnavailable => {
                f.write_str("the issuer's keys are not available; is the issuer reachable from the gateway?")
            }
            Self::Signature => f.write_str("the token's signature is wrong"),
            Self::Busy => f.write_str("too many tokens with wrong signatures arrive; try again"),
            Self::Expired => f.write_str("the token has expired; get a new one"),
            Self::NotYetValid => f.write_str("the token is not valid yet; do the clocks agree?"),
            Self::Audience => f.write_str("the token is for another audience"),
            Self::Claims(what) => write!(f, "the token's claims are not usable: {what}"),
        }
    }
}

impl From<AuthError> for Refusal {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::KeysUnavailable => {
                Self::service_unavailable("authentication", error.code(), &error.to_string())
            }
            AuthError::Busy => Self::too_many_requests("authentication", error.code(), &error.to_string()),
            error => Self::unauthorized(error.code(), &error.to_string()),
        }
    }
}
