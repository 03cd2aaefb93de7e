//! CloudEvents 1.0 in its JSON format (<https://github.com/cloudevents/spec>).

use crate::store::model::ExchangeSummary;
use chaperone_record::Gap;
use serde_json::{Value, json};

/// What happened.
const TYPE: &str = "dev.chaperone.exchange.v1";

/// An exchange of which the end is not known after a while.
const INCOMPLETE: &str = "dev.chaperone.exchange.incomplete.v1";

/// A recorder that lost entries.
const GAP: &str = "dev.chaperone.gap.v1";

/// `source` and `id` together name an exchange once and for all: who gets an event twice can tell.
pub(crate) fn event(summary: &ExchangeSummary) -> Value {
    let requested = summary.requested.as_ref();
    let path = requested.map(|requested| requested.request_uri.split('?').next().unwrap_or_default());
    let mut event = json!({
        "specversion": "1.0",
        "type": TYPE,
        "source": source(&summary.recorder),
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

/// An exchange as it stands. It has an id of its own, so that its end is not taken for the same event.
pub(crate) fn incomplete(summary: &ExchangeSummary) -> Value {
    let mut event = event(summary);
    event["type"] = INCOMPLETE.into();
    event["id"] = format!("{}/incomplete", summary.exchange).into();
    event
}

/// A gap, under an id that names its place.
pub(crate) fn gap(id: &str, recorder: &str, gap: &Gap) -> Value {
    json!({
        "specversion": "1.0", "type": GAP, "source": source(recorder), "id": id, "time": gap.time,
        "datacontenttype": "application/json", "data": gap,
    })
}

fn source(recorder: &str) -> String {
    format!("urn:chaperone:recorder:{recorder}")
}
