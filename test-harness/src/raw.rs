//! Requests as bytes, where a client library would not send them, and every answer that comes on the connection.

use crate::client::{Answer, Client};
use anyhow::{Context as _, Result, bail, ensure};
use httparse::{EMPTY_HEADER, Status};
use hyper::body::Bytes;
use hyper::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

impl Client {
    /// Sends these bytes on a connection of their own, and nothing else, and reads what comes: usually one answer, none where
    /// the server just closes, two where it saw two requests and was quick. Of an answer without an end, what came in time.
    pub async fn send_raw(&self, request: &[u8]) -> Result<Vec<Answer>> {
        let mut connection = self.stream().await?;
        let bodiless = request.starts_with(b"HEAD ");
        let mut received = Vec::new();
        let exchange = async {
            // A server that has seen enough closes before it has read everything; its answer says why.
            let _ = connection.write_all(request).await;
            let _ = connection.flush().await;
            // Many servers end TLS without saying so.
            while connection.read_buf(&mut received).await.is_ok_and(|count| count > 0) {
                let answers = answers(&received, bodiless, false)?;
                if !answers.is_empty() {
                    return Ok(Some(answers));
                }
            }
            anyhow::Ok(None)
        };
        match timeout(PATIENCE, exchange).await {
            Ok(Ok(Some(answers))) => Ok(answers),
            Ok(Err(error)) => Err(error),
            Ok(Ok(None)) | Err(_) => answers(&received, bodiless, true),
        }
    }
}

/// The whole answers in what was received so far.
fn answers(mut received: &[u8], bodiless: bool, ended: bool) -> Result<Vec<Answer>> {
    let mut answers = Vec::new();
    while !received.is_empty() {
        let mut headers = [EMPTY_HEADER; 64];
        let mut head = httparse::Response::new(&mut headers);
        let Status::Complete(length) = head.parse(received)? else { break };
        let status = head.code.context("an answer without a status")?;
        let mut map = HeaderMap::new();
        for header in head.headers.iter() {
            map.append(HeaderName::try_from(header.name)?, HeaderValue::from_bytes(header.value)?);
        }
        let rest = &received[length..];
        let Some((body, length)) = body(rest, status, &map, bodiless, ended)? else { break };
        received = &rest[length..];
        answers.push(Answer { status, headers: map, body });
    }
    Ok(answers)
}

/// An answer's body and how many bytes it took; none where it is not whole yet (RFC 9112, section 6.3).
fn body(
    bytes: &[u8],
    status: u16,
    headers: &HeaderMap,
    bodiless: bool,
    ended: bool,
) -> Result<Option<(Bytes, usize)>> {
    if bodiless || matches!(status, 100..=199 | 204 | 304) {
        return Ok(Some((Bytes::new(), 0)));
    }
    if headers.contains_key(TRANSFER_ENCODING) {
        return chunked(bytes, ended);
    }
    let Some(length) = headers.get(CONTENT_LENGTH) else {
        return Ok(ended.then(|| (Bytes::copy_from_slice(bytes), bytes.len())));
    };
    let length: usize = length.to_str()?.parse()?;
    Ok(bytes.get(..length).map(|body| (Bytes::copy_from_slice(body), length)))
}

fn chunked(bytes: &[u8], ended: bool) -> Result<Option<(Bytes, usize)>> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let Ok(size) = httparse::parse_chunk_size(&bytes[at..]) else { bail!("a chunk without a size") };
        let Status::Complete((start, size)) = size else { return Ok(so_far(body, bytes, ended)) };
        let (start, size) = (at + start, usize::try_from(size)?);
        let Some(chunk) = bytes.get(start..start + size + 2) else { return Ok(so_far(body, bytes, ended)) };
        ensure!(chunk.ends_with(b"\r\n"), "a chunk of another size");
        body.extend_from_slice(&chunk[..size]);
        at = start + size + 2;
        if size == 0 {
            return Ok(Some((Bytes::from(body), at)));
        }
    }
}

/// A body that has not ended.
fn so_far(body: Vec<u8>, bytes: &[u8], ended: bool) -> Option<(Bytes, usize)> {
    ended.then(|| (Bytes::from(body), bytes.len()))
}
