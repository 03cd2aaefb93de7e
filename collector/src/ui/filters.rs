//! The form that says which sessions or steps are meant, and what its fields mean.

use super::layout::Failed;
use super::link::Query;
use crate::store::filter::Filter;
use crate::store::survey::{About, Show};
use maud::{Markup, html};

/// Fields of the form beside the search, with their labels.
const FIELDS: [(&str, &str); 8] = [
    ("user", "User"),
    ("agent", "Agent"),
    ("model", "Model"),
    ("prompt", "Prompt"),
    ("verb", "Verb"),
    ("resource", "Resource"),
    ("namespace", "Namespace"),
    ("name", "Name"),
];

/// Spans of time to choose from.
const SPANS: [(&str, &str); 5] = [
    ("", "any time"),
    ("1h", "the last hour"),
    ("24h", "the last 24 hours"),
    ("7d", "the last 7 days"),
    ("30d", "the last 30 days"),
];

/// What else may be asked for.
const TRAITS: [(&str, &str); 6] = [
    ("", "anything"),
    ("writes", "a write"),
    ("refused", "a refusal"),
    ("masked", "masked values"),
    ("incomplete", "something incomplete"),
    ("unverified", "an unchecked signature"),
];

/// What the parameters ask for. Words may be typed in part.
pub(super) fn about(query: &Query) -> Result<About, Failed> {
    let mut about = About::default();
    let failed = |error: crate::store::filter::FilterError| Failed::Query(error.to_string());
    for (name, value) in query.pairs() {
        let value = value.trim();
        match (name, value) {
            ("after", _) => {}
            ("show", "writes") => about.show = Show::Writes,
            ("show", "refused") => about.show = Show::Refused,
            ("show", "masked") => about.show = Show::Masked,
            ("show", "incomplete") => about.filter.incomplete = true,
            ("show", "unverified") => about.filter.unverified = true,
            ("show", _) => {}
            ("q", _) => about.filter.set("q", &open_ended(value)).map_err(failed)?,
            (name, value) => about.filter.set(name, value).map_err(failed)?,
        }
    }
    match about.filter.check() {
        // A search that has only just begun asks for nothing yet.
        Err(_) if about.filter.words.as_ref().is_some_and(|words| !words.contains(char::is_alphanumeric)) => {
            about.filter.words = None;
        }
        other => other.map_err(failed)?,
    }
    Ok(about)
}

/// The filter alone, for sessions: what is shown of steps becomes a part of it as far as it can.
pub(super) fn filter(query: &Query) -> Result<Filter, Failed> {
    let About { mut filter, show, .. } = about(query)?;
    match show {
        Show::Refused => filter.decision = Some(crate::store::filter::Decision::Refused),
        Show::Masked => filter.masked = true,
        Show::Writes | Show::All => {}
    }
    Ok(filter)
}

/// The last word may go on.
fn open_ended(words: &str) -> String {
    match words.chars().last() {
        Some(last) if last.is_alphanumeric() => format!("{words}*"),
        _ => words.to_owned(),
    }
}

/// The form, filled with what was asked.
pub(super) fn form(path: &str, query: &Query, placeholder: &str, writes: bool) -> Markup {
    let open = FIELDS.iter().any(|(name, _)| query.find(name).is_some());
    let choices = |name: &'static str,
                   label: &'static str,
                   choices: &'static [(&'static str, &'static str)]| {
        html! {
            label { (label) " "
                select name=(name) {
                    @for (value, text) in choices.iter().filter(|(value, _)| writes || *value != "writes") {
                        option value=(value) selected[*value == query.get(name)] { (text) }
                    }
                }
            }
        }
    };
    html! {
        form.filters action=(path) data-live {
            div.line {
                input type="search" name="q" value=(query.get("q")) placeholder=(placeholder) aria-label=(placeholder) autocomplete="off";
                (choices("show", "with", &TRAITS))
                (choices("since", "in", &SPANS))
                button { "Search" }
            }
            details open[open] {
                summary { "More filters" }
                div.fields {
                    @for (name, label) in FIELDS {
                        label { (label) input name=(name) value=(query.get(name)) autocomplete="off" spellcheck="false"; }
                    }
                }
            }
            @if query.pairs().any(|(name, _)| name != "after") { a.clear href=(path) { "Clear all" } }
        }
        // A script fills it from what this browser keeps.
        div.saved data-saved=(path) hidden {
            ul aria-label="Saved filters" {}
            details {
                summary { "Save this filter" }
                input aria-label="Name of the filter" placeholder="Its name" maxlength="60" autocomplete="off";
                button type="button" data-save { "Save" }
                span.dim role="status" {}
            }
        }
    }
}
