//! Where a request comes from. Behind proxies that are trusted, it is what these say in `X-Forwarded-For`.

use axum::http::HeaderMap;
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};

/// Each proxy adds at its end from where the request came to it.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// Most addresses that are looked at.
const HOPS: usize = 32;

/// The last address that no trusted proxy has: `peer` itself, unless it is one. What stands before that address may be
/// anybody's word, and what is no address ends what can be followed.
pub(super) fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    if !is_trusted(&peer) {
        return peer;
    }
    let lines: Vec<&str> =
        headers.get_all(FORWARDED_FOR).iter().map(|line| line.to_str().unwrap_or("")).collect();
    let mut last = peer;
    for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')).take(HOPS) {
        let Some(address) = address(hop.trim()) else { break };
        last = address;
        if !is_trusted(&address) {
            break;
        }
    }
    last
}

/// An address, which some proxies write with its port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()));
    address.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_trusted_proxies_say_is_believed() {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
        for (case, peer, lines, client) in [
            ("no proxy", "192.0.2.1", &["203.0.113.9"][..], "192.0.2.1"),
            ("a proxy that says nothing", "10.0.0.1", &[], "10.0.0.1"),
            ("one proxy", "10.0.0.1", &["203.0.113.9"], "203.0.113.9"),
            ("what the client made up", "10.0.0.1", &["1.2.3.4, 203.0.113.9"], "203.0.113.9"),
            ("two lines", "10.0.0.1", &["1.2.3.4", "203.0.113.9"], "203.0.113.9"),
            ("two proxies", "10.0.0.1", &["203.0.113.9, 10.0.0.2"], "203.0.113.9"),
            ("only proxies", "10.0.0.1", &["10.0.0.3,10.0.0.2"], "10.0.0.3"),
            ("not an address", "10.0.0.1", &["203.0.113.9, unknown"], "10.0.0.1"),
            ("not an address behind a proxy", "10.0.0.1", &["203.0.113.9, x, 10.0.0.2"], "10.0.0.2"),
            ("empty", "10.0.0.1", &[""], "10.0.0.1"),
            ("a port", "10.0.0.1", &["203.0.113.9:4711"], "203.0.113.9"),
            ("IPv6", "2001:db8::1", &["2001:dead::9"], "2001:dead::9"),
            ("IPv6, a port", "2001:db8::1", &["[2001:dead::9]:4711"], "2001:dead::9"),
            ("IPv6, brackets", "2001:db8::1", &["[2001:dead::9]"], "2001:dead::9"),
            ("IPv4 in IPv6", "10.0.0.1", &["::ffff:203.0.113.9"], "203.0.113.9"),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(FORWARDED_FOR, line.parse().unwrap());
            }
            let found = client_address(peer.parse().unwrap(), &headers, &trusted);
            assert_eq!(found, client.parse::<IpAddr>().unwrap(), "{case}");
        }
    }
}
