//! A slow decoder, apart from the one under test: objects as lists of leaves, and a search through encodings.

use super::Framing;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// One value of a message, under the numbers of the fields that lead to it.
pub(super) struct Leaf {
    pub(super) path: String,
    pub(super) value: Vec<u8>,
    /// Whether it has to be masked.
    pub(super) secret: bool,
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = bytes[0];
        *bytes = &bytes[1..];
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}

/// The leaves of a message; `nested` says which paths hold messages.
fn leaves(mut bytes: &[u8], path: &str, nested: &dyn Fn(&str) -> bool, out: &mut Vec<Leaf>) {
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let path = format!("{path}/{}", tag >> 3);
        let value = match tag & 7 {
            0 => varint(&mut bytes).to_string().into_bytes(),
            2 => {
                let length = varint(&mut bytes) as usize;
                let (value, rest) = bytes.split_at(length);
                bytes = rest;
                value.to_vec()
            }
            _ => unreachable!("not in the captures"),
        };
        if nested(&path) {
            out.push(Leaf { path: format!("{path}/"), value: Vec::new(), secret: false });
            leaves(&value, &path, nested, out);
        } else {
            out.push(Leaf { path, value, secret: false });
        }
    }
}

/// All leaves of a body's objects, in order.
pub(super) fn objects(framing: Framing, mut body: &[u8]) -> Vec<Leaf> {
    let mut out = Vec::new();
    if framing == Framing::Object {
        object(body, &mut out);
        return out;
    }
    while !body.is_empty() {
        let (length, rest) = body.split_at(4);
        let (event, rest) = rest.split_at(u32::from_be_bytes(length.try_into().unwrap()) as usize);
        body = rest;
        let mut parts = Vec::new();
        leaves(event, "", &|path| path == "/2", &mut parts);
        for part in parts {
            if part.path == "/2/1" { object(&part.value, &mut out) } else { out.push(part) }
        }
    }
    out
}

fn object(bytes: &[u8], out: &mut Vec<Leaf>) {
    let mut parts = Vec::new();
    leaves(bytes.strip_prefix(b"k8s\0").unwrap(), "", &|path| path == "/1", &mut parts);
    let kind = parts.iter().find(|part| part.path == "/1/2").unwrap().value.clone();
    for part in parts {
        if part.path != "/2" {
            out.push(part);
            continue;
        }
        let (item, nested): (_, &[&str]) = match &kind[..] {
            b"Secret" => ("", &["/1", "/1/12", "/2"]),
            b"SecretList" => ("/2", &["/2", "/2/1", "/2/1/12", "/2/2"]),
            _ => ("", &[]),
        };
        let mut inner = Vec::new();
        leaves(&part.value, "", &|path| nested.contains(&path), &mut inner);
        let secret = format!("{item}/2/2");
        let (annotation, value) = (format!("{item}/1/12/1"), format!("{item}/1/12/2"));
        let mut copy = false;
        for leaf in &mut inner {
            if leaf.path == annotation {
                let key = String::from_utf8_lossy(&leaf.value).into_owned();
                copy = ["last-applied", "kapp", "objectset"].iter().any(|tool| key.contains(tool));
            }
            let masked = !nested.is_empty() && (leaf.path == secret || (leaf.path == value && copy));
            leaf.secret = masked;
        }
        out.append(&mut inner);
    }
}

/// How often a forbidden text is found, also in base64 of any alignment, up to three times over.
pub(super) fn leaks(bytes: &[u8], forbidden: &[String]) -> usize {
    let forbidden: Vec<&[u8]> = forbidden.iter().map(String::as_bytes).collect();
    count(bytes, &forbidden, 3)
}

fn count(bytes: &[u8], forbidden: &[&[u8]], depth: usize) -> usize {
    let here = |text: &&&[u8]| bytes.windows(text.len()).any(|window| window == **text);
    let mut found = forbidden.iter().filter(here).count();
    if depth == 0 {
        return found;
    }
    let config = GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let engines =
        [GeneralPurpose::new(&alphabet::STANDARD, config), GeneralPurpose::new(&alphabet::URL_SAFE, config)];
    let in_alphabet = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(byte);
    for run in bytes.split(|byte| !in_alphabet(byte)).filter(|run| run.len() >= 12) {
        for start in 0..4 {
            let aligned = &run[start..];
            let aligned = &aligned[..aligned.len() / 4 * 4];
            for engine in &engines {
                if let Ok(decoded) = engine.decode(aligned) {
                    found += count(&decoded, forbidden, depth - 1);
                }
            }
        }
    }
    found
}
