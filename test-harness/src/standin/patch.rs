//! The kinds of PATCH, and who manages which field.
//!
//! Strategic merge follows the rule nearly all Kubernetes lists have: elements with a `name` merge by it, other lists are replaced.
//! Server-side apply merges the same way and drops what its manager applied before and now leaves out; it finds no conflicts.

use serde_json::{Map, Value, json};

use super::negotiate::decode;
use super::status::Failure;
use super::store::now;

/// A patch, by its media type.
#[derive(Debug, PartialEq)]
pub(super) enum Patch {
    Json(json_patch::Patch),
    Merge(Value),
    Strategic(Value),
    Apply(Value),
}

const ACCEPTED: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];

// === impl Patch ===

impl Patch {
    pub(super) fn parse(media_type: &str, body: &[u8]) -> Result<Self, Failure> {
        match media_type {
            "application/json-patch+json" => serde_json::from_slice(body)
                .map(Self::Json)
                .map_err(|error| Failure::bad_request(format!("error decoding patch: {error}"))),
            "application/merge-patch+json" => decode("application/json", body).map(Self::Merge),
            "application/strategic-merge-patch+json" => decode("application/json", body).map(Self::Strategic),
            "application/apply-patch+yaml" => decode("application/yaml", body).map(Self::Apply),
            _ => Err(Failure::unsupported_media_type(ACCEPTED)),
        }
    }

    /// The object as this patch leaves it.
    pub(super) fn apply_to(&self, object: &Value, manager: &str) -> Result<Value, Failure> {
        let mut patched = object.clone();
        match self {
            Self::Json(patch) => json_patch::patch(&mut patched, patch).map_err(|_| {
                Failure::bad_request("the server rejected our request due to an error in our request")
            })?,
            Self::Merge(patch) => json_patch::merge(&mut patched, patch),
            Self::Strategic(patch) => merge(&mut patched, patch),
            Self::Apply(applied) => {
                if let Some(before) = fields_of(object, manager, "Apply") {
                    forget(&mut patched, before, &fields(applied));
                }
                merge(&mut patched, applied);
            }
        }
        Ok(patched)
    }
}

/// Strategic merge of a patch with its directives (`$patch`, `$retainKeys`, `$setElementOrder/…`, `$deleteFromPrimitiveList/…`).
fn merge(target: &mut Value, patch: &Value) {
    match (&mut *target, patch) {
        (Value::Object(target), Value::Object(patch)) => merge_objects(target, patch),
        (Value::Array(target), Value::Array(patch)) if patch.iter().all(is_named) => {
            for element in patch {
                merge_element(target, element);
            }
        }
        (_, Value::Object(patch)) => {
            let mut made = Map::new();
            merge_objects(&mut made, patch);
            *target = Value::Object(made);
        }
        _ => *target = patch.clone(),
    }
}

fn merge_objects(target: &mut Map<String, Value>, patch: &Map<String, Value>) {
    if patch.get("$patch").is_some_and(|directive| directive == "replace") {
        target.clear();
    }
    if let Some(Value::Array(kept)) = patch.get("$retainKeys") {
        target.retain(|key, _| kept.iter().any(|kept| kept == key));
    }
    for (key, value) in patch {
        if let Some(list) = key.strip_prefix("$deleteFromPrimitiveList/") {
            let (Some(Value::Array(from)), Value::Array(gone)) = (target.get_mut(list), value) else {
                continue;
            };
            from.retain(|element| !gone.contains(element));
        } else if key.starts_with('$') {
            // Orders and directives say how to merge, not what.
        } else if value.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key).or_insert(Value::Null), value);
        }
    }
}

fn merge_element(target: &mut Vec<Value>, element: &Value) {
    let place = target.iter().position(|found| found["name"] == element["name"]);
    match (place, element["$patch"] == "delete") {
        (Some(place), true) => drop(target.remove(place)),
        (Some(place), false) => merge(&mut target[place], element),
        (None, true) => {}
        (None, false) => target.push(element.clone()),
    }
}

fn is_named(element: &Value) -> bool {
    element.get("name").is_some_and(Value::is_string)
}

/// Notes in `managedFields` that this manager now has these fields of the object.
pub(super) fn manage(object: &mut Value, manager: &str, operation: &str, of: &Value) {
    let api_version = object["apiVersion"].clone();
    let metadata = &mut object["metadata"];
    let mut managed = match metadata["managedFields"].take() {
        Value::Array(managed) => managed,
        _ => Vec::new(),
    };
    let mut fields = fields(of);
    if let Some(place) =
        managed.iter().position(|entry| entry["manager"] == manager && entry["operation"] == operation)
    {
        let before = managed.remove(place)["fieldsV1"].take();
        // An update adds to what its manager has; an apply says all of it.
        if operation == "Update" {
            let now = std::mem::replace(&mut fields, before);
            json_patch::merge(&mut fields, &now);
        }
    }
    managed.push(json!({
        "manager": manager, "operation": operation, "apiVersion": api_version, "time": now(),
        "fieldsType": "FieldsV1", "fieldsV1": fields,
    }));
    metadata["managedFields"] = Value::Array(managed);
}

