//! `/healthz`, `/readyz` and `/metrics`. They carry nothing of any record, and need no token.

use super::App;
use super::problem::Problem;
use crate::store::writer::BODIES;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use std::sync::Arc;
use std::time::Duration;

/// How long a write may take before the server is called not ready.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// The process runs.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// The database takes writes: it writes a row the way batches are written. Anybody may ask, so all who ask at the same
/// time share one write.
pub(super) async fn readyz(State(app): State<Arc<App>>) -> Result<&'static str, Problem> {
    let reason = match tokio::time::timeout(PROBE_TIMEOUT, probe(&app)).await {
        Ok(Ok(())) => return Ok("ok\n"),
        Ok(Err(reason)) => reason,
        Err(_) => "timeout",
    };
    let detail = match reason {
        BODIES => "batches' bytes cannot be kept (--bodies); the log says why".to_owned(),
        reason => format!("the database cannot be written: {reason}"),
    };
    Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail))
}

async fn probe(app: &App) -> Result<(), &'static str> {
    *app.probes.get((), || app.queue.probe()).await
}

/// The metrics.
pub(super) async fn metrics(State(app): State<Arc<App>>) -> Result<impl IntoResponse, Problem> {
    app.metrics.waiting.set(i64::try_from(app.queue.depth()).unwrap_or(i64::MAX));
    app.metrics.tails.set(i64::try_from(app.tails.open()).unwrap_or(i64::MAX));
    let failed =
        |_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "metrics", "the metrics could not be written");
    let text = app.metrics.text().map_err(failed)?;
    Ok(([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text))
}
