//! `/sessions/{id}`: what a session did, step by step, prompt by prompt.

use super::layout::{Failed, Page, command, empty, more, page};
use super::link::{self, Query};
use super::sessions::{evidence, is_live, live};
use super::step::{Around, step};
use super::table::count;
use super::words::{belief, clock, counted, moment, number, text};
use crate::present::sentence::is_discovery;
use crate::present::timeline::duration;
use crate::server::App;
use crate::server::viewer::Viewer;
use crate::store::filter::Filter;
use crate::store::model::{ExchangeSummary, RecordedGap, SessionSummary};
use crate::store::survey::{About, Dimension, Show, Tally};
use axum::extract::{Path, State};
use chaperone_record::Attributed;
use maud::{Markup, html};
use std::sync::Arc;

/// Steps on a page.
const PAGE: u32 = 100;

/// Most prompts that are listed beside the steps.
const PROMPTS: u32 = 200;

pub(super) async fn show(
    viewer: Viewer,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    query: Query,
) -> Result<Page, Failed> {
    let reader = &app.reader;
    // Its numbers and gaps; the steps are chosen below.
    let detail = reader.session_detail(&id, 1, None).await?.ok_or(Failed::missing("session"))?;
    let session = detail.summary;
    let chosen = query.get("show");
    let show = Show::ALL.into_iter().find(|show| show.as_str() == chosen).unwrap_or_default();
    let prompt = query.find("prompt").map(str::to_owned);
    let about = About {
        session: Some(session.session.clone()),
        filter: Filter { prompt: prompt.clone(), ..Filter::default() },
        show,
        ..About::default()
    };
    let after = query.find("after");
    let found = reader.page(&about, false, PAGE, after).await?;
    let before = match after {
        Some(after) => reader.position(&about, after).await?,
        None => 0,
    };
    let all = About { session: Some(session.session.clone()), ..About::default() };
    let prompts = reader.tally(Dimension::Prompt, &all, true, PROMPTS).await?;
    let path = link::session(&session.session);
    let content = html! {
        (header(&session, &path, show))
        div.beside {
            @if prompts.len() > 1 || prompt.is_some() { (index(&session, &prompts, &path, prompt.as_deref())) }
            div {
                p.dim.position {
                    span data-part="position" {
                        @let last = before + i64::try_from(found.exchanges.len()).unwrap_or(0);
                        @if found.exchanges.is_empty() { "" }
                        @else { "Steps " (number(before + 1)) " to " (number(last)) (total(&session, show, prompt.is_some())) }
                        @if after.is_some() { " · " a href=(without_after(&query, &path)) { "From the beginning" } }
                    }
                    @if is_live(&session) { " " span.tail data-tail=(session.session) role="status" {} }
                }
                div data-part="steps" {
                    @if found.exchanges.is_empty() {
                        (empty("No step fits.", "Choose another view above."))
                    }
                    (timeline(&session, &found.exchanges, &detail.gaps, after.is_none(), found.next.is_none()))
                    (more(found.next.map(|next| query.with(&path, "after", &next))))
                }
            }
        }
        section.proof {
            h2 { "Take it with you" }
            p { "An export holds this session as it was signed. Whoever has the recorder's public key can check it without this server:" }
            (command(&format!("chaperone export --session {} --out session.bundle", quoted(&session.session))))
            (command("chaperone verify session.bundle --public-key public-keys.json"))
        }
    };
    let who = session.users.first().map_or("nobody known", |user| user.username.as_str());
    let title = format!("Session of {}", crate::present::sanitize::line(who));
    Ok(page(&viewer, "/sessions", &title, content))
}

/// An argument for a shell.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", crate::present::sanitize::escape(text).replace('\'', "'\\''"))
}

fn total(session: &SessionSummary, show: Show, part: bool) -> String {
    let of = |count: i64| format!(" of {}", number(count));
    match show {
        _ if part => String::new(),
        Show::All => of(session.requests),
        Show::Writes => of(session.writes),
        Show::Refused => of(session.refused),
        Show::Masked => String::new(),
    }
}

fn without_after(query: &Query, path: &str) -> String {
    let pairs: Vec<_> = query.pairs().filter(|(name, _)| *name != "after").collect();
    link::to(path, &pairs)
}

/// The word for so many.
fn of(count: i64, one: &'static str, many: &'static str) -> &'static str {
    if count == 1 { one } else { many }
}

fn header(session: &SessionSummary, path: &str, show: Show) -> Markup {
    let choices = [
        (Show::All, of(session.requests, "step", "steps"), session.requests, ""),
        (Show::Writes, of(session.writes, "write", "writes"), session.writes, "writes"),
        (Show::Refused, "refused", session.refused, "refused"),
        (Show::Masked, of(session.masked, "value masked", "values masked"), session.masked, "hidden"),
    ];
    html! {
        p.crumbs { a href="/sessions" { "Sessions" } }
        h1.session {
            @for (index, user) in session.users.iter().enumerate() {
                @if index > 0 { ", " }
                @if user.username.is_empty() { "nobody known" }
                @else { a href=(link::to("/who", &[("user", &user.username)])) { (text(&user.username)) } }
            }
            @if !session.agents.is_empty() { span.dim { " with " } }
            @for (index, agent) in session.agents.iter().enumerate() {
                @if index > 0 { ", " }
                a href=(link::to("/who", &[("agent", &agent.value)])) { (text(&agent.value)) }
            }
            @if is_live(session) { " " (live()) }
        }
        dl.facts.head data-part="facts" {
            @for user in session.users.iter().filter(|user| !user.username.is_empty()) {
                dt { "User" }
                dd { (text(&user.username)) " at " (text(&user.issuer))
                    @if !user.groups.is_empty() { span.dim { ", groups " (text(&user.groups.join(", "))) } } }
            }
            @for (name, values) in [("Agent", &session.agents), ("Model", &session.models)] {
                @for value in values { dt { (name) } dd { (text(&value.value)) " " (belief(value)) } }
            }
            dt { "When" }
            dd { (moment(session.started)) ", took " (duration(u64::try_from(session.ended.saturating_sub(session.started)).unwrap_or(0))) }
            dt { "Evidence" }
            dd { (evidence(session)) " " a href="/verification" { "Verification" } }
            dt { "Session" }
            dd { (text(&session.session)) @if session.derived { span.dim { " (made up here: the agent named none)" } } }
        }
        nav.choice.counts data-part="counts" aria-label="Which steps" {
            @for (other, label, total, class) in choices {
                a href=(link::to(path, &[("show", if other == Show::All { "" } else { other.as_str() })]))
                    aria-current=[(other == show).then_some("true")] { (count(total, class)) " " (label) }
            }
            @if session.failed > 0 { span.note { (number(session.failed)) " failed" } }
        }
    }
}

