//! Who looks at pages: somebody who is logged in by a cookie, or sends a bearer token. What changes something needs, with
//! a cookie, the session's CSRF token and a request of the own site's.

use super::auth::{self, Action, Caller};
use super::cookie::Cookie;
use super::places::Place;
use super::problem::Problem;
use super::{App, now, read};
use crate::store::access::{Access, Role};
use crate::store::login::is_secret;
use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts};
use axum::http::{HeaderMap, Method, Request, StatusCode, header, request::Parts};
use axum::response::{IntoResponse as _, Redirect, Response};
use http_body_util::{BodyExt as _, Limited};
use std::sync::Arc;
use std::time::Duration;
use subtle::ConstantTimeEq as _;

/// Where scripts put the CSRF token; forms have it in a field `csrf`.
const CSRF_HEADER: &str = "x-csrf-token";

/// Largest form.
const MAX_FORM: usize = 16 << 10;

/// How long a form may take: nobody need have logged in to send one.
const FORM_TIMEOUT: Duration = Duration::from_secs(5);

/// How stale a session's last use may be before it is noted anew.
const TOUCH: Duration = Duration::from_secs(60);

/// Somebody who may read, and their turn, as with [`read::Auditor`]: the access log has the request. A browser whose user
/// is not logged in is sent to the login page. A request that changes something needs the CSRF token in the header
/// `x-csrf-token`; one that is a form is taken as [`Submitted`].
pub(crate) struct Viewer {
    /// Who, as the access log has it.
    pub(crate) name: String,
    /// What they may do.
    pub(crate) role: Role,
    /// What forms carry in a hidden field `csrf`, and scripts in the header `x-csrf-token`; empty for a bearer token, whose
    /// requests need none.
    pub(crate) csrf: String,
    _turn: Place,
}

impl FromRequestParts<Arc<App>> for Viewer {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        view(parts, app, None).await
    }
}

/// A form that a [`Viewer`] submitted from the own site, `csrf` checked and taken out.
#[allow(dead_code, reason = "for pages with forms")]
pub(crate) struct Submitted {
    /// Who.
    pub(crate) viewer: Viewer,
    /// The form's fields.
    pub(crate) fields: Vec<(String, String)>,
}

impl FromRequest<Arc<App>> for Submitted {
    type Rejection = Response;

    async fn from_request(request: Request<Body>, app: &Arc<App>) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        let mut fields = form(app, body).await.map_err(Problem::into_response)?;
        let csrf =
            fields.iter().position(|(name, _)| name == "csrf").map(|index| fields.swap_remove(index).1);
        let viewer = view(&parts, app, csrf.as_deref()).await?;
        Ok(Self { viewer, fields })
    }
}

async fn view(parts: &Parts, app: &Arc<App>, csrf: Option<&str>) -> Result<Viewer, Response> {
    let person = match person(app, parts, csrf).await {
        Ok(person) => person,
        Err(problem) if problem.status() == StatusCode::UNAUTHORIZED && is_page(parts) => {
            return Err(to_login(parts));
        }
        Err(problem) => return Err(problem.into_response()),
    };
    read::allow(parts, app, &person.caller, Action::Read).await.map_err(Problem::into_response)?;
    let turn = read::admit(parts, app, &person.caller).await.map_err(Problem::into_response)?;
    let Person { caller, csrf } = person;
    Ok(Viewer { name: caller.name, role: caller.role, csrf, _turn: turn })
}

fn is_page(parts: &Parts) -> bool {
    parts.method == Method::GET && !parts.headers.contains_key(header::AUTHORIZATION)
}

fn to_login(parts: &Parts) -> Response {
    let asked = parts.uri.path_and_query().map_or("/", |asked| asked.as_str());
    let next: String = form_urlencoded::byte_serialize(asked.as_bytes()).collect();
    Redirect::to(&format!("/login?next={next}")).into_response()
}