fn fields_of<'a>(object: &'a Value, manager: &str, operation: &str) -> Option<&'a Value> {
    let managed = object["metadata"]["managedFields"].as_array()?;
    let mine = |entry: &&Value| entry["manager"] == manager && entry["operation"] == operation;
    managed.iter().find(mine).map(|entry| &entry["fieldsV1"])
}

/// The object's field set (`FieldsV1`); lists are taken whole.
fn fields(object: &Value) -> Value {
    let mut set = tree(object);
    for name in ["f:apiVersion", "f:kind"] {
        set.remove(name);
    }
    if let Some(Value::Object(metadata)) = set.get_mut("f:metadata") {
        metadata.retain(|name, _| {
            matches!(name.as_str(), "f:labels" | "f:annotations" | "f:finalizers" | "f:ownerReferences")
        });
        if metadata.is_empty() {
            set.remove("f:metadata");
        }
    }
    Value::Object(set)
}

fn tree(value: &Value) -> Map<String, Value> {
    let entries = value.as_object().into_iter().flatten().filter(|(_, inner)| !inner.is_null());
    entries.map(|(name, inner)| (format!("f:{name}"), Value::Object(tree(inner)))).collect()
}

/// Removes the fields that were in a set before and are not in it now.
fn forget(object: &mut Value, before: &Value, after: &Value) {
    let Value::Object(object) = object else { return };
    for (name, inner) in before.as_object().into_iter().flatten() {
        let Some(key) = name.strip_prefix("f:") else { continue };
        match (after.get(name), object.get_mut(key)) {
            (Some(still), Some(value)) => forget(value, inner, still),
            (None, Some(_)) => drop(object.remove(key)),
            (_, None) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_change_what_they_say() {
        let object = json!({
            "metadata": {"labels": {"a": "1", "b": "2"}, "finalizers": ["x", "y"]},
            "spec": {"containers": [{"name": "web", "image": "web:1"}, {"name": "log", "image": "log:1"}]},
        });
        for (case, media_type, patch, pointer, expected) in [
            (
                "JSON",
                "json-patch+json",
                r#"[{"op":"replace","path":"/metadata/labels/a","value":"3"}]"#,
                "/metadata/labels",
                json!({"a": "3", "b": "2"}),
            ),
            (
                "merge",
                "merge-patch+json",
                r#"{"metadata":{"labels":{"a":null}}}"#,
                "/metadata/labels",
                json!({"b": "2"}),
            ),
            (
                "merge replaces lists",
                "merge-patch+json",
                r#"{"spec":{"containers":[{"name":"web"}]}}"#,
                "/spec/containers",
                json!([{"name": "web"}]),
            ),
            (
                "strategic merges lists by name",
                "strategic-merge-patch+json",
                r#"{"spec":{"$setElementOrder/containers":[{"name":"web"},{"name":"log"}],"containers":[{"name":"web","image":"web:2"}]}}"#,
                "/spec/containers",
                json!([{"name": "web", "image": "web:2"}, {"name": "log", "image": "log:1"}]),
            ),
            (
                "strategic deletes by name",
                "strategic-merge-patch+json",
                r#"{"spec":{"containers":[{"$patch":"delete","name":"log"}]}}"#,
                "/spec/containers",
                json!([{"name": "web", "image": "web:1"}]),
            ),
            (
                "strategic deletes from a plain list",
                "strategic-merge-patch+json",
                r#"{"metadata":{"$deleteFromPrimitiveList/finalizers":["x"]}}"#,
                "/metadata/finalizers",
                json!(["y"]),
            ),
            (
                "strategic replaces a map",
                "strategic-merge-patch+json",
                r#"{"metadata":{"labels":{"$patch":"replace","c":"3"}}}"#,
                "/metadata/labels",
                json!({"c": "3"}),
            ),
            (
                "apply adds",
                "apply-patch+yaml",
                "metadata:\n  labels:\n    c: \"3\"\n",
                "/metadata/labels",
                json!({"a": "1", "b": "2", "c": "3"}),
            ),
        ] {
            let patch = Patch::parse(&format!("application/{media_type}"), patch.as_bytes()).expect(case);
            let patched = patch.apply_to(&object, "test").expect(case);
            assert_eq!(patched.pointer(pointer), Some(&expected), "{case}");
        }
    }

    #[test]
    fn apply_drops_what_its_manager_no_longer_says() {
        let first = json!({"data": {"a": "1", "b": "2"}});
        let mut object =
            json!({"apiVersion": "v1", "data": {"a": "1", "b": "2", "other": "3"}, "metadata": {}});
        manage(&mut object, "me", "Apply", &first);
        let second = Patch::Apply(json!({"data": {"a": "9"}}));
        for (manager, expected) in
            [("me", json!({"a": "9", "other": "3"})), ("somebody", json!({"a": "9", "b": "2", "other": "3"}))]
        {
            assert_eq!(second.apply_to(&object, manager).expect("applied")["data"], expected, "{manager}");
        }
    }

    #[test]
    fn unknown_patches_are_refused() {
        for media_type in ["application/json", "application/apply-patch+cbor", "Application/merge-patch+json"]
        {
            assert_eq!(
                Patch::parse(media_type, b"{}").map_err(|failure| failure.code),
                Err(415),
                "{media_type}"
            );
        }
    }
}
