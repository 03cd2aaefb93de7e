//! One exchange as a step that a person took: a sentence, and more on demand.

use super::link;
use super::words::{action, belief, chip, clock, code, counted, ended, moment, status, text, tone, took};
use crate::present::sanitize::line;
use crate::present::timeline::duration;
use crate::store::model::{Delivery, ExchangeSummary};
use chaperone_record::{Timestamp, Timing};
use maud::{Markup, html};

/// What is known around a step, and need not be said again.
#[derive(Clone, Copy, Default)]
pub(super) struct Around {
    /// It stands among those of its session: who and when are told above.
    pub(super) in_session: bool,
}

/// The step.
pub(super) fn step(exchange: &ExchangeSummary, around: Around) -> Markup {
    let (class, word) = tone(exchange);
    html! {
        details.step.(class) data-row data-href=(link::exchange(&exchange.exchange)) {
            summary {
                span.when {
                    @if around.in_session { (clock(exchange.time)) }
                    @else { (moment(i64::try_from(exchange.time.micros()).unwrap_or(i64::MAX))) }
                }
                span.dot title=(word) aria-hidden="true" {}
                span.what {
                    @if exchange.is_refused() { span.no { "was refused: " } }
                    bdi { (action(exchange)) }
                    (remarks(exchange))
                    @if !around.in_session { (who(exchange)) }
                }
                (status(exchange))
                span.took { (took(exchange)) }
            }
            div.more data-fill=(link::exchange(&exchange.exchange)) {
                (facts(exchange, around))
                (timing(&exchange.timing))
                p.links {
                    a href=(link::exchange(&exchange.exchange)) { "Request and response" }
                    @if let Some(object) = link::object(exchange) { a href=(object) { "Everything done to this object" } }
                    @if !around.in_session { @if let Some(session) = &exchange.session {
                        a href={ (link::session(session)) "?after=" (exchange.time.micros().saturating_sub(1)) ":" } { "In its session" }
                    } }
                }
            }
        }
    }
}

/// What to look at, beside the sentence.
pub(super) fn remarks(exchange: &ExchangeSummary) -> Markup {
    let masked = i64::try_from(exchange.masked_values()).unwrap_or(i64::MAX);
    html! {
        @if masked > 0 {
            ", " span.hidden title="The agent got a replacement instead." { (counted(masked, "value")) " masked" }
        }
        @if exchange.is_failed() { " " (chip("bad", "failed", "It went upstream and came to nothing.")) }
        @if let Some(why) = ended(exchange) { " " (chip("warn", exchange.state.as_str(), why)) }
    }
}

fn who(exchange: &ExchangeSummary) -> Markup {
    let head = exchange.requested.as_ref();
    let user = head.and_then(|head| head.user.as_ref());
    let agent = head.and_then(|head| head.attribution.agent.as_ref());
    html! {
        span.by {
            " by " @match user { Some(user) => (text(&user.username)), None => "nobody known" }
            @if let Some(agent) = agent { " with " (text(&agent.value)) }
        }
    }
}

/// Who, why, and how it was decided.
pub(super) fn facts(exchange: &ExchangeSummary, around: Around) -> Markup {
    let Some(head) = &exchange.requested else {
        return html! { p { "Its request is not in the records: see " a href="/verification" { "Verification" } "." } };
    };
    let decision = &head.decision;
    let attribution = &head.attribution;
    html! {
        dl.facts {
            dt { "Decision" }
            dd {
                @if decision.allowed { (chip("good", "allowed", "The filter let it through.")) }
                @else { (chip("bad", "refused", "The filter refused it: nothing went upstream.")) }
                " by " (code(&decision.rule))
                @if !decision.message.is_empty() { br; (text(&decision.message)) }
            }
            @if !around.in_session {
                dt { "User" }
                dd { @match &head.user {
                    Some(user) => {
                        a href=(link::to("/who", &[("user", &user.username)])) { (text(&user.username)) }
                        " " (chip("good", "✓ verified", "From the signed token."))
                        span.dim { " at " (text(&user.issuer)) }
                    }
                    None => "nobody known: no valid token",
                } }
                @for (name, value) in [("Agent", &attribution.agent), ("Model", &attribution.model), ("Prompt", &attribution.prompt)] {
                    @if let Some(value) = value {
                        dt { (name) }
                        dd {
                            @match name {
                                "Agent" => a href=(link::to("/who", &[("agent", &value.value)])) { (text(&value.value)) },
                                "Prompt" => a href=(link::to("/search", &[("prompt", &value.value)])) { (text(&value.value)) },
                                _ => (text(&value.value)),
                            }
                            " " (belief(value))
                        }
                    }
                }
            }
            @if !exchange.masked.is_empty() {
                dt { "Masked" }
                dd { ul.paths { @for masked in exchange.masked.iter().take(20) {
                    li { (code(&masked.path)) @if masked.count > 1 { " " (masked.count) " times" } }
                } @if exchange.masked.len() > 20 { li { "and " (exchange.masked.len() - 20) " more" } } } }
            }
            @if let Some(why) = ended(exchange) { dt { "Ended" } dd { (why) @if !exchange.reason.is_empty() { " " (code(&exchange.reason)) } } }
            dt { "Record" }
            dd {
                @match exchange.delivery {
                    Some(Delivery::Confirmed) => { "on disk before the request was let through" }
                    Some(Delivery::Buffered) => { "written when it was over" }
                    None => { "parts of it are missing" }
                }
                ", " @if exchange.verified { (chip("good", "✓ signed", "Its signature was checked on arrival.")) }
                @else { (chip("warn", "signature not checked", "This server was given no public key, or not this recorder's.")) }
            }
            dt { "Request" }
            dd.wire { code { bdi { (line(&head.method)) " " (line(&head.request_uri)) } } }
            @if !head.source_ips.is_empty() { dt { "From" } dd { (text(&head.source_ips.join(", "))) } }
        }
    }
}

/// Where the time went, as a bar.
pub(super) fn timing(timing: &Timing) -> Markup {
    let (Some(received), Some(complete)) = (timing.received, timing.complete) else { return html! {} };
    let total = complete.micros().saturating_sub(received.micros()).max(1);
    let parts = [
        ("Chaperone", "own", Some(received), timing.forwarded.or(timing.first_byte).or(Some(complete))),
        ("API server", "api", timing.forwarded, timing.first_byte.or(Some(complete))),
        ("Body", "body", timing.first_byte, Some(complete)),
    ];
    let parts: Vec<_> = parts
        .into_iter()
        .filter_map(|(name, class, from, to)| Some((name, class, from?, to?)))
        .filter(|(.., from, to)| to > from)
        .collect();
    // Thousandths of the whole: the bar is drawn in that many units.
    let share = |from: Timestamp, to: Timestamp| to.micros().saturating_sub(from.micros()) * 1000 / total;
    html! {
        figure.timing {
            svg viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true" {
                @for (_, class, from, to) in &parts {
                    rect.(class) x=(share(received, *from)) y="0" width=(share(*from, *to).max(2)) height="10" {}
                }
            }
            figcaption {
                @for (name, class, from, to) in &parts {
                    span.key.(class) { (name) " " (duration(to.micros().saturating_sub(from.micros()))) }
                }
            }
        }
    }
}
