//! Small things that are said on many pages, in the same words everywhere.

use crate::present::sanitize::line;
use crate::present::sentence::sentence;
use crate::present::timeline::duration;
use crate::store::model::{ExchangeSummary, State};
use axum::http::StatusCode;
use chaperone_record::{Attributed, Timestamp};
use maud::{Markup, html};

/// Untrusted text in one line: inert, visible, and of its own direction.
pub(super) fn text(text: &str) -> Markup {
    html! { bdi { (line(text)) } }
}

/// Text that is only meaningful letter by letter.
pub(super) fn code(text: &str) -> Markup {
    html! { code { bdi { (line(text)) } } }
}

/// `1,234`
pub(super) fn number(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    if number < 0 { format!("-{out}") } else { out }
}

/// `1 write`, `2,000 writes`
pub(super) fn counted(count: i64, noun: &str) -> String {
    format!("{} {noun}{}", number(count), if count == 1 { "" } else { "s" })
}

/// A moment: UTC without a script, the reader's own zone with one.
pub(super) fn moment(micros: i64) -> Markup {
    let time = Timestamp::from_micros(u64::try_from(micros).unwrap_or(0)).to_string();
    let shown = time.replace('T', " ");
    let shown = shown.get(..19).unwrap_or(&shown);
    html! { time datetime=(time) title={ (shown) " UTC" } data-shown="moment" { (shown) " UTC" } }
}

/// The same without its date.
pub(super) fn clock(time: Timestamp) -> Markup {
    let time = time.to_string();
    let shown = time.replace('T', " ");
    let (full, short) = (shown.get(..23).unwrap_or(&shown), shown.get(11..19).unwrap_or(&shown));
    html! { time datetime=(time) title={ (full) " UTC" } data-shown="clock" { (short) } }
}

/// A small label.
pub(super) fn chip(class: &str, label: &str, why: &str) -> Markup {
    html! { span.chip.(class) title=(why) { (label) } }
}

/// How far an attributed value can be believed.
pub(super) fn belief(value: &Attributed) -> Markup {
    let source = line(&value.source).into_owned();
    if value.verified {
        chip("good", "✓ verified", &format!("From the signed token ({source}): the client cannot change it."))
    } else {
        chip("warn", "asserted", &format!("The client says so ({source}); nobody vouches for it."))
    }
}

/// What was done, or asked for: `deleted namespace payments`, `read Secret db in shop`.
pub(super) fn action(exchange: &ExchangeSummary) -> String {
    let text = sentence(exchange);
    text.strip_prefix("REFUSED ").map(str::to_owned).unwrap_or(text)
}

/// The same as one sentence.
pub(super) fn told(exchange: &ExchangeSummary) -> String {
    let action = action(exchange);
    if exchange.is_refused() { format!("was refused: {action}") } else { action }
}

/// What kind of step it is, as the class that gives its colour and the word that says it.
pub(super) fn tone(exchange: &ExchangeSummary) -> (&'static str, &'static str) {
    if exchange.is_refused() {
        ("refused", "refused")
    } else if exchange.state == State::Incomplete {
        ("warn", "incomplete")
    } else if exchange.is_failed() {
        ("failed", "failed")
    } else if exchange.is_write() {
        ("write", "write")
    } else {
        ("read", "read")
    }
}

/// The status that the agent got.
pub(super) fn status(exchange: &ExchangeSummary) -> Markup {
    let code = exchange.response_status.as_ref().map_or(0, |status| status.code);
    let reason = StatusCode::from_u16(code).ok().and_then(|code| code.canonical_reason()).unwrap_or("");
    match code {
        0 => html! { span.status title="The agent got no status, or none is in the records." { "—" } },
        _ => html! { span.status.bad[code >= 400] title=(reason) { (code) } },
    }
}

/// How long it took.
pub(super) fn took(exchange: &ExchangeSummary) -> String {
    match (exchange.timing.received, exchange.timing.complete) {
        (Some(from), Some(to)) => duration(to.micros().saturating_sub(from.micros())),
        _ => "—".to_owned(),
    }
}

/// How an exchange ended, where that needs saying.
pub(super) fn ended(exchange: &ExchangeSummary) -> Option<&'static str> {
    match exchange.state {
        State::Complete | State::Refused => None,
        State::ProxyReply => Some("The proxy answered instead of the API server."),
        State::Cut => Some("The filter cut the response: it could not be masked or recorded."),
        State::Aborted => Some("The agent or the API server ended it early."),
        State::Incomplete if exchange.requested.is_none() => Some("Its request is not in the records."),
        State::Incomplete => Some("Its end is not in the records, or not yet."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_is_inert_and_visible() {
        for (hostile, shown) in [
            ("<script>alert(1)</script>", "<bdi>&lt;script&gt;alert(1)&lt;/script&gt;</bdi>"),
            ("a\u{202e}b\u{200b}c", "<bdi>a\\u202eb\\u200bc</bdi>"),
            ("\u{1b}[2J", "<bdi>\\u001b[2J</bdi>"),
            ("\" onclick=\"x", "<bdi>&quot; onclick=&quot;x</bdi>"),
        ] {
            assert_eq!(text(hostile).into_string(), shown);
        }
    }

    #[test]
    fn numbers_are_grouped() {
        for (value, shown) in [(0, "0"), (999, "999"), (1000, "1,000"), (-1234567, "-1,234,567")] {
            assert_eq!(number(value), shown);
        }
    }
}