/// Who sent a request, and the CSRF token of their session.
pub(super) struct Person {
    pub(super) caller: Caller,
    pub(super) csrf: String,
}

/// Who sent this: by the bearer token where there is one, else by the cookie.
pub(super) async fn person(app: &App, parts: &Parts, csrf: Option<&str>) -> Result<Person, Problem> {
    if parts.headers.contains_key(header::AUTHORIZATION) {
        return Ok(Person { caller: auth::bearer(app, &parts.headers).await?, csrf: String::new() });
    }
    let id = session_id(app, &parts.headers).ok_or_else(auth::unknown)?;
    let (now, lifetime) = (now(), app.access.lifetime);
    let login = app.tokens.login(id, now, lifetime).await.map_err(auth::unreadable)?;
    let login = login.filter(|login| app.configured.still_has(login)).ok_or_else(auth::unknown)?;
    if !parts.method.is_safe() {
        let sent = csrf.or_else(|| parts.headers.get(CSRF_HEADER)?.to_str().ok()).unwrap_or("");
        let known: bool = sent.as_bytes().ct_eq(login.csrf.as_bytes()).into();
        if !known || !app.access.origin.is_own(&parts.headers) {
            return Err(forged());
        }
    }
    if login.used.later(TOUCH) < now {
        let touched = async { app.writer().await?.touch_login(id, now).await }.await;
        if let Err(error) = touched {
            tracing::warn!(%error, "Could not note that a session is in use.");
        }
    }
    let caller = Caller { name: login.name, token: login.token, role: login.role, recorder: None };
    Ok(Person { caller, csrf: login.csrf })
}

/// Who sent this, where they may read records.
pub(super) async fn reader(app: &App, parts: &Parts) -> Result<Caller, Problem> {
    let person = person(app, parts, None).await?;
    read::allow(parts, app, &person.caller, Action::Read).await?;
    Ok(person.caller)
}

/// The session that a request names.
pub(super) fn session_id<'h>(app: &App, headers: &'h HeaderMap) -> Option<&'h str> {
    Cookie::Session.of(headers, app.access.origin.secure).filter(|id| is_secret(id))
}

/// What a page of another site made a browser send, or might have.
pub(super) fn forged() -> Problem {
    let detail =
        "this request does not come from the collector's own page, or the page is too old: load it again";
    Problem::new(StatusCode::FORBIDDEN, "csrf", detail)
}

/// The fields of a form.
pub(super) async fn form(app: &App, body: Body) -> Result<Vec<(String, String)>, Problem> {
    let collect = Limited::new(body, MAX_FORM).collect();
    let body = match tokio::time::timeout(app.limits.client_timeout.min(FORM_TIMEOUT), collect).await {
        Ok(Ok(collected)) => collected.to_bytes(),
        Ok(Err(_)) => {
            let detail = "the form is too large, or could not be read";
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "tooLarge", detail));
        }
        Err(_) => {
            return Err(Problem::new(
                StatusCode::REQUEST_TIMEOUT,
                "timeout",
                "the form took too long to arrive",
            ));
        }
    };
    Ok(form_urlencoded::parse(&body).into_owned().collect())
}

/// Puts a login or a logout in the access log.
pub(super) async fn log(app: &App, caller: &Caller, request: &str) -> Result<(), Problem> {
    write(app, caller, request, false).await
}

/// Puts in the access log what somebody asks for, and whether it was refused.
pub(super) async fn write(app: &App, caller: &Caller, request: &str, refused: bool) -> Result<(), Problem> {
    let access = Access {
        time: now(),
        name: caller.name.clone(),
        token: caller.token.clone(),
        role: caller.role,
        request: request.to_owned(),
        refused,
    };
    app.queue.log(access).await.map_err(|error| {
        let detail = "what is not in the access log is not done, and it could not be written";
        tracing::error!(%error, "Could not write the access log.");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail).retry_after(1)
    })
}
