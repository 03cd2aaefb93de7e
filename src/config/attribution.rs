//! `attribution`: on whose behalf a request is made, and from which sources that is read.

use super::spec::{Field, Shape, TEXT, TEXTS, optional, required};
use serde::Deserialize;

const SOURCES: Shape = Shape::List(
    &Shape::Object(&[
        optional("claim", &TEXT, "", "A claim of the verified token; `a.b` looks into nested objects."),
        optional("header", &TEXT, "", "A request header; recorded as not verified, and not forwarded."),
    ]),
    16,
);

/// The values that can be attributed.
pub const VALUES: &[&str] = &["agent", "session", "model", "prompt"];

pub(super) const FIELDS: &[Field] = &[
    optional(
        "agent",
        &SOURCES,
        "act.sub, azp, x-agent-id, user-agent",
        "The agent program; the first source that has a value wins.",
    ),
    optional("session", &SOURCES, "sid, x-agent-session-id, kubectl-session", "The agent's session."),
    optional("model", &SOURCES, "model, x-agent-model", "The model that decided on the request."),
    optional("prompt", &SOURCES, "prompt_sha256, x-agent-prompt-id", "The prompt that caused it."),
    optional(
        "require",
        &Shape::List(
            &Shape::Object(&[
                required("values", &Shape::List(&Shape::OneOf(VALUES), 4), "What must be known."),
                optional("verified", &Shape::Flag, "false", "Whether it must come from the signed token."),
                optional("verbs", &TEXTS, "[\"*\"]", "For which verbs."),
            ]),
            100,
        ),
        "[]",
        "Requests without these are refused (400).",
    ),
];

/// Where each value is read; the first source that has one wins.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct AttributionSources {
    /// The agent program.
    pub agent: Vec<Source>,
    /// The agent's session.
    pub session: Vec<Source>,
    /// The model.
    pub model: Vec<Source>,
    /// The prompt.
    pub prompt: Vec<Source>,
    /// What must be known, and for which verbs.
    pub require: Vec<Requirement>,
}

impl Default for AttributionSources {
    fn default() -> Self {
        let claim = |name: &str| Source { claim: Some(name.to_owned()), header: None };
        let header = |name: &str| Source { claim: None, header: Some(name.to_owned()) };
        Self {
            agent: vec![claim("act.sub"), claim("azp"), header("x-agent-id"), header("user-agent")],
            session: vec![claim("sid"), header("x-agent-session-id"), header("kubectl-session")],
            model: vec![claim("model"), header("x-agent-model")],
            prompt: vec![claim("prompt_sha256"), header("x-agent-prompt-id")],
            require: Vec::new(),
        }
    }
}

/// Exactly one of the two is set; header names are lower case.
#[derive(Clone, Debug, Deserialize)]
pub struct Source {
    /// A dotted claim path.
    #[serde(default)]
    pub claim: Option<String>,
    /// A header name.
    #[serde(default)]
    pub header: Option<String>,
}

/// See `attribution.require`.
#[derive(Clone, Debug, Deserialize)]
pub struct Requirement {
    /// Of [`VALUES`].
    pub values: Vec<String>,
    /// Whether only the signed token counts.
    #[serde(default)]
    pub verified: bool,
    /// Kubernetes verbs, or `*`.
    #[serde(default = "any")]
    pub verbs: Vec<String>,
}

pub(super) fn any() -> Vec<String> {
    vec!["*".to_owned()]
}
