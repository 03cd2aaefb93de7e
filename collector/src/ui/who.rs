//! `/who?user=…` or `?agent=…`: what a user or an agent does.

use super::layout::{Failed, Page, empty, page};
use super::link::{self, Query};
use super::words::{moment, number, text};
use super::{plot, sessions, table};
use crate::server::App;
use crate::server::viewer::Viewer;
use crate::store::filter::Filter;
use crate::store::survey::{About, Dimension};
use axum::extract::State;
use maud::{Markup, html};
use std::sync::Arc;

/// Bars of a plot.
const BARS: usize = 60;

pub(super) async fn show(viewer: Viewer, State(app): State<Arc<App>>, query: Query) -> Result<Page, Failed> {
    let (field, value) = ["user", "agent"]
        .into_iter()
        .find_map(|field| Some((field, query.find(field)?)))
        .ok_or_else(|| Failed::Query("`user` or `agent` is missing: whose page this is".to_owned()))?;
    let mut filter = Filter::default();
    filter
        .set(field, value)
        .and_then(|()| filter.check())
        .map_err(|error| Failed::Query(error.to_string()))?;
    let about = About { filter: filter.clone(), ..About::default() };
    let reader = &app.reader;
    let counts = reader.counts(&about).await?;
    if counts.requests == 0 {
        return Err(Failed::missing(if field == "user" { "user" } else { "agent" }));
    }
    let width = counts.last.saturating_sub(counts.first) / i64::try_from(BARS).unwrap_or(1) + 1;
    let course = reader.over_time(&about, counts.first, width).await?;
    let (other, others) = match field {
        "user" => ("agent", reader.tally(Dimension::Agent, &about, false, 10).await?),
        _ => ("user", reader.tally(Dimension::User, &about, false, 10).await?),
    };
    let namespaces = reader.tally(Dimension::Namespace, &about, false, 10).await?;
    let verbs = reader.tally(Dimension::Verb, &about, false, 12).await?;
    let kinds = reader.kinds(&about, 15).await?;
    let found = reader.sessions(&filter, 10, None).await?;
    let search = |more: &[(&str, &str)]| link::to("/search", &[&[(field, value)], more].concat());
    let tile = |label: &str, class: &str, show: &str, total: i64, values: Vec<i64>| -> Markup {
        html! {
            a.tile.(class).none[total == 0] href=(search(&[("show", show)])) {
                span.label { (label) } strong { (number(total)) } (plot::bars(label, &values))
            }
        }
    };
    let of = |value: fn(&crate::store::survey::Counts) -> i64| {
        plot::spread(BARS, course.iter().map(|(at, counts)| (*at, value(counts))))
    };
    let content = html! {
        h1 { span.dim { @if field == "user" { "User " } @else { "Agent " } } (text(value)) }
        p.dim { "From " (moment(counts.first)) " to " (moment(counts.last)) ". Each plot covers all of it." }
        div.tiles {
            (tile("Steps", "plain", "", counts.requests, of(|c| c.requests)))
            (tile("Writes", "writes", "writes", counts.writes, of(|c| c.writes)))
            (tile("Refusals", "refused", "refused", counts.refused, of(|c| c.refused)))
            (tile("Masked values", "hidden", "masked", counts.masked, of(|c| c.masked)))
        }
        div.panels {
            section {
                h2 { "Done for the first time" }
                @if kinds.is_empty() { (empty("Nothing was done to any resource.", "")) }
                @else { (table::kinds(&kinds, |kind| search(&[("verb", &kind.verb), ("resource", &kind.resource), ("apiGroup", &kind.group)]))) }
            }
            section {
                h2 { "Namespaces" }
                @if namespaces.is_empty() { (empty("In no namespace.", "")) }
                @else { (table::tallies("Namespace", &namespaces, |namespace| search(&[("namespace", namespace)]))) }
            }
            section {
                h2 { "Verbs" }
                (table::tallies("Verb", &verbs, |verb| search(&[("verb", verb)])))
            }
            section {
                h2 { @if other == "agent" { "Agents" } @else { "Users" } }
                @if others.is_empty() { (empty("None known.", "")) }
                @else { (table::tallies(if other == "agent" { "Agent" } else { "User" }, &others, |name| link::to("/who", &[(other, name)]))) }
            }
        }
        section {
            h2 { "Latest sessions" a.all href=(link::to("/sessions", &[(field, value)])) { "All" } }
            (sessions::list(&found.sessions))
        }
    };
    let title = crate::present::sanitize::line(value).into_owned();
    Ok(page(&viewer, "", &title, content))
}
