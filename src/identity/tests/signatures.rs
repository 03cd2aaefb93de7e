#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::issuer::*;
use crate::identity::{Authenticator, NoHost, SignatureVerifier};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jwt_simple::prelude::*;
use serde_json::{Value, json};
use std::cell::Cell;
use std::sync::LazyLock;

/// Made for these tests: making one takes a while, in wasm above all.
const RSA: &str = include_str!("rsa.pem");
static P256: LazyLock<ES256KeyPair> = LazyLock::new(ES256KeyPair::generate);
static P384: LazyLock<ES384KeyPair> = LazyLock::new(ES384KeyPair::generate);

fn rsa_jwk(kid: &str) -> Value {
    let public = RS256KeyPair::from_pem(RSA).unwrap().public_key();
    let public = public.public_key().to_components();
    json!({"kty": "RSA", "kid": kid, "n": b64(public.n), "e": b64(public.e)})
}

fn ec_jwk(curve: &str, kid: &str, point: &[u8]) -> Value {
    let (x, y) = point[1..].split_at(point.len() / 2);
    json!({"kty": "EC", "crv": curve, "kid": kid, "x": b64(x), "y": b64(y)})
}

fn p256_jwk(kid: &str) -> Value {
    ec_jwk("P-256", kid, &P256.public_key().public_key().to_bytes_uncompressed())
}

fn p384_jwk(kid: &str) -> Value {
    ec_jwk("P-384", kid, &P384.public_key().public_key().to_bytes_uncompressed())
}

fn tokens() -> Vec<(&'static str, String)> {
    let claims = || {
        let times = |seconds| UnixTimeStamp::from_secs(seconds);
        let mut claims = Claims::create(Duration::from_secs(300))
            .with_issuer(URL)
            .with_audience("kubernetes")
            .with_subject("agent-7");
        (claims.issued_at, claims.invalid_before) = (Some(times(NOW)), Some(times(NOW)));
        claims.expires_at = Some(times(NOW + 300));
        claims
    };
    macro_rules! rsa {
        ($pair:ident) => {
            $pair::from_pem(RSA).unwrap().with_key_id("rsa").sign(claims()).unwrap()
        };
    }
    vec![
        ("RS256", rsa!(RS256KeyPair)),
        ("RS384", rsa!(RS384KeyPair)),
        ("RS512", rsa!(RS512KeyPair)),
        ("PS256", rsa!(PS256KeyPair)),
        ("PS384", rsa!(PS384KeyPair)),
        ("PS512", rsa!(PS512KeyPair)),
        (
            "ES256",
            ES256KeyPair::from_bytes(&P256.to_bytes()).unwrap().with_key_id("p256").sign(claims()).unwrap(),
        ),
        (
            "ES384",
            ES384KeyPair::from_bytes(&P384.to_bytes()).unwrap().with_key_id("p384").sign(claims()).unwrap(),
        ),
        (
            "EdDSA",
            sign_text(
                1,
                &json!({"alg": "EdDSA", "kid": "one"}).to_string(),
                &super::issuer::claims().to_string(),
            ),
        ),
    ]
}

fn issuer(keys: Value) -> Authenticator {
    authenticator(|jwt| jwt["issuer"]["jwks"] = json!({"keys": keys}))
}

fn all_keys() -> Authenticator {
    issuer(json!([rsa_jwk("rsa"), p256_jwk("p256"), p384_jwk("p384"), jwk(1, "one")]))
}

/// A host as Envoy is: DER in, yes or no out, and no PSS or EdDSA. Counts how often it is asked.
#[derive(Default)]
struct Host(Cell<usize>);

