#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use crate::mask::MaskedPaths;
use serde_json::{Value, json};

pub(crate) fn hex<const N: usize>(text: &str) -> [u8; N] {
    let bytes: Vec<u8> =
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect();
    bytes.try_into().unwrap()
}

/// The other side, `OpenBase`: what `chaperone unseal` has to do.
pub(crate) fn open(secret: [u8; 32], info: &[u8], aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (enc, ciphertext) = sealed.split_first_chunk::<32>()?;
    let secret = SecretKey::new(secret);
    let public = secret.recover_public_key().ok()?;
    let dh = PublicKey::new(*enc).dh(&secret).ok()?;
    let prk = extract(KEM, b"", b"eae_prk", &dh[..]);
    let shared: [u8; 32] = expand(KEM, &prk, b"shared_secret", &[&enc[..], &public[..]].concat());
    let (key, nonce) = schedule(&shared, info);
    let cipher = ChaCha20Poly1305::new(&Key::from(key));
    cipher.decrypt(&Nonce::from(nonce), Payload { msg: ciphertext, aad }).ok()
}

// RFC 9180, appendix A.2.1 and A.2.1.1, sequence number 0.
pub(crate) const RFC_RECIPIENT: &str = "8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb";
pub(crate) const RFC_RECIPIENT_PUBLIC: &str =
    "4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a";
const RFC_EPHEMERAL: &str = "f4ec9b33b792c372c1d2c2063507b684ef925b8c75a42dbcbf57d63ccd381600";
const RFC_ENC: &str = "1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a";
const RFC_CIPHERTEXT: &str =
    "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28";
const RFC_INFO: &[u8] = b"Ode on a Grecian Urn";
const RFC_AAD: &[u8] = b"Count-0";
const RFC_TEXT: &[u8] = b"Beauty is truth, truth beauty";

#[test]
fn the_rfc_s_example_is_sealed_byte_for_byte() {
    let recipient = Recipient { key: hex(RFC_RECIPIENT_PUBLIC) };
    let sealed = recipient.seal_with(hex(RFC_EPHEMERAL), RFC_INFO, RFC_AAD, RFC_TEXT).unwrap();
    assert_eq!(sealed[..32], hex::<32>(RFC_ENC));
    assert_eq!(sealed[32..], hex::<45>(RFC_CIPHERTEXT));
    assert_eq!(open(hex(RFC_RECIPIENT), RFC_INFO, RFC_AAD, &sealed).unwrap(), RFC_TEXT);
}

#[test]
fn the_key_schedule_is_the_rfc_s() {
    let shared = hex("0bbe78490412b4bbea4812666f7916932b828bba79942424abb65244930d69a7");
    let (key, nonce) = schedule(&shared, RFC_INFO);
    assert_eq!(key, hex("ad2744de8e17f4ebba575b3f5f5a8fa1f69c2a07f6e7500bc60ca6e3e3ec1c91"));
    assert_eq!(nonce, hex("5c4d98150661b848853b547f"));
}

#[test]
fn only_the_key_s_owner_reads_and_only_in_that_exchange() {
    let recipient = Recipient::parse(&STANDARD.encode(hex::<32>(RFC_RECIPIENT_PUBLIC))).unwrap();
    let mut masked = MaskedPaths::with_originals();
    masked.keep(|| "$.data.password".to_owned(), Some(b"czNjcmV0"));
    masked.keep(|| "$.data.raw".to_owned(), Some(&[0xff, 0]));
    masked.keep(|| "$.data.long".to_owned(), None);
    let sealed = recipient.seal(masked.originals().unwrap(), "an-id").unwrap();
    let sealed = STANDARD.decode(sealed).unwrap();
    let text = open(hex(RFC_RECIPIENT), INFO, b"an-id", &sealed).unwrap();
    assert_eq!(
        serde_json::from_slice::<Value>(&text).unwrap(),
        json!({"values": [
            {"path": "$.data.password", "value": "czNjcmV0"},
            {"path": "$.data.raw", "base64": "/wA="},
        ], "omitted": 1})
    );
    assert!(open(hex(RFC_RECIPIENT), INFO, b"another", &sealed).is_none());
    assert!(open([9; 32], INFO, b"an-id", &sealed).is_none());
    let again = recipient.seal(masked.originals().unwrap(), "an-id").unwrap();
    assert_ne!(STANDARD.decode(again).unwrap()[..32], sealed[..32], "a key of its own each time");
}

#[test]
fn nothing_masked_is_nothing_sealed() {
    let recipient = Recipient { key: hex(RFC_RECIPIENT_PUBLIC) };
    assert_eq!(recipient.seal(&Originals::default(), "an-id"), None);
}

#[test]
fn what_is_no_public_key_is_refused() {
    for key in ["", "AAAA", "not base64", &STANDARD.encode([0; 32]), &STANDARD.encode([1; 31])] {
        assert!(Recipient::parse(key).is_none(), "{key}");
    }
}
