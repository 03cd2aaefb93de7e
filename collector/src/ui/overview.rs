//! `/`: what happened lately, and what stands out.

use super::layout::{Failed, Page, empty, page};
use super::link::{self, Query};
use super::step::{Around, step};
use super::words::{moment, number};
use super::{plot, sessions, table};
use crate::server::viewer::Viewer;
use crate::server::{App, now};
use crate::store::filter::Filter;
use crate::store::survey::{About, Counts, Dimension, Show};
use axum::extract::State;
use chaperone_record::Timestamp;
use maud::{Markup, html};
use std::sync::Arc;

const MINUTE: i64 = 60_000_000;

/// Spans to choose from: word, label, microseconds a bar, bars, what a bar is.
const SPANS: [(&str, &str, i64, usize, &str); 4] = [
    ("1h", "Hour", MINUTE, 60, "a minute"),
    ("24h", "Day", 30 * MINUTE, 48, "30 minutes"),
    ("7d", "Week", 180 * MINUTE, 56, "3 hours"),
    ("30d", "30 days", 720 * MINUTE, 60, "12 hours"),
];

/// A number with its course over time, and where it leads.
struct Tile {
    label: &'static str,
    class: &'static str,
    why: &'static str,
    href: String,
    values: Vec<i64>,
}

pub(super) async fn show(viewer: Viewer, State(app): State<Arc<App>>, query: Query) -> Result<Page, Failed> {
    let asked = query.find("since").unwrap_or("7d");
    let (word, _, width, count, bar) = SPANS.into_iter().find(|(word, ..)| *word == asked).unwrap_or((
        "7d",
        "Week",
        180 * MINUTE,
        56,
        "3 hours",
    ));
    let until = i64::try_from(now().micros()).unwrap_or(i64::MAX);
    let from = until.saturating_sub(width.saturating_mul(i64::try_from(count).unwrap_or(1)));
    let since = Timestamp::from_micros(u64::try_from(from).unwrap_or(0));
    let about =
        |show| About { filter: Filter { since: Some(since), ..Filter::default() }, show, ..About::default() };
    let reader = &app.reader;
    let course = reader.over_time(&about(Show::All), from, width).await?;
    let gaps = reader.gaps_over_time(from, width).await?;
    let of = |value: fn(&Counts) -> i64| {
        plot::spread(count, course.iter().map(|(at, counts)| (*at, value(counts))))
    };
    let search = |show| link::to("/search", &[("show", show), ("since", word)]);
    let tile = |label, class, why, href, values| Tile { label, class, why, href, values };
    let tiles = [
        tile(
            "Writes",
            "writes",
            "Requests that change something, and were let through.",
            search("writes"),
            of(|c| c.writes),
        ),
        tile(
            "Refusals",
            "refused",
            "What the filter did not let through.",
            search("refused"),
            of(|c| c.refused),
        ),
        tile(
            "Masked values",
            "hidden",
            "Secret values that agents got a replacement for.",
            search("masked"),
            of(|c| c.masked),
        ),
        tile(
            "Lost entries",
            "warn",
            "Entries that recorders admit to have dropped.",
            "/verification".to_owned(),
            plot::spread(count, gaps),
        ),
        tile(
            "Incomplete",
            "warn",
            "Requests whose end is not in the records.",
            search("incomplete"),
            of(|c| c.incomplete),
        ),
        tile(
            "Signature not checked",
            "warn",
            "Records taken without a checked signature.",
            search("unverified"),
            of(|c| c.unverified),
        ),
    ];
    let refused = reader.page(&about(Show::Refused), true, 6, None).await?;
    let mut deletions = Vec::new();
    for verb in ["delete", "deletecollection"] {
        let mut about = about(Show::Writes);
        about.filter.verb = Some(verb.to_owned());
        deletions.extend(reader.page(&about, true, 6, None).await?.exchanges);
    }
    deletions.sort_by_key(|exchange| std::cmp::Reverse(exchange.time));
    deletions.truncate(6);
    let agents = reader.tally(Dimension::Agent, &about(Show::All), false, 8).await?;
    let users = reader.tally(Dimension::User, &about(Show::All), false, 8).await?;
    let recent = reader.sessions(&Filter::default(), 6, None).await?;

    let content = html! {
        div.heading {
            h1 { "Overview" }
            nav.choice aria-label="Span of time" {
                @for (other, label, ..) in SPANS {
                    a href=(link::to("/", &[("since", other)])) aria-current=[(other == word).then_some("true")] { (label) }
                }
            }
        }
        p.dim { "Since " (moment(from)) ". Each bar is " (bar) "." }
        div.tiles { @for tile in &tiles { (shown(tile)) } }
        @if recent.sessions.is_empty() {
            (empty("No record has arrived yet.", "Point a filter's recording.collector here, and let an agent make a request through it."))
        } @else {
            div.panels {
                section {
                    h2 { "Latest refusals" a.all href=(search("refused")) { "All" } }
                    @if refused.exchanges.is_empty() { (empty("Nothing was refused in this time.", "")) }
                    div.steps { @for exchange in &refused.exchanges { (step(exchange, Around::default())) } }
                }
                section {
                    h2 { "Latest deletions" a.all href=(link::to("/search", &[("verb", "delete"), ("show", "writes"), ("since", word)])) { "All" } }
                    @if deletions.is_empty() { (empty("Nothing was deleted in this time.", "")) }
                    div.steps { @for exchange in &deletions { (step(exchange, Around::default())) } }
                }
                section {
                    h2 { "Agents" }
                    @if agents.is_empty() { (empty("No agent acted in this time.", "")) }
                    @else { (table::tallies("Agent", &agents, |agent| link::to("/who", &[("agent", agent)]))) }
                }
                section {
                    h2 { "Users" }
                    @if users.is_empty() { (empty("Nobody acted in this time.", "")) }
                    @else { (table::tallies("User", &users, |user| link::to("/who", &[("user", user)]))) }
                }
            }
            section {
                h2 { "Latest sessions" a.all href="/sessions" { "All" } }
                (sessions::list(&recent.sessions))
            }
        }
    };
    Ok(page(&viewer, "/", "Overview", content))
}

fn shown(tile: &Tile) -> Markup {
    let total: i64 = tile.values.iter().sum();
    html! {
        a.tile.(tile.class).none[total == 0] href=(tile.href) title=(tile.why) {
            span.label { (tile.label) }
            strong { (number(total)) }
            (plot::bars(tile.label, &tile.values))
        }
    }
}
