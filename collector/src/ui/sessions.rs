//! `/sessions`: who let which agent do something, when, and how much.

use super::filters;
use super::layout::{Failed, Page, empty, more, page};
use super::link::{self, Query};
use super::table::count;
use super::words::{belief, chip, moment, number, text};
use crate::present::timeline::duration;
use crate::server::viewer::Viewer;
use crate::server::{App, now};
use crate::store::model::SessionSummary;
use axum::extract::State;
use maud::{Markup, html};
use std::sync::Arc;

/// Sessions on a page.
const PAGE: u32 = 50;

/// How long after its last request a session counts as live, in microseconds.
const LIVE: i64 = 2 * 60 * 1_000_000;

pub(super) async fn show(viewer: Viewer, State(app): State<Arc<App>>, query: Query) -> Result<Page, Failed> {
    let found = app.reader.sessions(&filters::filter(&query)?, PAGE, query.find("after")).await?;
    let content = html! {
        h1 { "Sessions" }
        p.lead { "A session is one agent at work: every request it made, in order." }
        (filters::form("/sessions", &query, "Words in a request or response, like an object's name", false))
        @if query.find("after").is_none() { p.tail data-tail="" role="status" {} }
        div #results data-part="sessions" aria-live="polite" {
            @if found.sessions.is_empty() {
                @if query.pairs().next().is_some() {
                    (empty("No session fits.", "Take a filter away, or shorten a word."))
                } @else {
                    (empty("No session yet.", "Sessions appear here as soon as a filter posts records."))
                }
            } @else {
                (list(&found.sessions))
                (more(found.next.map(|next| query.with("/sessions", "after", &next))))
            }
        }
    };
    Ok(page(&viewer, "/sessions", "Sessions", content))
}

/// True where a session had a request just now.
pub(super) fn is_live(session: &SessionSummary) -> bool {
    i64::try_from(now().micros()).unwrap_or(i64::MAX).saturating_sub(session.ended) < LIVE
}

/// The marker of a session that is going on.
pub(super) fn live() -> Markup {
    chip("live", "● live", "Its last request was less than 2 minutes ago.")
}

/// Sessions as a table; on a narrow screen each is a card.
pub(super) fn list(sessions: &[SessionSummary]) -> Markup {
    html! {
        table.sessions {
            thead { tr {
                th scope="col" { "Who" } th scope="col" { "Agent and model" } th scope="col" { "Started" }
                th.number scope="col" { "Took" } th.number scope="col" { "Steps" } th.number scope="col" { "Writes" }
                th.number scope="col" { "Refused" } th.number scope="col" { "Masked" } th scope="col" { "Evidence" }
            } }
            tbody { @for session in sessions { (row(session)) } }
        }
    }
}

fn row(session: &SessionSummary) -> Markup {
    let href = link::session(&session.session);
    html! {
        tr data-row data-href=(href) {
            th scope="row" {
                a href=(href) {
                    @for (index, user) in session.users.iter().enumerate().take(3) {
                        @if index > 0 { ", " }
                        @if user.username.is_empty() { "nobody known" } @else { (text(&user.username)) }
                    }
                    @if session.users.is_empty() { "nobody known" }
                }
                @if is_live(session) { " " (live()) }
                span.sub { (text(&session.session)) }
            }
            td {
                @for agent in session.agents.iter().take(3) { div { (text(&agent.value)) " " @if !agent.verified { (belief(agent)) } } }
                @for model in session.models.iter().take(3) { div.dim { (text(&model.value)) } }
            }
            td { (moment(session.started)) }
            td.number data-label="took" { (duration(u64::try_from(session.ended.saturating_sub(session.started)).unwrap_or(0))) }
            td.number data-label="steps" { (number(session.requests)) }
            td.number data-label="writes" { (count(session.writes, "writes")) }
            td.number data-label="refused" { (count(session.refused, "refused")) }
            td.number data-label="masked" { (count(session.masked, "hidden")) }
            td { (evidence(session)) }
        }
    }
}

/// Whether a session can be relied on, in a word or two.
pub(super) fn evidence(session: &SessionSummary) -> Markup {
    html! {
        @if session.unverified == 0 { (chip("good", "✓ signed", "The signature of every record was checked on arrival.")) }
        @else if session.unverified >= session.requests { (chip("warn", "not checked", "No signature was checked on arrival.")) }
        @else { (chip("warn", &format!("{} not checked", number(session.unverified)), "Records whose signature was not checked on arrival.")) }
        @if session.incomplete > 0 { " " (chip("warn", &format!("{} incomplete", number(session.incomplete)), "Requests whose end or beginning is not in the records.")) }
    }
}
