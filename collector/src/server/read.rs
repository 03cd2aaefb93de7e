//! The auditors' read API. Every route needs somebody who may read: by a token, or
//! logged in by a cookie.

use super::auth::{self, Action, Caller};
use super::openapi::{Missing, Paging, Refused};
use super::places::Place;
use super::problem::Problem;
use super::{App, now, viewer};
use crate::store::StoreError;
use crate::store::access::{AccessLog, MAX_REQUEST, TokenSummary};
use crate::store::filter::Filter;
use crate::store::model::{ExchangeDetail, ExchangeList, RecorderSummary, SessionDetail, SessionList};
use axum::Json;
use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::{StatusCode, request::Parts};
use std::sync::Arc;
use std::time::Instant;

/// The header in which a client says which event it saw last.
pub(super) const LAST_EVENT_ID: &str = "last-event-id";

/// Longest id of anything that is asked for.
const MAX_ID: usize = 1024;

/// Proof that the request comes from somebody who may read, and its turn: so many read at a time. That they read is in
/// the access log before they get to see anything. Handlers that read take it first.
pub(super) struct Auditor {
    pub(super) caller: Caller,
    _turn: Place,
}

impl FromRequestParts<Arc<App>> for Auditor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let person = viewer::person(app, parts, None).await?;
        allow(parts, app, &person.caller, Action::Read).await?;
        let turn = admit(parts, app, &person.caller).await?;
        Ok(Self { caller: person.caller, _turn: turn })
    }
}

/// The same, of somebody who may also read who reads.
pub(super) struct Admin {
    _turn: Place,
}

impl FromRequestParts<Arc<App>> for Admin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let person = viewer::person(app, parts, None).await?;
        allow(parts, app, &person.caller, Action::Administer).await?;
        admit(parts, app, &person.caller).await.map(|turn| Self { _turn: turn })
    }
}

/// A turn to read, and what is read in the access log.
pub(super) async fn admit(parts: &Parts, app: &App, caller: &Caller) -> Result<Place, Problem> {
    let turn = app.reads.take(caller)?.turn().await;
    log_access(app, parts, caller).await?;
    Ok(turn)
}

/// Lets pass whose role allows the action. That somebody who is known was refused is in the access log, as often as
/// they may fill it.
pub(super) async fn allow(parts: &Parts, app: &App, caller: &Caller, action: Action) -> Result<(), Problem> {
    let Err(problem) = auth::allow(caller, action) else { return Ok(()) };
    app.refusals.take(&caller.key(), Instant::now()).map_err(|seconds| {
        let detail = "you were refused too often";
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "tooOften", detail).retry_after(seconds)
    })?;
    let request: String = asked(parts).chars().take(MAX_REQUEST).collect();
    viewer::write(app, caller, &request, true).await?;
    Err(problem)
}

/// Writes to the access log what somebody asks for: all of it, or it is refused.
pub(super) async fn log_access(app: &App, parts: &Parts, caller: &Caller) -> Result<(), Problem> {
    let request = asked(parts);
    if request.len() > MAX_REQUEST {
        let detail = "the access log could not hold this request";
        return Err(Problem::new(StatusCode::URI_TOO_LONG, "tooLong", detail));
    }
    viewer::log(app, caller, &request).await
}

/// As the access log has it. From which event a tail goes on is not in its address.
fn asked(parts: &Parts) -> String {
    let asked = parts.uri.path_and_query().map_or("/", |asked| asked.as_str());
    let after = parts.headers.get(LAST_EVENT_ID).and_then(|value| value.to_str().ok()).unwrap_or("");
    match after {
        "" => format!("{} {asked}", parts.method),
        after => format!("{} {asked} ({LAST_EVENT_ID}: {after})", parts.method),
    }
}

/// `?limit=…&after=…`, and what a [`Filter`] is made of where a list is asked for.
pub(super) struct Page {
    /// At most so many: 100 where none is given, 1000 at most.
    limit: u32,
    /// The `next` of the page before.
    after: Option<String>,
    filter: Filter,
}

impl FromRequestParts<Arc<App>> for Page {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Problem> {
        let refused = |detail: String| Problem::new(StatusCode::BAD_REQUEST, "query", detail);
        let unreadable = |_| refused("the query cannot be read".to_owned());
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri).map_err(unreadable)?;
        let mut page = Self { limit: 100, after: None, filter: Filter::default() };
        for (name, value) in pairs {
            match name.as_str() {
                "limit" => {
                    let number: Result<u32, _> = value.parse();
                    page.limit =
                        number.map_err(|_| refused("`limit` is not a number".to_owned()))?.clamp(1, 1000);
                }
                "after" if value.len() <= MAX_ID => page.after = Some(value),
                "after" => return Err(refused("`after` is too long".to_owned())),
                _ => page.filter.set(&name, &value).map_err(|error| refused(error.to_string()))?,
            }
        }
        page.filter.check().map_err(|error| refused(error.to_string()))?;
        Ok(page)
    }
}

impl Page {
    /// Refuses a filter where none is taken.
    fn unfiltered(self) -> Result<Self, Problem> {
        match self.filter.is_empty() {
            true => Ok(self),
            false => Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "query",
                "this path takes `limit` and `after` only",
            )),
        }
    }
}

/// The id in a path.
pub(super) struct Id(String);

impl FromRequestParts<Arc<App>> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        match Path::<String>::from_request_parts(parts, app).await {
            Ok(Path(id)) if id.len() <= MAX_ID => Ok(Self(id)),
            _ => Err(Problem::new(StatusCode::BAD_REQUEST, "path", "the id in the path cannot be read")),
        }
    }
}

