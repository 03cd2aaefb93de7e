//! The values behind the masks, kept for sealing; see `masking.sealTo`.

use serde::Serialize;

/// As many bytes of originals and their paths are kept for one exchange; the rest is counted.
const MOST_BYTES: usize = 128 << 10;

/// Originals of one exchange, in the order of the body.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Originals {
    values: Vec<Original>,
    /// Values for which there was no room.
    omitted: u64,
    #[serde(skip)]
    bytes: usize,
}

#[derive(Clone, Debug, Serialize)]
struct Original {
    path: String,
    #[serde(flatten)]
    value: Value,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Value {
    /// Text as it stood in the body.
    Value(String),
    /// Bytes that are no text, in base64.
    Base64(String),
}

impl Originals {
    /// Keeps a value, where there is room.
    pub(super) fn add(&mut self, path: String, value: &[u8]) {
        let bytes = self.bytes.saturating_add(path.len()).saturating_add(value.len()).saturating_add(32);
        if bytes > MOST_BYTES {
            self.omitted = self.omitted.saturating_add(1);
            return;
        }
        self.bytes = bytes;
        let value = match std::str::from_utf8(value) {
            Ok(text) => Value::Value(text.to_owned()),
            Err(_) => Value::Base64(base64(value)),
        };
        self.values.push(Original { path, value });
    }

    /// Counts a value that is not kept.
    pub(super) fn omit(&mut self) {
        self.omitted = self.omitted.saturating_add(1);
    }

    /// Whether nothing was masked.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty() && self.omitted == 0
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
