//! The `chaperone-signature` header: a detached JWS (RFC 7515 appendix F) over a batch's exact bytes.

use super::keys::KeySet;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::Signature;
use serde::Deserialize;

/// Longest header that is looked at: a protected header with `alg` and `kid`, and 64 bytes of signature.
const MAX_HEADER: usize = 1024;

/// Why a signature does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// No header came.
    #[error("the batch is not signed")]
    Missing,
    /// Not `protected..signature`, or a protected header this cannot follow.
    #[error("the signature header is not a detached JWS with alg EdDSA and a kid")]
    Malformed,
    /// Signed by a key that nobody configured.
    #[error("the signature names a key that is not configured")]
    UnknownKey,
    /// The bytes are not the signed ones, or another key signed them.
    #[error("the signature does not match the batch")]
    Mismatch,
}

impl SignatureError {
    /// Stable short name for metrics.
    pub fn code(self) -> &'static str {
        match self {
            Self::Missing => "unsigned",
            Self::Malformed => "malformedSignature",
            Self::UnknownKey => "unknownKey",
            Self::Mismatch => "badSignature",
        }
    }
}

#[derive(Deserialize)]
struct Protected {
    alg: String,
    kid: String,
    crit: Option<serde_json::Value>,
    b64: Option<serde_json::Value>,
}

/// Checks `header` over `body` and returns the `kid` of the key that signed it.
pub fn verify(keys: &KeySet, header: Option<&str>, body: &[u8]) -> Result<String, SignatureError> {
    let header = header.ok_or(SignatureError::Missing)?;
    let (encoded, signature) = split(header).ok_or(SignatureError::Malformed)?;
    let protected = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| SignatureError::Malformed)?;
    let protected: Protected = serde_json::from_slice(&protected).map_err(|_| SignatureError::Malformed)?;
    // An extension that must be understood (RFC 7515 section 4.1.11) is not: none is defined here.
    if protected.alg != "EdDSA" || protected.crit.is_some() || protected.b64.is_some() {
        return Err(SignatureError::Malformed);
    }
    let key = keys.get(&protected.kid).ok_or(SignatureError::UnknownKey)?;
    let signed = signing_input(encoded, body);
    key.verify_strict(signed.as_bytes(), &signature).map_err(|_| SignatureError::Mismatch)?;
    Ok(protected.kid)
}

/// What is signed: `BASE64URL(protected header) . BASE64URL(body)`.
pub fn signing_input(encoded_header: &str, body: &[u8]) -> String {
    let mut input = String::with_capacity(encoded_header.len() + 1 + body.len().div_ceil(3) * 4);
    input.push_str(encoded_header);
    input.push('.');
    URL_SAFE_NO_PAD.encode_string(body, &mut input);
    input
}

fn split(header: &str) -> Option<(&str, Signature)> {
    if header.len() > MAX_HEADER {
        return None;
    }
    let (encoded, signature) = header.split_once("..")?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    Some((encoded, Signature::from_slice(&signature).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::keys::thumbprint;
    use ed25519_dalek::pkcs8::{EncodePublicKey as _, spki::der::pem::LineEnding};
    use ed25519_dalek::{Signer as _, SigningKey};

    fn sign(protected: &str, key: &SigningKey, body: &[u8]) -> String {
        let encoded = URL_SAFE_NO_PAD.encode(protected);
        let signature = key.sign(signing_input(&encoded, body).as_bytes());
        format!("{encoded}..{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }

    #[test]
    fn only_a_known_key_over_the_very_bytes_passes() {
        let (key, other) = (SigningKey::from_bytes(&[7; 32]), SigningKey::from_bytes(&[8; 32]));
        let mut keys = KeySet::default();
        keys.add(&key.verifying_key().to_public_key_pem(LineEnding::LF).unwrap()).unwrap();
        let kid = thumbprint(&key.verifying_key());
        let body = br#"{"recorder":"r"}"#;
        let protected = format!(r#"{{"alg":"EdDSA","kid":"{kid}"}}"#);
        let good = sign(&protected, &key, body);
        assert_eq!(verify(&keys, Some(&good), body), Ok(kid.clone()));

        let foreign = format!(r#"{{"alg":"EdDSA","kid":"{}"}}"#, thumbprint(&other.verifying_key()));
        let attached = good.replacen("..", &format!(".{}.", URL_SAFE_NO_PAD.encode(body)), 1);
        for (name, header, error) in [
            ("none", None, SignatureError::Missing),
            ("empty", Some(String::new()), SignatureError::Malformed),
            ("attached payload", Some(attached), SignatureError::Malformed),
            (
                "alg none",
                Some(sign(&protected.replace("EdDSA", "none"), &key, body)),
                SignatureError::Malformed,
            ),
            ("no kid", Some(sign(r#"{"alg":"EdDSA"}"#, &key, body)), SignatureError::Malformed),
            (
                "crit",
                Some(sign(&protected.replace('}', r#","crit":["b64"],"b64":false}"#), &key, body)),
                SignatureError::Malformed,
            ),
            ("unknown key", Some(sign(&foreign, &other, body)), SignatureError::UnknownKey),
            (
                "another key under a known name",
                Some(sign(&protected, &other, body)),
                SignatureError::Mismatch,
            ),
            ("another body", Some(sign(&protected, &key, b"{}")), SignatureError::Mismatch),
            ("cut short", Some(good[..good.len() - 4].to_owned()), SignatureError::Malformed),
        ] {
            assert_eq!(verify(&keys, header.as_deref(), body), Err(error), "{name}");
        }
    }
}
