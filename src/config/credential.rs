//! `credential`: what goes upstream instead of the agent's token.

use super::secret::Secret;
use super::spec::{FROM_ENV, Field, Shape, optional};
use serde::Deserialize;

pub(super) const FIELDS: &[Field] = &[
    optional("bearerToken", &FROM_ENV, "", "The token sent upstream."),
    optional(
        "impersonate",
        &Shape::Flag,
        "false",
        "Carry the agent's identity upstream in `Impersonate-*` headers.",
    ),
];

/// What goes upstream instead of the agent's token.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Credential {
    /// Names the token's variable.
    #[serde(default)]
    pub bearer_token: Option<FromEnv>,
    /// Whether the agent's identity goes upstream in `Impersonate-*` headers.
    #[serde(default)]
    pub impersonate: bool,
}

/// Names an environment variable; its value is read once, when the configuration is.
#[derive(Clone, Debug, Deserialize)]
pub struct FromEnv {
    /// The variable.
    pub env: String,
    /// Its value; set on validation.
    #[serde(skip)]
    pub value: Option<Secret>,
}
