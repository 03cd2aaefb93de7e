//! Whether an answer gives a planted value away, and whether it is otherwise what the API server said.
//!
//! Slow, and apart from the filter's own readers.

use anyhow::{Context as _, Result, bail, ensure};
use base64::alphabet;
use base64::engine::{DecodePaddingMode, Engine as _, GeneralPurpose, GeneralPurposeConfig};
use memchr::memmem;
use serde_json::Value;

const MASK: &str = "[masked by chaperone]";
const MASK_IN_BASE64: &str = "W21hc2tlZCBieSBjaGFwZXJvbmVd";
/// What an error's text, which may quote a Secret, is replaced by.
const WITHHELD: &str = "may quote what is masked";

/// How often a text is decoded: base64 of JSON of base64 is what `kubectl` and Helm make of Secrets.
const DEPTH: usize = 3;

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const BASE64URL: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// Whether one of the texts is in there: as it is, behind JSON's escapes, in base64, or in any of these again.
pub(super) fn leaks(bytes: &[u8], forbidden: &[String]) -> bool {
    holds(bytes, forbidden, DEPTH)
}

fn holds(bytes: &[u8], forbidden: &[String], depth: usize) -> bool {
    if forbidden.iter().any(|text| memmem::find(bytes, text.as_bytes()).is_some()) {
        return true;
    }
    depth > 0 && (in_strings(bytes, forbidden, depth - 1) || in_base64(bytes, forbidden, depth - 1))
}

/// Every run between quotes, read as a JSON string.
fn in_strings(bytes: &[u8], forbidden: &[String], depth: usize) -> bool {
    let mut escaped = false;
    let mut start = None;
    for (at, byte) in bytes.iter().enumerate() {
        match (start, byte) {
            (Some(_), b'\\') if !escaped => {
                escaped = true;
                continue;
            }
            (Some(from), b'"') if !escaped => {
                let string = &bytes[from..=at];
                if string.contains(&b'\\')
                    && serde_json::from_slice::<String>(string)
                        .is_ok_and(|text| holds(text.as_bytes(), forbidden, depth))
                {
                    return true;
                }
                start = None;
            }
            (None, b'"') => start = Some(at),
            _ => {}
        }
        escaped = false;
    }
    false
}

/// Every run of base64's characters, from each of the four places where it may begin.
fn in_base64(bytes: &[u8], forbidden: &[String], depth: usize) -> bool {
    let other = |byte: &u8| !byte.is_ascii_alphanumeric() && !b"+/-_=".contains(byte);
    bytes.split(other).filter(|run| run.len() >= 12).any(|run| {
        let alphabet = if run.iter().any(|byte| b"-_".contains(byte)) { &BASE64URL } else { &BASE64 };
        (0..4).any(|start| alphabet.decode(&run[start..]).is_ok_and(|text| holds(&text, forbidden, depth)))
    })
}

/// Holds where two JSON bodies, or streams of JSON, differ in masked values alone; says how many there are.
pub(super) fn json(before: &[u8], after: &[u8]) -> Result<usize> {
    let (before, after) = (documents(before)?, documents(after)?);
    ensure!(before.len() == after.len(), "{} documents, not {}", after.len(), before.len());
    let pairs = before.iter().zip(&after);
    pairs.map(|(before, after)| value(before, after)).sum()
}

fn documents(bytes: &[u8]) -> Result<Vec<Value>> {
    serde_json::Deserializer::from_slice(bytes).into_iter().map(|one| one.context("not JSON")).collect()
}

fn value(before: &Value, after: &Value) -> Result<usize> {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            ensure!(before.keys().eq(after.keys()), "other keys");
            let both = before.iter().zip(after.values());
            both.map(|((key, before), after)| value(before, after).with_context(|| key.clone())).sum()
        }
        (Value::Array(before), Value::Array(after)) => {
            ensure!(before.len() == after.len(), "{} items, not {}", after.len(), before.len());
            before.iter().zip(after).map(|(before, after)| value(before, after)).sum()
        }
        (Value::String(before), Value::String(after)) => text(before, after),
        (before, after) => {
            ensure!(before == after, "another value");
            Ok(0)
        }
    }
}

fn text(before: &str, after: &str) -> Result<usize> {
    if before == after {
        return Ok(0);
    }
    if [MASK, MASK_IN_BASE64].contains(&after) || after.contains(WITHHELD) {
        return Ok(1);
    }
    // What was last applied is an object within a string.
    let both = (serde_json::from_str(before), serde_json::from_str(after));
    let (Ok(before), Ok(after)) = both else { bail!("another text, which is no mask") };
    value(&before, &after)
}

/// The same for protobuf: one object, or a watch's frames.
pub(super) fn protobuf(before: &[u8], after: &[u8]) -> Result<usize> {
    const MAGIC: &[u8] = b"k8s\0";
    match (before.strip_prefix(MAGIC), after.strip_prefix(MAGIC)) {
        (Some(before), Some(after)) => message(before, after),
        _ => {
            let (before, after) = (frames(before)?, frames(after)?);
            ensure!(before.len() == after.len(), "{} frames, not {}", after.len(), before.len());
            before.iter().zip(&after).map(|(before, after)| message(before, after)).sum()
        }
    }
}

/// A watch's frames: a length in four bytes, and a `WatchEvent`.
fn frames(mut bytes: &[u8]) -> Result<Vec<&[u8]>> {
    let mut frames = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let length = u32::from_be_bytes(*length) as usize;
        let (frame, rest) = rest.split_at_checked(length).context("a frame is cut off")?;
        frames.push(frame);
        bytes = rest;
    }
    ensure!(bytes.is_empty(), "a frame's length is cut off");
    Ok(frames)
}

enum Field<'b> {
    Number(u64),
    Bytes(&'b [u8]),
}

/// A message's fields, by number, in order; none where it is no message.
fn fields(mut bytes: &[u8]) -> Option<Vec<(u64, Field<'_>)>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let field = match tag & 7 {
            0 => Field::Number(varint(&mut bytes)?),
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                let (value, rest) = bytes.split_at_checked(length)?;
                bytes = rest;
                Field::Bytes(value)
            }
            _ => return None,
        };
        fields.push((tag >> 3, field));
    }
    Some(fields)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn message(before: &[u8], after: &[u8]) -> Result<usize> {
    const MAGIC: &[u8] = b"k8s\0";
    if before == after {
        return Ok(0);
    }
    if after == MASK.as_bytes() || String::from_utf8_lossy(after).contains(WITHHELD) {
        return Ok(1);
    }
    if let (Some(before), Some(after)) = (before.strip_prefix(MAGIC), after.strip_prefix(MAGIC)) {
        return message(before, after);
    }
    let (Some(before), Some(after)) = (fields(before), fields(after)) else {
        bail!("other bytes, which are no mask")
    };
    ensure!(before.len() == after.len(), "{} fields, not {}", after.len(), before.len());
    let mut masked = 0;
    for ((number, before), (other, after)) in before.iter().zip(&after) {
        ensure!(number == other, "field {other} in the place of {number}");
        masked += match (before, after) {
            (Field::Number(before), Field::Number(after)) if before == after => 0,
            (Field::Bytes(before), Field::Bytes(after)) => {
                message(before, after).with_context(|| format!("field {number}"))?
            }
            _ => bail!("field {number} has another value"),
        };
    }
    Ok(masked)
}
