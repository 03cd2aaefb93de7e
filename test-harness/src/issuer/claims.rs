//! What a token says, said shortly.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::Alg;

/// The claims of a token to mint. Unless told otherwise: this issuer, audience `kubernetes`, valid from now for ten minutes, a fresh `jti`.
#[derive(Clone, Debug)]
pub struct Claims {
    pub(super) algorithm: Alg,
    /// Seconds from minting to expiry; negative is long past.
    lifetime: SignedDuration,
    said: Map<String, Value>,
    unsaid: Vec<String>,
}

// === impl Claims ===

impl Claims {
    /// Claims about this subject (`sub`).
    pub fn new(subject: &str) -> Self {
        let said = Map::from_iter([("sub".to_owned(), json!(subject))]);
        Self { algorithm: Alg::default(), lifetime: SignedDuration::from_mins(10), said, unsaid: Vec::new() }
    }

    /// `groups`.
    pub fn groups<S: Into<String>>(self, groups: impl IntoIterator<Item = S>) -> Self {
        let groups: Vec<String> = groups.into_iter().map(Into::into).collect();
        self.extra("groups", json!(groups))
    }

    /// `aud`, as one string; a list goes through [`Claims::extra`].
    pub fn audience(self, audience: &str) -> Self {
        self.extra("aud", json!(audience))
    }

    /// `sid`, the session the token belongs to.
    pub fn session(self, session: &str) -> Self {
        self.extra("sid", json!(session))
    }

    /// `model`.
    pub fn model(self, model: &str) -> Self {
        self.extra("model", json!(model))
    }

    /// `prompt_sha256`.
    pub fn prompt_sha256(self, digest: &str) -> Self {
        self.extra("prompt_sha256", json!(digest))
    }

    /// `act.sub`: the agent that acts for the subject (RFC 8693).
    pub fn agent(self, agent: &str) -> Self {
        self.extra("act", json!({"sub": agent}))
    }

    /// Valid for this long.
    pub fn expires_in(mut self, lifetime: Duration) -> Self {
        self.lifetime = SignedDuration::try_from(lifetime).unwrap_or(SignedDuration::MAX);
        self
    }

    /// Ended this long ago.
    pub fn expired_ago(self, ago: Duration) -> Self {
        let mut claims = self.expires_in(ago);
        claims.lifetime = -claims.lifetime;
        claims
    }

    /// Any claim, also instead of a default one.
    pub fn extra(mut self, name: &str, value: Value) -> Self {
        self.said.insert(name.to_owned(), value);
        self
    }

    /// Leaves a claim out, also a default one.
    pub fn without(mut self, name: &str) -> Self {
        self.unsaid.push(name.to_owned());
        self
    }

    /// What the token is signed with; ES256 otherwise.
    pub fn algorithm(mut self, algorithm: Alg) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// The whole payload, as minted now by this issuer.
    pub(super) fn payload(&self, issuer: &str) -> Map<String, Value> {
        let now = Timestamp::now();
        let expiry = now.saturating_add(self.lifetime).expect("seconds always add").as_second();
        // A token that is already over was issued an hour before its end.
        let issued = now.as_second().min(expiry - 3600 * i64::from(self.lifetime.is_negative()));
        let mut payload = Map::from_iter([
            ("iss".to_owned(), json!(issuer)),
            ("aud".to_owned(), json!("kubernetes")),
            ("iat".to_owned(), json!(issued)),
            ("nbf".to_owned(), json!(issued)),
            ("exp".to_owned(), json!(expiry)),
            ("jti".to_owned(), json!(Uuid::new_v4().to_string())),
        ]);
        payload.extend(self.said.clone());
        payload.retain(|name, _| !self.unsaid.contains(name));
        payload
    }
}

impl From<Map<String, Value>> for Claims {
    /// These claims and the default ones.
    fn from(said: Map<String, Value>) -> Self {
        Self { said, ..Self::new("") }
    }
}
