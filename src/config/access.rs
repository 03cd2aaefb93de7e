//! `access`: who may do what, in RBAC's words, before the cluster's own RBAC.

use super::attribution::any;
use super::spec::{Field, Shape, TEXT, TEXTS, optional, required};
use serde::Deserialize;

/// The built-in refusals, by name.
pub const GUARDS: &[&str] = &[
    "token-request",
    "token-review",
    "certificate-signing",
    "node-proxy",
    "pod-proxy",
    "service-proxy",
    "debug-endpoints",
    "admission-config",
    "service-account-secrets",
    "unrecorded-streams",
    "secret-json-patch",
    "mask-write-back",
    "delete-dry-run-body",
];

const EFFECTS: Shape = Shape::OneOf(&["allow", "deny"]);

const RULE: Shape = Shape::Object(&[
    required("effect", &EFFECTS, "What happens to a request that matches."),
    optional("name", &TEXT, "", "Names the rule in refusals and records."),
    optional(
        "subjects",
        &Shape::Object(&[
            optional("users", &TEXTS, "[]", "Usernames, or `*`."),
            optional("groups", &TEXTS, "[]", "Groups, or `*`."),
        ]),
        "everyone",
        "Whom it is about: one of the users or one of the groups.",
    ),
    optional(
        "verbs",
        &TEXTS,
        "[\"*\"]",
        "Kubernetes verbs, or `*`; for other URLs the lower-case HTTP method.",
    ),
    optional("apiGroups", &TEXTS, "[\"*\"]", "API groups, `\"\"` for the core group, or `*`."),
    optional("resources", &TEXTS, "[]", "`pods`, `pods/exec`, `*/scale`, `*`."),
    optional("resourceNames", &TEXTS, "all", "Object names."),
    optional(
        "namespaces",
        &TEXTS,
        "[\"*\"]",
        "Namespaces; `*` also matches what has none; `\"\"` only that.",
    ),
    optional("nonResourceURLs", &TEXTS, "[]", "Paths, with an optional trailing `*`."),
    optional("message", &TEXT, "", "What the agent is told."),
]);

pub(super) const FIELDS: &[Field] = &[
    optional(
        "default",
        &EFFECTS,
        "\"allow\"",
        "What happens to a request that no rule matches; the injected credential's RBAC stays the real limit.",
    ),
    optional("rules", &Shape::List(&RULE, 1000), "[]", "The first that matches decides."),
    optional(
        "guards",
        &Shape::Object(&[optional(
            "disable",
            &Shape::List(&Shape::OneOf(GUARDS), 13),
            "[]",
            "Built-in refusals to switch off.",
        )]),
        "",
        "Built-in refusals; they come before the rules.",
    ),
];

/// Who may do what.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Access {
    /// Where no rule matches.
    pub default: Effect,
    /// The first that matches decides.
    pub rules: Vec<AccessRule>,
    /// Built-in refusals.
    pub guards: Guards,
}

/// See [`Access::guards`].
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Guards {
    /// Of [`GUARDS`].
    pub disable: Vec<String>,
}

/// What a rule does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// Lets the request go on.
    #[default]
    Allow,
    /// Refuses it (403).
    Deny,
}

/// One rule. It is about resources or about non-resource URLs, as an RBAC `PolicyRule`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccessRule {
    /// Allow or deny.
    pub effect: Effect,
    /// For refusals and records; `access.rules[i]` where empty.
    #[serde(default)]
    pub name: String,
    /// Whom it is about; everyone where absent.
    #[serde(default)]
    pub subjects: Option<Subjects>,
    /// Verbs or `*`.
    #[serde(default = "any")]
    pub verbs: Vec<String>,
    /// Groups or `*`.
    #[serde(default = "any")]
    pub api_groups: Vec<String>,
    /// Resources; empty for a rule about URLs.
    #[serde(default)]
    pub resources: Vec<String>,
    /// Names; empty for all.
    #[serde(default)]
    pub resource_names: Vec<String>,
    /// Namespaces or `*`.
    #[serde(default = "any")]
    pub namespaces: Vec<String>,
    /// Paths, trailing `*` allowed.
    #[serde(default, rename = "nonResourceURLs")]
    pub non_resource_urls: Vec<String>,
    /// What the agent is told.
    #[serde(default)]
    pub message: String,
}

/// See [`AccessRule::subjects`].
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Subjects {
    /// Usernames or `*`.
    pub users: Vec<String>,
    /// Groups or `*`.
    pub groups: Vec<String>,
}
