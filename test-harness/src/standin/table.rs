//! Tables (`meta.k8s.io/v1`): what `kubectl get` shows, and the other shapes of an object.

use jiff::{Timestamp, Unit};
use serde_json::{Value, json};

use super::negotiate::{Include, Shape};
use super::resource::Resource;

/// A column: its name, type, and priority (0 always shown, 1 with `-o wide`).
type Column = (&'static str, &'static str, u8);

const NAME: Column = ("Name", "string", 0);
const AGE: Column = ("Age", "string", 0);

/// An object or a list in the shape the client asked for.
pub(super) fn shaped(shape: Shape, resource: &Resource, document: Value) -> Value {
    let is_list = document["items"].is_array();
    match shape {
        Shape::Whole => document,
        _ if document["kind"] == "Status" => document,
        Shape::Metadata if is_list => {
            let items: Vec<Value> = document["items"].as_array().into_iter().flatten().map(partial).collect();
            json!({
                "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
                "metadata": document["metadata"], "items": items,
            })
        }
        Shape::Metadata => partial(&document),
        Shape::Table(include) => {
            let (items, metadata) = match &document["items"] {
                Value::Array(items) => (items.as_slice(), document["metadata"].clone()),
                _ => {
                    let version = &document["metadata"]["resourceVersion"];
                    (std::slice::from_ref(&document), json!({"resourceVersion": version}))
                }
            };
            table(resource, include, items, metadata)
        }
    }
}

/// A table of these objects.
pub(super) fn table(resource: &Resource, include: Include, items: &[Value], metadata: Value) -> Value {
    let definitions = columns(resource.kind).iter().map(|(name, kind, priority)| {
        let format = if *name == "Name" { "name" } else { "" };
        json!({"name": name, "type": kind, "format": format, "description": "", "priority": priority})
    });
    let rows = items.iter().map(|item| {
        let mut whole = item.clone();
        whole["kind"] = json!(resource.kind);
        whole["apiVersion"] = json!(resource.api_version());
        let object = match include {
            Include::Metadata => partial(item),
            Include::Object => whole,
            Include::None => Value::Null,
        };
        json!({"cells": cells(resource.kind, item), "object": object})
    });
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
        "columnDefinitions": definitions.collect::<Vec<_>>(), "rows": rows.collect::<Vec<_>>(),
    })
}

fn partial(object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
}

fn columns(kind: &str) -> &'static [Column] {
    match kind {
        "ConfigMap" => &[NAME, ("Data", "string", 0), AGE],
        "Secret" => &[NAME, ("Type", "string", 0), ("Data", "string", 0), AGE],
        "Namespace" => &[NAME, ("Status", "string", 0), AGE],
        "ServiceAccount" => &[NAME, AGE],
        "Pod" => &[
            NAME,
            ("Ready", "string", 0),
            ("Status", "string", 0),
            ("Restarts", "string", 0),
            AGE,
            ("IP", "string", 1),
            ("Node", "string", 1),
            ("Nominated Node", "string", 1),
            ("Readiness Gates", "string", 1),
        ],
        "Event" => &[
            ("Last Seen", "string", 0),
            ("Type", "string", 0),
            ("Reason", "string", 0),
            ("Object", "string", 0),
            ("Subobject", "string", 1),
            ("Source", "string", 1),
            ("Message", "string", 0),
            ("First Seen", "string", 1),
            ("Count", "string", 1),
            ("Name", "string", 1),
        ],
        "Service" => &[
            NAME,
            ("Type", "string", 0),
            ("Cluster-IP", "string", 0),
            ("External-IP", "string", 0),
            ("Port(s)", "string", 0),
            AGE,
        ],
        "Deployment" => {
            &[NAME, ("Ready", "string", 0), ("Up-to-date", "string", 0), ("Available", "string", 0), AGE]
        }
        _ => &[NAME, AGE],
    }
}

