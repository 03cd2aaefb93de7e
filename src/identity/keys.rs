//! An issuer's keys: fetched, refreshed, and kept for a while when the issuer is down.

use super::jwk::{self, Key};
use crate::config::Issuer;
use crate::strict_json;
use chaperone_record::Timestamp;
use std::time::Duration;

const REFRESH: Duration = Duration::from_secs(300);
/// Workers spread their refreshes over this.
const REFRESH_SPREAD: Duration = Duration::from_secs(30);
/// Keys that were not refreshed for this long are counted as stale.
const STALE: Duration = Duration::from_secs(600);
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(60);
/// A fetch whose answer never came is taken for lost after this.
const LOST: Duration = Duration::from_secs(15);
/// Tokens with an unknown `kid` cause at most one fetch in this time.
const UNKNOWN_KEY_PAUSE: Duration = Duration::from_secs(10);
/// Keys are used so long after the last fetch that worked.
const LAST_USE: Duration = Duration::from_secs(24 * 3600);

/// A document to fetch through an Envoy cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// To be given back with the answer.
    pub id: u64,
    /// Envoy cluster.
    pub cluster: String,
    /// `http` or `https`.
    pub scheme: String,
    /// `:authority`.
    pub authority: String,
    /// `:path`.
    pub path: String,
}

/// One issuer's keys.
pub(super) struct Keys {
    keys: Vec<Key>,
    source: Source,
}

enum Source {
    /// Given in the configuration.
    Inline,
    Fetched(Box<Fetched>),
}

struct Fetched {
    issuer: String,
    cluster: String,
    discovery: Url,
    /// Known once discovery worked.
    jwks: Option<Url>,
    state: State,
    attempts: u32,
    /// When keys were last fetched.
    fresh: Option<Timestamp>,
    /// When an unknown key last caused a fetch.
    asked: Option<Timestamp>,
}

#[derive(Clone, Copy)]
enum State {
    Due(Timestamp),
    UnderWay { id: u64, lost: Timestamp, discovery: bool },
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Url {
    scheme: String,
    authority: String,
    path: String,
}

impl Url {
    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let at = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(at)?;
        let fits = matches!(scheme, "http" | "https")
            && !authority.is_empty()
            && !authority.contains('@')
            && text.len() <= 2048
            && text.bytes().all(|byte| byte.is_ascii_graphic())
            && !path.contains('#');
        let path = if path.is_empty() { "/" } else { path };
        fits.then(|| Self {
            scheme: scheme.to_owned(),
            authority: authority.to_owned(),
            path: path.to_owned(),
        })
    }
}

