//! From `Authorization` to an identity.

use super::cache::TokenCache;
use super::flood::Flood;
use super::jwk::Key;
use super::jwt::{Jwt, bearer};
use super::keys::{Fetch, Keys};
use super::{AuthError, Identity, SignatureVerifier, claims, signature};
use crate::config::{Authentication, Jwt as JwtConfig, Problem};
use chaperone_record::Timestamp;
use sha2::{Digest, Sha256};
use std::rc::Rc;

/// Few keys fit one token; more would only be a way to make it cost many signatures.
const MOST_CANDIDATES: usize = 4;

/// Verifies tokens of the configured issuers. Checks go from cheap to expensive, so that a flood of garbage costs little:
/// form, issuer, times, audience, user, key, and only then the signature.
pub struct Authenticator {
    issuers: Vec<(JwtConfig, Keys)>,
    cache: TokenCache,
    flood: Flood,
    next_fetch: u64,
}

impl Authenticator {
    /// From the configuration.
    ///
    /// # Errors
    /// Inline key sets and URLs that cannot be used.
    pub fn new(config: &Authentication) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut issuers = Vec::new();
        for (index, jwt) in config.jwt.iter().enumerate() {
            match Keys::new(&jwt.issuer) {
                Ok(keys) => issuers.push((jwt.clone(), keys)),
                Err(what) => {
                    let field = if jwt.issuer.jwks.is_some() { "jwks" } else { "discoveryURL" };
                    problems.push(Problem {
                        path: format!("authentication.jwt[{index}].issuer.{field}"),
                        message: what.to_owned(),
                    });
                }
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            issuers,
            cache: TokenCache::new(config.cache.max_tokens),
            flood: Flood::default(),
            next_fetch: 0,
        })
    }

    /// Takes over the fetched keys of the issuers that both have.
    pub fn adopt(&mut self, other: &Self) {
        for (_, keys) in &mut self.issuers {
            other.issuers.iter().for_each(|(_, others)| keys.adopt(others));
        }
    }

    /// Who bears the token in these values of `Authorization`.
    ///
    /// # Errors
    /// Why the token is not taken.
    pub fn authenticate(
        &mut self,
        now: Timestamp,
        authorization: &[&[u8]],
        host: &dyn SignatureVerifier,
    ) -> Result<Rc<Identity>, AuthError> {
        let token = bearer(authorization)?;
        let digest = Sha256::digest(token.as_bytes()).into();
        if let Some(identity) = self.cache.get(&digest, now) {
            // Keys that are too old to verify a new token don't vouch for an old one either.
            let usable = self.issuers.get(identity.issuer).is_some_and(|(_, keys)| keys.usable(now));
            return if usable { Ok(identity) } else { Err(AuthError::KeysUnavailable) };
        }
        if self.flood.knows(&digest) {
            return Err(AuthError::Signature);
        }
        let jwt = Jwt::parse(token)?;
        let issuer = jwt.claims.get("iss").and_then(|issuer| issuer.as_str());
        let issuer = issuer.ok_or(AuthError::Claims("iss is missing"))?;
        let found = self.issuers.iter_mut().enumerate().find(|(_, (config, _))| config.issuer.url == issuer);
        let (index, (config, keys)) = found.ok_or(AuthError::UnknownIssuer)?;
        if !config.issuer.algorithms.contains(&jwt.algorithm) {
            return Err(AuthError::Algorithm);
        }
        let expires = claims::check_times(&jwt.claims, now, config.clock_skew)?;
        claims::check_audience(&jwt.claims, &config.issuer.audiences)?;
        let user = claims::user(&jwt.claims, config)?;
        if !keys.usable(now) {
            return Err(AuthError::KeysUnavailable);
        }
        let candidates = keys.candidates(jwt.kid.as_deref(), &jwt.algorithm);
        if candidates.is_empty() {
            keys.unknown_key(now);
            return Err(AuthError::UnknownKey);
        }
        let Some(key) = signer(&candidates, &jwt, now, host, &mut self.flood)? else {
            self.flood.remember(digest);
            return Err(AuthError::Signature);
        };
        let identity = Rc::new(Identity { user, claims: jwt.claims, expires, issuer: index, key });
        self.cache.insert(digest, token.len(), identity.clone());
        Ok(identity)
    }

    /// How many issuers' keys could not be refreshed lately: the old ones are used for now.
    pub fn stale_issuers(&self, now: Timestamp) -> usize {
        self.issuers.iter().filter(|(_, keys)| keys.stale(now)).count()
    }

    /// What to fetch now.
    pub fn poll(&mut self, now: Timestamp) -> Vec<Fetch> {
        let mut fetches = Vec::new();
        for (_, keys) in &mut self.issuers {
            if let Some(fetch) = keys.poll(now, self.next_fetch) {
                self.next_fetch = self.next_fetch.saturating_add(1);
                fetches.push(fetch);
            }
        }
        fetches
    }

    /// The answer to a fetch. `jitter` is any random number.
    ///
    /// # Errors
    /// The issuer's URL and why the answer can't be used.
    pub fn on_answer(
        &mut self,
        now: Timestamp,
        jitter: u64,
        id: u64,
        status: Option<u16>,
        body: &[u8],
    ) -> Result<(), String> {
        for (index, (config, keys)) in self.issuers.iter_mut().enumerate() {
            let url = &config.issuer.url;
            if keys.on_answer(now, jitter, id, status, body).map_err(|error| format!("{url}: {error}"))? {
                self.cache.retain_keys(index, &keys.digests());
                self.flood.forget();
            }
        }
        Ok(())
    }
}

/// The digest of the key that verifies the token's signature, of those that fit; none where none does.
fn signer(
    candidates: &[&Key],
    jwt: &Jwt<'_>,
    now: Timestamp,
    host: &dyn SignatureVerifier,
    flood: &mut Flood,
) -> Result<Option<[u8; 32]>, AuthError> {
    for key in candidates.iter().take(MOST_CANDIDATES) {
        let verified = match signature::by_host(jwt, key, host) {
            Some(verified) => verified,
            None if flood.allows(now) => {
                let verified = signature::in_core(jwt, key);
                if !verified {
                    flood.failed(now);
                }
                verified
            }
            None => return Err(AuthError::Busy),
        };
        if verified {
            return Ok(Some(key.digest));
        }
    }
    Ok(None)
}
