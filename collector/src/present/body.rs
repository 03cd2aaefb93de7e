//! Recorded bodies, printed: JSON indented with masked fields marked, other text as it is, bytes as their size.

use super::sanitize::{escape, lines};
use super::{YELLOW, counted, styled};
use crate::store::model::{ExchangeDetail, RecordedEntry};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chaperone_record::{BodyDigest, Entry, Masked};
use serde_json::Value;
use std::collections::BTreeMap;

/// What marks a masked value.
const MARK: &str = "← masked";

/// The bodies of an exchange as lines, each safe to print.
pub fn bodies(detail: &ExchangeDetail) -> Vec<String> {
    let (mut out, mut streams) = (Vec::new(), BTreeMap::<_, Vec<(u64, u64, Vec<u8>)>>::new());
    let summary = &detail.summary;
    for RecordedEntry { entry, .. } in &detail.entries {
        let Ok(entry) = serde_json::from_value::<Entry>(entry.clone()) else { continue };
        match entry {
            Entry::Request(request) => {
                body(&mut out, "request", request.request_object, summary.request_digest.as_ref(), &[])
            }
            Entry::Exchange(exchange) => {
                body(&mut out, "request", exchange.request_object, summary.request_digest.as_ref(), &[]);
                let responded = exchange.responded;
                body(
                    &mut out,
                    "response",
                    responded.response_object,
                    responded.response_digest.as_ref(),
                    &responded.masked,
                );
            }
            Entry::Response(response) => {
                let responded = response.responded;
                body(
                    &mut out,
                    "response",
                    responded.response_object,
                    responded.response_digest.as_ref(),
                    &responded.masked,
                );
            }
            Entry::Stream(piece) => {
                let text = piece.data.as_str().unwrap_or("");
                let data = match piece.encoding.as_deref() {
                    Some("base64") => STANDARD.decode(text).unwrap_or_default(),
                    _ => text.as_bytes().to_vec(),
                };
                streams.entry(piece.channel).or_default().push((piece.position, piece.offset, data));
            }
            Entry::Open(_) | Entry::End(_) | Entry::Gap(_) => {}
        }
    }
    for (channel, mut pieces) in streams {
        pieces.sort();
        let all: Vec<u8> = pieces.into_iter().flat_map(|(.., data)| data).collect();
        let name = serde_json::to_value(channel).ok().and_then(|name| name.as_str().map(str::to_owned));
        out.push(format!("{} stream, {}", name.unwrap_or_default(), counted(all.len() as i128, "byte")));
        raw(&mut out, &all);
    }
    out
}

fn body(
    out: &mut Vec<String>,
    which: &str,
    object: Option<Value>,
    digest: Option<&BodyDigest>,
    masked: &[Masked],
) {
    let Some(object) = object else { return };
    let size =
        digest.map_or(String::new(), |digest| format!(", {}", counted(i128::from(digest.bytes), "byte")));
    match encoded(&object) {
        Some(data) => {
            let cut = digest.is_some_and(|digest| digest.bytes > data.len() as u64);
            let cut = if cut { format!(", the first {} recorded", data.len()) } else { String::new() };
            out.push(format!("{which} body{size}{cut}"));
            raw(out, &data);
        }
        None => {
            out.push(format!("{which} body{size}"));
            let mut printer = Printer { out, masked: masked.iter().map(|m| normal(&m.path)).collect() };
            printer.print(&object, "", "  ", "", "");
        }
    }
}

/// The bytes of a body that is not JSON: `{"encoding": "utf-8" | "base64", "data": "…"}` and nothing else.
pub(crate) fn encoded(object: &Value) -> Option<Vec<u8>> {
    let members = object.as_object().filter(|members| members.len() == 2)?;
    let data = members.get("data")?.as_str()?;
    match members.get("encoding")?.as_str()? {
        "utf-8" => Some(data.as_bytes().to_vec()),
        "base64" => STANDARD.decode(data).ok(),
        _ => None,
    }
}

fn raw(out: &mut Vec<String>, data: &[u8]) {
    match std::str::from_utf8(data) {
        Ok(text) => {
            out.extend(lines(text.strip_suffix('\n').unwrap_or(text)).map(|line| format!("  {line}")))
        }
        Err(_) => out.push("  (binary)".into()),
    }
}

/// A path in the one form that is compared: `$.items[*].data['tls.crt'] (jwt)` as `.items[*].data.tls.crt`.
pub(crate) fn normal(path: &str) -> String {
    let path = without_pattern(path);
    let (mut out, mut rest) = (String::new(), path.strip_prefix('$').unwrap_or(path));
    while let Some(at) = rest.find('[') {
        let (before, bracket) = rest.split_at(at);
        out.push_str(before);
        let quoted = ['\'', '"'].into_iter().find_map(|quote| {
            let inner = bracket.strip_prefix('[')?.strip_prefix(quote)?;
            inner.split_once(&format!("{quote}]"))
        });
        if let Some((key, after)) = quoted {
            out.push('.');
            out.push_str(key);
            rest = after;
        } else if let Some((_, after)) = bracket.split_once(']') {
            out.push_str("[*]");
            rest = after;
        } else {
            rest = bracket.strip_prefix('[').unwrap_or("");
        }
    }
    out.push_str(rest);
    out
}

