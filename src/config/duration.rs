//! Go-style durations, as Kubernetes and Envoy write them.

use serde::{Deserialize, Deserializer, de::Error};
use std::time::Duration;

/// Parses `300ms`, `1.5h`, `2h45m`: a sum of decimal numbers, each with a unit of `ns`, `us`, `ms`, `s`, `m` or `h`, and
/// the bare `0`. Negative durations are refused. Follows Go's `time.ParseDuration`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    if text.is_empty() || text.len() > 64 {
        return None;
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at_checked(digits)?;
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, next) = tail.split_at_checked(unit_end)?;
        let nanos: u64 = match unit {
            "ns" => 1,
            "us" | "µs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || fraction.len() > 9 {
            return None;
        }
        let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        let mut sum = whole.checked_mul(nanos)?;
        let mut place = nanos;
        for digit in fraction.bytes() {
            place = place.checked_div(10)?;
            sum = sum.checked_add(place.checked_mul(u64::from(digit.checked_sub(b'0')?))?)?;
        }
        total = total.checked_add(Duration::from_nanos(sum))?;
        rest = next;
    }
    Some(total)
}

/// Deserialises a Go-style duration string; for `#[serde(deserialize_with)]`.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
    parse_duration(&text).ok_or_else(|| D::Error::custom("not a duration such as 200ms, 30s or 1m30s"))
}