impl SignatureVerifier for Host {
    fn verify(&self, hash: &str, spki_der: &[u8], signature: &[u8], text: &[u8]) -> Option<bool> {
        self.0.set(self.0.get() + 1);
        let text = std::str::from_utf8(text).unwrap();
        let token = |signature: &[u8]| format!("{text}.{}", b64(signature));
        let options = || {
            Some(VerificationOptions {
                artificial_time: Some(UnixTimeStamp::from_secs(NOW)),
                ..VerificationOptions::default()
            })
        };
        macro_rules! check {
            ($key:ident, $signature:expr) => {
                $signature.is_some_and(|signature| {
                    let key = $key::from_der(spki_der).unwrap();
                    key.verify_token::<NoCustomClaims>(&token(&signature), options()).is_ok()
                })
            };
        }
        Some(match (hash, spki_der.len()) {
            ("sha256", 91) => check!(ES256PublicKey, raw(signature, 32)),
            ("sha384", 120) => check!(ES384PublicKey, raw(signature, 48)),
            ("sha256", _) => check!(RS256PublicKey, Some(signature.to_vec())),
            ("sha384", _) => check!(RS384PublicKey, Some(signature.to_vec())),
            ("sha512", _) => check!(RS512PublicKey, Some(signature.to_vec())),
            _ => unreachable!("{hash}"),
        })
    }
}

/// r and s out of DER's SEQUENCE of two INTEGERs.
fn raw(der: &[u8], half: usize) -> Option<Vec<u8>> {
    assert_eq!((der[0], usize::from(der[1])), (0x30, der.len() - 2));
    let mut raw = Vec::new();
    let mut rest = &der[2..];
    while let [2, length, tail @ ..] = rest {
        let (number, after) = tail.split_at(usize::from(*length));
        assert!(number[0] & 0x80 == 0 && !(number.len() > 1 && number[0] == 0 && number[1] & 0x80 == 0));
        let number = number.strip_prefix(&[0]).unwrap_or(number);
        raw.extend(std::iter::repeat_n(0, half.checked_sub(number.len())?));
        raw.extend_from_slice(number);
        rest = after;
    }
    Some(raw)
}

fn both(mut authenticator: impl FnMut() -> Authenticator, token: &str) -> (&'static str, usize) {
    let bearer = format!("Bearer {token}");
    let host = Host::default();
    let by_core = code(&authenticator().authenticate(at(NOW), &[bearer.as_bytes()], &NoHost));
    let by_host = code(&authenticator().authenticate(at(NOW), &[bearer.as_bytes()], &host));
    assert_eq!(by_core, by_host, "the host and the core differ");
    (by_core, host.0.get())
}

#[test]
fn every_algorithm_by_the_host_and_by_the_core() {
    for (algorithm, token) in tokens() {
        let asked = usize::from(!matches!(algorithm, "PS256" | "PS384" | "PS512" | "EdDSA"));
        assert_eq!(both(all_keys, &token), ("ok", asked), "{algorithm}");
    }
}

#[test]
fn tampered_tokens_get_the_same_answer_from_both() {
    for (algorithm, token) in tokens() {
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let (header, payload) = signed.split_once('.').unwrap();
        let payload: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
        let changed = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut signature = signature.clone();
            change(&mut signature);
            format!("{signed}.{}", b64(signature))
        };
        let mut admin = payload.clone();
        admin["sub"] = json!("admin");
        for (name, token) in [
            ("another user", format!("{header}.{}.{}", b64(admin.to_string()), b64(&signature))),
            ("spaces in the claims", format!("{header}.{}.{}", b64(format!(" {payload}")), b64(&signature))),
            ("first bit", changed(&|s| s[0] ^= 0x80)),
            ("last bit", changed(&|s| *s.last_mut().unwrap() ^= 1)),
            ("a byte short", changed(&|s| s.truncate(s.len() - 1))),
            ("a byte more", changed(&|s| s.push(0))),
            ("a zero in front", changed(&|s| s.insert(0, 0))),
            ("half", changed(&|s| s.truncate(s.len() / 2))),
            ("doubled", changed(&|s| s.extend(s.clone()))),
            ("all zeros (CVE-2022-21449)", changed(&|s| s.fill(0))),
            ("all ones", changed(&|s| s.fill(0xff))),
            ("empty", changed(&|s| s.clear())),
        ] {
            assert_eq!(both(all_keys, &token).0, "tokenSignature", "{algorithm}: {name}");
        }
    }
}

