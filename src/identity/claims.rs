//! Claims: whom a token is for, when, and who its bearer is.

use super::AuthError;
use crate::config::{Jwt as JwtConfig, PrefixedClaim};
use chaperone_record::{Timestamp, User};
use serde_json::Value;
use std::time::Duration;

/// Groups taken of one token.
const MOST_GROUPS: usize = 1000;
/// A longer username, uid, group or token id is refused.
const MOST_TEXT: usize = 1024;
/// Times past the year 9999 are mistakes.
const LAST_SECOND: f64 = 253_402_300_799.0;

/// A claim by its path: first by its whole name, which may have dots in it (`https://example.com/groups`), then step by
/// step into nested objects.
pub(super) fn claim<'a>(claims: &'a Value, path: &str) -> Option<&'a Value> {
    claims.get(path).or_else(|| path.split('.').try_fold(claims, |value, step| value.get(step)))
}

/// Checks `exp`, `nbf` and `iat`; gives when the token ends, the skew added.
pub(super) fn check_times(claims: &Value, now: Timestamp, skew: Duration) -> Result<Timestamp, AuthError> {
    let skew = u64::try_from(skew.as_micros()).unwrap_or(u64::MAX);
    let expires = moment(claims, "exp")?.ok_or(AuthError::Claims("exp is missing"))?;
    let end = expires.micros().saturating_add(skew);
    // RFC 7519 section 4.1.4: not on or after it.
    if now.micros() >= end {
        return Err(AuthError::Expired);
    }
    for name in ["nbf", "iat"] {
        if moment(claims, name)?.is_some_and(|from| from.micros() > now.micros().saturating_add(skew)) {
            return Err(AuthError::NotYetValid);
        }
    }
    Ok(Timestamp::from_micros(end))
}

/// A NumericDate (RFC 7519 section 2): seconds, possibly with a fraction.
fn moment(claims: &Value, name: &'static str) -> Result<Option<Timestamp>, AuthError> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value.as_f64().filter(|seconds| (0.0..=LAST_SECOND).contains(seconds));
    let seconds = seconds.ok_or(AuthError::Claims("exp, nbf and iat must be seconds since 1970"))?;
    let whole = seconds.trunc();
    // Both are within u64: the range was checked.
    let micros = (whole as u64).saturating_mul(1_000_000).saturating_add(((seconds - whole) * 1e6) as u64);
    Ok(Some(Timestamp::from_micros(micros)))
}

/// Checks that the token is for one of the audiences.
pub(super) fn check_audience(claims: &Value, audiences: &[String]) -> Result<(), AuthError> {
    let ours =
        |value: &Value| value.as_str().is_some_and(|text| audiences.iter().any(|audience| audience == text));
    let fits = match claims.get("aud") {
        None => return Err(AuthError::Claims("aud is missing")),
        Some(Value::Array(values)) => values.iter().all(Value::is_string) && values.iter().any(ours),
        Some(value) => ours(value),
    };
    if fits { Ok(()) } else { Err(AuthError::Audience) }
}

/// The user, by the issuer's claim mappings.
pub(super) fn user(claims: &Value, config: &JwtConfig) -> Result<User, AuthError> {
    let mappings = &config.claim_mappings;
    let username = claim(claims, &mappings.username.claim)
        .and_then(name)
        .filter(|name| !name.is_empty())
        .ok_or(AuthError::Claims("the username claim is missing or not a short, printable string"))?;
    let uid = optional(claim(claims, &mappings.uid.claim))
        .ok_or(AuthError::Claims("the uid claim is not a short, printable string"))?;
    let token_id =
        optional(claims.get("jti")).ok_or(AuthError::Claims("jti is not a short, printable string"))?;
    Ok(User {
        username: format!("{}{username}", mappings.username.prefix),
        uid: uid.to_owned(),
        groups: groups(claims, &mappings.groups)?,
        issuer: config.issuer.url.clone(),
        token_id: (!token_id.is_empty()).then(|| token_id.to_owned()),
    })
}

/// A name that can stand in a record, in a log line and in an `Impersonate-*` header.
fn name(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| text.len() <= MOST_TEXT && !text.chars().any(char::is_control))
}

/// The same of a claim that may be absent, which is then empty.
fn optional(value: Option<&Value>) -> Option<&str> {
    value.filter(|value| !value.is_null()).map_or(Some(""), name)
}

fn groups(claims: &Value, mapping: &PrefixedClaim) -> Result<Vec<String>, AuthError> {
    const SHAPE: AuthError =
        AuthError::Claims("the groups claim is neither a string nor a list of short, printable strings");
    let values = match claim(claims, &mapping.claim) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(values)) if values.len() <= MOST_GROUPS => values.as_slice(),
        Some(value @ Value::String(_)) => std::slice::from_ref(value),
        Some(_) => return Err(SHAPE),
    };
    let mut groups = Vec::with_capacity(values.len());
    for value in values {
        match name(value).ok_or(SHAPE)? {
            "" => {}
            group => groups.push(format!("{}{group}", mapping.prefix)),
        }
    }
    Ok(groups)
}
