//! `credential`: what goes upstream instead of the agent's token.

use super::duration;
use super::secret::Secret;
use super::spec::{FROM_ENV, Field, Shape, TEXT, TEXTS, optional, required};
use serde::Deserialize;
use std::time::Duration;

/// The API server grants no shorter token (k8s.io/api/authentication/v1 `TokenRequestSpec`).
const SHORTEST_MILLIS: u64 = 600_000;
const LONGEST_MILLIS: u64 = 86_400_000;

const MINT_RULE: Shape = Shape::Object(&[
    required("groups", &TEXTS, "Whom it is for: one of the agent's groups, or `*`."),
    required("serviceAccount", &TEXT, "The service account whose token is asked for."),
    required("namespace", &TEXT, "Its namespace."),
    optional("audiences", &TEXTS, "the API server's own", "The token's audiences."),
    optional(
        "expiration",
        &Shape::Duration(SHORTEST_MILLIS, LONGEST_MILLIS),
        "\"1h\"",
        "How long the token is to be good for; the API server may shorten it.",
    ),
]);

const TOKEN_REQUEST: Shape = Shape::Object(&[
    required("cluster", &TEXT, "Envoy cluster of the API server."),
    optional("authority", &TEXT, "the cluster's name", "Its `:authority`."),
    required(
        "rules",
        &Shape::List(&MINT_RULE, 100),
        "Which service account an agent acts as: the first rule with one of its groups. An agent that none fits is refused.",
    ),
]);

pub(super) const FIELDS: &[Field] = &[
    required(
        "bearerToken",
        &FROM_ENV,
        "The token sent upstream; with `tokenRequest`, the one that asks for tokens and is sent with nothing else.",
    ),
    optional(
        "tokenRequest",
        &TOKEN_REQUEST,
        "null",
        "Ask the API server for a short-lived service account token for each agent (TokenRequest), and send that upstream.",
    ),
    optional(
        "impersonate",
        &Shape::Flag,
        "false",
        "Carry the agent's user, groups and uid, and its session, agent and model, upstream in `Impersonate-*` headers.",
    ),
];

/// What goes upstream instead of the agent's token.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Credential {
    /// Names the token's variable.
    pub bearer_token: FromEnv,
    /// Where to ask for tokens, and whose.
    #[serde(default)]
    pub token_request: Option<TokenRequest>,
    /// Whether the agent's identity goes upstream in `Impersonate-*` headers.
    #[serde(default)]
    pub impersonate: bool,
}

/// See [`Credential::token_request`].
#[derive(Clone, Debug, Deserialize)]
pub struct TokenRequest {
    /// Envoy cluster of the API server.
    pub cluster: String,
    /// Its `:authority`; set on validation where absent.
    #[serde(default)]
    pub authority: String,
    /// The first that fits decides.
    pub rules: Vec<MintRule>,
}

/// Which service account agents of some groups act as.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MintRule {
    /// One of them suffices; `*` for everyone.
    pub groups: Vec<String>,
    /// Its name.
    pub service_account: String,
    /// Its namespace.
    pub namespace: String,
    /// Empty for the API server's own.
    #[serde(default)]
    pub audiences: Vec<String>,
    /// Asked for; what is granted may be shorter.
    #[serde(default = "an_hour", deserialize_with = "duration::deserialize")]
    pub expiration: Duration,
}

fn an_hour() -> Duration {
    Duration::from_secs(3600)
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
