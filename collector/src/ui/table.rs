//! Values with their counts, as a table.

use super::words::{moment, number, text};
use crate::store::survey::{Kind, Tally};
use maud::{Markup, html};

/// A row for each value; `href` leads to what is behind it.
pub(super) fn tallies(heading: &str, rows: &[Tally], href: impl Fn(&str) -> String) -> Markup {
    html! {
        table.tallies {
            thead { tr {
                th scope="col" { (heading) } th.number scope="col" { "Steps" } th.number scope="col" { "Writes" }
                th.number scope="col" { "Refused" } th.number scope="col" { "Masked" }
            } }
            tbody {
                @for row in rows {
                    tr {
                        th scope="row" { a href=(href(&row.value)) { (text(&row.value)) } }
                        td.number { (number(row.counts.requests)) }
                        td.number { (count(row.counts.writes, "writes")) }
                        td.number { (count(row.counts.refused, "refused")) }
                        td.number { (count(row.counts.masked, "hidden")) }
                    }
                }
            }
        }
    }
}

/// A number that stands back where it is zero.
pub(super) fn count(value: i64, class: &str) -> Markup {
    if value == 0 {
        html! { span.zero { "0" } }
    } else {
        html! { span.(class) { (number(value)) } }
    }
}

/// What was done for the first time, and when.
pub(super) fn kinds(rows: &[Kind], href: impl Fn(&Kind) -> String) -> Markup {
    html! {
        table.tallies {
            thead { tr { th scope="col" { "What" } th scope="col" { "For the first time" } th.number scope="col" { "Times" } } }
            tbody {
                @for row in rows {
                    tr {
                        th scope="row" {
                            a href=(href(row)) { (text(&row.verb)) " " (text(&row.resource)) @if row.group.contains('.') { "." (text(&row.group)) } }
                            @if !row.allowed { " " span.refused { "always refused" } }
                        }
                        td { (moment(row.first)) }
                        td.number { (number(row.count)) }
                    }
                }
            }
        }
    }
}
