//! Who may post and who may read: bearer tokens, each for one role. Two may be configured, and any number kept in the
//! database.

use super::problem::Problem;
use super::{App, now};
use crate::evidence::sha256_hex;
use crate::store::StoreError;
use crate::store::access::{RecorderPattern, Role, is_token};
use crate::store::login::Login;
use axum::http::{HeaderMap, StatusCode, header};
use sha2::{Digest as _, Sha256};
use std::fmt;
use subtle::ConstantTimeEq as _;

/// What marks of configured tokens begin with.
const CONFIGURED: &str = "configured:";

/// A configured token. Only its digest is kept, so that comparing takes the same time for every length and content.
#[derive(Clone, PartialEq, Eq)]
pub struct Token([u8; 32]);

/// A token that cannot protect anything.
#[derive(Debug, thiserror::Error)]
#[error("a token must have at least 16 characters, all of them visible ASCII")]
pub struct WeakToken;

impl Token {
    /// Takes a token's text, with white space around it (a file's last newline) removed.
    pub fn new(text: &str) -> Result<Self, WeakToken> {
        let text = text.trim();
        if text.len() < 16 || !text.bytes().all(|c| c.is_ascii_graphic()) {
            return Err(WeakToken);
        }
        Ok(Self(Sha256::digest(text).into()))
    }

    fn matches(&self, presented: &str) -> bool {
        let digest: [u8; 32] = Sha256::digest(presented).into();
        self.0.ct_eq(&digest).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// What a request is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Post records.
    Post,
    /// Read records.
    Read,
    /// Read who reads, and which tokens there are.
    Administer,
}

/// Who sent a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    /// Whose token it is.
    pub(super) name: String,
    /// Its id; none for a configured one.
    pub(super) token: Option<String>,
    pub(super) role: Role,
    /// Whom they post for; none: for all.
    pub(super) recorder: Option<RecorderPattern>,
}

impl Caller {
    /// What tells them from others.
    pub(super) fn key(&self) -> String {
        self.token.clone().unwrap_or_else(|| format!("name:{}", self.name))
    }
}

/// The tokens of the configuration.
#[derive(Clone, Debug, Default)]
pub(super) struct Configured {
    pub(super) ingest: Option<Token>,
    pub(super) auditor: Option<Token>,
}

impl Configured {
    fn caller(&self, presented: &str) -> Option<Caller> {
        let roles = [(&self.ingest, Role::Ingest), (&self.auditor, Role::Auditor)];
        let (_, role) = roles
            .into_iter()
            .find(|(token, _)| token.as_ref().is_some_and(|token| token.matches(presented)))?;
        Some(Caller { name: "configured".to_owned(), token: None, role, recorder: None })
    }

    /// What a session has in place of the id of the configured auditor token: other than any id, and nothing that the
    /// token could be found by.
    pub(super) fn mark(&self) -> Option<String> {
        let Token(digest) = self.auditor.as_ref()?;
        Some(format!("{CONFIGURED}{}", sha256_hex(digest)))
    }

    /// False for a session that was logged in with a configured token which is not configured any more.
    pub(super) fn still_has(&self, login: &Login) -> bool {
        match &login.token {
            Some(mark) if mark.starts_with(CONFIGURED) => self.mark().as_ref() == Some(mark),
            _ => true,
        }
    }
}

/// Lets a request pass that carries, as its only `Authorization: Bearer`, a token whose role allows the action.
pub(super) async fn require(app: &App, headers: &HeaderMap, action: Action) -> Result<Caller, Problem> {
    let caller = bearer(app, headers).await?;
    allow(&caller, action)?;
    Ok(caller)
}

/// Whose the only bearer token of a request is.
pub(super) async fn bearer(app: &App, headers: &HeaderMap) -> Result<Caller, Problem> {
    let presented = presented(headers).ok_or_else(unknown)?;
    holder(app, presented).await?.ok_or_else(unknown)
}

/// Whose a token is.
pub(super) async fn holder(app: &App, presented: &str) -> Result<Option<Caller>, Problem> {
    match app.configured.caller(presented) {
        Some(caller) => Ok(Some(caller)),
        None if is_token(presented) => kept(app, presented).await,
        None => Ok(None),
    }
}

/// Lets pass whose role allows the action.
pub(super) fn allow(caller: &Caller, action: Action) -> Result<(), Problem> {
    if allows(caller.role, action) {
        return Ok(());
    }
    let detail = format!("a token of role {} is not for this", caller.role.as_str());
    Err(Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail))
}

/// Nobody that is known.
pub(super) fn unknown() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", "a valid bearer token is required")
}

/// Who it is cannot be told now.
pub(super) fn unreadable(error: StoreError) -> Problem {
    tracing::error!(%error, "Could not look up who sent a request.");
    let detail = "the database of tokens could not be read";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
        .because(error.reason())
        .retry_after(1)
}

fn allows(role: Role, action: Action) -> bool {
    match action {
        Action::Post => role == Role::Ingest,
        Action::Read => matches!(role, Role::Auditor | Role::Admin),
        Action::Administer => role == Role::Admin,
    }
}

async fn kept(app: &App, presented: &str) -> Result<Option<Caller>, Problem> {
    let found = app.tokens.token(presented, now()).await.map_err(unreadable)?;
    Ok(found.map(|token| Caller {
        name: token.name,
        token: Some(token.id),
        role: token.role,
        recorder: token.recorder,
    }))
}

/// The one bearer token of a request.
fn presented(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (scheme, token) = match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok()?.split_once(' ')?,
        _ => return None,
    };
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_one_token_passes() {
        let token = Token::new("0123456789abcdef\n").unwrap();
        let pass = |values: &[&str], token: Option<&Token>| {
            let configured = Configured { ingest: None, auditor: token.cloned() };
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, value.parse().unwrap());
            }
            presented(&headers).is_some_and(|presented| configured.caller(presented).is_some())
        };
        let good = "Bearer 0123456789abcdef";
        assert!(pass(&[good], Some(&token)));
        assert!(pass(&["bearer 0123456789abcdef"], Some(&token)));
        assert!(!pass(&[good], None));
        for wrong in [
            &[][..],
            &["Bearer"],
            &["Bearer "],
            &["Bearer 0123456789abcdeF"],
            &["Basic 0123456789abcdef"],
            &[good, good],
        ] {
            assert!(!pass(wrong, Some(&token)), "{wrong:?}");
        }
    }

    #[test]
    fn a_role_does_what_it_is_for() {
        for (role, may) in [
            (Role::Ingest, [true, false, false]),
            (Role::Auditor, [false, true, false]),
            (Role::Admin, [false, true, true]),
        ] {
            assert_eq!(
                [Action::Post, Action::Read, Action::Administer].map(|action| allows(role, action)),
                may
            );
        }
    }

    #[test]
    fn weak_tokens_are_refused_and_good_ones_are_not_shown() {
        for weak in ["", "short", "0123456789abcde", "0123456789 abcdef", "0123456789abcdéf"] {
            assert!(Token::new(weak).is_err(), "{weak}");
        }
        assert_eq!(format!("{:?}", Token::new("0123456789abcdef").unwrap()), "Token(..)");
    }
}
