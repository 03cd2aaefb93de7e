//! An exchange's bodies, put together from its entries.

use crate::store::model::ExchangeDetail;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chaperone_record::{Channel, Entry};
use serde_json::Value;
use std::collections::BTreeMap;

/// A body as far as it was recorded.
pub(super) struct Body {
    /// Its bytes; of JSON as it was parsed, not as it was written.
    pub(super) bytes: Vec<u8>,
    /// Its media type, as far as the record tells.
    pub(super) media_type: &'static str,
}

/// The request's and the response's.
#[derive(Default)]
pub(super) struct Bodies {
    pub(super) request: Option<Body>,
    pub(super) response: Option<Body>,
}

impl Bodies {
    pub(super) fn of(detail: &ExchangeDetail) -> Self {
        let mut bodies = Self::default();
        let mut pieces: BTreeMap<Channel, BTreeMap<u64, Vec<u8>>> = BTreeMap::new();
        for entry in &detail.entries {
            let Ok(entry) = serde_json::from_value::<Entry>(entry.entry.clone()) else { continue };
            match entry {
                Entry::Request(request) => bodies.add_request(request.request_object),
                Entry::Response(response) => bodies.add_response(response.responded.response_object),
                Entry::Exchange(exchange) => {
                    bodies.add_request(exchange.request_object);
                    bodies.add_response(exchange.responded.response_object);
                }
                Entry::Stream(piece) => {
                    let text = piece.data.as_str().unwrap_or_default();
                    let data = match piece.encoding.as_deref() {
                        Some("base64") => STANDARD.decode(text).unwrap_or_default(),
                        _ => text.as_bytes().to_vec(),
                    };
                    pieces.entry(piece.channel).or_default().insert(piece.position, data);
                }
                Entry::Open(_) | Entry::End(_) | Entry::Gap(_) => {}
            }
        }
        let mut joined = |channel| {
            let pieces = pieces.remove(&channel)?;
            Some(Body::of_bytes(pieces.into_values().flatten().collect()))
        };
        bodies.request = bodies.request.or_else(|| joined(Channel::Request));
        bodies.response = bodies.response.or_else(|| joined(Channel::Response));
        bodies
    }

    fn add_request(&mut self, object: Option<Value>) {
        self.request = object.map(Body::of_object).or(self.request.take());
    }

    fn add_response(&mut self, object: Option<Value>) {
        self.response = object.map(Body::of_object).or(self.response.take());
    }
}

impl Body {
    /// JSON, or `{"encoding": "utf-8" | "base64", "data": "…"}` and nothing else.
    fn of_object(object: Value) -> Self {
        let encoded = object.as_object().filter(|members| members.len() == 2).and_then(|members| {
            let data = members.get("data")?.as_str()?;
            match members.get("encoding")?.as_str()? {
                "utf-8" => Some(data.as_bytes().to_vec()),
                "base64" => STANDARD.decode(data).ok(),
                "omitted" => Some(Vec::new()),
                _ => None,
            }
        });
        match encoded {
            Some(bytes) => Self::of_bytes(bytes),
            None => Self { bytes: object.to_string().into_bytes(), media_type: "application/json" },
        }
    }

    fn of_bytes(bytes: Vec<u8>) -> Self {
        let json = bytes.first() == Some(&b'{');
        let media_type = match std::str::from_utf8(&bytes) {
            Ok(_) if json => "application/json",
            Ok(_) => "text/plain",
            Err(_) => "application/octet-stream",
        };
        Self { bytes, media_type }
    }

    /// The bytes as text, where they are that.
    pub(super) fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.bytes).ok()
    }
}
