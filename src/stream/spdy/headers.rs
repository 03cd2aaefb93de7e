//! Header blocks: names and values, compressed by one zlib stream for all blocks of a side.

use super::SpdyError;
use super::dictionary::{ID, dictionary};
use super::frame::Fields;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};

/// Most bytes a block may have, uncompressed. Those of Kubernetes have less than 200.
const MAX_BLOCK: usize = 8 << 10;

/// Most pairs in a block.
const MAX_PAIRS: u32 = 64;

/// As far as deflate looks back.
const WINDOW: usize = 32 << 10;

/// Takes up the header blocks of one side, in order.
pub(super) struct Blocks {
    inflate: Box<DecompressorOxide>,
    /// What was inflated, behind the dictionary; the last [`WINDOW`] bytes of it at least.
    history: Vec<u8>,
    /// What is missing of the zlib header.
    begun: bool,
}

/// The pairs of a block: no name twice, every name in lower case, as a server that reads them demands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pairs(Vec<(Vec<u8>, Vec<u8>)>);

impl Blocks {
    pub(super) fn new() -> Self {
        Self { inflate: Box::default(), history: dictionary(), begun: false }
    }

    /// The pairs of the next block.
    pub(super) fn take(&mut self, block: &[u8]) -> Result<Pairs, SpdyError> {
        let block = if self.begun { block } else { self.begin(block)? };
        if self.history.len() > WINDOW.saturating_mul(2) {
            self.history.drain(..self.history.len().saturating_sub(WINDOW));
        }
        let start = self.history.len();
        self.history.resize(start.saturating_add(MAX_BLOCK), 0);
        let flags = inflate_flags::TINFL_FLAG_HAS_MORE_INPUT
            | inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
        let (status, read, written) = decompress(&mut self.inflate, block, &mut self.history, start, flags);
        self.history.truncate(start.saturating_add(written));
        // Every block ends in a flush, and the stream never ends: with anything else, what a reader takes for the
        // next block would depend on how it reads.
        match status {
            TINFLStatus::NeedsMoreInput if read == block.len() => {}
            TINFLStatus::HasMoreOutput => return Err(SpdyError::TooLong),
            _ => return Err(SpdyError::Compression),
        }
        Pairs::read(self.history.get(start..).unwrap_or_default())
    }

    /// Takes the zlib header (RFC 1950), which names the dictionary.
    fn begin<'b>(&mut self, block: &'b [u8]) -> Result<&'b [u8], SpdyError> {
        let (&[method, flags, a, b, c, d], rest) =
            block.split_first_chunk::<6>().ok_or(SpdyError::Compression)?;
        let whole = u16::from_be_bytes([method, flags]).checked_rem(31) == Some(0);
        let deflate = method & 0x0f == 8 && method >> 4 <= 7;
        let preset = flags & 0x20 != 0 && u32::from_be_bytes([a, b, c, d]) == ID;
        if !(whole && deflate && preset) {
            return Err(SpdyError::Compression);
        }
        self.begun = true;
        Ok(rest)
    }
}

impl Pairs {
    fn read(bytes: &[u8]) -> Result<Self, SpdyError> {
        let mut fields = Fields(bytes);
        let mut pairs = Self::default();
        let count = fields.u32()?;
        if count > MAX_PAIRS {
            return Err(SpdyError::TooLong);
        }
        for _ in 0..count {
            let (name, value) = (fields.counted()?, fields.counted()?);
            let lower = name.iter().all(|c| c.is_ascii_graphic() && !c.is_ascii_uppercase());
            if name.is_empty() || !lower || pairs.get(name).is_some() {
                return Err(SpdyError::Headers);
            }
            pairs.0.push((name.to_vec(), value.to_vec()));
        }
        fields.end()?;
        Ok(pairs)
    }

    pub(super) fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_slice())
    }
}
