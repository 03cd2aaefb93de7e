use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Who asked: the verified token's identity after claim mapping.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// The mapped username, prefix included.
    pub username: String,
    /// The mapped uid; empty where the token has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// The mapped groups, prefix included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// The token's `iss`.
    pub issuer: String,
    /// The token's `jti`, where it has one. Never the token.
    #[serde(default, rename = "tokenID", skip_serializing_if = "Option::is_none")]
    pub token_id: Option<String>,
}

/// One attributed value and where it came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Attributed {
    /// The value, as it stood in the token or header.
    pub value: String,
    /// `claim:<path>`, `header:<name>` or `path`.
    pub source: String,
    /// True where the value comes from the signed token.
    pub verified: bool,
}

/// What the request is attributed to; each absent where no source had a value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Attribution {
    /// The agent program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Attributed>,
    /// The agent's session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Attributed>,
    /// The model that decided on the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Attributed>,
    /// The prompt (its digest or id) that caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<Attributed>,
    /// Hints a client volunteers, by header name (`kubectl-command`, …); always unverified.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hints: BTreeMap<String, String>,
}

/// The service account that a request went upstream as, where its token was minted for the agent (TokenRequest).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct UpstreamCredential {
    /// Its name.
    pub service_account: String,
    /// Its namespace.
    pub namespace: String,
    /// The minted token's `jti`, which the API server's audit log shows as `authentication.kubernetes.io/credential-id`;
    /// none where the server sets none. Never the token.
    #[serde(default, rename = "tokenID", skip_serializing_if = "Option::is_none")]
    pub token_id: Option<String>,
}
