//! What differs between two states of an object, field by field.

use serde_json::Value;
use std::collections::BTreeMap;

/// Fields that the API server keeps its books with, or that it derives.
const BOOKS: [&str; 5] =
    ["metadata.managedFields", "metadata.resourceVersion", "metadata.generation", "metadata.uid", "status"];

/// Longest value that is shown, in characters.
const VALUE: usize = 2000;

/// A field that is not what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// Where: `spec.template.spec.containers[name=web].image`.
    pub(super) path: String,
    /// What it was, as JSON; none where it was not set.
    pub(super) before: Option<String>,
    /// What it is; none where it was taken away.
    pub(super) after: Option<String>,
}

/// Every change, by path.
pub(super) fn changes(before: &Value, after: &Value) -> Vec<Change> {
    let (mut old, mut new) = (BTreeMap::new(), BTreeMap::new());
    fields(before, String::new(), &mut old);
    fields(after, String::new(), &mut new);
    let paths: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    paths
        .into_iter()
        .filter(|path| old.get(*path) != new.get(*path))
        .map(|path| Change {
            path: path.clone(),
            before: old.get(path).map(|value| cut(value)),
            after: new.get(path).map(|value| cut(value)),
        })
        .collect()
}

fn cut(value: &str) -> String {
    match value.char_indices().nth(VALUE) {
        Some((end, _)) => format!("{}…", value.get(..end).unwrap_or(value)),
        None => value.to_owned(),
    }
}

fn fields(value: &Value, path: String, out: &mut BTreeMap<String, String>) {
    if BOOKS.contains(&path.as_str()) {
        return;
    }
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (key, value) in members {
                let key = if key.contains(['.', '/', '[']) { format!("['{key}']") } else { key.clone() };
                let dot = if path.is_empty() || key.starts_with('[') { "" } else { "." };
                fields(value, format!("{path}{dot}{key}"), out);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, value) in items.iter().enumerate() {
                // Items with a name are the same item wherever they stand.
                let name = value.get("name").and_then(Value::as_str);
                let at = name.map_or_else(|| index.to_string(), |name| format!("name={name}"));
                fields(value, format!("{path}[{at}]"), out);
            }
        }
        scalar => {
            out.insert(path, scalar.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_are_compared_by_where_they_stand() {
        let before = json!({"metadata": {"resourceVersion": "1", "labels": {"app.io/tier": "a"}},
            "spec": {"replicas": 2, "containers": [{"name": "log", "image": "l:1"}, {"name": "web", "image": "w:1"}]}});
        let after = json!({"metadata": {"resourceVersion": "2", "labels": {}},
            "spec": {"replicas": 3, "paused": true, "containers": [{"name": "web", "image": "w:2"}, {"name": "log", "image": "l:1"}]}});
        let told: Vec<String> = changes(&before, &after)
            .into_iter()
            .map(|c| {
                format!("{} {} {}", c.path, c.before.unwrap_or("-".into()), c.after.unwrap_or("-".into()))
            })
            .collect();
        assert_eq!(
            told,
            [
                "metadata.labels - {}",
                "metadata.labels['app.io/tier'] \"a\" -",
                "spec.containers[name=web].image \"w:1\" \"w:2\"",
                "spec.paused - true",
                "spec.replicas 2 3",
            ]
        );
    }
}
