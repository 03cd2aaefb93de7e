//! OTLP logs over HTTP, in its JSON encoding (<https://opentelemetry.io/docs/specs/otlp/>).

use super::http::{Header, Post};
use chaperone_record::Timestamp;
use serde_json::{Map, Value, json};

/// A request with these events, each a log record: what a CloudEvent is called, and its data as the body.
pub(super) fn post(headers: &[Header], events: &[Value], now: Timestamp) -> Post {
    let records: Vec<Value> = events.iter().map(|event| record(event, now)).collect();
    let body = json!({"resourceLogs": [{
        "resource": {"attributes": [attribute("service.name", json!("chaperone"))]},
        "scopeLogs": [{
            "scope": {"name": "chaperone", "version": env!("CARGO_PKG_VERSION")},
            "logRecords": records,
        }],
    }]});
    Post { content_type: "application/json", headers: headers.to_vec(), body: body.to_string().into_bytes() }
}

/// How many records a receiver says that it will not keep. Sending them again is not allowed.
pub(super) fn rejected(answer: &[u8]) -> u64 {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    let rejected = &answer["partialSuccess"]["rejectedLogRecords"];
    rejected.as_u64().or_else(|| rejected.as_str()?.parse().ok()).unwrap_or(0)
}

fn record(event: &Value, now: Timestamp) -> Value {
    let nanos = |time: Timestamp| format!("{}000", time.micros());
    let time = serde_json::from_value::<Timestamp>(event["time"].clone()).unwrap_or(now);
    let refused = event["data"]["decision"]["allowed"] == json!(false);
    let notable = refused || event["type"] != "dev.chaperone.exchange.v1";
    let (number, text) = if notable { (13, "WARN") } else { (9, "INFO") };
    // Named as OpenTelemetry's semantic conventions name a CloudEvent.
    let attributes = [
        ("cloudevents.event_id", "id"),
        ("cloudevents.event_source", "source"),
        ("cloudevents.event_spec_version", "specversion"),
        ("cloudevents.event_subject", "subject"),
        ("cloudevents.event_type", "type"),
    ];
    let attributes: Vec<Value> = attributes
        .into_iter()
        .filter(|(_, member)| event[member].is_string())
        .map(|(name, member)| attribute(name, event[member].clone()))
        .collect();
    json!({
        "timeUnixNano": nanos(time), "observedTimeUnixNano": nanos(now), "eventName": event["type"],
        "severityNumber": number, "severityText": text, "attributes": attributes, "body": any(&event["data"]),
    })
}

fn attribute(key: &str, value: Value) -> Value {
    json!({"key": key, "value": any(&value)})
}

/// A JSON value as an `AnyValue`.
fn any(value: &Value) -> Value {
    match value {
        Value::Null => json!({}),
        Value::Bool(flag) => json!({"boolValue": flag}),
        Value::Number(number) => match number.as_i64() {
            // 64-bit numbers are text in the JSON of protobuf.
            Some(whole) => json!({"intValue": whole.to_string()}),
            None => json!({"doubleValue": number}),
        },
        Value::String(text) => json!({"stringValue": text}),
        Value::Array(items) => json!({"arrayValue": {"values": items.iter().map(any).collect::<Vec<_>>()}}),
        Value::Object(members) => json!({"kvlistValue": {"values": pairs(members)}}),
    }
}

fn pairs(members: &Map<String, Value>) -> Vec<Value> {
    members.iter().map(|(key, value)| attribute(key, value.clone())).collect()
}
