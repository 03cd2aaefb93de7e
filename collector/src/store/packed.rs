//! What is kept small: bytes as zstd frames. Reading gives the very bytes back, so a digest or a signature over them is
//! over what stands here as much as over what came.
//!
//! No JSON text begins as a frame does: what an earlier version kept as it came is told from a frame by its first bytes.

use std::io::Read as _;
use std::sync::LazyLock;
use zstd::bulk::Compressor;
use zstd::dict::{DecoderDictionary, EncoderDictionary};

/// What a frame begins with.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

const LEVEL: i32 = 3;

/// Most bytes that a frame is read to: the largest batch there can be.
const MOST: u64 = 1 << 30;

/// What summaries have in common. Without these bytes no summary can be read: they never change.
const SUMMARY: &[u8] = include_bytes!("summary.dict");

static PACKING: LazyLock<EncoderDictionary<'static>> =
    LazyLock::new(|| EncoderDictionary::copy(SUMMARY, LEVEL));
static UNPACKING: LazyLock<DecoderDictionary<'static>> = LazyLock::new(|| DecoderDictionary::copy(SUMMARY));

/// A batch's body, packed where that makes it smaller.
pub(super) fn pack(body: &[u8]) -> Vec<u8> {
    let packed = zstd::bulk::compress(body, LEVEL).ok();
    packed.filter(|packed| packed.len() < body.len()).unwrap_or_else(|| body.to_vec())
}

/// A batch's body as it came. What is no whole frame stays as it is: it does not have the body's digest.
pub(super) fn unpack(stored: Vec<u8>) -> Vec<u8> {
    if !stored.starts_with(&MAGIC) {
        return stored;
    }
    let mut body = Vec::new();
    let frame = zstd::stream::read::Decoder::with_buffer(&stored[..]);
    match frame.and_then(|frame| frame.take(MOST).read_to_end(&mut body)) {
        Ok(_) => body,
        Err(_) => stored,
    }
}

/// Packs summaries, one after the other.
pub(super) struct Summaries(Option<Compressor<'static>>);

impl Summaries {
    pub(super) fn new() -> Self {
        Self(Compressor::with_prepared_dictionary(&PACKING).ok())
    }

    pub(super) fn pack(&mut self, summary: Vec<u8>) -> Vec<u8> {
        let packed = self.0.as_mut().and_then(|compressor| compressor.compress(&summary).ok());
        packed.unwrap_or(summary)
    }
}

/// A summary's JSON.
pub(super) fn unpack_summary(stored: &[u8]) -> Option<Vec<u8>> {
    if !stored.starts_with(&MAGIC) {
        return Some(stored.to_vec());
    }
    let mut summary = Vec::new();
    let frame = zstd::stream::read::Decoder::with_prepared_dictionary(stored, &UNPACKING).ok()?;
    frame.take(MOST).read_to_end(&mut summary).ok()?;
    Some(summary)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_very_bytes_come_back() {
        let long = "{\"a\": [1, 2,   3]}".repeat(1000).into_bytes();
        for (name, bytes) in [
            ("empty", vec![]),
            ("short", b"{}".to_vec()),
            ("long", long.clone()),
            ("a frame's beginning", MAGIC.to_vec()),
        ] {
            assert_eq!(unpack(pack(&bytes)), bytes, "{name}");
            assert_eq!(unpack_summary(&Summaries::new().pack(bytes.clone())), Some(bytes), "{name}");
        }
        assert!(pack(&long).len() < 200);
        let mut damaged = pack(&long);
        damaged.truncate(damaged.len() - 3);
        assert_eq!(unpack(damaged.clone()), damaged, "what is damaged is not taken for a body");
    }
}
