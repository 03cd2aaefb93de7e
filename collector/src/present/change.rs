//! What a write did to its object, as lines of a diff in the manner of `kubectl diff`.

use super::body::encoded;
use super::sanitize::escape;
use super::{BOLD, GREEN, RED, styled};
use crate::store::model::ExchangeDetail;
use serde_json::Value;
use similar::{ChangeTag, TextDiff};

/// Lines shown around each change.
const CONTEXT: usize = 3;

/// Fields with which the API server keeps its books.
const BOOKS: [&str; 4] = ["managedFields", "resourceVersion", "generation", "uid"];

/// Group, resource, namespace and name.
pub type Place = [String; 4];

/// An object, as a response tells it.
pub struct Object {
    /// Which.
    pub place: Place,
    state: Value,
}

impl Object {
    /// The one object of a response; none of a list, a table or a `Status`.
    pub fn of(detail: &ExchangeDetail) -> Option<Self> {
        let reference = detail.summary.requested.as_ref()?.object_ref.as_ref()?;
        let code = detail.summary.response_status.as_ref()?.code;
        let mut responses = detail.entries.iter().rev().filter_map(|entry| entry.entry.get("responseObject"));
        let object = responses.next().filter(|object| encoded(object).is_none())?;
        let kind = object.get("kind")?.as_str()?;
        let one = !matches!(kind, "Status" | "Table") && object.get("items").is_none();
        if !one || !(200..300).contains(&code) || !reference.subresource.is_empty() {
            return None;
        }
        let name = object.pointer("/metadata/name")?.as_str()?.to_owned();
        let place =
            [reference.api_group.clone(), reference.resource.clone(), reference.namespace.clone(), name];
        Some(Self { place, state: object.clone() })
    }
}

/// True for an exchange after which its object may be another.
pub fn is_change(detail: &ExchangeDetail) -> bool {
    let head = detail.summary.requested.as_ref().filter(|head| head.decision.allowed);
    head.is_some_and(|head| matches!(head.verb.as_str(), "update" | "patch" | "create"))
}

/// The lines of the diff; each is safe to print. Masked values are compared masked.
pub fn told(before: &Object, after: &Object) -> Vec<String> {
    let (before, after) = (printed(&before.state), printed(&after.state));
    let diff = TextDiff::from_lines(&before, &after);
    let mut out = vec![styled(BOLD, "change")];
    for (index, group) in diff.grouped_ops(CONTEXT).iter().enumerate() {
        if index > 0 {
            out.push("  …".to_owned());
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let text = escape(change.value().trim_end_matches('\n'));
            out.push(match change.tag() {
                ChangeTag::Delete => styled(RED, &format!("- {text}")),
                ChangeTag::Insert => styled(GREEN, &format!("+ {text}")),
                ChangeTag::Equal => format!("  {text}"),
            });
        }
    }
    if out.len() == 1 {
        out.push("  nothing that people set".to_owned());
    }
    out
}

fn printed(object: &Value) -> String {
    let mut object = object.clone();
    if let Some(members) = object.as_object_mut() {
        members.remove("status");
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|name, _| !BOOKS.contains(&name.as_str()));
    }
    format!("{object:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_change_is_told_as_lines_and_is_inert() {
        let before = json!({"metadata": {"name": "a", "resourceVersion": "1"}, "data": {"colour": "red", "\u{1b}": "x"}});
        let after =
            json!({"metadata": {"name": "a", "resourceVersion": "2"}, "data": {"colour": "blue\u{202e}"}});
        let [before, after] = [before, after].map(|state| Object { place: Place::default(), state });
        let lines = told(&before, &after).join("\n");
        let lines = anstream::adapter::strip_str(&lines).to_string();
        assert!(lines.contains("-     \"colour\": \"red\"\n"), "{lines}");
        assert!(lines.contains("+     \"colour\": \"blue\\u202e\"\n"), "{lines}");
        assert!(!lines.contains("resourceVersion") && lines.is_ascii(), "{lines}");
        assert!(told(&after, &after).join("").contains("nothing that people set"));
    }
}
