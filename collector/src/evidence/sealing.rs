//! Sealed originals: what a filter masked, readable by the auditor whose public key is `masking.sealTo`, and by nobody else.
//!
//! HPKE (RFC 9180) in base mode: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305. `sealed` of an entry is base64 of
//! the encapsulated key (32 bytes) and the ciphertext; the exchange's id is the associated data; the plaintext is JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable as _, Kem as _, OpModeR, Serializable as _, single_shot_open};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

type Kem = X25519HkdfSha256;

/// HPKE's `info`.
const INFO: &[u8] = b"chaperone.dev/v1alpha1 sealed originals";
/// PKCS#8 (RFC 8410) before an X25519 private key's 32 bytes.
const PKCS8: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x6e, 4, 0x22, 4, 0x20];
/// Bytes of a key.
const KEY: usize = 32;

/// Opens what is sealed.
pub struct UnsealingKey(<Kem as hpke::Kem>::PrivateKey);

/// What was masked in an exchange.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Originals {
    /// In the order of the body.
    pub values: Vec<Original>,
    /// Values for which the filter had no room.
    #[serde(default)]
    pub omitted: u64,
}

/// One value: text in `value`, or bytes in base64 in `base64`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Original {
    /// Where it stood.
    pub path: String,
    /// Text, as it stood in the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Bytes that are no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
}

/// Why originals cannot be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealingError {
    /// Not a private key.
    #[error(
        "not an X25519 private key: PKCS#8 PEM as `openssl genpkey -algorithm x25519` writes it, or 32 bytes in base64"
    )]
    Key,
    /// Not what a filter writes.
    #[error("what is sealed there is not of a form this program knows")]
    Form,
    /// Another key, another exchange, or changed bytes.
    #[error("this key does not open it: it was sealed to another one, or changed since")]
    Closed,
}

/// A new pair: the private key as PKCS#8 PEM, and what goes into `masking.sealTo`.
///
/// # Errors
/// There is no randomness.
pub fn generate() -> Result<(Zeroizing<String>, String), getrandom::Error> {
    let mut seed = Zeroizing::new([0u8; KEY]);
    getrandom::fill(&mut *seed)?;
    let (private, public) = Kem::derive_keypair(&*seed);
    let der = Zeroizing::new([&PKCS8[..], &private.to_bytes()].concat());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(&*der));
    Ok((Zeroizing::new(pem), STANDARD.encode(public.to_bytes())))
}

impl UnsealingKey {
    /// Reads PEM, or the bare 32 bytes in base64.
    ///
    /// # Errors
    /// [`SealingError::Key`].
    pub fn parse(text: &str) -> Result<Self, SealingError> {
        let inner: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
        let bytes = Zeroizing::new(STANDARD.decode(inner.trim()).map_err(|_| SealingError::Key)?);
        let raw = bytes.strip_prefix(PKCS8.as_slice()).unwrap_or(&bytes);
        <Kem as hpke::Kem>::PrivateKey::from_bytes(raw).map(Self).map_err(|_| SealingError::Key)
    }

    /// Opens an entry's `sealed`.
    ///
    /// # Errors
    /// It is not of the form, or not for this key and exchange.
    pub fn open(&self, sealed: &str, exchange: &str) -> Result<Originals, SealingError> {
        let bytes = STANDARD.decode(sealed).map_err(|_| SealingError::Form)?;
        let (enc, ciphertext) = bytes.split_at_checked(KEY).ok_or(SealingError::Form)?;
        let enc = <Kem as hpke::Kem>::EncappedKey::from_bytes(enc).map_err(|_| SealingError::Form)?;
        let opened = single_shot_open::<ChaCha20Poly1305, HkdfSha256, Kem>(
            &OpModeR::Base,
            &self.0,
            &enc,
            INFO,
            ciphertext,
            exchange.as_bytes(),
        );
        let plain = Zeroizing::new(opened.map_err(|_| SealingError::Closed)?);
        serde_json::from_slice(&plain).map_err(|_| SealingError::Form)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hpke::{OpModeS, single_shot_seal};

    fn sealed(public: &str, exchange: &str, originals: &Originals) -> String {
        let key = <Kem as hpke::Kem>::PublicKey::from_bytes(&STANDARD.decode(public).unwrap()).unwrap();
        let plain = serde_json::to_vec(originals).unwrap();
        let (enc, ciphertext) = single_shot_seal::<ChaCha20Poly1305, HkdfSha256, Kem>(
            &OpModeS::Base,
            &key,
            INFO,
            &plain,
            exchange.as_bytes(),
        )
        .unwrap();
        STANDARD.encode([enc.to_bytes().to_vec(), ciphertext].concat())
    }

    #[test]
    fn only_the_right_key_opens_and_only_for_its_exchange() {
        let ((pem, public), (other, _)) = (generate().unwrap(), generate().unwrap());
        let originals = Originals {
            values: vec![Original {
                path: "$.data.password".to_owned(),
                value: Some("aHVudGVyMg==".to_owned()),
                base64: None,
            }],
            omitted: 2,
        };
        let text = sealed(&public, "e-1", &originals);
        let key = UnsealingKey::parse(&pem).unwrap();
        assert_eq!(key.open(&text, "e-1"), Ok(originals));
        assert_eq!(key.open(&text, "e-2"), Err(SealingError::Closed));
        assert_eq!(UnsealingKey::parse(&other).unwrap().open(&text, "e-1"), Err(SealingError::Closed));
        for bad in ["", "AAAA", "not base64", &"A".repeat(44)] {
            assert!(key.open(bad, "e-1").is_err(), "{bad}");
        }
    }

    #[test]
    fn keys_are_read_as_pem_and_bare() {
        let (pem, _) = generate().unwrap();
        let der = STANDARD.decode(pem.lines().nth(1).unwrap()).unwrap();
        for text in [pem.to_string(), STANDARD.encode(&der), STANDARD.encode(&der[16..])] {
            assert!(UnsealingKey::parse(&text).is_ok());
        }
        for bad in ["", "x", "AAAA", "-----BEGIN PRIVATE KEY-----"] {
            assert_eq!(UnsealingKey::parse(bad).err(), Some(SealingError::Key), "{bad}");
        }
    }
}