/// The token's own signature under another algorithm's name, under every key: the key fixes what may be.
#[test]
fn the_key_fixes_the_algorithm() {
    for (made_with, token) in tokens() {
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let payload = signed.split_once('.').unwrap().1;
        for algorithm in crate::config::ALGORITHMS.iter().filter(|name| **name != made_with) {
            for kid in ["rsa", "p256", "p384", "one"] {
                let header = json!({"alg": algorithm, "kid": kid}).to_string();
                let got = both(all_keys, &format!("{}.{payload}.{signature}", b64(header))).0;
                assert!(
                    matches!(got, "tokenSignature" | "tokenKey"),
                    "{made_with} as {algorithm}, {kid}: {got}"
                );
            }
        }
    }
}

#[test]
fn algorithms_that_are_never_taken() {
    let public = RS256KeyPair::from_pem(RSA).unwrap().public_key();
    let (der, pem) = (public.to_der().unwrap(), public.to_pem().unwrap());
    let x = pair(1).pk;
    let payload = b64(claims().to_string());
    let none = |alg: &str, signature: &str| {
        format!("{}.{payload}.{signature}", b64(json!({"alg": alg, "kid": "one"}).to_string()))
    };
    let hmac = |alg: &str, kid: &str, key: &[u8]| {
        let signed = format!("{}.{payload}", b64(json!({"alg": alg, "kid": kid}).to_string()));
        format!("{signed}.{}", b64(hmac_sha256::HMAC::mac(&signed, key)))
    };
    for (name, token) in [
        ("none", none("none", "")),
        ("None", none("None", "")),
        ("NONE with a signature", none("NONE", "AAAA")),
        ("an empty algorithm", none("", "")),
        ("HMAC with the RSA key's DER", hmac("HS256", "rsa", &der)),
        ("HMAC with the RSA key's PEM", hmac("HS256", "rsa", pem.as_bytes())),
        ("HMAC with the Ed25519 key", hmac("HS256", "one", &x[..])),
        ("HMAC with nothing", hmac("HS256", "none", b"")),
        ("HMAC in lower case", hmac("hs256", "rsa", &der)),
        ("ES256K", none("ES256K", "AAAA")),
        ("ES512", none("ES512", "AAAA")),
        ("RS1", none("RS1", "AAAA")),
        ("Ed25519, RFC 9864", none("Ed25519", "AAAA")),
        ("eddsa in lower case", none("eddsa", "AAAA")),
        ("RSA-OAEP", none("RSA-OAEP", "AAAA")),
    ] {
        assert_eq!(both(all_keys, &token).0, "tokenAlgorithm", "{name}");
    }
    // Under a name that is taken, the same bytes are no signature.
    for (alg, kid, key) in
        [("RS256", "rsa", der.as_slice()), ("EdDSA", "one", &x[..]), ("ES256", "p256", b"")]
    {
        assert_eq!(both(all_keys, &hmac(alg, kid, key)).0, "tokenSignature", "{alg}");
    }
}

#[test]
fn an_issuer_can_take_fewer_algorithms() {
    let only = |algorithms: Value| {
        move || {
            authenticator(|jwt| {
                jwt["issuer"]["jwks"] = json!({"keys": [rsa_jwk("rsa"), p256_jwk("p256")]});
                jwt["issuer"]["algorithms"] = algorithms.clone();
            })
        }
    };
    let tokens = tokens();
    let token = |name: &str| &tokens.iter().find(|(algorithm, _)| *algorithm == name).unwrap().1;
    assert_eq!(both(only(json!(["ES256"])), token("ES256")).0, "ok");
    assert_eq!(both(only(json!(["ES256"])), token("RS256")).0, "tokenAlgorithm");
    assert_eq!(both(only(json!(["PS256"])), token("RS256")).0, "tokenAlgorithm");
}

