//! JSON as a tree that folds, with masked fields marked; made on the server.

use crate::present::body::normal;
use crate::present::sanitize::escape;
use chaperone_record::Masked;
use maud::{Markup, html};
use serde_json::Value;

/// Most lines of one document.
const LINES: usize = 3000;

/// Longest scalar, in characters.
const SCALAR: usize = 4000;

/// Longest document that is shown unfolded, in members of a list.
const UNFOLDED: usize = 20;

/// The document.
pub(super) fn tree(value: &Value, masked: &[Masked]) -> Markup {
    let mut tree = Tree { masked: masked.iter().map(|masked| normal(&masked.path)).collect(), left: LINES };
    let shown = tree.node(value, "", None, true);
    html! {
        div.json { (shown) }
        @if tree.left == 0 { p.dim { "It is longer than is shown here; " code { "chaperone show" } " prints all of it." } }
    }
}

struct Tree {
    masked: Vec<String>,
    left: usize,
}

impl Tree {
    fn node(&mut self, value: &Value, path: &str, name: Option<&str>, open: bool) -> Markup {
        if self.left == 0 {
            return html! {};
        }
        self.left -= 1;
        let is_masked = self.masked.iter().any(|masked| masked == path);
        let label = name.map(|name| html! { span.k { bdi { (escape(name)) } } ": " });
        let mark = html! { @if is_masked { " " mark { "masked" } } };
        match value {
            Value::Object(members) if !members.is_empty() => {
                let inner: Vec<Markup> = members
                    .iter()
                    .map(|(key, value)| {
                        self.node(value, &format!("{path}.{key}"), Some(key), key != "managedFields")
                    })
                    .collect();
                folded(label, "{", "}", members.len(), "field", mark, inner, open)
            }
            Value::Array(items) if !items.is_empty() => {
                let open_items = items.len() <= UNFOLDED;
                let inner: Vec<Markup> = items
                    .iter()
                    .map(|value| self.node(value, &format!("{path}[*]"), None, open_items))
                    .collect();
                folded(label, "[", "]", items.len(), "item", mark, inner, open)
            }
            scalar => {
                let (class, text) = match scalar {
                    Value::String(text) => ("s", quoted(text)),
                    other => ("n", other.to_string()),
                };
                html! { div.v { @if let Some(label) = label { (label) } span.(class) { bdi { (text) } } (mark) } }
            }
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "what a folded line is made of")]
fn folded(
    label: Option<Markup>,
    begin: &str,
    end: &str,
    count: usize,
    noun: &str,
    mark: Markup,
    inner: Vec<Markup>,
    open: bool,
) -> Markup {
    html! {
        details open[open] {
            summary {
                @if let Some(label) = label { (label) }
                (begin) span.size { " " (count) " " (noun) @if count != 1 { "s" } " " } span.end { (end) } (mark)
            }
            div.in { @for node in inner { (node) } }
            div.v.close { (end) }
        }
    }
}

fn quoted(text: &str) -> String {
    let (shown, rest) = match text.char_indices().nth(SCALAR) {
        Some((end, _)) => text.split_at_checked(end).unwrap_or((text, "")),
        None => (text, ""),
    };
    let shown = escape(&Value::from(shown).to_string()).into_owned();
    if rest.is_empty() { shown } else { format!("{shown}… and {} bytes more", rest.len()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn masked_fields_are_marked_and_hostile_text_is_inert() {
        let value = json!({"data": {"tls.crt": "W21hc2tlZF0=", "<b>": "a\u{202e}\u{1b}"}});
        let masked = [Masked { path: "$.data['tls.crt']".to_owned(), count: 1 }];
        let shown = tree(&value, &masked).into_string();
        assert_eq!(shown.matches("<mark>").count(), 1, "{shown}");
        assert!(shown.contains(
            "tls.crt</bdi></span>: <span class=\"s\"><bdi>&quot;W21hc2tlZF0=&quot;</bdi></span> <mark>"
        ));
        assert!(shown.contains("&lt;b&gt;") && !shown.contains("<b>"));
        assert!(shown.contains("a\\u202e\\u001b"));
    }

    #[test]
    fn long_documents_end() {
        let shown = tree(&json!((0..10_000).collect::<Vec<_>>()), &[]).into_string();
        assert!(shown.contains("longer than is shown here"));
        assert!(shown.matches("class=\"v\"").count() <= LINES + 1);
    }
}
