//! `authentication`: whose tokens are taken, and how their claims become a user. Follows the API server's
//! `AuthenticationConfiguration` (apiserver.config.k8s.io).

use super::duration;
use super::spec::{Field, Shape, TEXT, TEXTS, optional, required};
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;

/// The signature algorithms that can be allowed; never an HMAC, never `none`.
pub const ALGORITHMS: &[&str] =
    &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];

const PREFIXED: Shape = Shape::Object(&[
    required("claim", &TEXT, "The claim; `a.b` looks into nested objects."),
    optional("prefix", &TEXT, "\"\"", "Put before every value."),
]);

const JWT: Shape = Shape::Object(&[
    required(
        "issuer",
        &Shape::Object(&[
            required("url", &TEXT, "Must equal the token's `iss`."),
            required("audiences", &TEXTS, "At least one of them must be in the token's `aud`."),
            optional(
                "cluster",
                &TEXT,
                "",
                "Envoy cluster the keys are fetched through; required unless `jwks` is given.",
            ),
            optional(
                "discoveryURL",
                &TEXT,
                "url + /.well-known/openid-configuration",
                "The OpenID Provider configuration.",
            ),
            optional("jwks", &Shape::Json, "null", "The JWK set itself; then nothing is fetched."),
            optional(
                "algorithms",
                &Shape::List(&Shape::OneOf(ALGORITHMS), 9),
                "all of them",
                "Signature algorithms that are taken.",
            ),
        ]),
        "Who signs the tokens.",
    ),
    optional(
        "claimMappings",
        &Shape::Object(&[
            optional(
                "username",
                &PREFIXED,
                r#"{"claim": "sub", "prefix": ""}"#,
                "A token without it is refused.",
            ),
            optional(
                "groups",
                &PREFIXED,
                r#"{"claim": "groups", "prefix": ""}"#,
                "A string or a list of strings.",
            ),
            optional(
                "uid",
                &Shape::Object(&[required("claim", &TEXT, "The claim; `a.b` looks into nested objects.")]),
                r#"{"claim": "sub"}"#,
                "A stable identifier.",
            ),
        ]),
        "",
        "How claims become the user.",
    ),
    optional("clockSkew", &Shape::Duration(0, 600_000), "\"30s\"", "Tolerance for `exp`, `nbf` and `iat`."),
]);

pub(super) const FIELDS: &[Field] = &[
    required("jwt", &Shape::List(&JWT, 16), "The issuers whose tokens are taken."),
    optional(
        "cache",
        &Shape::Object(&[optional(
            "maxTokens",
            &Shape::Integer(1, 1_000_000),
            "10000",
            "Verified tokens kept per worker.",
        )]),
        "",
        "Verified tokens are remembered, by digest, until they or their key expire.",
    ),
];

/// Whose tokens are taken.
#[derive(Clone, Debug, Deserialize)]
pub struct Authentication {
    /// One for each issuer.
    pub jwt: Vec<Jwt>,
    /// The cache of verified tokens.
    #[serde(default)]
    pub cache: TokenCache,
}

/// See [`Authentication::cache`].
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TokenCache {
    /// Verified tokens kept per worker.
    pub max_tokens: usize,
}

impl Default for TokenCache {
    fn default() -> Self {
        Self { max_tokens: 10_000 }
    }
}

/// One issuer and how its tokens are read.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Jwt {
    /// Who signs.
    pub issuer: Issuer,
    /// How claims become the user.
    #[serde(default)]
    pub claim_mappings: ClaimMappings,
    /// Tolerance for `exp`, `nbf` and `iat`.
    #[serde(default = "default_skew", deserialize_with = "duration::deserialize")]
    pub clock_skew: Duration,
}

fn default_skew() -> Duration {
    Duration::from_secs(30)
}

/// Who signs the tokens, and where its keys are.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Issuer {
    /// Equals the token's `iss`.
    pub url: String,
    /// At least one must be in `aud`.
    pub audiences: Vec<String>,
    /// Envoy cluster the keys are fetched through; empty only where `jwks` is given.
    #[serde(default)]
    pub cluster: String,
    /// The OpenID Provider configuration's URL; filled in on validation, empty only where `jwks` is given.
    #[serde(default, rename = "discoveryURL")]
    pub discovery_url: String,
    /// The JWK set, inline.
    #[serde(default)]
    pub jwks: Option<Value>,
    /// Allowed algorithms, of [`ALGORITHMS`].
    #[serde(default = "all_algorithms")]
    pub algorithms: Vec<String>,
}

fn all_algorithms() -> Vec<String> {
    ALGORITHMS.iter().map(|&name| name.to_owned()).collect()
}

/// How claims become the user.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct ClaimMappings {
    /// Required in every token.
    pub username: PrefixedClaim,
    /// String or list.
    pub groups: PrefixedClaim,
    /// Optional in the token.
    pub uid: ClaimName,
}

impl Default for ClaimMappings {
    fn default() -> Self {
        Self {
            username: PrefixedClaim { claim: "sub".to_owned(), prefix: String::new() },
            groups: PrefixedClaim { claim: "groups".to_owned(), prefix: String::new() },
            uid: ClaimName { claim: "sub".to_owned() },
        }
    }
}

/// A claim and what is put before its values.
#[derive(Clone, Debug, Deserialize)]
pub struct PrefixedClaim {
    /// Dotted path.
    pub claim: String,
    /// Put before every value.
    #[serde(default)]
    pub prefix: String,
}

/// A claim.
#[derive(Clone, Debug, Deserialize)]
pub struct ClaimName {
    /// Dotted path.
    pub claim: String,
}