/// The prompts, in order, each with what came of it.
fn index(session: &SessionSummary, prompts: &[Tally], path: &str, chosen: Option<&str>) -> Markup {
    html! {
        aside data-part="prompts" {
            details.prompts open {
                summary { (counted(i64::try_from(prompts.len()).unwrap_or(0), "prompt")) }
                ol {
                    @for prompt in prompts {
                        @let is_chosen = chosen == Some(prompt.value.as_str());
                        li {
                            a href=(link::to(path, &[("prompt", &prompt.value)])) aria-current=[is_chosen.then_some("true")] {
                                (text(&prompt.value))
                            }
                            span.sub {
                                (counted(prompt.counts.requests, "step"))
                                @if prompt.counts.writes > 0 { ", " span.writes { (counted(prompt.counts.writes, "write")) } }
                                @if prompt.counts.refused > 0 { ", " span.refused { (number(prompt.counts.refused)) " refused" } }
                            }
                        }
                    }
                }
                @if chosen.is_some() { p { a href=(path) { "All prompts" } } }
                @else if session.prompts.len() > prompts.len() { p.dim { "and more" } }
            }
        }
    }
}

/// The steps, with a heading wherever the prompt changes, and what was lost where it was lost.
fn timeline(
    session: &SessionSummary,
    exchanges: &[ExchangeSummary],
    gaps: &[RecordedGap],
    first: bool,
    last: bool,
) -> Markup {
    let mut gaps = gaps.iter().peekable();
    if !first {
        // Those before this page were told on the pages before.
        let began = exchanges.first().map(|exchange| exchange.time);
        while gaps.next_if(|gap| began.is_some_and(|began| gap.gap.time < began)).is_some() {}
    }
    let mut groups: Vec<(Option<&Attributed>, Vec<Markup>)> = Vec::new();
    let mut rest = exchanges;
    while let Some(exchange) = rest.first() {
        let prompt = exchange.requested.as_ref().and_then(|head| head.attribution.prompt.as_ref());
        let known = exchange.requested.is_some();
        match groups.last() {
            Some((current, _)) if *current == prompt || !known => {}
            _ => groups.push((prompt, Vec::new())),
        }
        let same = |other: &&ExchangeSummary| {
            is_discovery(other)
                && other.requested.as_ref().and_then(|head| head.attribution.prompt.as_ref()) == prompt
        };
        let discovery = rest.iter().take_while(same).count();
        let taken = discovery.max(1);
        let (these, after) = rest.split_at_checked(taken).unwrap_or((rest, &[]));
        if let Some((_, steps)) = groups.last_mut() {
            while let Some(gap) = gaps.next_if(|gap| gap.gap.time <= exchange.time) {
                steps.push(lost(gap));
            }
            steps.push(if discovery > 1 {
                learned(these)
            } else {
                step(exchange, Around { in_session: true })
            });
        }
        rest = after;
    }
    if last && let Some((_, steps)) = groups.last_mut() {
        steps.extend(gaps.map(lost));
    }
    html! {
        @for (prompt, steps) in groups {
            section.prompt {
                h2 {
                    @match prompt {
                        Some(prompt) => { span.dim { "Prompt " } (text(&prompt.value)) " " (belief(prompt)) }
                        None => @if session.prompts.is_empty() { "Steps" } @else { "Without a prompt" },
                    }
                }
                div.steps { @for step in steps { (step) } }
            }
        }
    }
}

/// Requests by which a client learns the API, as one step.
fn learned(exchanges: &[ExchangeSummary]) -> Markup {
    html! {
        details.step.quiet data-row {
            summary {
                span.when { @if let Some(exchange) = exchanges.first() { (clock(exchange.time)) } }
                span.dot aria-hidden="true" {}
                span.what { (counted(i64::try_from(exchanges.len()).unwrap_or(0), "request")) " to learn what the API offers" }
            }
            div.steps.inner { @for exchange in exchanges { (step(exchange, Around { in_session: true })) } }
        }
    }
}

fn lost(gap: &RecordedGap) -> Markup {
    let entries = i64::try_from(gap.gap.entries).unwrap_or(i64::MAX);
    html! {
        p.gap {
            span.when { (clock(gap.gap.time)) }
            strong { "Something is missing here: " }
            (number(entries)) @if entries == 1 { " entry was" } @else { " entries were" }
            " lost by the recorder (" (text(&gap.gap.reason)) "). " a href="/verification" { "Verification" }
        }
    }
}
