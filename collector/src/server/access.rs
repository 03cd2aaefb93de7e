//! How people get in: what is configured, and what is shared of it.

use super::oidc;
use super::origin::Origin;
use super::pace::Pace;
use crate::store::login::Lifetime;
use std::net::IpAddr;
use std::time::Duration;

/// Logins that may fail at once from one address; it gets one more every six seconds.
const FAILURES: f64 = 10.0;

/// Logins with the issuer that may be begun at once from one address, and as many more every minute.
const FLOWS: f64 = 60.0;

/// How people log in.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where browsers find the collector, `https://records.example.com`; none: where it listens.
    pub public_url: Option<String>,
    /// How long a session lasts unused, and in any case.
    pub lifetime: Lifetime,
    /// The issuer that people log in with.
    pub oidc: Option<oidc::Options>,
}

/// What handlers share of it.
pub(super) struct Access {
    pub(super) origin: Origin,
    pub(super) lifetime: Lifetime,
    pub(super) oidc: Option<oidc::Options>,
    pub(super) failures: Pace<IpAddr>,
    pub(super) flows: Pace<IpAddr>,
}

impl Access {
    pub(super) fn new(options: Options, tls: bool) -> Self {
        let public = options.public_url;
        let secure = public.as_ref().map_or(tls, |url| url.starts_with("https://"));
        Self {
            origin: Origin { public, secure },
            lifetime: options.lifetime,
            oidc: options.oidc,
            failures: Pace::new(FAILURES / 60.0, FAILURES),
            flows: Pace::new(FLOWS / 60.0, FLOWS),
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        let hour = Duration::from_secs(3600);
        Self { public_url: None, lifetime: Lifetime { idle: hour, absolute: 12 * hour }, oidc: None }
    }
}
