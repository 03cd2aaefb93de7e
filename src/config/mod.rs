//! The plugin configuration, `kind: FilterConfig`.
//!
//! [`FilterConfig::parse`] takes what Envoy or Istio hands over (JSON, or a `google.protobuf.Struct`) and an environment, and gives a configuration
//! that later stages need not check again, or everything that is wrong with it. The shape is one table ([`spec`]), from
//! which the JSON Schema is made too.

mod access;
mod attribution;
mod authentication;
mod check;
mod credential;
mod duration;
mod masking;
mod protobuf_struct;
mod recording;
#[cfg(not(target_arch = "wasm32"))]
pub mod schema;
mod secret;
pub mod spec;
mod validate;
mod words;

#[cfg(test)]
mod tests;

pub use access::{Access, AccessRule, Effect, GUARDS, Guards, Subjects};
pub use attribution::{AttributionSources, Requirement, Source, VALUES};
pub use authentication::{
    ALGORITHMS, Authentication, ClaimMappings, ClaimName, Issuer, Jwt, PrefixedClaim, TokenCache,
};
pub use check::Problem;
pub use credential::{Credential, FromEnv, MintRule, TokenRequest};
pub use duration::parse_duration;
pub use masking::{APPLY_TO, CustomPattern, MaskedResource, Masking, PATTERNS, Patterns};
pub use recording::{Collector, Delivery, GroupResources, Level, Limits, OnFull, Recording, RecordingRule};
pub use secret::Secret;

use crate::strict_json;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use spec::{Field, Shape, optional, required};

/// `apiVersion` of the configuration this build reads.
pub const API_VERSION: &str = "chaperone.dev/v1alpha1";
/// `kind` of the configuration.
pub const KIND: &str = "FilterConfig";

const FIELDS: &[Field] = &[
    required("apiVersion", &Shape::OneOf(&[API_VERSION]), "Version of this format."),
    required("kind", &Shape::OneOf(&[KIND]), "This format."),
    required("authentication", &Shape::Object(authentication::FIELDS), "Whose tokens are taken."),
    optional("attribution", &Shape::Object(attribution::FIELDS), "", "On whose behalf a request is made."),
    required(
        "credential",
        &Shape::Object(credential::FIELDS),
        "What goes upstream instead of the agent's token.",
    ),
    optional("access", &Shape::Object(access::FIELDS), "", "Who may do what, before the cluster's own RBAC."),
    optional(
        "masking",
        &Shape::Object(masking::FIELDS),
        "",
        "What the agent must not see beyond Secrets and tokens.",
    ),
    required(
        "recording",
        &Shape::Object(recording::FIELDS),
        "What is written down, how surely, and where it goes.",
    ),
];

/// The whole configuration's shape.
pub const ROOT: Shape = Shape::Object(FIELDS);

/// A configuration that has passed validation.
#[derive(Clone, Debug, Deserialize)]
pub struct FilterConfig {
    /// Whose tokens are taken.
    pub authentication: Authentication,
    /// On whose behalf a request is made.
    #[serde(default)]
    pub attribution: AttributionSources,
    /// What goes upstream.
    pub credential: Credential,
    /// Who may do what.
    #[serde(default)]
    pub access: Access,
    /// What is masked.
    #[serde(default)]
    pub masking: Masking,
    /// What is written down.
    pub recording: Recording,
    /// SHA-256 of the configuration's bytes, of a `Struct` of its JSON, lower-case hex.
    #[serde(skip)]
    pub digest: String,
}

impl FilterConfig {
    /// Parses and validates a configuration: JSON, or a `google.protobuf.Struct` that says the same. `env` looks an
    /// environment variable up.
    ///
    /// # Errors
    /// Everything that is wrong, each with its JSON path.
    pub fn parse(bytes: &[u8], env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Vec<Problem>> {
        let mut problems = check::Problems::default();
        let json = protobuf_struct::to_json(bytes);
        let bytes = json.as_ref().map_or(bytes, |json| json.as_bytes());
        let mut value: Value = match strict_json::parse(bytes) {
            Ok(value) => value,
            Err(error) => {
                problems.add("", format!("is not JSON: {error}"));
                return Err(problems.into_vec());
            }
        };
        check::check(&value, &ROOT, "", &mut problems);
        drop_nulls(&mut value, 16);
        // What is misshapen is left out, so that what is wrong with the rest is said in the same round.
        for path in problems.paths() {
            prune(&mut value, &path);
        }
        let mut config: Self = match serde_json::from_value(value) {
            Ok(config) => config,
            Err(_) if !problems.is_empty() => return Err(problems.into_vec()),
            Err(error) => {
                problems.add("", error.to_string());
                return Err(problems.into_vec());
            }
        };
        validate::validate(&mut config, env, &mut problems);
        config.digest = hex(&Sha256::digest(bytes));
        if problems.is_empty() { Ok(config) } else { Err(problems.into_vec()) }
    }
}

/// An explicit null is an absent field, as in Kubernetes. The table's depth bounds the walk.
fn drop_nulls(value: &mut Value, depth: usize) {
    let Some(deeper) = depth.checked_sub(1) else { return };
    match value {
        Value::Object(map) => {
            map.retain(|_, item| !item.is_null());
            map.values_mut().for_each(|item| drop_nulls(item, deeper));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| drop_nulls(item, deeper)),
        _ => {}
    }
}

/// Takes out the value at a path as [`Problem::path`] has it, where there is one.
fn prune(value: &mut Value, path: &str) {
    let mut place = value;
    let mut steps = path.split(['.', '[']).peekable();
    while let Some(step) = steps.next() {
        let last = steps.peek().is_none();
        place = match (place, step.strip_suffix(']')) {
            (Value::Object(map), None) if last => return drop(map.remove(step)),
            (Value::Object(map), None) => match map.get_mut(step) {
                Some(member) => member,
                None => return,
            },
            (Value::Array(items), Some(index)) => {
                match index.parse().ok().and_then(|at: usize| items.get_mut(at)) {
                    Some(item) => item,
                    None => return,
                }
            }
            _ => return,
        };
    }
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0x0f)]).collect()
}