fn cells(kind: &str, object: &Value) -> Vec<Value> {
    let name = object["metadata"]["name"].clone();
    let age = json!(age(&object["metadata"]["creationTimestamp"]));
    let entries = |field: &str| object[field].as_object().map_or(0, |map| map.len());
    let (spec, status) = (&object["spec"], &object["status"]);
    match kind {
        "ConfigMap" => vec![name, json!(entries("data") + entries("binaryData")), age],
        "Secret" => vec![name, object["type"].clone(), json!(entries("data")), age],
        "Namespace" => vec![name, status["phase"].clone(), age],
        "Pod" => {
            let containers = status["containerStatuses"].as_array().map_or(&[][..], Vec::as_slice);
            let ready = containers.iter().filter(|container| container["ready"] == true).count();
            let all = spec["containers"].as_array().map_or(0, Vec::len);
            let restarts: u64 =
                containers.iter().filter_map(|container| container["restartCount"].as_u64()).sum();
            vec![
                name,
                json!(format!("{ready}/{all}")),
                status["phase"].clone(),
                json!(restarts.to_string()),
                age,
                or(&status["podIP"], "<none>"),
                or(&spec["nodeName"], "<none>"),
                json!("<none>"),
                json!("<none>"),
            ]
        }
        "Event" => {
            let involved = &object["involvedObject"];
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let regarding = format!("{}/{}", text(&involved["kind"]).to_lowercase(), text(&involved["name"]));
            vec![
                json!(self::age(&object["lastTimestamp"])),
                or(&object["type"], ""),
                or(&object["reason"], ""),
                json!(regarding),
                or(&involved["fieldPath"], ""),
                or(&object["source"]["component"], ""),
                or(&object["message"], ""),
                json!(self::age(&object["firstTimestamp"])),
                or(&object["count"], "1"),
                name,
            ]
        }
        "Service" => {
            let ports = spec["ports"].as_array().into_iter().flatten();
            let ports: Vec<String> = ports
                .map(|port| format!("{}/{}", port["port"], port["protocol"].as_str().unwrap_or("TCP")))
                .collect();
            let ports = if ports.is_empty() { "<none>".to_owned() } else { ports.join(",") };
            let address = or(&spec["clusterIP"], "<none>");
            vec![name, spec["type"].clone(), address, json!("<none>"), json!(ports), age]
        }
        "Deployment" => {
            let count = |value: &Value| value.as_u64().unwrap_or(0);
            let wanted = spec["replicas"].as_u64().unwrap_or(1);
            let ready = format!("{}/{wanted}", count(&status["readyReplicas"]));
            let (updated, available) =
                (count(&status["updatedReplicas"]), count(&status["availableReplicas"]));
            vec![name, json!(ready), json!(updated.to_string()), json!(available.to_string()), age]
        }
        _ => vec![name, age],
    }
}

fn or(value: &Value, otherwise: &str) -> Value {
    if value.is_null() { json!(otherwise) } else { value.clone() }
}

fn age(since: &Value) -> String {
    let since = since.as_str().and_then(|since| since.parse::<Timestamp>().ok());
    since.map_or_else(
        || "<unknown>".to_owned(),
        |since| {
            let passed = Timestamp::now().since((Unit::Second, since)).map_or(0, |span| span.get_seconds());
            human(passed)
        },
    )
}

/// A duration as kubectl shows it: two units at most (`k8s.io/apimachinery/pkg/util/duration.HumanDuration`).
fn human(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let pair = |whole: i64, unit: &str, rest: i64, smaller: &str| match rest {
        0 => format!("{whole}{unit}"),
        rest => format!("{whole}{unit}{rest}{smaller}"),
    };
    match seconds {
        ..0 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        120..600 => pair(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => pair(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => pair(days, "d", hours % 24, "h"),
        691_200..63_072_000 => format!("{days}d"),
        _ => pair(days / 365, "y", days % 365, "d"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::resource::resource;
    use super::*;

    #[test]
    fn ages_are_as_kubectl_shows_them() {
        for (seconds, expected) in [
            (-5, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (200, "3m20s"),
            (601, "10m"),
            (3 * 3600, "3h"),
            (4 * 3600 + 300, "4h5m"),
            (47 * 3600, "47h"),
            (50 * 3600, "2d2h"),
            (30 * 86_400, "30d"),
            (750 * 86_400, "2y20d"),
        ] {
            assert_eq!(human(seconds), expected);
        }
    }

    #[test]
    fn rows_hold_cells_for_every_column_and_as_much_of_the_object_as_asked() {
        let secret = json!({
            "metadata": {"name": "db", "annotations": {"a": "b"}}, "type": "Opaque", "data": {"k": "dg=="},
        });
        let secrets = resource("", "secrets").expect("a type");
        for (include, kind, data) in [
            (Include::Metadata, "PartialObjectMetadata", false),
            (Include::Object, "Secret", true),
            (Include::None, "", false),
        ] {
            let table = shaped(Shape::Table(include), secrets, secret.clone());
            let row = &table["rows"][0];
            assert_eq!(row["cells"], json!(["db", "Opaque", 1, "<unknown>"]), "{include:?}");
            assert_eq!(row["object"]["kind"].as_str().unwrap_or_default(), kind, "{include:?}");
            assert_eq!(row["object"]["data"].is_object(), data, "{include:?}");
            let annotated = row["object"]["metadata"]["annotations"].is_object();
            assert_eq!(annotated, include != Include::None, "{include:?}");
        }
        for resource in super::super::resource::RESOURCES {
            let cells = cells(resource.kind, &json!({"metadata": {"name": "x"}}));
            assert_eq!(cells.len(), columns(resource.kind).len(), "{}", resource.kind);
        }
    }
}
