//! `masking`: what the agent must not see beyond what is always masked.

use super::spec::{Field, Shape, TEXT, TEXTS, optional, required};
use serde::Deserialize;

/// The built-in text patterns.
pub use crate::mask::text::NAMES as PATTERNS;

/// Where text patterns can be applied.
pub const APPLY_TO: &[&str] = &["logs", "exec", "configmaps", "pods", "events"];

pub(super) const FIELDS: &[Field] = &[
    optional(
        "replacement",
        &Shape::Text(120),
        "\"[masked by chaperone]\"",
        "Stands in for a masked value; printable ASCII, its length a multiple of 3, so that its base64 has one form.",
    ),
    optional(
        "resources",
        &Shape::List(
            &Shape::Object(&[
                required("apiGroups", &TEXTS, "API groups."),
                required("resources", &TEXTS, "Resources, plural."),
                required("fields", &TEXTS, "JSONPaths of string fields: `$.spec.x`, `$.spec.list[*].y`."),
            ]),
            100,
        ),
        "[]",
        "Further fields to mask.",
    ),
    optional(
        "patterns",
        &Shape::Object(&[
            optional("enable", &Shape::List(&Shape::OneOf(PATTERNS), 32), "[]", "Built-in patterns."),
            optional(
                "custom",
                &Shape::List(
                    &Shape::Object(&[
                        required("name", &TEXT, "For the record."),
                        required("regex", &TEXT, "In regex-lite's syntax."),
                    ]),
                    32,
                ),
                "[]",
                "Patterns of your own.",
            ),
            optional(
                "applyTo",
                &Shape::List(&Shape::OneOf(APPLY_TO), 5),
                "all of them",
                "Which texts are looked through.",
            ),
        ]),
        "",
        "Credentials recognised in text.",
    ),
    optional(
        "sealTo",
        &TEXT,
        "null",
        "X25519 public key, base64: masked originals are sealed to its owner, the auditor.",
    ),
];

/// What is masked beyond Secrets, and how.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Masking {
    /// Stands in for a masked value.
    pub replacement: String,
    /// Further fields.
    pub resources: Vec<MaskedResource>,
    /// Credentials in text.
    pub patterns: Patterns,
    /// X25519 public key, base64.
    pub seal_to: Option<String>,
}

impl Default for Masking {
    fn default() -> Self {
        Self {
            replacement: "[masked by chaperone]".to_owned(),
            resources: Vec::new(),
            patterns: Patterns::default(),
            seal_to: None,
        }
    }
}

/// Fields to mask in a resource.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MaskedResource {
    /// API groups.
    pub api_groups: Vec<String>,
    /// Resources.
    pub resources: Vec<String>,
    /// JSONPaths.
    pub fields: Vec<String>,
}

/// Credentials recognised in text.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Patterns {
    /// Of [`PATTERNS`].
    pub enable: Vec<String>,
    /// The user's own.
    pub custom: Vec<CustomPattern>,
    /// Of [`APPLY_TO`]; absent for all.
    pub apply_to: Option<Vec<String>>,
}

/// A pattern of the user's own.
#[derive(Clone, Debug, Deserialize)]
pub struct CustomPattern {
    /// For the record.
    pub name: String,
    /// regex-lite syntax.
    pub regex: String,
}
