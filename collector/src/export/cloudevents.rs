//! CloudEvents 1.0 in its JSON format (<https://github.com/cloudevents/spec>).

use crate::store::model::ExchangeSummary;
use serde_json::{Value, json};

/// What happened.
const TYPE: &str = "dev.chaperone.exchange.v1";

/// `source` and `id` together name an exchange once and for all: who gets an event twice can tell.
pub(super) fn event(summary: &ExchangeSummary) -> Value {
    let requested = summary.requested.as_ref();
    let path = requested.map(|requested| requested.request_uri.split('?').next().unwrap_or_default());
    let mut event = json!({
        "specversion": "1.0",
        "type": TYPE,
        "source": format!("urn:chaperone:recorder:{}", summary.recorder),
        "id": summary.exchange,
        "time": summary.time,
        "datacontenttype": "application/json",
        "data": summary,
    });
    if let Some(path) = path.filter(|path| !path.is_empty()) {
        event["subject"] = json!(path);
    }
    event
}
