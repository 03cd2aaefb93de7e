//! Frames of SPDY/3.1 (draft-mbelshe-httpbis-spdy-00), as far as Kubernetes' clients use them.

use std::io;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use hyper::body::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::dictionary::dictionary;

/// What a frame says.
#[derive(Debug)]
pub enum Frame {
    /// A stream is opened.
    Open {
        /// Its number.
        stream: u32,
        /// What it is for.
        headers: Vec<(String, String)>,
        /// Whether its opener writes nothing to it.
        last: bool,
    },
    /// It is there for the other side, too.
    Opened {
        /// Its number.
        stream: u32,
    },
    /// A piece of a stream.
    Data {
        /// The stream's number.
        stream: u32,
        /// The piece.
        bytes: Bytes,
        /// Whether nothing follows.
        last: bool,
    },
    /// A stream is broken off.
    Reset {
        /// Its number.
        stream: u32,
    },
    /// To be sent back.
    Ping(u32),
    /// No stream is opened any more.
    GoAway,
    /// Flow control and settings, which nobody heeds.
    Other,
}

/// Reads frames.
pub(super) struct Reader<R> {
    source: R,
    inflate: Decompress,
}

/// Writes frames.
pub struct Writer {
    deflate: Compress,
}

const VERSION: u16 = 0x8003;
const FIN: u8 = 1;

// === impl Reader ===

impl<R: AsyncRead + Unpin> Reader<R> {
    pub(super) fn new(source: R) -> Self {
        Self { source, inflate: Decompress::new(true) }
    }

    /// The next frame.
    pub(super) async fn next(&mut self) -> io::Result<Frame> {
        let first = self.source.read_u32().await?;
        let rest = self.source.read_u32().await?;
        let (flags, length) = (rest.to_be_bytes()[0], rest & 0x00ff_ffff);
        let mut body = vec![0; length as usize];
        self.source.read_exact(&mut body).await?;
        let last = flags & FIN != 0;
        if first >> 31 == 0 {
            return Ok(Frame::Data { stream: first, bytes: body.into(), last });
        }
        let number = |at: usize| {
            let bytes = body.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
            bytes.map(u32::from_be_bytes).ok_or_else(|| io::Error::other("a short frame"))
        };
        match first & 0xffff {
            1 => Ok(Frame::Open {
                stream: number(0)?,
                headers: self.headers(body.get(10..).unwrap_or_default())?,
                last,
            }),
            2 => Ok(Frame::Opened { stream: number(0)? }),
            3 => Ok(Frame::Reset { stream: number(0)? }),
            6 => Ok(Frame::Ping(number(0)?)),
            7 => Ok(Frame::GoAway),
            8 => {
                // It changes the state of decompression.
                self.headers(body.get(4..).unwrap_or_default())?;
                Ok(Frame::Other)
            }
            _ => Ok(Frame::Other),
        }
    }

    fn headers(&mut self, block: &[u8]) -> io::Result<Vec<(String, String)>> {
        let mut plain = Vec::with_capacity(4096);
        let begun = self.inflate.total_in();
        loop {
            let used = usize::try_from(self.inflate.total_in() - begun).map_err(io::Error::other)?;
            let outcome = self.inflate.decompress_vec(&block[used..], &mut plain, FlushDecompress::Sync);
            match outcome {
                Err(error) if error.needs_dictionary().is_some() => {
                    self.inflate.set_dictionary(&dictionary()).map_err(io::Error::other)?;
                }
                Err(error) => return Err(io::Error::other(error)),
                Ok(Status::Ok) if plain.len() == plain.capacity() => plain.reserve(4096),
                Ok(_) => break,
            }
        }
        let mut rest = plain.as_slice();
        let count = number(&mut rest)?;
        (0..count).map(|_| Ok((text(&mut rest)?, text(&mut rest)?))).collect()
    }
}

fn number(rest: &mut &[u8]) -> io::Result<u32> {
    let (bytes, after) = rest.split_first_chunk().ok_or_else(|| io::Error::other("a short header block"))?;
    *rest = after;
    Ok(u32::from_be_bytes(*bytes))
}

fn text(rest: &mut &[u8]) -> io::Result<String> {
    let length = number(rest)? as usize;
    let (text, after) =
        rest.split_at_checked(length).ok_or_else(|| io::Error::other("a short header block"))?;
    *rest = after;
    Ok(String::from_utf8_lossy(text).into_owned())
}

// === impl Writer ===

impl Writer {
    /// Of one side, which wrote nothing yet.
    pub fn new() -> io::Result<Self> {
        let mut deflate = Compress::new(Compression::default(), true);
        deflate.set_dictionary(&dictionary()).map_err(io::Error::other)?;
        Ok(Self { deflate })
    }

    /// A frame's bytes.
    pub fn bytes(&mut self, frame: &Frame) -> io::Result<Vec<u8>> {
        Ok(match frame {
            Frame::Data { stream, bytes, last } => {
                let mut frame = [&stream.to_be_bytes(), &length(bytes)[..], bytes].concat();
                frame[4] = if *last { FIN } else { 0 };
                frame
            }
            Frame::Opened { stream } => {
                let block = self.block(&0_u32.to_be_bytes())?;
                control(2, &[&stream.to_be_bytes(), &block[..]].concat())
            }
            Frame::Ping(id) => control(6, &id.to_be_bytes()),
            Frame::GoAway => control(7, &[0; 8]),
            Frame::Reset { stream } => control(3, &[stream.to_be_bytes(), 5_u32.to_be_bytes()].concat()),
            Frame::Open { stream, headers, last } => {
                let texts = headers.iter().flat_map(|(name, value)| [name, value]);
                let pairs: Vec<u8> = texts.flat_map(|text| counted(text.as_bytes())).collect();
                let block = self.block(&[&length(headers)[..], &pairs].concat())?;
                let mut bytes = control(1, &[&stream.to_be_bytes()[..], &[0; 6], &block].concat());
                bytes[4] = if *last { FIN } else { 0 };
                bytes
            }
            Frame::Other => Vec::new(),
        })
    }

    /// A header block of these bytes, compressed.
    fn block(&mut self, plain: &[u8]) -> io::Result<Vec<u8>> {
        // Room for what does not get smaller.
        let mut block = Vec::with_capacity(plain.len() + 256);
        self.deflate.compress_vec(plain, &mut block, FlushCompress::Sync).map_err(io::Error::other)?;
        Ok(block)
    }
}

/// A control frame without flags.
fn control(kind: u16, body: &[u8]) -> Vec<u8> {
    let head = [VERSION.to_be_bytes(), kind.to_be_bytes()].concat();
    [&head[..], &length(body), body].concat()
}

/// Bytes behind their length.
fn counted(bytes: &[u8]) -> Vec<u8> {
    [&length(bytes)[..], bytes].concat()
}

fn length<T>(items: &[T]) -> [u8; 4] {
    u32::try_from(items.len()).unwrap_or(u32::MAX).to_be_bytes()
}
