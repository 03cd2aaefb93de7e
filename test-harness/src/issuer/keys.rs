//! What an issuer signs with: one key an algorithm, and the set of them it publishes.

use std::sync::OnceLock;

use jwt_simple::prelude::RS256KeyPair;
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::encoded;

/// A signature algorithm, by its JOSE name (RFC 7518, RFC 8037).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Alg {
    /// ECDSA on P-256: quick, and what most issuers can do.
    #[default]
    Es256,
    /// Ed25519.
    EdDsa,
    /// ECDSA on P-384.
    Es384,
    /// RSA-2048 with PSS, under the key of RS256, which is published under a second name for it.
    Ps256,
    /// RSA-2048, PKCS #1 v1.5: what most issuers do. Its key takes a moment to make.
    Rs256,
}

/// One generation of keys: they come and go together.
pub(super) struct Keys {
    es256: (String, EcdsaKeyPair),
    es384: (String, EcdsaKeyPair),
    eddsa: (String, Ed25519KeyPair),
    /// Made when first asked for: it takes seconds, and few tests need it.
    rsa: OnceLock<Rsa>,
}

/// An RSA key, and its names for RS256 and PS256.
struct Rsa {
    key: RsaKeyPair,
    rs256: String,
    ps256: String,
}

// === impl Alg ===

impl Alg {
    /// The `alg` header's value.
    pub fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Ps256 => "PS256",
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
        }
    }

    /// The algorithm with this JOSE name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Es256, Self::EdDsa, Self::Es384, Self::Ps256, Self::Rs256]
            .into_iter()
            .find(|alg| alg.name() == name)
    }
}

// === impl Keys ===

impl Keys {
    pub(super) fn generate() -> Self {
        let random = SystemRandom::new();
        let ecdsa = |algorithm: &'static EcdsaSigningAlgorithm| {
            let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("random bytes for a key");
            EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random).expect("the key just made")
        };
        let eddsa = Ed25519KeyPair::generate_pkcs8(&random).expect("random bytes for a key");
        let eddsa = Ed25519KeyPair::from_pkcs8(eddsa.as_ref()).expect("the key just made");
        Self {
            es256: (key_id(), ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING)),
            es384: (key_id(), ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING)),
            eddsa: (key_id(), eddsa),
            rsa: OnceLock::new(),
        }
    }

    pub(super) fn key_id(&self, alg: Alg) -> &str {
        match alg {
            Alg::Es256 => &self.es256.0,
            Alg::EdDsa => &self.eddsa.0,
            Alg::Es384 => &self.es384.0,
            Alg::Rs256 => &self.rsa().rs256,
            Alg::Ps256 => &self.rsa().ps256,
        }
    }

    pub(super) fn sign(&self, alg: Alg, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match alg {
            Alg::Es256 => self.es256.1.sign(&random, message).expect("random bytes").as_ref().to_vec(),
            Alg::Es384 => self.es384.1.sign(&random, message).expect("random bytes").as_ref().to_vec(),
            Alg::EdDsa => self.eddsa.1.sign(message).as_ref().to_vec(),
            Alg::Rs256 => self.rsa().sign(&RSA_PKCS1_SHA256, message),
            Alg::Ps256 => self.rsa().sign(&RSA_PSS_SHA256, message),
        }
    }

    /// The public keys, as JWKs (RFC 7517); the RSA key only once it exists.
    pub(super) fn jwks(&self) -> Vec<Value> {
        let ecdsa = |(key_id, key): &(String, EcdsaKeyPair), curve: &str, alg: Alg, half: usize| {
            // An uncompressed point: 4, then x and y of equal length.
            let (x, y) = key.public_key().as_ref()[1..].split_at(half);
            json!({"kty": "EC", "crv": curve, "alg": alg.name(), "use": "sig", "kid": key_id, "x": encoded(x), "y": encoded(y)})
        };
        let mut jwks =
            vec![ecdsa(&self.es256, "P-256", Alg::Es256, 32), ecdsa(&self.es384, "P-384", Alg::Es384, 48)];
        let (key_id, key) = &self.eddsa;
        let x = encoded(key.public_key().as_ref());
        jwks.push(
            json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": key_id, "x": x}),
        );
        if let Some(Rsa { key, rs256, ps256 }) = self.rsa.get() {
            let public = PublicKeyComponents::<Vec<u8>>::from(key.public());
            let (n, e) = (encoded(&public.n), encoded(&public.e));
            for (alg, key_id) in [(Alg::Rs256, rs256), (Alg::Ps256, ps256)] {
                jwks.push(
                    json!({"kty": "RSA", "alg": alg.name(), "use": "sig", "kid": key_id, "n": n, "e": e}),
                );
            }
        }
        jwks
    }

    fn rsa(&self) -> &Rsa {
        self.rsa.get_or_init(|| {
            let made = RS256KeyPair::generate(2048).and_then(|key| key.to_der()).expect("an RSA key");
            let key = RsaKeyPair::from_pkcs8(&made).expect("the key just made");
            Rsa { key, rs256: key_id(), ps256: key_id() }
        })
    }
}

// === impl Rsa ===

impl Rsa {
    fn sign(&self, padding: &'static dyn RsaEncoding, message: &[u8]) -> Vec<u8> {
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key.sign(padding, &SystemRandom::new(), message, &mut signature).expect("random bytes");
        signature
    }
}

fn key_id() -> String {
    Uuid::new_v4().to_string()
}
