//! JWK sets (RFC 7517): the keys an issuer signs with.

use super::signature::usable;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Keys read of one set.
const MOST_KEYS: usize = 100;

/// A public key. What it is fixes the algorithms it verifies; the token only chooses among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) kid: Option<String>,
    pub(super) material: Material,
    /// The one algorithm that the key's `alg` allows, where it has one.
    only: Option<String>,
    /// SHA-256 of the SPKI and the one algorithm: names the key in the cache.
    pub(super) digest: [u8; 32],
    /// DER of the SubjectPublicKeyInfo; empty for Ed25519, which the host does not verify.
    pub(super) spki: Vec<u8>,
}

/// A key's numbers, big-endian.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256 { point: Vec<u8> },
    P384 { point: Vec<u8> },
    Ed25519 { x: Vec<u8> },
}

impl Key {
    /// Whether the key verifies `algorithm`.
    pub(super) fn verifies(&self, algorithm: &str) -> bool {
        let fits = match self.material {
            Material::Rsa { .. } => {
                matches!(algorithm, "RS256" | "RS384" | "RS512" | "PS256" | "PS384" | "PS512")
            }
            Material::P256 { .. } => algorithm == "ES256",
            Material::P384 { .. } => algorithm == "ES384",
            Material::Ed25519 { .. } => algorithm == "EdDSA",
        };
        fits && self.only.as_deref().is_none_or(|only| only == algorithm)
    }

    /// Reads one key; none for keys of other kinds or uses, and for private ones.
    fn parse(jwk: &Value) -> Option<Self> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let number = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?).ok();
        if jwk.get("d").is_some() || text("use").is_some_and(|usage| usage != "sig") {
            return None;
        }
        if let Some(operations) = jwk.get("key_ops").and_then(Value::as_array)
            && !operations.iter().any(|operation| operation == "verify")
        {
            return None;
        }
        let point = |size: usize| {
            let (x, y) = (number("x")?, number("y")?);
            (x.len() == size && y.len() == size).then(|| [&[4], x.as_slice(), &y].concat())
        };
        let (material, spki) = match (text("kty")?, text("crv")) {
            ("RSA", _) => {
                let (n, e) = (unpadded(number("n")?), unpadded(number("e")?));
                // 2048 to 8192 bits; an exponent over 32 bits only makes verifying slow.
                let odd = |number: &[u8]| number.last().is_some_and(|last| last & 1 == 1);
                if !(256..=1024).contains(&n.len()) || e.len() > 4 || e == [1] || !odd(&e) || !odd(&n) {
                    return None;
                }
                let spki = rsa_spki(&n, &e);
                (Material::Rsa { n, e }, spki)
            }
            ("EC", Some("P-256")) => {
                let point = point(32)?;
                let spki = ec_spki(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7], &point);
                (Material::P256 { point }, spki)
            }
            ("EC", Some("P-384")) => {
                let point = point(48)?;
                let spki = ec_spki(&[0x2b, 0x81, 4, 0, 0x22], &point);
                (Material::P384 { point }, spki)
            }
            ("OKP", Some("Ed25519")) => {
                let x = number("x")?;
                if x.len() != 32 {
                    return None;
                }
                (Material::Ed25519 { x }, Vec::new())
            }
            _ => return None,
        };
        if !usable(&material) {
            return None;
        }
        let named = match &material {
            Material::Ed25519 { x } => x,
            _ => &spki,
        };
        let only = text("alg").map(str::to_owned);
        // A key that is later confined to one algorithm is another key: what it verified before is forgotten.
        let digest =
            Sha256::digest([named.as_slice(), only.as_deref().unwrap_or("").as_bytes()].concat()).into();
        Some(Self { kid: text("kid").map(str::to_owned), only, digest, spki, material })
    }
}

/// Reads a JWK set; none where it is no JWK set at all. Keys that can't be used are passed over, as RFC 7517 section 5 asks.
pub(super) fn parse_set(set: &Value) -> Option<Vec<Key>> {
    let keys = set.get("keys")?.as_array()?;
    Some(keys.iter().take(MOST_KEYS).filter_map(Key::parse).collect())
}

fn unpadded(number: Vec<u8>) -> Vec<u8> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default().to_vec()
}

// === DER: just what a SubjectPublicKeyInfo (RFC 5280 section 4.1) needs ===

fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut der = vec![tag];
    match u8::try_from(content.len()) {
        Ok(short) if short < 0x80 => der.push(short),
        _ => {
            let length = unpadded(content.len().to_be_bytes().to_vec());
            der.push(0x80 | u8::try_from(length.len()).unwrap_or(0));
            der.extend_from_slice(&length);
        }
    }
    der.extend_from_slice(content);
    der
}

pub(super) fn integer(number: &[u8]) -> Vec<u8> {
    let number = unpadded(number.to_vec());
    match number.first() {
        None => tagged(2, &[0]),
        // A leading one-bit would make it negative.
        Some(first) if first & 0x80 != 0 => tagged(2, &[&[0], number.as_slice()].concat()),
        Some(_) => tagged(2, &number),
    }
}

pub(super) fn sequence(items: &[&[u8]]) -> Vec<u8> {
    tagged(0x30, &items.concat())
}

fn bit_string(content: &[u8]) -> Vec<u8> {
    tagged(3, &[&[0], content].concat())
}

fn rsa_spki(n: &[u8], e: &[u8]) -> Vec<u8> {
    let algorithm = sequence(&[&tagged(6, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1]), &[5, 0]]);
    let key = sequence(&[&integer(n), &integer(e)]);
    sequence(&[&algorithm, &bit_string(&key)])
}

fn ec_spki(curve: &[u8], point: &[u8]) -> Vec<u8> {
    let algorithm = sequence(&[&tagged(6, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1]), &tagged(6, curve)]);
    sequence(&[&algorithm, &bit_string(point)])
}
