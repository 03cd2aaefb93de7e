//! How people get in: what is configured, and what is shared of it.

use super::origin::Origin;
use crate::store::login::Lifetime;
use std::time::Duration;

/// How people log in.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where browsers find the collector, `https://records.example.com`; none: where it listens.
    pub public_url: Option<String>,
    /// How long a session lasts unused.
    pub idle: Duration,
    /// How long a session lasts in any case.
    pub absolute: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { public_url: None, idle: Duration::from_secs(3600), absolute: Duration::from_secs(12 * 3600) }
    }
}

/// What handlers share of it.
pub(super) struct Access {
    pub(super) origin: Origin,
    pub(super) lifetime: Lifetime,
}

impl Access {
    pub(super) fn new(options: Options) -> Self {
        let secure = options.public_url.as_ref().is_some_and(|url| url.starts_with("https://"));
        Self {
            origin: Origin { public: options.public_url, secure },
            lifetime: Lifetime { idle: options.idle, absolute: options.absolute },
        }
    }
}
