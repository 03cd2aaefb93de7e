//! `/search`: steps of all sessions.

use super::filters;
use super::layout::{Failed, Page, empty, more, page};
use super::link::Query;
use super::step::{Around, step};
use crate::server::App;
use crate::server::viewer::Viewer;
use axum::extract::State;
use maud::html;
use std::sync::Arc;

/// Steps on a page.
const PAGE: u32 = 100;

pub(super) async fn show(viewer: Viewer, State(app): State<Arc<App>>, query: Query) -> Result<Page, Failed> {
    let found = app.reader.page(&filters::about(&query)?, true, PAGE, query.find("after")).await?;
    let content = html! {
        h1 { "Search" }
        p.lead { "Every request of every session, the newest first." }
        (filters::form("/search", &query, "Words in a request or response, like an object's name", true))
        div #results aria-live="polite" {
            @if found.exchanges.is_empty() {
                (empty("No step fits.", "Take a filter away, or shorten a word. Bodies that were recorded at level Metadata cannot be searched."))
            } @else {
                div.steps { @for exchange in &found.exchanges { (step(exchange, Around::default())) } }
                (more(found.next.map(|next| query.with("/search", "after", &next))))
            }
        }
    };
    Ok(page(&viewer, "/search", "Search", content))
}