/// `GET /v1/sessions`: those that the filter takes, the newest first.
#[utoipa::path(
    get,
    path = "/v1/sessions",
    tag = "records",
    params(Filter, Paging),
    responses((status = 200, description = "A page of sessions", body = SessionList), Refused),
    security(("bearer" = []))
)]
pub(super) async fn sessions(
    _auditor: Auditor,
    State(app): State<Arc<App>>,
    page: Page,
) -> Result<Json<SessionList>, Problem> {
    let list = app.reader.sessions(&page.filter, page.limit, page.after.as_deref()).await;
    Ok(Json(list.map_err(failed)?))
}

/// `GET /v1/exchanges`: those that the filter takes, the newest first.
#[utoipa::path(
    get,
    path = "/v1/exchanges",
    tag = "records",
    params(Filter, Paging),
    responses((status = 200, description = "A page of exchanges", body = ExchangeList), Refused),
    security(("bearer" = []))
)]
pub(super) async fn exchanges(
    _auditor: Auditor,
    State(app): State<Arc<App>>,
    page: Page,
) -> Result<Json<ExchangeList>, Problem> {
    let list = app.reader.exchanges(&page.filter, page.limit, page.after.as_deref()).await;
    Ok(Json(list.map_err(failed)?))
}

/// `GET /v1/search?q=…`: the same, with words.
#[utoipa::path(
    get,
    path = "/v1/search",
    tag = "records",
    params(Filter, Paging),
    responses((status = 200, description = "A page of exchanges", body = ExchangeList), Refused),
    security(("bearer" = []))
)]
pub(super) async fn search(
    auditor: Auditor,
    state: State<Arc<App>>,
    page: Page,
) -> Result<Json<ExchangeList>, Problem> {
    if page.filter.words.is_none() {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "query", "`q` is missing: the words to look for"));
    }
    exchanges(auditor, state, page).await
}

/// `GET /v1/sessions/{id}`: the session with a page of its exchanges, in order.
#[utoipa::path(
    get,
    path = "/v1/sessions/{session}",
    tag = "records",
    params(("session" = String, Path, description = "Its id", example = "7d9c"), Paging),
    responses((status = 200, description = "The session", body = SessionDetail), Refused, Missing),
    security(("bearer" = []))
)]
pub(super) async fn session(
    _auditor: Auditor,
    State(app): State<Arc<App>>,
    Id(session): Id,
    page: Page,
) -> Result<Json<SessionDetail>, Problem> {
    let page = page.unfiltered()?;
    let found =
        app.reader.session_detail(&session, page.limit, page.after.as_deref()).await.map_err(failed)?;
    found.map(Json).ok_or_else(|| missing("session"))
}

/// `GET /v1/exchanges/{id}`: the exchange with its entries and their bodies.
#[utoipa::path(
    get,
    path = "/v1/exchanges/{exchange}",
    tag = "records",
    params(("exchange" = String, Path, description = "Its id", example = "0199f0a2-7e3b-7c11-8d52-000000000001")),
    responses((status = 200, description = "The exchange", body = ExchangeDetail), Refused, Missing),
    security(("bearer" = []))
)]
pub(super) async fn exchange(
    _auditor: Auditor,
    State(app): State<Arc<App>>,
    Id(exchange): Id,
) -> Result<Json<ExchangeDetail>, Problem> {
    app.reader.exchange(&exchange).await.map_err(failed)?.map(Json).ok_or_else(|| missing("exchange"))
}

/// `GET /v1/recorders`: every chain.
#[utoipa::path(
    get,
    path = "/v1/recorders",
    tag = "records",
    responses((status = 200, description = "Every chain", body = Vec<RecorderSummary>), Refused),
    security(("bearer" = []))
)]
pub(super) async fn recorders(
    _auditor: Auditor,
    State(app): State<Arc<App>>,
) -> Result<Json<Vec<RecorderSummary>>, Problem> {
    Ok(Json(app.reader.recorders(now()).await.map_err(failed)?))
}

/// `GET /v1/access-log`: who read what, the newest first; takes `since` too.
#[utoipa::path(
    get,
    path = "/v1/access-log",
    tag = "access",
    params(("since" = Option<String>, Query, description = "From this moment on"), Paging),
    responses((status = 200, description = "A page of the access log", body = AccessLog), Refused),
    security(("bearer" = []))
)]
pub(super) async fn access_log(
    _admin: Admin,
    State(app): State<Arc<App>>,
    page: Page,
) -> Result<Json<AccessLog>, Problem> {
    let since = page.filter.since;
    let page = Page { filter: Filter { since: None, ..page.filter }, ..page }.unfiltered()?;
    Ok(Json(app.reader.access_log(since, page.limit, page.after.as_deref()).await.map_err(failed)?))
}

/// `GET /v1/tokens`: every token, never its text.
#[utoipa::path(
    get,
    path = "/v1/tokens",
    tag = "access",
    responses((status = 200, description = "Every token", body = Vec<TokenSummary>), Refused),
    security(("bearer" = []))
)]
pub(super) async fn tokens(
    _admin: Admin,
    State(app): State<Arc<App>>,
) -> Result<Json<Vec<TokenSummary>>, Problem> {
    Ok(Json(app.reader.tokens().await.map_err(failed)?))
}

fn missing(what: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "notFound", format!("no such {what}"))
}

pub(super) fn failed(error: StoreError) -> Problem {
    tracing::error!(%error, "Could not read the database.");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "store", "the database could not be read")
}
