//! Claims: whom a token is for, when, and who its bearer is.

use super::AuthError;
use crate::config::{Jwt as JwtConfig, PrefixedClaim};
use chaperone_record::{Timestamp, User};
use serde_json::Value;
use std::time::Duration;

/// Groups taken of one token.
const MOST_GROUPS: usize = 1000;
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
    if now.micros() > end {
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
    let text = |path: &str| claim(claims, path).and_then(Value::as_str).unwrap_or_default();
    let name = text(&mappings.username.claim);
    if name.is_empty() || name.len() > 1024 {
        return Err(AuthError::Claims("the username claim is missing or not a short string"));
    }
    Ok(User {
        username: format!("{}{name}", mappings.username.prefix),
        uid: text(&mappings.uid.claim).to_owned(),
        groups: groups(claims, &mappings.groups)?,
        issuer: config.issuer.url.clone(),
        token_id: claims.get("jti").and_then(Value::as_str).map(str::to_owned),
    })
}

fn groups(claims: &Value, mapping: &PrefixedClaim) -> Result<Vec<String>, AuthError> {
    const SHAPE: AuthError = AuthError::Claims("the groups claim is neither a string nor a list of strings");
    let values = match claim(claims, &mapping.claim) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(values)) if values.len() <= MOST_GROUPS => values.as_slice(),
        Some(value @ Value::String(_)) => std::slice::from_ref(value),
        Some(_) => return Err(SHAPE),
    };
    values.iter().map(|value| Ok(format!("{}{}", mapping.prefix, value.as_str().ok_or(SHAPE)?))).collect()
}
