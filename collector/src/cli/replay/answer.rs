//! The recorded response of an exchange, as it can be sent again.

use crate::present::body::encoded;
use crate::store::model::{ExchangeDetail, ExchangeSummary};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chaperone_record::{BodyDigest, Channel, Entry};
use serde_json::{Value, json};

/// How much of a response's body was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recording {
    Whole,
    /// It is longer than what was recorded.
    Cut,
    /// Only its digest and length were.
    Missing,
}

/// A recorded response.
#[derive(Debug)]
pub(super) struct Answer {
    /// 0 where the agent got none.
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) body: Vec<u8>,
    pub(super) recording: Recording,
}

impl Answer {
    pub(super) fn of(detail: &ExchangeDetail) -> Self {
        let summary = &detail.summary;
        let (object, pieces) = response(detail);
        let (content_type, body) = match object {
            Some(object) => written(&object),
            None if !pieces.is_empty() => (media_type(&pieces), pieces),
            None => refusal(summary).unwrap_or_default(),
        };
        let recording = recording(summary.response_digest.as_ref(), &body, content_type);
        let status = summary.response_status.as_ref().map_or(0, |status| status.code);
        Self { status, content_type, body, recording }
    }
}

/// The request's body, as far as it is JSON that was recorded.
pub(super) fn request_json(detail: &ExchangeDetail) -> Option<Value> {
    let mut objects = detail.entries.iter().rev().filter_map(|entry| entry.entry.get("requestObject"));
    objects.next().filter(|object| encoded(object).is_none()).cloned()
}

fn response(detail: &ExchangeDetail) -> (Option<Value>, Vec<u8>) {
    let (mut object, mut pieces) = (None, Vec::new());
    for recorded in &detail.entries {
        match serde_json::from_value::<Entry>(recorded.entry.clone()) {
            Ok(Entry::Exchange(exchange)) => object = exchange.responded.response_object.or(object),
            Ok(Entry::Response(response)) => object = response.responded.response_object.or(object),
            Ok(Entry::Stream(piece)) if piece.channel == Channel::Response => {
                let text = piece.data.as_str().unwrap_or_default();
                let data = match piece.encoding.as_deref() {
                    Some("base64") => STANDARD.decode(text).unwrap_or_default(),
                    _ => text.as_bytes().to_vec(),
                };
                pieces.push((piece.position, data));
            }
            _ => {}
        }
    }
    pieces.sort();
    (object, pieces.into_iter().flat_map(|(_, data)| data).collect())
}

/// A body and its media type, which the record does not have.
fn written(object: &Value) -> (&'static str, Vec<u8>) {
    if let Some(bytes) = encoded(object) {
        return (media_type(&bytes), bytes);
    }
    let kind = (object.get("apiVersion").and_then(Value::as_str), object.get("kind").and_then(Value::as_str));
    let media_type = match kind {
        (Some("apidiscovery.k8s.io/v2"), Some("APIGroupDiscoveryList")) => {
            "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
        }
        (Some("apidiscovery.k8s.io/v2beta1"), Some("APIGroupDiscoveryList")) => {
            "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"
        }
        _ => "application/json",
    };
    (media_type, object.to_string().into_bytes())
}

fn media_type(bytes: &[u8]) -> &'static str {
    match bytes {
        [b'k', b'8', b's', 0, ..] => "application/vnd.kubernetes.protobuf",
        // Frames of a watch, each with its length before it.
        [_, _, _, _, b'k', b'8', b's', 0, ..] => "application/vnd.kubernetes.protobuf;stream=watch",
        [b'{', ..] => "application/json",
        _ if std::str::from_utf8(bytes).is_ok() => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// A refusal by the filter can be told again from its status alone.
fn refusal(summary: &ExchangeSummary) -> Option<(&'static str, Vec<u8>)> {
    let status = summary.response_status.as_ref().filter(|status| !status.message.is_empty())?;
    let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": status.message, "reason": status.reason, "code": status.code});
    Some(("application/json", body.to_string().into_bytes()))
}

fn recording(digest: Option<&BodyDigest>, body: &[u8], media_type: &str) -> Recording {
    let whole = digest.map_or(0, |digest| digest.bytes);
    // JSON is kept as what it means: its length says nothing about what is there.
    let json = media_type.starts_with("application/json") && serde_json::from_slice::<Value>(body).is_ok();
    match body.len() as u64 {
        0 if whole > 0 => Recording::Missing,
        length if length < whole && !json => Recording::Cut,
        _ => Recording::Whole,
    }
}
