//! The text that stands where a value was.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The text that stands where a value was. Its length is a multiple of 3, so that its base64 is one constant text.
#[derive(Clone, Debug)]
pub struct Replacement {
    text: String,
    base64: String,
}

impl Replacement {
    /// Takes a text of 3 to 300 printable ASCII characters, its length a multiple of 3; none otherwise.
    pub fn new(text: &str) -> Option<Self> {
        let fits = (3..=300).contains(&text.len()) && text.len().is_multiple_of(3);
        let plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\'));
        (fits && plain).then(|| Self { text: text.to_owned(), base64: STANDARD.encode(text) })
    }

    /// The text itself.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text in base64.
    pub fn base64(&self) -> &str {
        &self.base64
    }
}

impl Default for Replacement {
    fn default() -> Self {
        let text = "[masked by chaperone]";
        Self { text: text.to_owned(), base64: STANDARD.encode(text) }
    }
}
