//! Host calls as functions that return `Option` or `Result`.

use crate::exchange::{Callout, Header, LocalReply};
use crate::identity::SignatureVerifier;
use chaperone_record::Timestamp;
use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, LogLevel, MapType, Status};
use std::time::UNIX_EPOCH;

pub(super) fn log_info(message: &str) {
    let _ = hostcalls::log(LogLevel::Info, message);
}

pub(super) fn log_warn(message: &str) {
    let _ = hostcalls::log(LogLevel::Warn, message);
}

pub(super) fn log_error(message: &str) {
    let _ = hostcalls::log(LogLevel::Error, message);
}

/// The host's clock; the epoch where it cannot be read, which makes every token invalid.
pub(super) fn now() -> Timestamp {
    let since = hostcalls::get_current_time().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let micros = since.and_then(|since| u64::try_from(since.as_micros()).ok());
    Timestamp::from_micros(micros.unwrap_or(0))
}

/// Random bytes from the host (WASI `random_get`).
pub(super) fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).ok().map(|()| bytes)
}

/// This root context may go.
pub(super) fn done() {
    let _ = hostcalls::done();
}

/// A random number for jitter; zero where there is no randomness, which only means no jitter.
pub(super) fn jitter() -> u64 {
    random().map_or(0, u64::from_le_bytes)
}

/// One of the stream's header maps, all of it, in one call.
pub(super) fn headers(map: MapType) -> Vec<Header> {
    let pairs = hostcalls::get_map_bytes(map).unwrap_or_default();
    pairs.into_iter().map(|(name, value)| (name.into_bytes(), value)).collect()
}

/// Replaces a header map. Names that are not UTF-8 cannot be set and are left out.
///
/// # Errors
/// The host did not take them: what was there still is, so nothing may go on.
pub(super) fn set_headers(map: MapType, headers: &[Header]) -> Result<(), Status> {
    let pairs = headers
        .iter()
        .filter_map(|(name, value)| Some((std::str::from_utf8(name).ok()?, value.as_slice())))
        .collect();
    hostcalls::set_map_bytes(map, pairs)
}

/// Some bytes of a buffer; empty where there are none.
pub(super) fn buffer(kind: BufferType, start: usize, size: usize) -> Vec<u8> {
    if size == 0 {
        return Vec::new();
    }
    hostcalls::get_buffer(kind, start, size).ok().flatten().unwrap_or_default()
}

/// Replaces the first `size` bytes of a buffer.
pub(super) fn set_buffer(kind: BufferType, size: usize, value: &[u8]) -> Result<(), Status> {
    hostcalls::set_buffer(kind, 0, size, value)
}

/// A property as text; none where the host does not know it.
pub(super) fn property(path: &[&str]) -> Option<String> {
    let bytes = hostcalls::get_property(path.to_vec()).ok().flatten()?;
    String::from_utf8(bytes).ok()
}

/// Answers the agent instead of the API server.
pub(super) fn reply(reply: &LocalReply) {
    let headers = reply.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let _ = hostcalls::send_http_response(u32::from(reply.status), headers, Some(&reply.body));
}

/// Sends a callout; its token, or none where the host refuses it (no such cluster, no healthy host).
pub(super) fn dispatch(callout: &Callout) -> Option<u32> {
    let headers = callout.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let body = (!callout.body.is_empty()).then_some(&*callout.body);
    hostcalls::dispatch_http_call(&callout.cluster, headers, body, Vec::new(), callout.timeout).ok()
}

/// The status and body of a callout's answer. A callout that was reset has no headers at all: then reading one would
/// panic in the SDK, so their number is looked at first.
pub(super) fn answer(headers: usize, body: usize, most: usize) -> (Option<u16>, Vec<u8>) {
    if headers == 0 {
        return (None, Vec::new());
    }
    let status = hostcalls::get_map_value_bytes(MapType::HttpCallResponseHeaders, ":status").ok().flatten();
    let status = status.and_then(|bytes| std::str::from_utf8(&bytes).ok()?.parse().ok());
    (status, buffer(BufferType::HttpCallResponseBody, 0, body.min(most)))
}

/// How Envoy says that a signature is wrong (source/common/crypto/utility_impl.cc).
const WRONG_SIGNATURE: &[u8] = b"Failed to verify digest";

/// Envoy's `verify_signature` foreign function; see [`SignatureVerifier`].
pub(super) struct HostVerifier;

impl SignatureVerifier for HostVerifier {
    fn verify(&self, hash: &str, spki_der: &[u8], signature: &[u8], text: &[u8]) -> Option<bool> {
        let mut arguments = Vec::with_capacity(text.len().saturating_add(spki_der.len()).saturating_add(600));
        for (field, value) in [(1u8, hash.as_bytes()), (2, spki_der), (3, signature), (4, text)] {
            arguments.push((field << 3) | 2);
            let mut length = value.len();
            while length >= 0x80 {
                arguments.push(u8::try_from(length & 0x7f).unwrap_or(0) | 0x80);
                length >>= 7;
            }
            arguments.push(u8::try_from(length).unwrap_or(0));
            arguments.extend_from_slice(value);
        }
        // Absent (NotFound) or refused: the caller verifies in wasm.
        let result = hostcalls::call_foreign_function("verify_signature", Some(&arguments)).ok()??;
        // VerifySignatureResult{1: bool result, 2: string error}; proto3 leaves a false out. Only the error that says the
        // signature is wrong is an answer; of others (an unknown hash, say) the caller verifies in wasm.
        match result.as_slice() {
            [0x08, 0x01, ..] => Some(true),
            other => {
                other.windows(WRONG_SIGNATURE.len()).any(|window| window == WRONG_SIGNATURE).then_some(false)
            }
        }
    }
}