/// A masked path without the name of the pattern that was found there.
fn without_pattern(path: &str) -> &str {
    let pattern = path.strip_suffix(')').and_then(|path| path.rsplit_once(" ("));
    pattern.filter(|(_, name)| !name.contains(['\'', '"', ']'])).map_or(path, |(path, _)| path)
}

/// Prints JSON with two-space indents, and marks what stands at a masked path.
struct Printer<'a> {
    out: &'a mut Vec<String>,
    masked: Vec<String>,
}

impl Printer<'_> {
    fn print(&mut self, value: &Value, path: &str, indent: &str, label: &str, comma: &str) {
        let mark = if self.masked.iter().any(|m| m == path) {
            format!(" {}", styled(YELLOW, MARK))
        } else {
            String::new()
        };
        let inner = format!("{indent}  ");
        match value {
            Value::Object(members) if !members.is_empty() => {
                self.out.push(format!("{indent}{label}{{{mark}"));
                let last = members.len() - 1;
                for (index, (key, value)) in members.iter().enumerate() {
                    let label = format!("{}: ", quoted(key));
                    self.print(
                        value,
                        &format!("{path}.{key}"),
                        &inner,
                        &label,
                        if index < last { "," } else { "" },
                    );
                }
                self.out.push(format!("{indent}}}{comma}"));
            }
            Value::Array(items) if !items.is_empty() => {
                self.out.push(format!("{indent}{label}[{mark}"));
                let last = items.len() - 1;
                for (index, value) in items.iter().enumerate() {
                    self.print(value, &format!("{path}[*]"), &inner, "", if index < last { "," } else { "" });
                }
                self.out.push(format!("{indent}]{comma}"));
            }
            scalar => self.out.push(format!("{indent}{label}{}{comma}{mark}", escape(&scalar.to_string()))),
        }
    }
}

fn quoted(text: &str) -> String {
    escape(&Value::from(text).to_string()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn printed(object: Value, masked: &[&str]) -> String {
        let masked: Vec<_> = masked.iter().map(|path| Masked { path: (*path).into(), count: 1 }).collect();
        let mut out = Vec::new();
        body(&mut out, "response", Some(object), None, &masked);
        anstream::adapter::strip_str(&out.join("\n")).to_string()
    }

    #[test]
    fn masked_fields_are_marked_where_they_stand() {
        let secret =
            json!({"data": {"password": "W21hc2tlZF0=", "tls.crt": "W21hc2tlZF0="}, "kind": "Secret"});
        assert_eq!(
            printed(secret.clone(), &["$.data.password", "$.data['tls.crt']"]),
            "response body\n  {\n    \"data\": {\n      \"password\": \"W21hc2tlZF0=\", ← masked\n      \
            \"tls.crt\": \"W21hc2tlZF0=\" ← masked\n    },\n    \"kind\": \"Secret\"\n  }"
        );
        let list =
            printed(json!({"items": [secret, {"data": {"other": "x"}}]}), &["$.items[*].data.password"]);
        assert_eq!(list.matches(MARK).count(), 1, "{list}");
    }

    #[test]
    fn what_a_pattern_found_is_marked_too() {
        let pod = json!({"spec": {"args": ["--token=[masked]", "-v"]}, "a (b)": "x"});
        let marked = printed(pod, &["$.spec.args[*] (github-token)", "$['a (b)']"]);
        assert_eq!(marked.matches(MARK).count(), 3, "{marked}");
        for (path, plain) in [
            ("$.data.key (pem-private-key)", "$.data.key"),
            ("$['a (b)']", "$['a (b)']"),
            ("$['a (b)'] (jwt)", "$['a (b)']"),
            ("$.data.key", "$.data.key"),
        ] {
            assert_eq!(without_pattern(path), plain);
        }
    }

    #[test]
    fn bodies_that_are_not_json_are_text_or_binary() {
        assert_eq!(
            printed(json!({"encoding": "utf-8", "data": "a\u{1b}[2Jb\nc\n"}), &[]),
            "response body\n  a\\u001b[2Jb\n  c"
        );
        assert_eq!(printed(json!({"encoding": "base64", "data": "/w=="}), &[]), "response body\n  (binary)");
        assert_eq!(
            printed(json!({"k\u{202e}": "v\u{9b}"}), &[]),
            "response body\n  {\n    \"k\\u202e\": \"v\\u009b\"\n  }"
        );
    }
}
