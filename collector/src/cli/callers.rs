//! How `serve` tells callers apart, and how much each may take.

use crate::server::Limits;
use clap::Args;
use ipnet::IpNet;
use std::net::IpAddr;

use super::serve::at_least_one;

#[derive(Args)]
pub(super) struct CallerArguments {
    /// Proxies in front of the collector, like 10.0.0.0/8: what they say in X-Forwarded-For is believed, as far as its
    /// last address that is none of theirs. Default: nobody's is read.
    #[arg(long, value_name = "CIDR", value_delimiter = ',', value_parser = network)]
    trusted_proxies: Vec<IpNet>,
    /// Most live tails of one caller at a time; more are answered 429.
    #[arg(long, value_name = "TAILS", default_value_t = Limits::default().caller_tails, value_parser = at_least_one)]
    max_tails_per_caller: usize,
}

impl CallerArguments {
    pub(super) fn limit(&self, limits: Limits) -> Limits {
        Limits { caller_tails: self.max_tails_per_caller, ..limits }
    }

    pub(super) fn proxies(self) -> Vec<IpNet> {
        self.trusted_proxies
    }
}

/// A network, or one address.
fn network(text: &str) -> Result<IpNet, &'static str> {
    let why = "give an address or a network, like 10.0.0.0/8 or 2001:db8::/32";
    text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).map_err(|_| why)
}
