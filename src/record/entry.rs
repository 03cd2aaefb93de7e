//! Entries as bytes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chaperone_record::Entry;
use serde::de::IgnoredAny;

/// A recorded body, ready to be written into an entry as `requestObject` or `responseObject`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object(String);

impl Object {
    /// The body itself where it is one JSON document, otherwise `{encoding, data}`.
    pub fn new(body: &[u8]) -> Option<Self> {
        if body.is_empty() {
            return None;
        }
        let text = std::str::from_utf8(body);
        if let Ok(json) = text
            && serde_json::from_str::<IgnoredAny>(json).is_ok()
        {
            return Some(Self(json.trim().to_owned()));
        }
        // Text with many escapes would grow up to six times; base64 grows by a third.
        let quoted = text
            .ok()
            .map(quote)
            .filter(|quoted| quoted.len() <= body.len().saturating_mul(4).div_ceil(3).saturating_add(8));
        Some(match quoted {
            Some(quoted) => Self(format!(r#"{{"encoding":"utf-8","data":{quoted}}}"#)),
            None => Self(format!(r#"{{"encoding":"base64","data":"{}"}}"#, STANDARD.encode(body))),
        })
    }
}

impl Object {
    /// Stands for a body that must not be written down; its digest and length are.
    pub fn omitted() -> Self {
        Self(r#"{"encoding":"omitted","data":""}"#.to_owned())
    }
}

/// A JSON string.
pub(super) fn quote(text: &str) -> String {
    // Serialising a `str` cannot fail; were it to, an empty string is still JSON.
    serde_json::to_string(text).unwrap_or_else(|_| "\"\"".to_owned())
}

/// An entry's bytes. The objects are spliced in as they came, so that what is recorded is what was seen, byte for byte.
/// Empty where serialisation fails, which no value of these types can cause.
pub fn encode(entry: &Entry, request: Option<&Object>, response: Option<&Object>) -> Vec<u8> {
    let Ok(mut bytes) = serde_json::to_vec(entry) else { return Vec::new() };
    for (name, object) in [("requestObject", request), ("responseObject", response)] {
        if let Some(Object(text)) = object
            && bytes.pop() == Some(b'}')
        {
            bytes.extend_from_slice(b",\"");
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b"\":");
            bytes.extend_from_slice(text.as_bytes());
            bytes.push(b'}');
        }
    }
    bytes
}
