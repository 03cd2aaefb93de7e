//! The JSON Schema and the reference page, made from the table of shapes. Not part of the wasm module.

use super::spec::{Field, Shape};
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// The JSON Schema (draft 2020-12) of a `FilterConfig`.
pub fn json_schema() -> Value {
    let mut schema = shape(&super::ROOT);
    if let Value::Object(map) = &mut schema {
        map.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        map.insert("title".to_owned(), json!("FilterConfig"));
        map.insert(
            "description".to_owned(),
            json!("Plugin configuration of the Chaperone filter, chaperone.dev/v1alpha1."),
        );
    }
    schema
}

fn shape(of: &Shape) -> Value {
    match of {
        Shape::Object(fields) => {
            let properties: Map<String, Value> =
                fields.iter().map(|field| (field.name.to_owned(), property(field))).collect();
            let required: Vec<_> =
                fields.iter().filter(|field| field.required).map(|field| field.name).collect();
            json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
        }
        Shape::Map(inner) => json!({"type": "object", "additionalProperties": shape(inner)}),
        Shape::List(inner, most) => json!({"type": "array", "items": shape(inner), "maxItems": most}),
        Shape::Text(most) => json!({"type": "string", "maxLength": most}),
        Shape::Duration(..) => {
            json!({"type": "string", "pattern": r"^(0|([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h))+$"})
        }
        Shape::Integer(least, most) => json!({"type": "integer", "minimum": least, "maximum": most}),
        Shape::Flag => json!({"type": "boolean"}),
        Shape::OneOf(words) => json!({"type": "string", "enum": words}),
        Shape::Json => json!({"type": "object"}),
    }
}

fn property(field: &Field) -> Value {
    let mut value = shape(field.shape);
    if !field.required {
        // An explicit null is an absent field.
        value = match value {
            Value::Object(mut map) => {
                if let Some(kind) = map.get("type").cloned() {
                    map.insert("type".to_owned(), json!([kind, "null"]));
                }
                if let Some(Value::Array(words)) = map.get_mut("enum") {
                    words.push(Value::Null);
                }
                Value::Object(map)
            }
            other => other,
        };
    }
    if let Value::Object(map) = &mut value {
        map.insert("description".to_owned(), json!(field.doc));
        if let Ok(default) = serde_json::from_str::<Value>(field.default) {
            map.insert("default".to_owned(), default);
        }
    }
    value
}

/// The reference page in Markdown: every field with its type, default and meaning.
pub fn reference() -> String {
    let mut page = String::from(
        "# Configuration reference\n\n\
         <!-- Made from the filter's own table of shapes (src/config/); `make test` fails where the two differ. -->\n\n\
         The filter reads one JSON document, `kind: FilterConfig`. Unknown fields are errors. Durations are Go-style strings\n\
         (`200ms`, `30s`, `1m30s`). A configuration that is refused is logged with every error at once, each as\n\
         `path: what is wrong`, and no traffic passes.\n\n\
         | field | type | default | meaning |\n|---|---|---|---|\n",
    );
    rows(&mut page, &super::ROOT, "");
    page
}

fn rows(page: &mut String, of: &Shape, path: &str) {
    match of {
        Shape::Object(fields) => {
            for field in *fields {
                let at =
                    if path.is_empty() { field.name.to_owned() } else { format!("{path}.{}", field.name) };
                let default = if field.required {
                    "**required**".to_owned()
                } else if field.default.is_empty() {
                    String::new()
                } else {
                    format!("`{}`", field.default)
                };
                let doc = field.doc.replace('|', "\\|");
                let _ = writeln!(page, "| `{at}` | {} | {default} | {doc} |", kind(field.shape));
                rows(page, field.shape, &at);
            }
        }
        Shape::List(inner, _) => rows(page, inner, &format!("{path}[]")),
        _ => {}
    }
}

fn kind(of: &Shape) -> String {
    match of {
        Shape::Object(_) | Shape::Map(_) => "object".to_owned(),
        Shape::List(inner, most) => format!("list of {}, at most {most}", kind(inner)),
        Shape::Text(most) => format!("string, at most {most} bytes"),
        Shape::Duration(least, most) => format!("duration, {least}ms to {most}ms"),
        Shape::Integer(least, most) => format!("integer, {least} to {most}"),
        Shape::Flag => "boolean".to_owned(),
        Shape::OneOf(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" or "),
        Shape::Json => "JWK set".to_owned(),
    }
}
