//! The recorder's signature: a detached JWS over a batch's bytes.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ed25519_compact::{KeyPair, Noise, Seed};
use sha2::{Digest, Sha256};

/// PKCS#8 (RFC 8410) before the 32 bytes of the seed: version 1, without the public key.
const PKCS8_V1: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
/// The same in version 2, which has the public key behind the seed (RFC 5958).
const PKCS8_V2: [[u8; 16]; 2] = [
    [0x30, 0x51, 2, 1, 1, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20],
    [0x30, 0x53, 2, 1, 1, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20],
];

/// A body is encoded in pieces of so many times three bytes.
const THIRDS: usize = 1024;

/// An Ed25519 key that signs batches. Its `kid` is the public key's JWK thumbprint (RFC 7638).
pub struct SigningKey {
    pair: KeyPair,
    header: String,
}

impl SigningKey {
    /// Reads a private key: PKCS#8 PEM as `openssl genpkey -algorithm ed25519` writes it, or its DER in base64.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let inner = match text.trim().strip_prefix("-----BEGIN PRIVATE KEY-----") {
            Some(rest) => rest.trim_end().strip_suffix("-----END PRIVATE KEY-----")?,
            None => text,
        };
        // A PEM whose newlines were turned into spaces or `\n` on the way through an environment is still read.
        let compact: String = inner.replace("\\n", "").chars().filter(|c| !c.is_ascii_whitespace()).collect();
        let der = STANDARD.decode(compact).ok()?;
        let (prefix, rest) = der.split_at_checked(16)?;
        let known = (prefix == PKCS8_V1 && rest.len() == 32) || PKCS8_V2.iter().any(|v2| prefix == v2);
        let seed: [u8; 32] = rest.get(..32)?.try_into().ok()?;
        // The library panics on a seed of zeros, which is nobody's key.
        let random = seed.iter().any(|byte| *byte != 0);
        (known && random).then(|| Self::from_seed(seed))
    }

    fn from_seed(seed: [u8; 32]) -> Self {
        let pair = KeyPair::from_seed(Seed::new(seed));
        let x = URL_SAFE_NO_PAD.encode(*pair.pk);
        let thumbprint = Sha256::digest(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#).as_bytes());
        let kid = URL_SAFE_NO_PAD.encode(thumbprint);
        let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"EdDSA","kid":"{kid}"}}"#));
        Self { pair, header }
    }

    /// The detached JWS over `body` (RFC 7515 appendix F): `header..signature`. `digest` is the body's SHA-256.
    ///
    /// RFC 8032 takes a signature's nonce from the message, and so hashes it twice. Here it comes from random bytes, the
    /// digest and the key, which is as good a nonce and checks as any other; were the host's random bytes ever to repeat,
    /// the digest would still tell two messages apart. (The library panics where the host has no random bytes; with such a
    /// host no configuration is accepted.)
    pub fn sign(&self, body: &[u8], digest: &[u8; 32]) -> String {
        let [noise @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = *digest;
        let mut state = self.pair.sk.sign_incremental(Noise::new(noise));
        state.absorb(&self.header);
        state.absorb(b".");
        let mut encoded = [0; 4 * THIRDS];
        for piece in body.chunks(3 * THIRDS) {
            let length = URL_SAFE_NO_PAD.encode_slice(piece, &mut encoded).unwrap_or_default();
            state.absorb(encoded.get(..length).unwrap_or_default());
        }
        format!("{}..{}", self.header, URL_SAFE_NO_PAD.encode(*state.sign()))
    }
}

#[cfg(test)]
mod tests {
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    /// The key of RFC 8032 section 7.1, test 1, as RFC 8037 appendix A uses it: its thumbprint is known.
    const SEED: &str = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
    const THUMBPRINT: &str = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";

    fn der() -> Vec<u8> {
        [&PKCS8_V1[..], &URL_SAFE_NO_PAD.decode(SEED).unwrap()].concat()
    }

    #[test]
    fn signs_as_rfc_7515_appendix_f() {
        let key = SigningKey::parse(STANDARD.encode(der()).as_bytes()).unwrap();
        let jws = key.sign(b"a batch", &[0; 32]);
        let (header, signature) = jws.split_once("..").unwrap();
        assert_eq!(
            URL_SAFE_NO_PAD.decode(header).unwrap(),
            format!(r#"{{"alg":"EdDSA","kid":"{THUMBPRINT}"}}"#).as_bytes()
        );
        let input = format!("{header}.{}", URL_SAFE_NO_PAD.encode(b"a batch"));
        let signature =
            ed25519_compact::Signature::from_slice(&URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
        assert!(key.pair.pk.verify(input, &signature).is_ok());
    }

    #[test]
    fn signatures_of_any_length_check_and_none_repeats() {
        let key = SigningKey::parse(STANDARD.encode(der()).as_bytes()).unwrap();
        let body: Vec<u8> = (0..=255).cycle().take(20_000).collect();
        let mut nonces = std::collections::HashSet::new();
        for length in (0..300).chain([3 * THIRDS - 1, 3 * THIRDS, 3 * THIRDS + 1, 20_000]) {
            let body = &body[..length];
            let jws = key.sign(body, &Sha256::digest(body).into());
            let (header, signature) = jws.split_once("..").unwrap();
            let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
            assert!(nonces.insert(signature[..32].to_vec()));
            let signature = ed25519_compact::Signature::from_slice(&signature).unwrap();
            let input = format!("{header}.{}", URL_SAFE_NO_PAD.encode(body));
            assert!(key.pair.pk.verify(input, &signature).is_ok(), "{length} bytes");
        }
    }

    #[test]
    fn reads_pem_however_the_environment_mangled_it() {
        let body = STANDARD.encode(der());
        for pem in [
            format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n"),
            format!("-----BEGIN PRIVATE KEY----- {body} -----END PRIVATE KEY-----"),
            format!("-----BEGIN PRIVATE KEY-----\\n{body}\\n-----END PRIVATE KEY-----"),
        ] {
            assert!(SigningKey::parse(pem.as_bytes()).is_some());
        }
        for bad in [
            "",
            "x",
            "AAAA",
            "-----BEGIN PRIVATE KEY-----",
            &STANDARD.encode([0u8; 48]),
            "MC4CAQAwBQYDK2VwBCIEIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        ] {
            assert!(SigningKey::parse(bad.as_bytes()).is_none());
        }
    }
}
