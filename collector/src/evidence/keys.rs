//! Ed25519 keys: reading public ones (JWK sets, PEM), making new ones, and naming them.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::pkcs8::{
    DecodePublicKey as _, EncodePrivateKey as _, KeypairBytes, spki::der::pem::LineEnding,
};
use ed25519_dalek::{SigningKey, VerifyingKey};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// Why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Neither a JWK, a JWK set nor PEM.
    #[error("not a JWK set, a JWK or a PEM public key")]
    Format,
    /// A key of another type or curve; only Ed25519 signs batches.
    #[error("key {0}: not an Ed25519 public key (kty OKP, crv Ed25519)")]
    NotEd25519(usize),
    /// The file holds private key material, which does not belong on a collector.
    #[error("key {0}: this is a private key; give the collector the public one")]
    Private(usize),
    /// A set without keys would refuse every batch.
    #[error("no key in it")]
    Empty,
}

/// Public keys by `kid`, the key's RFC 7638 thumbprint. Empty means that signatures cannot be checked.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    keys: BTreeMap<String, VerifyingKey>,
}

impl KeySet {
    /// Adds every key of a file's text: a JWK set, one JWK, or PEM blocks with SPKI keys.
    pub fn add(&mut self, text: &str) -> Result<(), KeyError> {
        let keys = if text.contains("-----BEGIN") { from_pem(text)? } else { from_jwks(text)? };
        if keys.is_empty() {
            return Err(KeyError::Empty);
        }
        self.keys.extend(keys.into_iter().map(|key| (thumbprint(&key), key)));
        Ok(())
    }

    /// The key named `kid`.
    pub fn get(&self, kid: &str) -> Option<&VerifyingKey> {
        self.keys.get(kid)
    }

    /// True where no key is configured.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The names of the keys, in order.
    pub fn kids(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(String::as_str)
    }
}

/// A new signing key, in the forms that the filter, the collector and an auditor need.
pub struct NewKey {
    /// PKCS#8 version 1 PEM, as `openssl genpkey -algorithm ed25519` writes it: the filter's `CHAPERONE_SIGNING_KEY`.
    pub private_pem: Zeroizing<String>,
    /// A JWK set with the public key: for `serve --public-key` and for auditors.
    pub public_jwks: String,
    /// The key's name in signatures.
    pub kid: String,
}

/// Makes a key from the system's randomness.
pub fn generate() -> Result<NewKey, getrandom::Error> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut())?;
    let public = SigningKey::from_bytes(&seed).verifying_key();
    // Without the public key inside, the encoding is PKCS#8 version 1, which every reader takes.
    let pair = KeypairBytes { secret_key: *seed, public_key: None };
    let Ok(private_pem) = pair.to_pkcs8_pem(LineEnding::LF) else {
        unreachable!("a 32-byte seed always encodes")
    };
    let kid = thumbprint(&public);
    let jwk =
        json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": kid, "x": x(&public)});
    Ok(NewKey { private_pem, public_jwks: format!("{:#}\n", json!({"keys": [jwk]})), kid })
}

/// A key's RFC 7638 thumbprint (SHA-256, base64url), with RFC 8037's members.
pub fn thumbprint(key: &VerifyingKey) -> String {
    let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, x(key));
    URL_SAFE_NO_PAD.encode(Sha256::digest(canonical))
}

fn x(key: &VerifyingKey) -> String {
    URL_SAFE_NO_PAD.encode(key.as_bytes())
}

fn from_jwks(text: &str) -> Result<Vec<VerifyingKey>, KeyError> {
    let document: Value = serde_json::from_str(text).map_err(|_| KeyError::Format)?;
    let keys = match document.get("keys") {
        Some(Value::Array(keys)) => keys.as_slice(),
        None if document.get("kty").is_some() => std::slice::from_ref(&document),
        _ => return Err(KeyError::Format),
    };
    keys.iter().enumerate().map(|(index, jwk)| from_jwk(index, jwk)).collect()
}

fn from_jwk(index: usize, jwk: &Value) -> Result<VerifyingKey, KeyError> {
    if jwk.get("d").is_some() {
        return Err(KeyError::Private(index));
    }
    let member = |name| jwk.get(name).and_then(Value::as_str);
    let x = member("x").filter(|_| member("kty") == Some("OKP") && member("crv") == Some("Ed25519"));
    x.and_then(|x| URL_SAFE_NO_PAD.decode(x).ok())
        .and_then(|bytes| VerifyingKey::from_bytes(bytes.as_slice().try_into().ok()?).ok())
        .ok_or(KeyError::NotEd25519(index))
}

fn from_pem(text: &str) -> Result<Vec<VerifyingKey>, KeyError> {
    const END: &str = "-----END PUBLIC KEY-----";
    if text.contains("PRIVATE KEY-----") {
        return Err(KeyError::Private(0));
    }
    let blocks = text.split_inclusive(END).filter(|block| block.contains("-----BEGIN"));
    let decode = |(index, block): (usize, &str)| {
        VerifyingKey::from_public_key_pem(block.trim()).map_err(|_| KeyError::NotEd25519(index))
    };
    blocks.enumerate().map(decode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8037 appendix A.2 and A.3: the example key and its thumbprint.
    const RFC_8037: &str =
        r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

    #[test]
    fn the_kid_is_the_rfc_7638_thumbprint() {
        let mut keys = KeySet::default();
        keys.add(RFC_8037).unwrap();
        assert_eq!(keys.kids().collect::<Vec<_>>(), ["kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"]);
    }

    #[test]
    fn a_new_key_is_read_back_by_its_name() {
        let new = generate().unwrap();
        let mut keys = KeySet::default();
        keys.add(&new.public_jwks).unwrap();
        assert_eq!(keys.kids().collect::<Vec<_>>(), [new.kid.as_str()]);
        use base64::engine::general_purpose::STANDARD;
        let der = STANDARD.decode(new.private_pem.lines().nth(1).unwrap()).unwrap();
        assert_eq!(der.len(), 48, "PKCS#8 version 1, as openssl writes it");
        assert!(!new.public_jwks.contains("\"d\""));
    }

    #[test]
    fn what_is_no_public_ed25519_key_is_refused() {
        let private = generate().unwrap().private_pem;
        for (text, error) in [
            ("", "not a JWK set"),
            (r#"{"keys":[]}"#, "no key in it"),
            (r#"{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}"#, "key 0: not an Ed25519"),
            (
                r#"{"kty":"OKP","crv":"X25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
                "key 0: not an Ed25519",
            ),
            (r#"{"kty":"OKP","crv":"Ed25519","x":"AAAA"}"#, "key 0: not an Ed25519"),
            (r#"{"kty":"OKP","crv":"Ed25519","d":"AAAA","x":"AAAA"}"#, "key 0: this is a private key"),
            (private.as_str(), "key 0: this is a private key"),
        ] {
            let refused = KeySet::default().add(text).unwrap_err().to_string();
            assert!(refused.contains(error), "{refused}");
        }
    }

    #[test]
    fn pem_files_may_hold_several_keys() {
        // `openssl pkey -pubout` of two keys, one after the other.
        use ed25519_dalek::pkcs8::EncodePublicKey as _;
        let pem = |seed| {
            SigningKey::from_bytes(&[seed; 32]).verifying_key().to_public_key_pem(LineEnding::LF).unwrap()
        };
        let mut keys = KeySet::default();
        keys.add(&format!("{}{}", pem(1), pem(2))).unwrap();
        assert_eq!(keys.kids().count(), 2);
    }
}
