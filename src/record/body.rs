//! A body as it passes: digest and length of all of it, a copy of as much as the limits allow.

use super::entry::Object;
use crate::config::hex;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chaperone_record::BodyDigest;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Records one body. Short ones are kept whole for the entry; long ones, and those that are streams from the start, are
/// handed out in [`Piece`]s, so that memory stays bounded and a crash loses little.
pub struct BodyRecorder {
    mode: Mode,
    /// Bytes that may still be recorded.
    left: usize,
    /// Size at which pieces are handed out.
    piece: usize,
    position: u64,
    total: u64,
    hash: Sha256,
}

enum Mode {
    /// Level Metadata: digest and length only.
    DigestOnly,
    /// Short so far.
    Whole(Vec<u8>),
    /// Handed out piece by piece as it comes.
    Pieces(Vec<u8>),
}

/// Some of a body, to be written as a `stream` entry.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece {
    /// Position of its first byte.
    pub position: u64,
    /// Text, or base64 where it is not UTF-8.
    pub data: Value,
    /// `base64`, or none.
    pub encoding: Option<String>,
}

impl BodyRecorder {
    /// A recorder that keeps only digest and length.
    pub fn digest_only() -> Self {
        Self::with(Mode::DigestOnly, 0, 0)
    }

    /// A recorder of at most `limit` bytes, in pieces once there are more than `piece`.
    pub fn new(limit: usize, piece: usize) -> Self {
        Self::with(Mode::Whole(Vec::new()), limit, piece)
    }

    /// A recorder that hands out every chunk as it comes: for watches and logs.
    pub fn streaming(limit: usize) -> Self {
        Self::with(Mode::Pieces(Vec::new()), limit, 0)
    }

    fn with(mode: Mode, left: usize, piece: usize) -> Self {
        Self { mode, left, piece, position: 0, total: 0, hash: Sha256::new() }
    }

    /// Takes the next bytes; gives a piece where one is due.
    pub fn push(&mut self, chunk: &[u8]) -> Option<Piece> {
        self.hash.update(chunk);
        self.total = self.total.saturating_add(chunk.len() as u64);
        let kept = chunk.get(..chunk.len().min(self.left)).unwrap_or_default();
        self.left = self.left.saturating_sub(kept.len());
        match &mut self.mode {
            Mode::DigestOnly => None,
            Mode::Whole(buffer) => {
                buffer.extend_from_slice(kept);
                if buffer.len() <= self.piece {
                    return None;
                }
                self.mode = Mode::Pieces(std::mem::take(buffer));
                self.take_piece()
            }
            Mode::Pieces(buffer) => {
                buffer.extend_from_slice(kept);
                if buffer.len() > self.piece { self.take_piece() } else { None }
            }
        }
    }

    /// What is left to hand out at the end of a body in pieces.
    pub fn last_piece(&mut self) -> Option<Piece> {
        self.take_piece()
    }

    fn take_piece(&mut self) -> Option<Piece> {
        let Mode::Pieces(buffer) = &mut self.mode else { return None };
        if buffer.is_empty() {
            return None;
        }
        let bytes = std::mem::take(buffer);
        let position = self.position;
        self.position = position.saturating_add(bytes.len() as u64);
        Some(match String::from_utf8(bytes) {
            Ok(text) => Piece { position, data: Value::String(text), encoding: None },
            Err(error) => Piece {
                position,
                data: Value::String(STANDARD.encode(error.as_bytes())),
                encoding: Some("base64".to_owned()),
            },
        })
    }

    /// Whether pieces were, or will be, handed out.
    pub fn in_pieces(&self) -> bool {
        matches!(self.mode, Mode::Pieces(_))
    }

    /// The whole body, where it is kept.
    pub fn object(&self) -> Option<Object> {
        match &self.mode {
            Mode::Whole(buffer) => Object::new(buffer),
            _ => None,
        }
    }

    /// The bytes kept so far, where the body is kept whole.
    pub fn bytes(&self) -> &[u8] {
        match &self.mode {
            Mode::Whole(buffer) => buffer,
            _ => &[],
        }
    }

    /// Digest and length of everything so far; none for an empty body.
    pub fn digest(&self) -> Option<BodyDigest> {
        (self.total > 0).then(|| BodyDigest { sha256: hex(&self.hash.clone().finalize()), bytes: self.total })
    }
}

#[cfg(test)]
mod tests {
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    fn text(piece: &Piece) -> &str {
        piece.data.as_str().unwrap()
    }

    #[test]
    fn short_bodies_stay_whole() {
        let mut body = BodyRecorder::new(100, 10);
        assert_eq!(body.push(b"{\"a\":"), None);
        assert_eq!(body.push(b"1}"), None);
        assert_eq!(body.object(), Object::new(b"{\"a\":1}"));
        assert_eq!(body.digest().unwrap().bytes, 7);
    }

    #[test]
    fn long_bodies_come_in_pieces_that_cover_all_of_it() {
        let mut body = BodyRecorder::new(1000, 10);
        let mut seen = String::new();
        for _ in 0..7 {
            if let Some(piece) = body.push(b"12345") {
                assert_eq!(piece.position, seen.len() as u64);
                seen.push_str(text(&piece));
            }
        }
        seen.push_str(&body.last_piece().map(|piece| text(&piece).to_owned()).unwrap_or_default());
        assert_eq!(seen, "12345".repeat(7));
        assert!(body.in_pieces() && body.object().is_none());
    }

    #[test]
    fn the_limit_cuts_the_copy_but_not_the_digest() {
        let mut body = BodyRecorder::new(3, 10);
        body.push(b"abcdef");
        assert_eq!(body.bytes(), b"abc");
        let digest = body.digest().unwrap();
        assert_eq!(digest.bytes, 6);
        assert_eq!(digest.sha256, hex(&Sha256::digest(b"abcdef")));
    }

    #[test]
    fn streams_hand_out_every_chunk_and_encode_what_is_not_text() {
        let mut body = BodyRecorder::streaming(100);
        assert_eq!(text(&body.push(b"one\n").unwrap()), "one\n");
        let piece = body.push(&[0xff, 0xfe]).unwrap();
        assert_eq!((piece.position, text(&piece), piece.encoding.as_deref()), (4, "//4=", Some("base64")));
        assert_eq!(body.last_piece(), None);
    }

    #[test]
    fn at_metadata_nothing_is_kept() {
        let mut body = BodyRecorder::digest_only();
        assert_eq!(body.push(b"secret"), None);
        assert_eq!((body.object(), body.bytes()), (None, &b""[..]));
        assert_eq!(body.digest().unwrap().bytes, 6);
    }
}
