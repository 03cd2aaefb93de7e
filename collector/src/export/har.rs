//! HTTP Archive 1.2 (<http://www.softwareishard.com/blog/har-12-spec/>).
//!
//! Records hold no headers, and no host: URLs are those of the API server as pods know it. What HAR has no field for stands
//! under `_chaperone`, as the format allows.

use super::bodies::{Bodies, Body};
use super::told;
use crate::store::model::ExchangeDetail;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chaperone_record::{BodyDigest, Timestamp};
use serde_json::{Value, json};

/// What stands before the entries.
pub(super) const BEGINNING: &str = concat!(
    r#"{"log":{"version":"1.2","creator":{"name":"chaperone","version":""#,
    env!("CARGO_PKG_VERSION"),
    "\"},\"entries\":[\n"
);

/// The API server, to whom it serves.
const SERVER: &str = "https://kubernetes.default.svc";

/// Not known.
const UNKNOWN: i64 = -1;

pub(super) fn entry(detail: &ExchangeDetail) -> Value {
    let summary = &detail.summary;
    let bodies = Bodies::of(detail);
    let timing = &summary.timing;
    let millis = |from: Option<Timestamp>, to: Option<Timestamp>| match (from, to) {
        (Some(from), Some(to)) => to.micros().saturating_sub(from.micros()) as f64 / 1000.0,
        _ => 0.0,
    };
    // Until the request was released it waited in the gateway.
    let blocked = millis(timing.received, timing.forwarded);
    let wait = millis(timing.forwarded.or(timing.received), timing.first_byte.or(timing.complete));
    let receive = millis(timing.first_byte, timing.complete);
    json!({
        "startedDateTime": summary.time,
        "time": blocked + wait + receive,
        "request": request(detail, bodies.request.as_ref()),
        "response": response(detail, bodies.response.as_ref()),
        "cache": {},
        "timings": {"blocked": blocked, "dns": UNKNOWN, "connect": UNKNOWN, "ssl": UNKNOWN,
                    "send": 0, "wait": wait, "receive": receive},
        "_chaperone": told(summary),
    })
}

fn request(detail: &ExchangeDetail, body: Option<&Body>) -> Value {
    let requested = detail.summary.requested.as_ref();
    let uri = requested.map_or("/", |requested| requested.request_uri.as_str());
    let query = uri.split_once('?').map_or("", |(_, query)| query);
    let query = form_urlencoded::parse(query.as_bytes());
    let agent = requested.map(|requested| requested.user_agent.as_str()).filter(|agent| !agent.is_empty());
    let mut request = json!({
        "method": requested.map_or("GET", |requested| requested.method.as_str()),
        "url": format!("{SERVER}{uri}"),
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": agent.map(|agent| json!({"name": "User-Agent", "value": agent})).into_iter().collect::<Vec<_>>(),
        "queryString": query.map(|(name, value)| json!({"name": name, "value": value})).collect::<Vec<_>>(),
        "headersSize": UNKNOWN,
        "bodySize": size(detail.summary.request_digest.as_ref(), body),
    });
    if let Some(body) = body {
        request["postData"] =
            json!({"mimeType": body.media_type, "text": String::from_utf8_lossy(&body.bytes), "params": []});
    }
    request
}

fn response(detail: &ExchangeDetail, body: Option<&Body>) -> Value {
    let status = detail.summary.response_status.as_ref();
    let code = status.map_or(0, |status| status.code);
    let size = size(detail.summary.response_digest.as_ref(), body);
    let mut content = json!({"size": size.max(0), "mimeType": body.map_or("", |body| body.media_type)});
    match body.map(|body| (body, body.text())) {
        Some((_, Some(text))) => content["text"] = json!(text),
        Some((body, None)) => {
            content["text"] = json!(STANDARD.encode(&body.bytes));
            content["encoding"] = json!("base64");
        }
        None => {}
    }
    json!({
        "status": code,
        "statusText": status.map_or("", |status| status.reason.as_str()),
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": [],
        "content": content,
        "redirectURL": "",
        "headersSize": UNKNOWN,
        "bodySize": size,
    })
}

/// How long the whole body was.
fn size(digest: Option<&BodyDigest>, body: Option<&Body>) -> i64 {
    let recorded = body.map_or(0, |body| body.bytes.len() as u64);
    i64::try_from(digest.map_or(recorded, |digest| digest.bytes)).unwrap_or(UNKNOWN)
}
