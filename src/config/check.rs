//! Checks a document against the table of shapes, and reports everything that is wrong at once.

use super::duration::parse_duration;
use super::spec::{Field, Shape};
use serde_json::{Map, Value};
use std::fmt;

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, as a JSON path without the `$`: `authentication.jwt[0].issuer.url`.
    pub path: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// Collects problems; past the bound only their number would matter.
#[derive(Default)]
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    const MOST: usize = 100;

    pub(super) fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        if self.0.len() < Self::MOST {
            let path = path.into();
            let path = if path.is_empty() { "$".to_owned() } else { path };
            self.0.push(Problem { path, message: message.into() });
        }
    }

    /// Where they are.
    pub(super) fn paths(&self) -> Vec<String> {
        self.0.iter().map(|problem| problem.path.clone()).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_vec(self) -> Vec<Problem> {
        self.0
    }
}

/// Walks `value` along `shape`. Depth is bounded by the table, which is finite.
pub(super) fn check(value: &Value, shape: &Shape, path: &str, problems: &mut Problems) {
    match (shape, value) {
        (Shape::Object(fields), Value::Object(map)) => check_fields(map, fields, path, problems),
        (Shape::Map(inner), Value::Object(map)) => {
            for (key, item) in map {
                check(item, inner, &join(path, key), problems);
            }
        }
        (Shape::List(inner, most), Value::Array(items)) => {
            if items.len() > *most {
                problems.add(path, format!("has {} items, at most {most} are allowed", items.len()));
            }
            for (index, item) in items.iter().enumerate().take(*most) {
                check(item, inner, &format!("{path}[{index}]"), problems);
            }
        }
        (Shape::Text(most), Value::String(text)) => {
            if text.len() > *most {
                problems.add(path, format!("is longer than {most} bytes"));
            }
        }
        (Shape::Duration(least, most), Value::String(text)) => match parse_duration(text) {
            None => problems.add(path, "is not a duration such as 200ms, 30s or 1m30s"),
            Some(given) => {
                if given.as_millis() < u128::from(*least) || given.as_millis() > u128::from(*most) {
                    problems.add(path, format!("must be between {least}ms and {most}ms"));
                }
            }
        },
        (Shape::Integer(least, most), Value::Number(number)) => {
            if number.as_u64().is_none_or(|n| n < *least || n > *most) {
                problems.add(path, format!("must be a whole number between {least} and {most}"));
            }
        }
        (Shape::OneOf(words), Value::String(text)) => {
            if !words.contains(&text.as_str()) {
                problems.add(path, format!("must be one of {}", words.join(", ")));
            }
        }
        (Shape::Flag, Value::Bool(_)) | (Shape::Json, Value::Object(_)) => {}
        (shape, value) => problems.add(path, format!("must be {}, not {}", wanted(shape), kind(value))),
    }
}

fn check_fields(map: &Map<String, Value>, fields: &[Field], path: &str, problems: &mut Problems) {
    for (name, value) in map {
        let at = join(path, name);
        match fields.iter().find(|field| field.name == name) {
            // An explicit null is an absent field, as in Kubernetes.
            Some(field) if value.is_null() && !field.required => {}
            Some(field) => check(value, field.shape, &at, problems),
            None => {
                let known: Vec<_> = fields.iter().map(|field| field.name).collect();
                problems.add(at, format!("is not a known field; known here: {}", known.join(", ")));
            }
        }
    }
    for field in fields.iter().filter(|field| field.required && !map.contains_key(field.name)) {
        problems.add(join(path, field.name), "is required");
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn wanted(shape: &Shape) -> &'static str {
    match shape {
        Shape::Object(_) | Shape::Map(_) | Shape::Json => "an object",
        Shape::List(..) => "a list",
        Shape::Text(_) | Shape::OneOf(_) => "a string",
        Shape::Duration(..) => "a duration string such as 200ms",
        Shape::Integer(..) => "a whole number",
        Shape::Flag => "true or false",
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
