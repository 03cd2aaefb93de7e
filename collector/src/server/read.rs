//! The auditors' read API. Every route needs the auditor token; without a configured one, none answers.

use super::problem::Problem;
use super::{App, auth, now};
use crate::store::StoreError;
use crate::store::model::{ExchangeDetail, RecorderSummary, SessionDetail, SessionList};
use axum::Json;
use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::{StatusCode, request::Parts};
use serde::Deserialize;
use std::sync::Arc;

/// Proof that the request carries the auditor token. Handlers that read take it first.
pub(super) struct Auditor;

impl FromRequestParts<Arc<App>> for Auditor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        auth::require(app.auditor_token.as_ref(), &parts.headers).map(|()| Self)
    }
}

/// `?limit=…&after=…`
#[derive(Deserialize)]
pub(super) struct Page {
    /// At most so many; see [`Page::limit`].
    limit: Option<u32>,
    /// The `next` of the page before.
    after: Option<String>,
}

impl Page {
    /// The limit, 100 where none is given and 1000 at most.
    fn limit(&self) -> u32 {
        self.limit.unwrap_or(100).clamp(1, 1000)
    }
}

/// `GET /v1/sessions`: the newest first.
pub(super) async fn sessions(
    _: Auditor,
    State(app): State<Arc<App>>,
    Query(page): Query<Page>,
) -> Result<Json<SessionList>, Problem> {
    Ok(Json(app.reader.sessions(page.limit(), page.after.as_deref()).await.map_err(failed)?))
}

/// `GET /v1/sessions/{id}`: the session with a page of its exchanges, in order.
pub(super) async fn session(
    _: Auditor,
    State(app): State<Arc<App>>,
    Path(session): Path<String>,
    Query(page): Query<Page>,
) -> Result<Json<SessionDetail>, Problem> {
    let found =
        app.reader.session_detail(&session, page.limit(), page.after.as_deref()).await.map_err(failed)?;
    found.map(Json).ok_or_else(|| missing("session"))
}

/// `GET /v1/exchanges/{id}`: the exchange with its entries and their bodies.
pub(super) async fn exchange(
    _: Auditor,
    State(app): State<Arc<App>>,
    Path(exchange): Path<String>,
) -> Result<Json<ExchangeDetail>, Problem> {
    app.reader.exchange(&exchange).await.map_err(failed)?.map(Json).ok_or_else(|| missing("exchange"))
}

/// `GET /v1/recorders`: every chain.
pub(super) async fn recorders(
    _: Auditor,
    State(app): State<Arc<App>>,
) -> Result<Json<Vec<RecorderSummary>>, Problem> {
    Ok(Json(app.reader.recorders(now()).await.map_err(failed)?))
}

fn missing(what: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "notFound", format!("no such {what}"))
}

fn failed(error: StoreError) -> Problem {
    tracing::error!(%error, "Could not read the database.");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "store", "the database could not be read")
}
