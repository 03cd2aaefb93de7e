//! The guard on JSON Patches of Secrets: `copy` and `move` carry a value to where it is not masked, `test` tells whether
//! a guess is right. `add`, `replace` and `remove` stay; kubectl needs them.

#[cfg(test)]
mod tests;

use serde::Deserialize;
use serde::de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// The content type of JSON Patches (RFC 6902).
pub const JSON_PATCH: &str = "application/json-patch+json";

/// Why a JSON Patch of a Secret is not forwarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatchRefusal {
    /// An operation that reads: which, counted from 0, its `op` and `path`.
    Operation {
        /// Its place in the patch.
        index: usize,
        /// Its `op`, shortened.
        op: String,
        /// Its `path`, shortened.
        path: String,
    },
    /// No JSON Patch, or one that could be read two ways.
    Malformed,
}

impl fmt::Display for PatchRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operation { index, op, path } => write!(
                f,
                "operation {index}, {op:?} at {path:?}: only add, remove and replace are allowed in JSON Patches of what is masked"
            ),
            Self::Malformed => f.write_str("the body is no unambiguous JSON Patch"),
        }
    }
}

impl std::error::Error for PatchRefusal {}

/// Checks the whole body of a JSON Patch of a Secret.
///
/// # Errors
/// The first operation that is not `add`, `remove` or `replace`; or the body is no list of operations with one `op` and
/// one `path` each.
pub fn check_secret_patch(body: &[u8]) -> Result<(), PatchRefusal> {
    let patch: Patch = serde_json::from_slice(body).map_err(|_| PatchRefusal::Malformed)?;
    patch.refused.map_or(Ok(()), |(index, operation)| {
        let short = |text: &str| text.chars().take(256).collect();
        Err(PatchRefusal::Operation { index, op: short(&operation.op), path: short(&operation.path) })
    })
}

/// A patch, of which the first refused operation is all that is kept.
struct Patch {
    refused: Option<(usize, Operation)>,
}

struct Operation {
    op: String,
    path: String,
}

impl<'de> Deserialize<'de> for Patch {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Operations)
    }
}

struct Operations;

impl<'de> Visitor<'de> for Operations {
    type Value = Patch;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of operations")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut operations: A) -> Result<Patch, A::Error> {
        let mut refused = None;
        let mut index = 0_usize;
        while let Some(operation) = operations.next_element::<Operation>()? {
            if refused.is_none() && !matches!(operation.op.as_str(), "add" | "remove" | "replace") {
                refused = Some((index, operation));
            }
            index = index.saturating_add(1);
        }
        Ok(Patch { refused })
    }
}

impl<'de> Deserialize<'de> for Operation {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields)
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Operation;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an operation")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Operation, A::Error> {
        let (mut op, mut path) = (None, None);
        while let Some(key) = fields.next_key::<String>()? {
            let slot = match key.as_str() {
                "op" => &mut op,
                "path" => &mut path,
                _ => {
                    fields.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if slot.replace(fields.next_value::<String>()?).is_some() {
                return Err(de::Error::custom("a key twice"));
            }
        }
        match (op, path) {
            (Some(op), Some(path)) => Ok(Operation { op, path }),
            _ => Err(de::Error::custom("no op or no path")),
        }
    }
}
