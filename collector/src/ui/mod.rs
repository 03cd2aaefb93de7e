//! The records in a browser: pages made on the server, that work without a script and are shared by their URL.
//!
//! Each page is a file here: [`overview`], [`sessions`], [`session`], [`exchange`], [`object`], [`who`], [`search`],
//! [`verification`] and [`access`]. They are put together from [`layout`], [`step`], [`transcript`], [`json`],
//! [`plot`] and [`words`].
//! Whatever a record says passes through [`words::text`] or `sanitize`: it is somebody else's text.

mod access;
mod assets;
mod diff;
mod exchange;
mod filters;
mod json;
mod layout;
mod link;
mod object;
mod overview;
mod plot;
mod search;
mod session;
mod sessions;
mod step;
mod table;
mod transcript;
mod verification;
mod who;
mod words;

use crate::server::App;
use axum::Router;
use axum::routing::get;
use std::sync::Arc;

/// The URL of how pages look; it can be loaded by anybody.
pub(crate) fn stylesheet() -> &'static str {
    assets::STYLE.url()
}

/// Every page and what they load.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(overview::show))
        .route("/sessions", get(sessions::show))
        .route("/sessions/{session}", get(session::show))
        .route("/exchanges/{exchange}", get(exchange::show))
        .route("/objects", get(object::show))
        .route("/who", get(who::show))
        .route("/search", get(search::show))
        .route("/verification", get(verification::show))
        .route("/access-log", get(access::log))
        .route("/tokens", get(access::tokens))
        .route("/assets/{name}", get(assets::get))
}
