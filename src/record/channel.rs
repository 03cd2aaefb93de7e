//! A channel of a stream as it runs: digest and length of all of it, and pieces to be written as they come.

use super::body::Piece;
use crate::config::hex;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chaperone_record::BodyDigest;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Records one channel. Nothing is kept but the beginning of a character whose end is still to come.
pub struct ChannelRecorder {
    /// Whether pieces are written, or only counted.
    kept: bool,
    carry: Vec<u8>,
    position: u64,
    total: u64,
    hash: Sha256,
}

impl ChannelRecorder {
    /// A channel that carried nothing yet.
    pub fn new(kept: bool) -> Self {
        Self { kept, carry: Vec::new(), position: 0, total: 0, hash: Sha256::new() }
    }

    /// Takes the next bytes; gives what is to be written now.
    pub fn push(&mut self, bytes: &[u8]) -> Option<Piece> {
        self.hash.update(bytes);
        self.total = self.total.saturating_add(bytes.len() as u64);
        if !self.kept {
            return None;
        }
        let mut all = std::mem::take(&mut self.carry);
        all.extend_from_slice(bytes);
        // Characters are cut anywhere on their way; a piece should still be text.
        let text = match std::str::from_utf8(&all) {
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            _ => all.len(),
        };
        self.carry = all.split_off(text);
        self.piece(all)
    }

    /// What is left to be written at the channel's end.
    pub fn rest(&mut self) -> Option<Piece> {
        let rest = std::mem::take(&mut self.carry);
        self.piece(rest)
    }

    /// Digest and length of everything so far.
    pub fn digest(&self) -> BodyDigest {
        BodyDigest { sha256: hex(&self.hash.clone().finalize()), bytes: self.total }
    }

    /// How much came so far.
    pub fn total(&self) -> u64 {
        self.total
    }

    fn piece(&mut self, bytes: Vec<u8>) -> Option<Piece> {
        if bytes.is_empty() {
            return None;
        }
        let position = self.position;
        self.position = position.saturating_add(bytes.len() as u64);
        // Bytes that happen to be UTF-8, as a tar's are, would grow sixfold by their escapes.
        let controls = bytes.iter().filter(|byte| **byte < 0x20 && !b"\n\r\t\x1b\x08".contains(byte)).count();
        let text = if controls > 16 && controls > bytes.len() / 8 {
            Err(bytes)
        } else {
            String::from_utf8(bytes).map_err(std::string::FromUtf8Error::into_bytes)
        };
        Some(match text {
            Ok(text) => Piece { position, data: Value::String(text), encoding: None },
            Err(bytes) => Piece {
                position,
                data: Value::String(STANDARD.encode(bytes)),
                encoding: Some("base64".to_owned()),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    /// What is written of some pieces.
    fn written(pieces: &[&[u8]]) -> Vec<(u64, String, bool)> {
        let mut channel = ChannelRecorder::new(true);
        let mut written: Vec<Piece> = pieces.iter().filter_map(|piece| channel.push(piece)).collect();
        written.extend(channel.rest());
        let all = pieces.concat();
        assert_eq!(channel.digest().sha256, hex(&Sha256::digest(&all)));
        assert_eq!(channel.digest().bytes, all.len() as u64);
        written
            .iter()
            .map(|piece| (piece.position, piece.data.as_str().unwrap().to_owned(), piece.encoding.is_some()))
            .collect()
    }

    #[test]
    fn pieces_are_text_where_the_channel_is() {
        let text = |at, text: &str| (at, text.to_owned(), false);
        let bytes = |at, text: &str| (at, text.to_owned(), true);
        for (name, pieces, expected) in [
            ("as they come", vec![&b"$ "[..], b"ls\r\n"], vec![text(0, "$ "), text(2, "ls\r\n")]),
            ("a character in two", vec![b"gr\xc3", b"\xbcn"], vec![text(0, "gr"), text(2, "ün")]),
            ("a character that never ends", vec![b"a\xe2\x82"], vec![text(0, "a"), bytes(1, "4oI=")]),
            ("escape sequences and a NUL", vec![b"\x1b[1mx\x1b[0m\x00"], vec![text(0, "\x1b[1mx\x1b[0m\0")]),
            ("no text", vec![b"\xff\xfe"], vec![bytes(0, "//4=")]),
            ("mostly zeros", vec![&[0; 30]], vec![bytes(0, &"A".repeat(40))]),
        ] {
            assert_eq!(written(&pieces), expected, "{name}");
        }
    }

    #[test]
    fn what_is_only_counted_is_not_written() {
        let mut channel = ChannelRecorder::new(false);
        assert_eq!(channel.push(b"secret"), None);
        assert_eq!((channel.rest(), channel.digest().bytes, channel.total()), (None, 6, 6));
    }
}
