//! What every page has around it, and what is shown where there is none.

use super::assets::{ICON, SCRIPT, STYLE, THEME};
use super::words::text;
use crate::server::viewer::Viewer;
use crate::store::StoreError;
use crate::store::access::Role;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

/// A page, ready to be sent.
pub(super) struct Page(StatusCode, Markup);

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        (self.0, Html(self.1.into_string())).into_response()
    }
}

/// The pages that the menu names.
const MENU: [(&str, &str, Role); 6] = [
    ("/", "Overview", Role::Auditor),
    ("/sessions", "Sessions", Role::Auditor),
    ("/search", "Search", Role::Auditor),
    ("/verification", "Verification", Role::Auditor),
    ("/access-log", "Access log", Role::Admin),
    ("/tokens", "Tokens", Role::Admin),
];

/// A page with the menu; `here` is the menu's entry it belongs to.
pub(super) fn page(viewer: &Viewer, here: &str, title: &str, content: Markup) -> Page {
    let entries = MENU.iter().filter(|(.., role)| *role != Role::Admin || viewer.role == Role::Admin);
    let menu = html! {
        nav aria-label="Pages" {
            @for (path, name, _) in entries {
                a href=(path) aria-current=[(*path == here).then_some("page")] { (name) }
            }
        }
        form.find action="/search" role="search" {
            input #find type="search" name="q" placeholder="Search everything  ( / )" aria-label="Search everything" autocomplete="off";
        }
        div.self {
            span title={ "You read with a token of role " (viewer.role.as_str()) "." } { (text(&viewer.name)) }
            @if !viewer.csrf.is_empty() {
                form method="post" action="/logout" {
                    input type="hidden" name="csrf" value=(viewer.csrf);
                    button { "Log out" }
                }
            }
            button.quiet type="button" data-theme-toggle hidden title="Light or dark" aria-label="Light or dark" { "◐" }
            button.quiet type="button" data-help hidden title="Keys (?)" aria-label="Keys" { "?" }
        }
    };
    Page(StatusCode::OK, document(title, menu, content))
}

fn document(title: &str, menu: Markup, content: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · Chaperone" }
                link rel="icon" href=(ICON.url());
                link rel="stylesheet" href=(STYLE.url());
                script src=(THEME.url()) {}
                script type="module" src=(SCRIPT.url()) {}
            }
            body {
                a.skip href="#content" { "Skip to content" }
                header.top {
                    a.brand href="/" { img src=(ICON.url()) alt="" width="22" height="22"; "Chaperone" }
                    (menu)
                }
                main #content tabindex="-1" { (content) }
                dialog #keys aria-label="Keys" {
                    h2 { "Keys" }
                    dl.keys {
                        dt { kbd { "j" } " " kbd { "k" } } dd { "next, previous step or row" }
                        dt { kbd { "Enter" } } dd { "open or close it" }
                        dt { kbd { "o" } } dd { "go to its own page" }
                        dt { kbd { "/" } } dd { "search" }
                        dt { kbd { "n" } } dd { "next page" }
                        dt { kbd { "?" } } dd { "these keys" }
                    }
                    form method="dialog" { button { "Close" } }
                }
            }
        }
    }
}

/// Why there is no page.
#[derive(Debug)]
pub(super) enum Failed {
    /// There is no such thing.
    Missing(&'static str),
    /// A parameter that cannot be meant.
    Query(String),
    /// For others only.
    Forbidden,
    /// The database.
    Store,
}

impl Failed {
    pub(super) fn missing(what: &'static str) -> Self {
        Self::Missing(what)
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "Could not read the database.");
        Self::Store
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let (status, title, what, next) = match self {
            Self::Missing(what) => (
                StatusCode::NOT_FOUND,
                "Not found",
                format!("There is no such {what} in the records."),
                "It may have been pruned, or the link was cut when it was copied.",
            ),
            Self::Query(detail) => (
                StatusCode::BAD_REQUEST,
                "This question cannot be read",
                detail,
                "Go back and change the form.",
            ),
            Self::Forbidden => (
                StatusCode::FORBIDDEN,
                "For administrators",
                "This page is for tokens of role admin.".to_owned(),
                "Make one with: chaperone token create --role admin",
            ),
            Self::Store => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The database could not be read",
                "The records are safe; this server cannot reach them.".to_owned(),
                "Load the page again. If it stays so, the server's log says why.",
            ),
        };
        let content = html! {
            section.message { h1 { (title) } p { (what) } p.dim { (next) } p { a href="/" { "To the overview" } } }
        };
        Page(status, document(title, html! {}, content)).into_response()
    }
}

/// What is said where there is nothing to show.
pub(super) fn empty(what: &str, next: &str) -> Markup {
    html! { div.empty { p { (what) } p.dim { (next) } } }
}

/// The link to the page after this one.
pub(super) fn more(href: Option<String>) -> Markup {
    html! { @if let Some(href) = href { p.more { a.button rel="next" href=(href) { "Next page" } } } }
}

/// A command to copy.
pub(super) fn command(command: &str) -> Markup {
    html! {
        div.command {
            pre { code { (command) } }
            button type="button" data-copy=(command) hidden { "Copy" }
        }
    }
}
