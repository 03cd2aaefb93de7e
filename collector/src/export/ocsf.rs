//! OCSF API Activity, class 6003 (<https://schema.ocsf.io/1.5.0/classes/api_activity>).

use super::told;
use crate::present::sentence::sentence;
use crate::store::model::{ExchangeSummary, State};
use chaperone_record::Requested;
use serde_json::{Map, Value, json};

/// The schema's version.
const VERSION: &str = "1.5.0";
const CATEGORY: u32 = 6;
const CLASS: u32 = 6003;

pub(super) fn event(summary: &ExchangeSummary) -> Value {
    let requested = summary.requested.as_ref();
    let (activity, activity_name) = activity(requested.map_or("", |requested| requested.verb.as_str()));
    let code = summary.response_status.as_ref().map_or(0, |status| status.code);
    let failed = summary.state != State::Complete || code >= 400;
    let millis = |time: chaperone_record::Timestamp| time.micros() / 1000;
    let mut event = json!({
        "activity_id": activity,
        "activity_name": activity_name,
        "category_uid": CATEGORY,
        "category_name": "Application Activity",
        "class_uid": CLASS,
        "class_name": "API Activity",
        "type_uid": CLASS * 100 + activity,
        "type_name": format!("API Activity: {activity_name}"),
        "severity_id": 1,
        "severity": "Informational",
        "status_id": if failed { 2 } else { 1 },
        "status": if failed { "Failure" } else { "Success" },
        "status_code": code.to_string(),
        "time": millis(summary.time),
        "message": sentence(summary),
        "metadata": {
            "version": VERSION,
            "uid": summary.exchange,
            "product": {"name": "Chaperone", "vendor_name": "Chaperone", "version": env!("CARGO_PKG_VERSION")},
        },
        "actor": actor(requested, summary),
        "api": api(requested, summary, code),
        "src_endpoint": source(requested),
        "unmapped": {"chaperone": told(summary)},
    });
    if let Some(complete) = summary.timing.complete {
        event["end_time"] = json!(millis(complete));
        event["duration"] = json!(millis(complete).saturating_sub(millis(summary.time)));
    }
    if let Some(requested) = requested {
        event["http_request"] = json!({
            "http_method": requested.method,
            "user_agent": requested.user_agent,
            "url": {"path": requested.request_uri.split('?').next().unwrap_or_default(), "url_string": requested.request_uri},
        });
        event["resources"] = json!(resources(requested, summary));
    }
    event
}

/// The activity that a Kubernetes verb is.
fn activity(verb: &str) -> (u32, &'static str) {
    match verb {
        "create" | "post" => (1, "Create"),
        "get" | "list" | "watch" | "head" => (2, "Read"),
        "update" | "patch" | "put" => (3, "Update"),
        "delete" | "deletecollection" => (4, "Delete"),
        "" => (0, "Unknown"),
        _ => (99, "Other"),
    }
}

fn actor(requested: Option<&Requested>, summary: &ExchangeSummary) -> Value {
    let mut actor = Map::new();
    let user = requested.and_then(|requested| requested.user.as_ref());
    let groups = user.iter().flat_map(|user| &user.groups).map(|group| json!({"name": group}));
    let groups: Vec<_> = groups.collect();
    let (name, uid) = user.map_or(("", ""), |user| (user.username.as_str(), user.uid.as_str()));
    let mut told = json!({"name": if user.is_some() { name } else { "unauthenticated" }, "groups": groups});
    if !uid.is_empty() {
        told["uid"] = json!(uid);
    }
    actor.insert("user".into(), told);
    if let Some(session) = &summary.session {
        let mut told = json!({"uid": session});
        if let Some(user) = user {
            told["issuer"] = json!(user.issuer);
        }
        actor.insert("session".into(), told);
    }
    if let Some(agent) = requested.and_then(|requested| requested.attribution.agent.as_ref()) {
        actor.insert("app_name".into(), json!(agent.value));
    }
    Value::Object(actor)
}

fn api(requested: Option<&Requested>, summary: &ExchangeSummary, code: u16) -> Value {
    let object = requested.and_then(|requested| requested.object_ref.as_ref());
    let status = summary.response_status.as_ref();
    let mut response = json!({"code": code});
    for (name, text) in [
        ("error", status.map_or("", |status| status.reason.as_str())),
        ("error_message", status.map_or("", |status| status.message.as_str())),
    ] {
        if !text.is_empty() {
            response[name] = json!(text);
        }
    }
    let mut api = json!({
        "operation": requested.map_or("unknown", |requested| requested.verb.as_str()),
        "request": {"uid": summary.exchange},
        "response": response,
        "service": {"name": "kubernetes"},
    });
    if let Some(object) = object {
        api["version"] = json!(object.api_version);
        api["group"] = json!({"name": if object.api_group.is_empty() { "core" } else { &object.api_group }});
    }
    api
}

fn source(requested: Option<&Requested>) -> Value {
    let address = requested.and_then(|requested| requested.source_ips.first());
    // The port is not ours to tell.
    address.map_or(json!({"name": "unknown"}), |address| json!({"ip": address}))
}

fn resources(requested: &Requested, summary: &ExchangeSummary) -> Vec<Value> {
    let Some(object) = &requested.object_ref else { return Vec::new() };
    let kind = match object.subresource.as_str() {
        "" => object.resource.clone(),
        subresource => format!("{}/{subresource}", object.resource),
    };
    let name = Some(&object.name).filter(|name| !name.is_empty()).or(summary.object_name.as_ref());
    // A list has no name; its path says which it is.
    let path = requested.request_uri.split('?').next().unwrap_or_default();
    let mut resource = json!({"type": kind, "uid": path});
    if let Some(name) = name {
        resource["name"] = json!(name);
    }
    if !object.namespace.is_empty() {
        resource["namespace"] = json!(object.namespace);
    }
    vec![resource]
}
