//! `/access-log` and `/tokens`: who reads, for administrators.

use super::layout::{Failed, Page, command, empty, more, page};
use super::link::Query;
use super::words::{chip, code, moment, text};
use crate::server::viewer::Viewer;
use crate::server::{App, now};
use crate::store::access::{Role, TokenSummary};
use axum::extract::State;
use chaperone_record::Timestamp;
use maud::{Markup, html};
use std::sync::Arc;

/// Rows on a page.
const PAGE: u32 = 100;

fn administrator(viewer: &Viewer) -> Result<(), Failed> {
    if viewer.role == Role::Admin { Ok(()) } else { Err(Failed::Forbidden) }
}

fn at(time: Timestamp) -> Markup {
    moment(i64::try_from(time.micros()).unwrap_or(i64::MAX))
}

pub(super) async fn log(viewer: Viewer, State(app): State<Arc<App>>, query: Query) -> Result<Page, Failed> {
    administrator(&viewer)?;
    let found = app.reader.access_log(None, PAGE, query.find("after")).await?;
    let content = html! {
        h1 { "Access log" }
        p.lead { "Who read what, or tried to, the newest first. Nothing is shown before it stands here." }
        @if found.accesses.is_empty() { (empty("Nobody has read anything.", "")) }
        table.log {
            thead { tr { th scope="col" { "When" } th scope="col" { "Who" } th scope="col" { "Role" } th scope="col" { "What" } } }
            tbody { @for access in &found.accesses {
                tr data-row {
                    td { (at(access.time)) } td { (text(&access.name)) } td { (access.role.as_str()) }
                    td {
                        (code(&access.request))
                        @if access.refused { " " (chip("bad", "refused", "The role does not allow it, or too much was asked.")) }
                    }
                }
            } }
        }
        (more(found.next.map(|next| query.with("/access-log", "after", &next))))
    };
    Ok(page(&viewer, "/access-log", "Access log", content))
}

pub(super) async fn tokens(viewer: Viewer, State(app): State<Arc<App>>) -> Result<Page, Failed> {
    administrator(&viewer)?;
    let tokens = app.reader.tokens().await?;
    let content = html! {
        h1 { "Tokens" }
        p.lead { "Who may post and who may read. Texts of tokens are not kept, only their digests." }
        @if tokens.is_empty() { (empty("There are no tokens in the database: only those of the server's configuration.", "Make one as below.")) }
        @else {
            table.log {
                thead { tr {
                    th scope="col" { "Whose" } th scope="col" { "Role" } th scope="col" { "Posts for" } th scope="col" { "State" } th scope="col" { "Made" }
                    th scope="col" { "Ends" } th scope="col" { "Id" }
                } }
                tbody { @for token in &tokens {
                    tr data-row {
                        th scope="row" { (text(&token.name)) } td { (token.role.as_str()) }
                        td { @match (&token.recorder, token.role) {
                            (Some(recorder), _) => (code(recorder.as_str())),
                            (None, Role::Ingest) => "any recorder",
                            (None, _) => "",
                        } }
                        td { (state(token)) } td { (at(token.created)) }
                        td { @match token.expires { Some(expires) => (at(expires)), None => "never" } }
                        td { (code(&token.id)) }
                    }
                } }
            }
        }
        section.proof {
            h2 { "Make one, end one" }
            (command("chaperone token create --role auditor --name NAME"))
            (command("chaperone token revoke ID"))
        }
    };
    Ok(page(&viewer, "/tokens", "Tokens", content))
}

fn state(token: &TokenSummary) -> Markup {
    match (token.revoked, token.expires) {
        (Some(_), _) => chip("bad", "revoked", "It lets nobody in any more."),
        (None, Some(expires)) if expires <= now() => chip("warn", "expired", "Its time is over."),
        (None, _) => chip("good", "good", "It lets its holder in."),
    }
}
