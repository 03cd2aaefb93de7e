//! Of what type a Secret is that a request creates: one of type `kubernetes.io/service-account-token` is filled by the
//! cluster with a token that the agent could then read.

#[cfg(test)]
mod tests;
mod yaml;

use super::protobuf;
use serde::Deserialize;
use serde::de::{self, IgnoredAny, MapAccess, Visitor};
use std::fmt;

/// The type whose Secrets the cluster fills with a service account's token.
pub const SERVICE_ACCOUNT_TOKEN: &str = "kubernetes.io/service-account-token";
/// A Secret in `kube-system` of this type is a bearer token of its writer's choice (bootstrap token authentication).
pub const BOOTSTRAP_TOKEN: &str = "bootstrap.kubernetes.io/token";

/// The body does not say without doubt of what type the Secret is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypeUnclear;

impl fmt::Display for TypeUnclear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body does not say without doubt of what type the Secret is")
    }
}

impl std::error::Error for TypeUnclear {}

/// The `type` of the Secret in a whole body of a create, update, apply or merge patch; none where it has none.
///
/// A JSON Patch has none either: it changes existing Secrets only, and their type is immutable.
///
/// # Errors
/// The body does not parse, names a type twice, or is of another content type than JSON, YAML or protobuf.
pub fn secret_type(body: &[u8], content_type: &str) -> Result<Option<String>, TypeUnclear> {
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match media_type.as_str() {
        ""
        | "application/json"
        | "application/merge-patch+json"
        | "application/strategic-merge-patch+json" => json(body),
        "application/yaml" | "application/apply-patch+yaml" => match body.trim_ascii_start().first() {
            Some(b'{') => json(body),
            _ => yaml::top_level_type(body),
        },
        "application/vnd.kubernetes.protobuf" => protobuf::secret_type(body).map_err(|_| TypeUnclear),
        super::patch::JSON_PATCH => Ok(None),
        _ => Err(TypeUnclear),
    }
}

fn json(body: &[u8]) -> Result<Option<String>, TypeUnclear> {
    let object: Object = serde_json::from_slice(body).map_err(|_| TypeUnclear)?;
    Ok(object.r#type)
}

/// An object's `type`, other keys aside.
struct Object {
    r#type: Option<String>,
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Keys)
    }
}

struct Keys;

impl<'de> Visitor<'de> for Keys {
    type Value = Object;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut keys: A) -> Result<Object, A::Error> {
        let mut found: Option<Option<String>> = None;
        while let Some(key) = keys.next_key::<String>()? {
            // Old API servers match keys in any case.
            if !key.eq_ignore_ascii_case("type") {
                keys.next_value::<IgnoredAny>()?;
            } else if found.replace(keys.next_value()?).is_some() {
                return Err(de::Error::custom("a key twice"));
            }
        }
        Ok(Object { r#type: found.flatten() })
    }
}
