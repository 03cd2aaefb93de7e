//! Base64 that arrives in pieces.

use super::ChannelError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Decodes one message's text: padded, of the standard alphabet, without anything between. Go's decoder, which the API
/// server uses, passes over line breaks and odd last bits; what has those is refused, since others do not.
#[derive(Debug, Default)]
pub struct Decoder {
    /// Characters of a group of four.
    group: Vec<u8>,
    padded: bool,
}

impl Decoder {
    /// Takes the next characters and gives the bytes they stand for.
    ///
    /// # Errors
    /// They are no base64.
    pub fn take(&mut self, text: &[u8]) -> Result<Vec<u8>, ChannelError> {
        if self.padded && !text.is_empty() {
            return Err(ChannelError::Base64);
        }
        self.group.extend_from_slice(text);
        let whole = self.group.len().saturating_sub(self.group.len() % 4);
        let rest = self.group.split_off(whole);
        let groups = std::mem::replace(&mut self.group, rest);
        self.padded = groups.ends_with(b"=");
        if self.padded && !self.group.is_empty() {
            return Err(ChannelError::Base64);
        }
        STANDARD.decode(groups).map_err(|_| ChannelError::Base64)
    }

    /// Whether the characters so far stand for whole bytes.
    pub fn is_whole(&self) -> bool {
        self.group.is_empty()
    }
}