#[test]
fn a_keys_own_restrictions_are_kept() {
    let tokens = tokens();
    let token = |name: &str| &tokens.iter().find(|(algorithm, _)| *algorithm == name).unwrap().1;
    for (name, member, value, algorithm, expected) in [
        ("its alg", "alg", json!("RS256"), "RS256", "ok"),
        ("another alg", "alg", json!("RS512"), "RS256", "tokenKey"),
        ("the other padding", "alg", json!("PS256"), "RS256", "tokenKey"),
        ("an encryption alg", "alg", json!("RSA-OAEP"), "RS256", "tokenKey"),
        ("use sig", "use", json!("sig"), "RS256", "ok"),
        ("use enc", "use", json!("enc"), "RS256", "tokenKey"),
        ("key_ops verify", "key_ops", json!(["verify"]), "RS256", "ok"),
        ("key_ops encrypt", "key_ops", json!(["encrypt"]), "RS256", "tokenKey"),
        ("a private key", "d", json!("AAAA"), "RS256", "tokenKey"),
    ] {
        let mut key = rsa_jwk("rsa");
        key[member] = value;
        let keys = move || issuer(json!([key.clone(), jwk(1, "one")]));
        assert_eq!(both(keys, token(algorithm)).0, expected, "{name}");
    }
}

/// Keys that must not count as keys: a set of only such is refused with the configuration.
#[test]
fn unusable_keys_are_passed_over() {
    let mut small = rsa_jwk("k");
    small["n"] = json!(b64([0xff; 128]));
    let set = |change: &dyn Fn(&mut Value)| {
        let mut key = rsa_jwk("k");
        change(&mut key);
        key
    };
    let wrong_curve = |mut key: Value, curve: &str| {
        key["crv"] = json!(curve);
        key
    };
    let off_curve = |mut key: Value, size: usize| {
        key["y"] = json!(b64(vec![1; size]));
        key
    };
    for (name, key) in [
        ("RSA of 1024 bits", small),
        ("RSA with exponent 1", set(&|key| key["e"] = json!("AQ"))),
        ("RSA with an even exponent", set(&|key| key["e"] = json!("Ag"))),
        ("RSA with a long exponent", set(&|key| key["e"] = json!(b64([1; 9])))),
        ("RSA with an even modulus", set(&|key| key["n"] = json!(b64([0xfe; 256])))),
        ("RSA of 16384 bits", set(&|key| key["n"] = json!(b64([0xff; 2048])))),
        ("RSA without a modulus", set(&|key| drop(key.as_object_mut().unwrap().remove("n")))),
        ("RSA in standard base64", set(&|key| key["n"] = json!("+/+/"))),
        ("P-256's point called P-384", wrong_curve(p256_jwk("k"), "P-384")),
        ("P-384's point called P-256", wrong_curve(p384_jwk("k"), "P-256")),
        ("P-256's point called secp256k1", wrong_curve(p256_jwk("k"), "secp256k1")),
        ("a point off P-256", off_curve(p256_jwk("k"), 32)),
        ("a point off P-384", off_curve(p384_jwk("k"), 48)),
        ("a short coordinate", off_curve(p256_jwk("k"), 31)),
        ("X25519", json!({"kty": "OKP", "crv": "X25519", "x": b64([1; 32])})),
        ("a short Ed25519 key", json!({"kty": "OKP", "crv": "Ed25519", "x": b64([1; 31])})),
        ("a symmetric key", json!({"kty": "oct", "k": b64([1; 32])})),
        ("no kind", json!({"x": b64([1; 32])})),
        ("no object", json!("key")),
    ] {
        let config = config(|jwt| jwt["issuer"]["jwks"] = json!({"keys": [key]}));
        let problems = Authenticator::new(&config).err().unwrap_or_else(|| panic!("{name}"));
        assert_eq!(problems[0].path, "authentication.jwt[0].issuer.jwks", "{name}");
    }
    // Beside a good key they do no harm.
    let keys = json!([{"kty": "oct", "k": "AAAA"}, {"kty": "RSA", "n": "AA", "e": "AQ"}, jwk(1, "one")]);
    assert_eq!(code(&answer(&mut issuer(keys), at(NOW), &sign(&header(), &claims()))), "ok");
}
