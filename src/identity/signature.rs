//! Signatures: by the host where it can, which is some fifty times faster, otherwise in wasm. Same keys, same answers.

use super::jwk::{Key, Material, integer, sequence};
use super::jwt::Jwt;
use jwt_simple::prelude::*;

/// A host that verifies signatures (Envoy's `verify_signature` foreign function).
pub trait SignatureVerifier {
    /// Whether `signature` (RSA PKCS#1 v1.5, or ECDSA in DER) over `text` verifies; none where the host cannot tell.
    /// `hash` is `sha256`, `sha384` or `sha512`; `spki_der` a SubjectPublicKeyInfo.
    fn verify(&self, hash: &str, spki_der: &[u8], signature: &[u8], text: &[u8]) -> Option<bool>;
}

/// No host: everything is verified in the core.
pub struct NoHost;

impl SignatureVerifier for NoHost {
    fn verify(&self, _: &str, _: &[u8], _: &[u8], _: &[u8]) -> Option<bool> {
        None
    }
}

/// Whether the host says that the signature verifies under `key`, whose kind already fits the token's algorithm; none
/// where it cannot tell.
pub(super) fn by_host(jwt: &Jwt<'_>, key: &Key, host: &dyn SignatureVerifier) -> Option<bool> {
    let (hash, half) = match jwt.algorithm.as_str() {
        "RS256" => ("sha256", None),
        "RS384" => ("sha384", None),
        "RS512" => ("sha512", None),
        "ES256" => ("sha256", Some(32)),
        "ES384" => ("sha384", Some(48)),
        _ => return None,
    };
    let text = jwt.signed.as_bytes();
    match half {
        None => host.verify(hash, &key.spki, &jwt.signature, text),
        Some(half) => {
            // JOSE writes r and s side by side (RFC 7518 section 3.4), X9.62 as a sequence of integers.
            let (r, s) = jwt.signature.split_at_checked(half).filter(|(_, s)| s.len() == half)?;
            host.verify(hash, &key.spki, &sequence(&[&integer(r), &integer(s)]), text)
        }
    }
}

/// The same by jwt-simple. It checks the signature only: times, issuer and audience are checked by [`super::claims`], so
/// its own checks are kept from looking at a clock. At the epoch nothing has expired yet.
pub(super) fn in_core(jwt: &Jwt<'_>, key: &Key) -> bool {
    let options = || {
        Some(VerificationOptions {
            accept_future: true,
            time_tolerance: Some(Duration::from_secs(0)),
            artificial_time: Some(UnixTimeStamp::from_secs(0)),
            max_token_length: None,
            max_header_length: Some(jwt.token.len()),
            ..VerificationOptions::default()
        })
    };
    macro_rules! check {
        ($key:expr) => {
            $key.is_ok_and(|key| key.verify_token::<NoCustomClaims>(jwt.token, options()).is_ok())
        };
    }
    match (&key.material, jwt.algorithm.as_str()) {
        (Material::Rsa { n, e }, "RS256") => check!(RS256PublicKey::from_components(n, e)),
        (Material::Rsa { n, e }, "RS384") => check!(RS384PublicKey::from_components(n, e)),
        (Material::Rsa { n, e }, "RS512") => check!(RS512PublicKey::from_components(n, e)),
        (Material::Rsa { n, e }, "PS256") => check!(PS256PublicKey::from_components(n, e)),
        (Material::Rsa { n, e }, "PS384") => check!(PS384PublicKey::from_components(n, e)),
        (Material::Rsa { n, e }, "PS512") => check!(PS512PublicKey::from_components(n, e)),
        (Material::P256 { point }, "ES256") => check!(ES256PublicKey::from_bytes(point)),
        (Material::P384 { point }, "ES384") => check!(ES384PublicKey::from_bytes(point)),
        (Material::Ed25519 { x }, "EdDSA") => check!(Ed25519PublicKey::from_bytes(x)),
        _ => false,
    }
}

/// Whether jwt-simple takes the key: a point on its curve, a modulus of a size it verifies. The host is asked about no
/// other keys, so that both give the same answers.
pub(super) fn usable(material: &Material) -> bool {
    match material {
        Material::Rsa { n, e } => RS256PublicKey::from_components(n, e).is_ok(),
        Material::P256 { point } => ES256PublicKey::from_bytes(point).is_ok(),
        Material::P384 { point } => ES384PublicKey::from_bytes(point).is_ok(),
        Material::Ed25519 { x } => Ed25519PublicKey::from_bytes(x).is_ok(),
    }
}