impl Keys {
    /// From the configuration; the error says what is wrong with it.
    pub(super) fn new(issuer: &Issuer) -> Result<Self, &'static str> {
        if let Some(set) = &issuer.jwks {
            let keys = jwk::parse_set(set).ok_or("is not a JWK set: an object with a list of keys")?;
            if keys.is_empty() {
                return Err(
                    "has no key that can be used: RSA of 2048 bits or more, P-256, P-384 or Ed25519, for signatures",
                );
            }
            return Ok(Self { keys, source: Source::Inline });
        }
        let discovery = Url::parse(&issuer.discovery_url).ok_or("is not an http or https URL")?;
        Ok(Self {
            keys: Vec::new(),
            source: Source::Fetched(Box::new(Fetched {
                issuer: issuer.url.clone(),
                cluster: issuer.cluster.clone(),
                discovery,
                jwks: None,
                state: State::Due(Timestamp::from_micros(0)),
                attempts: 0,
                fresh: None,
                asked: None,
            })),
        })
    }

    /// Takes over what another had fetched of the same issuer from the same place.
    pub(super) fn adopt(&mut self, other: &Self) {
        let (Source::Fetched(own), Source::Fetched(other_fetched)) = (&mut self.source, &other.source) else {
            return;
        };
        let place = |of: &Fetched| (of.issuer.clone(), of.cluster.clone(), of.discovery.clone());
        if place(own) != place(other_fetched) {
            return;
        }
        self.keys.clone_from(&other.keys);
        own.jwks.clone_from(&other_fetched.jwks);
        own.fresh = other_fetched.fresh;
        // The answer to a fetch that is under way goes to who asked.
        if let State::Due(_) = other_fetched.state {
            own.state = other_fetched.state;
        }
    }

    /// Whether there are keys, and none too old.
    pub(super) fn usable(&self, now: Timestamp) -> bool {
        match &self.source {
            Source::Inline => true,
            Source::Fetched(fetched) => fetched.fresh.is_some_and(|fresh| now <= fresh.later(LAST_USE)),
        }
    }

    /// Whether the last refreshes failed, or none has worked yet.
    pub(super) fn stale(&self, now: Timestamp) -> bool {
        match &self.source {
            Source::Inline => false,
            Source::Fetched(fetched) => fetched.fresh.is_none_or(|fresh| now > fresh.later(STALE)),
        }
    }

    /// The keys that may have signed a token with this `kid`, those of that very name first.
    pub(super) fn candidates(&self, kid: Option<&str>, algorithm: &str) -> Vec<&Key> {
        let fits = |key: &&Key| key.verifies(algorithm);
        let named = |key: &&Key| kid.is_some() && key.kid.as_deref() == kid;
        let unnamed = |key: &&Key| !named(key) && (kid.is_none() || key.kid.is_none());
        let keys = || self.keys.iter().filter(fits);
        keys().filter(named).chain(keys().filter(unnamed)).collect()
    }

    /// A token named a key that is not known: perhaps the issuer has a new one.
    pub(super) fn unknown_key(&mut self, now: Timestamp) {
        if let Source::Fetched(fetched) = &mut self.source
            && matches!(fetched.state, State::Due(_))
            && fetched.asked.is_none_or(|asked| now >= asked.later(UNKNOWN_KEY_PAUSE))
        {
            fetched.asked = Some(now);
            fetched.state = State::Due(now);
        }
    }

    /// What to fetch now.
    pub(super) fn poll(&mut self, now: Timestamp, id: u64) -> Option<Fetch> {
        let Source::Fetched(fetched) = &mut self.source else { return None };
        match fetched.state {
            State::Due(at) if now >= at => {}
            State::UnderWay { lost, .. } if now >= lost => {}
            _ => return None,
        }
        let url = fetched.jwks.as_ref().unwrap_or(&fetched.discovery).clone();
        fetched.state = State::UnderWay { id, lost: now.later(LOST), discovery: fetched.jwks.is_none() };
        Some(Fetch {
            id,
            cluster: fetched.cluster.clone(),
            scheme: url.scheme,
            authority: url.authority,
            path: url.path,
        })
    }

    /// The answer to a fetch; `Ok(true)` where the keys are new. Answers to other fetches change nothing.
    pub(super) fn on_answer(
        &mut self,
        now: Timestamp,
        jitter: u64,
        id: u64,
        status: Option<u16>,
        body: &[u8],
    ) -> Result<bool, &'static str> {
        let Source::Fetched(fetched) = &mut self.source else { return Ok(false) };
        let State::UnderWay { id: expected, discovery, .. } = fetched.state else { return Ok(false) };
        if id != expected {
            return Ok(false);
        }
        let read = read_answer(fetched, discovery, status, body);
        match read {
            Ok(None) => {
                fetched.state = State::Due(now);
                Ok(false)
            }
            Ok(Some(keys)) => {
                fetched.attempts = 0;
                fetched.fresh = Some(now);
                fetched.state = State::Due(spread(now.later(REFRESH), jitter, REFRESH_SPREAD));
                let changed = keys != self.keys;
                self.keys = keys;
                Ok(changed)
            }
            Err(error) => {
                // The key set may have moved: ask discovery again.
                fetched.jwks = None;
                let doubled = FIRST_RETRY
                    .saturating_mul(1u32.checked_shl(fetched.attempts.min(16)).unwrap_or(u32::MAX));
                let half = doubled.min(LAST_RETRY).checked_div(2).unwrap_or(FIRST_RETRY);
                fetched.attempts = fetched.attempts.saturating_add(1);
                fetched.state = State::Due(spread(now.later(half), jitter, half));
                Err(error)
            }
        }
    }

    /// Digests of the keys in use.
    pub(super) fn digests(&self) -> Vec<[u8; 32]> {
        self.keys.iter().map(|key| key.digest).collect()
    }
}

/// Discovery gives the key set's address, the key set its keys.
fn read_answer(
    fetched: &mut Fetched,
    discovery: bool,
    status: Option<u16>,
    body: &[u8],
) -> Result<Option<Vec<Key>>, &'static str> {
    if status != Some(200) {
        return Err(if status.is_none() { "no answer" } else { "the answer's status is not 200" });
    }
    let document = strict_json::parse(body).map_err(|_| "the answer is not JSON")?;
    if discovery {
        if document.get("issuer").and_then(|issuer| issuer.as_str()) != Some(&fetched.issuer) {
            return Err("the discovery document is another issuer's");
        }
        let url = document.get("jwks_uri").and_then(|uri| uri.as_str()).and_then(Url::parse);
        fetched.jwks = Some(url.ok_or("the discovery document has no usable jwks_uri")?);
        return Ok(None);
    }
    let keys = jwk::parse_set(&document).ok_or("the answer is not a JWK set")?;
    if keys.is_empty() { Err("the JWK set has no key that can be used") } else { Ok(Some(keys)) }
}

/// Moves a moment by a random part of `over`, so that many workers do not fetch at once.
fn spread(time: Timestamp, jitter: u64, over: Duration) -> Timestamp {
    let over = u64::try_from(over.as_micros()).unwrap_or(u64::MAX).max(1);
    time.later(Duration::from_micros(jitter.checked_rem(over).unwrap_or(0)))
}
