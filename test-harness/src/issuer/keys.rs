//! What an issuer signs with: one key an algorithm, and the set of them it publishes.

use std::sync::OnceLock;

use jwt_simple::prelude::RS256KeyPair;
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
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
    /// RSA-2048, PKCS #1 v1.5: what most issuers do. Its key takes a moment to make.
    Rs256,
}

/// One generation of keys: they come and go together.
pub(super) struct Keys {
    es256: (String, EcdsaKeyPair),
    eddsa: (String, Ed25519KeyPair),
    /// Made when first asked for: it takes seconds, and few tests need it.
    rs256: OnceLock<(String, RsaKeyPair)>,
}

// === impl Alg ===

impl Alg {
    /// The `alg` header's value.
    pub fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
        }
    }

    /// The algorithm with this JOSE name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Es256, Self::EdDsa, Self::Rs256].into_iter().find(|alg| alg.name() == name)
    }
}

// === impl Keys ===

impl Keys {
    pub(super) fn generate() -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let es256 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("random bytes for a key");
        let es256 = EcdsaKeyPair::from_pkcs8(algorithm, es256.as_ref(), &random).expect("the key just made");
        let eddsa = Ed25519KeyPair::generate_pkcs8(&random).expect("random bytes for a key");
        let eddsa = Ed25519KeyPair::from_pkcs8(eddsa.as_ref()).expect("the key just made");
        Self { es256: (key_id(), es256), eddsa: (key_id(), eddsa), rs256: OnceLock::new() }
    }

    pub(super) fn key_id(&self, alg: Alg) -> &str {
        match alg {
            Alg::Es256 => &self.es256.0,
            Alg::EdDsa => &self.eddsa.0,
            Alg::Rs256 => &self.rs256().0,
        }
    }

    pub(super) fn sign(&self, alg: Alg, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match alg {
            Alg::Es256 => {
                let signature = self.es256.1.sign(&random, message).expect("random bytes");
                signature.as_ref().to_vec()
            }
            Alg::EdDsa => self.eddsa.1.sign(message).as_ref().to_vec(),
            Alg::Rs256 => {
                let key = &self.rs256().1;
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).expect("random bytes");
                signature
            }
        }
    }

    /// The public keys, as JWKs (RFC 7517); the RSA key only once it exists.
    pub(super) fn jwks(&self) -> Vec<Value> {
        let (key_id, key) = &self.es256;
        // An uncompressed point: 4, then x and y of equal length.
        let (x, y) = key.public_key().as_ref()[1..].split_at(32);
        let mut jwks = vec![
            json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": key_id, "x": encoded(x), "y": encoded(y)}),
        ];
        let (key_id, key) = &self.eddsa;
        let x = encoded(key.public_key().as_ref());
        jwks.push(
            json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": key_id, "x": x}),
        );
        if let Some((key_id, key)) = self.rs256.get() {
            let public = PublicKeyComponents::<Vec<u8>>::from(key.public());
            jwks.push(json!({
                "kty": "RSA", "alg": "RS256", "use": "sig", "kid": key_id,
                "n": encoded(&public.n), "e": encoded(&public.e),
            }));
        }
        jwks
    }

    fn rs256(&self) -> &(String, RsaKeyPair) {
        self.rs256.get_or_init(|| {
            let made = RS256KeyPair::generate(2048).and_then(|key| key.to_der()).expect("an RSA key");
            (key_id(), RsaKeyPair::from_pkcs8(&made).expect("the key just made"))
        })
    }
}

fn key_id() -> String {
    Uuid::new_v4().to_string()
}
