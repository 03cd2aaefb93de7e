//! `google.protobuf.Struct`, which Envoy hands over as protobuf bytes: the same configuration as JSON.
//!
//! Source: `google/protobuf/struct.proto`. Its numbers are doubles, so that a whole one is written as an integer.

use crate::mask::protobuf::wire::{Field, Fields, WireType};
use serde_json::{Map, Number, Value};

/// Depth at which a document is refused; that of the JSON.
const MOST_DEPTH: usize = 16;

/// The JSON of a `Struct`; none where the bytes are no whole one, or name a member twice.
pub(super) fn to_json(bytes: &[u8]) -> Option<String> {
    object(bytes, MOST_DEPTH).map(|object| Value::Object(object).to_string())
}

/// `Struct`: a map in field 1.
fn object(bytes: &[u8], depth: usize) -> Option<Map<String, Value>> {
    let deeper = depth.checked_sub(1)?;
    let mut object = Map::new();
    for entry in fields(bytes)? {
        let entry = message(&entry, 1)?;
        let (mut key, mut content) = (String::new(), Value::Null);
        for field in fields(entry)? {
            match field.tag.number {
                1 => key = text(&field)?,
                _ => content = value(message(&field, 2)?, deeper)?,
            }
        }
        if object.insert(key, content).is_some() {
            return None;
        }
    }
    Some(object)
}

/// `Value`: one of six fields.
fn value(bytes: &[u8], depth: usize) -> Option<Value> {
    let [field] = fields(bytes)?.try_into().ok()?;
    Some(match (field.tag.number, field.tag.wire_type) {
        (1, WireType::Varint) => Value::Null,
        (2, WireType::Fixed64) => number(f64::from_le_bytes(field.value.try_into().ok()?))?,
        (3, _) => Value::String(text(&field)?),
        (4, WireType::Varint) => Value::Bool(field.value != [0]),
        (5, _) => Value::Object(object(message(&field, 5)?, depth)?),
        (6, _) => {
            let deeper = depth.checked_sub(1)?;
            let items = fields(message(&field, 6)?)?;
            let items = items.iter().map(|item| value(message(item, 1)?, deeper));
            Value::Array(items.collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

fn number(double: f64) -> Option<Value> {
    const MOST: f64 = 9_007_199_254_740_992.0;
    let whole = double.trunc() == double && double.abs() <= MOST;
    let number = if whole { Some(Number::from(double as i64)) } else { Number::from_f64(double) };
    number.map(Value::Number)
}

fn fields(bytes: &[u8]) -> Option<Vec<Field<'_>>> {
    let mut reader = Fields::new(bytes);
    let mut fields = Vec::new();
    while let Some(field) = reader.next().ok()? {
        fields.push(field);
    }
    Some(fields)
}

fn message<'b>(field: &Field<'b>, number: u32) -> Option<&'b [u8]> {
    (field.tag.number == number && field.tag.wire_type == WireType::Bytes).then_some(field.value)
}

fn text(field: &Field) -> Option<String> {
    let bytes = (field.tag.wire_type == WireType::Bytes).then_some(field.value)?;
    String::from_utf8(bytes.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::protobuf::wire::put_varint;
    use serde_json::json;

    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![(number << 3) | 2];
        put_varint(bytes.len() as u64, &mut out);
        out.extend_from_slice(bytes);
        out
    }

    /// What Envoy makes of JSON.
    fn encode(value: &Value) -> Vec<u8> {
        match value {
            Value::Null => vec![8, 0],
            Value::Bool(bool) => vec![32, u8::from(*bool)],
            Value::Number(number) => [&[17][..], &number.as_f64().unwrap().to_le_bytes()].concat(),
            Value::String(text) => field(3, text.as_bytes()),
            Value::Object(_) => field(5, &encode_struct(value)),
            Value::Array(items) => {
                field(6, &items.iter().flat_map(|item| field(1, &encode(item))).collect::<Vec<u8>>())
            }
        }
    }

    fn encode_struct(value: &Value) -> Vec<u8> {
        let entry = |(key, value): (&String, &Value)| {
            field(1, &[field(1, key.as_bytes()), field(2, &encode(value))].concat())
        };
        value.as_object().unwrap().iter().flat_map(entry).collect()
    }

    #[test]
    fn says_what_the_struct_says() {
        let value = json!({"a": null, "b": true, "c": false, "d": 4194304, "e": -1, "f": 0.5, "g": "text", "": {},
                           "h": [1, [], {"x": [null]}], "i": {"j": {"k": "é"}}});
        let json = to_json(&encode_struct(&value)).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), value);
        assert!(json.contains("4194304,"), "{json}");
    }

    #[test]
    fn refuses_what_is_none() {
        let one = encode_struct(&json!({"a": 1}));
        let deep = (0..40).fold(json!(1), |inner, _| json!({ "a": inner }));
        let cases: [(&str, Vec<u8>); 7] = [
            ("a member twice", [one.clone(), one.clone()].concat()),
            ("cut off", one[..one.len() - 1].to_vec()),
            ("JSON", b"{\"a\":1}".to_vec()),
            ("JSON behind a line end", b"\n{\"a\":1}\n".to_vec()),
            ("too deep", encode_struct(&deep)),
            (
                "no number",
                field(
                    1,
                    &[field(1, b"a"), field(2, &[&[17][..], &f64::NAN.to_le_bytes()].concat())].concat(),
                ),
            ),
            ("another field", field(2, b"")),
        ];
        for (name, bytes) in cases {
            assert_eq!(to_json(&bytes), None, "{name}");
        }
    }
}
