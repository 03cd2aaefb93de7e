//! Tombstones: what was pruned of a chain, signed by whoever pruned it, so that verification can tell it from what was
//! taken away.

use super::keys::{KeyError, KeySet, thumbprint};
use super::signature::{self, signing_input};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chaperone_record::Timestamp;
use ed25519_dalek::pkcs8::DecodePrivateKey as _;
use ed25519_dalek::{Signer as _, SigningKey};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// The one format there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Format {
    #[serde(rename = "chaperone-tombstone/1")]
    One,
}

/// What was pruned of a chain: every batch below `first`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tombstone {
    format: Format,
    /// Whose chain.
    pub recorder: String,
    /// The first batch that was kept.
    pub first: i64,
    /// SHA-256 of the last batch that was not, lower-case hex: what `first` states as its `previous`.
    pub previous: String,
    /// When it was pruned.
    pub time: Timestamp,
}

/// A tombstone as it is kept: its bytes, and a detached JWS over them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// JSON.
    pub text: String,
    /// The signature, in the form of a batch's.
    pub signature: String,
}

/// The key that tombstones are signed with. It is not a filter's: who prunes must not be able to write records.
#[derive(Clone)]
pub struct TombstoneKey {
    key: SigningKey,
    kid: String,
}

impl TombstoneKey {
    /// Reads a PKCS#8 PEM, as `chaperone keygen` writes it.
    pub fn parse(pem: &str) -> Result<Self, KeyError> {
        let key = SigningKey::from_pkcs8_pem(pem).map_err(|_| KeyError::Format)?;
        let kid = thumbprint(&key.verifying_key());
        Ok(Self { key, kid })
    }

    /// Signs that everything of a chain below `first` was pruned.
    pub fn sign(&self, recorder: &str, first: i64, previous: &str, time: Timestamp) -> Signed {
        let text = json!({"format": Format::One, "recorder": recorder, "first": first, "previous": previous, "time": time});
        let text = text.to_string();
        let header = URL_SAFE_NO_PAD.encode(json!({"alg": "EdDSA", "kid": self.kid}).to_string());
        let signature = self.key.sign(signing_input(&header, text.as_bytes()).as_bytes());
        Signed { text, signature: format!("{header}..{}", URL_SAFE_NO_PAD.encode(signature.to_bytes())) }
    }
}

impl Signed {
    /// What it says of a chain, where one of these keys signed it; empty `keys` leave the signature unchecked.
    pub fn open(&self, recorder: &str, keys: &KeySet) -> Result<Tombstone, &'static str> {
        if !keys.is_empty() {
            let checked = signature::verify(keys, Some(&self.signature), self.text.as_bytes());
            checked.map_err(|_| "no given key signed its tombstone")?;
        }
        let tombstone: Tombstone =
            serde_json::from_str(&self.text).map_err(|_| "its tombstone cannot be read")?;
        let right = tombstone.recorder == recorder && tombstone.first > 0;
        right.then_some(tombstone).ok_or("its tombstone is another chain's")
    }
}
