//! `/objects?group=&resource=&namespace=&name=`: everything any agent ever did to one object.

use super::layout::{Failed, Page, empty, more, page};
use super::link::{self, Query};
use super::step::{Around, step};
use super::table;
use super::words::{moment, number, text};
use crate::server::App;
use crate::server::viewer::Viewer;
use crate::store::filter::Filter;
use crate::store::survey::{About, Dimension, Part, Tally};
use axum::extract::State;
use chaperone_record::ObjectRef;
use maud::{Markup, html};
use std::sync::Arc;

/// Steps on a page.
const PAGE: u32 = 100;

pub(super) async fn show(viewer: Viewer, State(app): State<Arc<App>>, query: Query) -> Result<Page, Failed> {
    let object = ObjectRef {
        api_group: query.get("group").to_owned(),
        resource: query.get("resource").to_owned(),
        namespace: query.get("namespace").to_owned(),
        name: query.get("name").to_owned(),
        ..ObjectRef::default()
    };
    if object.resource.is_empty() || object.name.is_empty() {
        return Err(Failed::Query("`resource` and `name` are needed: which object this is about".to_owned()));
    }
    let reader = &app.reader;
    let about = |part, filter| About { object: Some((object.clone(), part)), filter, ..About::default() };
    let itself = about(Part::Itself, Filter::default());
    let counts = reader.counts(&itself).await?;
    let found = reader.page(&itself, true, PAGE, query.find("after")).await?;
    let named = Filter { words: Some(object.name.clone()), ..Filter::default() };
    let listed = match named.check() {
        Ok(()) => reader.page(&about(Part::Listed, named), true, 20, None).await?.exchanges,
        // A name without a letter or digit cannot be looked for.
        Err(_) => Vec::new(),
    };
    let allowed = |verb: &str| Filter {
        verb: Some(verb.to_owned()),
        decision: Some(crate::store::filter::Decision::Allowed),
        ..Filter::default()
    };
    let readers = reader.tally(Dimension::User, &about(Part::Itself, allowed("get")), false, 20).await?;
    let agents = reader.tally(Dimension::Agent, &about(Part::Itself, allowed("get")), false, 20).await?;
    let secret = object.api_group.is_empty() && object.resource == "secrets";
    let content = html! {
        h1 {
            span.dim { (text(&object.resource)) @if !object.api_group.is_empty() { "." (text(&object.api_group)) } " " }
            (text(&object.name))
            @if !object.namespace.is_empty() { span.dim { " in " (text(&object.namespace)) } }
        }
        @if counts.requests == 0 {
            (empty("No agent did anything to this object.", "Its name or namespace may be written otherwise; lists that hold it are below."))
        } @else {
            p.lead {
                (number(counts.requests)) " steps, " (table::count(counts.writes, "writes")) " writes, "
                (table::count(counts.refused, "refused")) " refused, from " (moment(counts.first)) " to " (moment(counts.last)) "."
            }
        }
        section {
            h2 { @if secret { "Who read this Secret" } @else { "Who read it" } }
            (seen(&readers, &agents, counts.masked, secret))
        }
        section {
            h2 { "Everything done to it" }
            div.steps { @for exchange in &found.exchanges { (step(exchange, Around::default())) } }
            (more(found.next.map(|next| query.with("/objects", "after", &next))))
        }
        section {
            h2 { "Lists and watches that name it" }
            @if listed.is_empty() { (empty("None whose recorded body names it.", "")) }
            div.steps { @for exchange in &listed { (step(exchange, Around::default())) } }
        }
    };
    let title = crate::present::sanitize::line(&object.name).into_owned();
    Ok(page(&viewer, "", &title, content))
}

fn seen(users: &[Tally], agents: &[Tally], masked: i64, secret: bool) -> Markup {
    if users.is_empty() {
        return empty("Nobody read it by name.", "Lists and watches that name it are below.");
    }
    let who = |field: &'static str, rows: &[Tally]| {
        html! {
            ul.readers { @for row in rows {
                li {
                    a href=(link::to("/who", &[(field, &row.value)])) { (text(&row.value)) }
                    span.dim { " " (number(row.counts.requests)) @if row.counts.requests == 1 { " time" } @else { " times" } ", last " (moment(row.counts.last)) }
                }
            } }
        }
    };
    html! {
        @if secret && masked > 0 {
            p { "What they got had its values " span.hidden { "masked" } ": " (number(masked)) " in all. The step tells which." }
        }
        @else if secret { p { "No value of it was masked: look at the steps below." } }
        (who("user", users))
        @if !agents.is_empty() { p.dim { "Agents:" } (who("agent", agents)) }
    }
}
