//! Seals the originals of masked values to the auditor's key: HPKE (RFC 9180) in base mode, with DHKEM(X25519, HKDF-SHA256),
//! HKDF-SHA256 and ChaCha20-Poly1305. One encapsulation an exchange, of one message.

#[cfg(test)]
pub(crate) mod tests;

use super::Originals;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use ed25519_compact::x25519::{PublicKey, SecretKey};
use hmac_sha256::HKDF;

/// HPKE's `info`: what is sealed, and in which form.
pub const INFO: &[u8] = b"chaperone.dev/v1alpha1 sealed originals";

const KEM: &[u8] = b"KEM\x00\x20";
const SUITE: &[u8] = b"HPKE\x00\x20\x00\x01\x00\x03";
const BASE_MODE: &[u8] = &[0];

/// The auditor, to whom originals are sealed.
#[derive(Clone, Debug)]
pub struct Recipient {
    key: [u8; 32],
}

impl Recipient {
    /// Reads a public key: 32 bytes in base64. None where it is no such key, or one of the few that give no secrecy.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let bytes = STANDARD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text)).ok()?;
        let key: [u8; 32] = bytes.try_into().ok()?;
        PublicKey::new(key).dh(&SecretKey::new([7; 32])).ok()?;
        Some(Self { key })
    }

    /// Seals what was masked in an exchange, whose id it is bound to; see `docs/masking.md` for the form. None where there
    /// is nothing to seal, or no randomness for a key.
    pub fn seal(&self, originals: &Originals, exchange: &str) -> Option<String> {
        if originals.is_empty() {
            return None;
        }
        let mut ephemeral = [0; 32];
        getrandom::fill(&mut ephemeral).ok()?;
        let sealed =
            self.seal_with(ephemeral, INFO, exchange.as_bytes(), &serde_json::to_vec(originals).ok()?)?;
        Some(STANDARD.encode(sealed))
    }

    /// RFC 9180, `SealBase` (section 6.1): `enc`, then the ciphertext.
    fn seal_with(&self, ephemeral: [u8; 32], info: &[u8], aad: &[u8], msg: &[u8]) -> Option<Vec<u8>> {
        let secret = SecretKey::new(ephemeral);
        let enc = secret.recover_public_key().ok()?;
        let dh = PublicKey::new(self.key).dh(&secret).ok()?;
        // ExtractAndExpand (section 4.1)
        let prk = extract(KEM, b"", b"eae_prk", &dh[..]);
        let shared: [u8; 32] = expand(KEM, &prk, b"shared_secret", &[&enc[..], &self.key[..]].concat());
        let (key, nonce) = schedule(&shared, info);
        let cipher = ChaCha20Poly1305::new(&Key::from(key));
        let sealed = cipher.encrypt(&Nonce::from(nonce), Payload { msg, aad }).ok()?;
        Some([&enc[..], &sealed].concat())
    }
}

/// The key schedule in base mode (section 5.1): key and first nonce.
fn schedule(shared: &[u8; 32], info: &[u8]) -> ([u8; 32], [u8; 12]) {
    let psk_id_hash = extract(SUITE, b"", b"psk_id_hash", b"");
    let info_hash = extract(SUITE, b"", b"info_hash", info);
    let context = [BASE_MODE, &psk_id_hash, &info_hash].concat();
    let secret = extract(SUITE, shared, b"secret", b"");
    (expand(SUITE, &secret, b"key", &context), expand(SUITE, &secret, b"base_nonce", &context))
}

/// `LabeledExtract` (section 4).
fn extract(suite: &[u8], salt: &[u8], label: &[u8], ikm: &[u8]) -> [u8; 32] {
    HKDF::extract(salt, [b"HPKE-v1", suite, label, ikm].concat())
}

/// `LabeledExpand` (section 4).
fn expand<const N: usize>(suite: &[u8], prk: &[u8; 32], label: &[u8], info: &[u8]) -> [u8; N] {
    let length = u16::try_from(N).unwrap_or(u16::MAX).to_be_bytes();
    let mut out = [0; N];
    HKDF::expand(&mut out, prk, [&length[..], b"HPKE-v1", suite, label, info].concat());
    out
}
