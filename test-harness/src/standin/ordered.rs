//! JSON with its members in the order that an API server writes them: what an object is comes before what it holds.

use serde::ser::{Serialize, SerializeMap as _, SerializeSeq as _, Serializer};
use serde_json::Value;

/// Members that come first, in this order; the rest follows by name.
const FIRST: [&str; 4] = ["kind", "apiVersion", "metadata", "type"];

/// A document to be written so.
pub(super) struct Ordered<'v>(pub(super) &'v Value);

impl Serialize for Ordered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for name in FIRST {
                    if let Some(value) = members.get(name) {
                        map.serialize_entry(name, &Ordered(value))?;
                    }
                }
                for (name, value) in members.iter().filter(|(name, _)| !FIRST.contains(&name.as_str())) {
                    map.serialize_entry(name, &Ordered(value))?;
                }
                map.end()
            }
            Value::Array(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(&Ordered(item))?;
                }
                list.end()
            }
            scalar => scalar.serialize(serializer),
        }
    }
}
