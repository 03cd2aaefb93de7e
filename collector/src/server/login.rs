//! Logging in and out: with an issuer, with a token, or with a link that works once.

use super::auth::{self, Caller};
use super::cookie::Cookie;
use super::listener::Peer;
use super::oidc::{self, OidcError};
use super::page::{Refusal, escaped, page};
use super::problem::Problem;
use super::viewer::{self, Submitted, Viewer, forged, session_id};
use super::{App, now, origin};
use crate::store::StoreError;
use crate::store::access::Role;
use crate::store::login::{Login, PENDING, is_secret, secret};
use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use openidconnect::RedirectUrl;
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Instant;
use subtle::ConstantTimeEq as _;

/// What somebody is called who came by a link.
const LINKED: &str = "admin by login link";

/// `GET /login?next=…`: the ways in.
pub(super) async fn login_page(State(app): State<Arc<App>>, uri: Uri) -> Html<String> {
    let next = parameter(&uri, "next").unwrap_or_default();
    let next = origin::local(&next);
    let query: String = form_urlencoded::byte_serialize(next.as_bytes()).collect();
    let issuer = match &app.access.oidc {
        Some(_) => format!("<p><a href=\"/login/oidc?next={query}\">Log in with your organisation</a></p>\n"),
        None => String::new(),
    };
    let form = format!(
        "{issuer}<form method=\"post\" action=\"/login\">\n<input type=\"hidden\" name=\"next\" value=\"{}\">\n\
        <p><label>Token <input type=\"password\" name=\"token\" autocomplete=\"off\" required></label>\n\
        <button>Log in with a token</button></p>\n</form>",
        escaped(next)
    );
    page("Log in", &form)
}

/// `POST /login`: with a token.
pub(super) async fn with_token(
    State(app): State<Arc<App>>,
    Extension(Peer(peer)): Extension<Peer>,
    request: Request<Body>,
) -> Result<Response, Refusal> {
    let (headers, fields) = own_form(&app, request).await?;
    let attempt = Attempt::begin(&app, peer)?;
    let token = field(&fields, "token");
    let Some(mut caller) = auth::holder(&app, token.trim()).await? else {
        tracing::warn!(%peer, "A login failed: no such token.");
        return Err(refused("This token is not known, or not good any more."));
    };
    if caller.role == Role::Ingest {
        return Err(refused("This token is for filters, which post records. People need another."));
    }
    attempt.succeeded();
    viewer::log(&app, &caller, "POST /login").await?;
    caller.token = caller.token.or_else(|| app.configured.mark());
    enter(&app, &headers, caller, origin::local(field(&fields, "next"))).await
}

/// `GET /login/once?token=…`: a button. Only a press of it uses the link up, no preview of it.
pub(super) async fn once_page(uri: Uri) -> Result<Html<String>, Refusal> {
    let token = parameter(&uri, "token").filter(|token| is_secret(token)).ok_or_else(bad_link)?;
    Ok(page(
        "Log in as an admin",
        &format!(
            "<form method=\"post\" action=\"/login/once\">\n<input type=\"hidden\" name=\"token\" value=\"{token}\">\n\
            <p>This link works once.</p>\n<p><button>Log in</button></p>\n</form>"
        ),
    ))
}

/// `POST /login/once`: uses the link up.
pub(super) async fn once(
    State(app): State<Arc<App>>,
    Extension(Peer(peer)): Extension<Peer>,
    request: Request<Body>,
) -> Result<Response, Refusal> {
    let (headers, fields) = own_form(&app, request).await?;
    let attempt = Attempt::begin(&app, peer)?;
    let token = field(&fields, "token");
    let taken = async { app.writer().await?.take_link(token, now()).await };
    if !is_secret(token) || !taken.await.map_err(unavailable)? {
        tracing::warn!(%peer, "A login failed: no such link.");
        return Err(bad_link());
    }
    attempt.succeeded();
    let caller = Caller { name: LINKED.to_owned(), token: None, role: Role::Admin, recorder: None };
    viewer::log(&app, &caller, "POST /login/once").await?;
    enter(&app, &headers, caller, "/").await
}

/// `GET /login/oidc?next=…`: to the issuer.
pub(super) async fn to_issuer(
    State(app): State<Arc<App>>,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Refusal> {
    app.access.flows.take(&network(peer), Instant::now()).map_err(Refusal::too_often)?;
    let (options, redirect) = issuer(&app, &headers)?;
    let next = origin::local(&parameter(&uri, "next").unwrap_or_default()).to_owned();
    let (url, flow) = blocking(move || options.begin(redirect, next)).await?;
    let browser = secret().map_err(|_| failed("There is no randomness."))?;
    let kept = async { app.writer().await?.add_flow(&browser, &flow, now()).await };
    kept.await.map_err(unavailable)?;
    let cookie = Cookie::Flow.set(&browser, app.access.origin.secure, PENDING);
    Ok(with_cookies(Redirect::to(&url).into_response(), [cookie]))
}

/// `GET /login/callback?code=…&state=…`: back from the issuer.
pub(super) async fn from_issuer(
    State(app): State<Arc<App>>,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Refusal> {
    let (options, redirect) = issuer(&app, &headers)?;
    let attempt = Attempt::begin(&app, peer)?;
    let stale = || {
        let text = "This login was not begun in this browser, took too long, or is done already. Begin anew.";
        Refusal::new(StatusCode::BAD_REQUEST, "Begin anew", text)
    };
    let browser = Cookie::Flow.of(&headers, app.access.origin.secure).filter(|value| is_secret(value));
    let browser = browser.ok_or_else(stale)?;
    let taken = async { app.writer().await?.take_flow(browser, now()).await };
    let flow = taken.await.map_err(unavailable)?.ok_or_else(stale)?;
    let state = parameter(&uri, "state").unwrap_or_default();
    if !bool::from(state.as_bytes().ct_eq(flow.state.as_bytes())) {
        tracing::warn!(%peer, "A login failed: an answer to another question.");
        return Err(stale());
    }
    let Some(code) = parameter(&uri, "code") else {
        let why = parameter(&uri, "error").unwrap_or_default();
        let why: String = why.chars().take(100).collect();
        return Err(refused(&format!("The issuer did not log you in: {why}")));
    };
    let next = flow.next.clone();
    let (name, role) = blocking(move || options.finish(redirect, flow, code)).await?;
    attempt.succeeded();
    let caller = Caller { name, token: None, role, recorder: None };
    viewer::log(&app, &caller, "GET /login/callback").await?;
    let answer = enter(&app, &headers, caller, origin::local(&next)).await?;
    Ok(with_cookies(answer, [Cookie::Flow.clear(app.access.origin.secure)]))
}

/// `POST /logout`: ends the session, here and on all replicas.
pub(super) async fn logout(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    _submitted: Submitted,
) -> Result<Response, Refusal> {
    if let Some(id) = session_id(&app, &headers) {
        let ended = async { app.writer().await?.log_out(id).await };
        ended.await.map_err(unavailable)?;
    }
    let cookie = Cookie::Session.clear(app.access.origin.secure);
    Ok(with_cookies(Redirect::to("/login").into_response(), [cookie]))
}

/// `GET /v1/me`: who asks, and what their scripts send in `x-csrf-token`.
pub(super) async fn me(viewer: Viewer) -> Json<Value> {
    Json(json!({"name": viewer.name, "role": viewer.role, "csrf": viewer.csrf}))
}

/// Begins a session under a new id, and ends the one that the browser had.
async fn enter(app: &App, headers: &HeaderMap, caller: Caller, next: &str) -> Result<Response, Refusal> {
    let lifetime = app.access.lifetime;
    let (id, csrf) =
        secret().and_then(|id| Ok((id, secret()?))).map_err(|_| failed("There is no randomness."))?;
    let now = now();
    let Caller { name, token, role, .. } = caller;
    let login = Login { name, role, token, csrf: csrf.to_string(), created: now, used: now };
    let kept = async {
        let mut writer = app.writer().await?;
        if let Some(old) = session_id(app, headers) {
            writer.log_out(old).await?;
        }
        writer.log_in(&id, &login, lifetime).await
    };
    kept.await.map_err(unavailable)?;
    let cookie = Cookie::Session.set(&id, app.access.origin.secure, lifetime.absolute);
    Ok(with_cookies(Redirect::to(next).into_response(), [cookie]))
}

/// One try to log in: it counts against its address, unless it succeeds. There is no bound on all together: whoever used
/// it up would lock everybody out, and what is guessed at is too long for any number of guesses.
struct Attempt<'a> {
    app: &'a App,
    network: IpAddr,
}

impl<'a> Attempt<'a> {
    fn begin(app: &'a App, peer: IpAddr) -> Result<Self, Refusal> {
        let (network, now) = (network(peer), Instant::now());
        app.access.failures.take(&network, now).map_err(Refusal::too_often)?;
        Ok(Self { app, network })
    }

    fn succeeded(self) {
        self.app.access.failures.give_back(&self.network);
    }
}

/// Whose an address is: with IPv6, everybody has as many as they like of one /64.
fn network(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V4(_) => peer,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

/// A form that a page of the own site sent.
async fn own_form(app: &App, request: Request<Body>) -> Result<(HeaderMap, Vec<(String, String)>), Refusal> {
    let (parts, body) = request.into_parts();
    let fields = viewer::form(app, body).await?;
    match app.access.origin.is_own(&parts.headers) {
        true => Ok((parts.headers, fields)),
        false => Err(forged().into()),
    }
}

fn issuer(app: &App, headers: &HeaderMap) -> Result<(oidc::Options, RedirectUrl), Refusal> {
    let none = || Refusal::new(StatusCode::NOT_FOUND, "Not here", "No issuer is configured.");
    let options = app.access.oidc.clone().ok_or_else(none)?;
    let origin = app.access.origin.text(headers).unwrap_or_default();
    let redirect = RedirectUrl::new(format!("{origin}/login/callback"));
    let unknown =
        |_| Refusal::new(StatusCode::BAD_REQUEST, "That did not work", "The request has no good Host.");
    Ok((options, redirect.map_err(unknown)?))
}

async fn blocking<T: Send + 'static>(
    ask: impl FnOnce() -> Result<T, OidcError> + Send + 'static,
) -> Result<T, Refusal> {
    let done =
        tokio::task::spawn_blocking(ask).await.map_err(|_| failed("The issuer could not be asked."))?;
    done.map_err(|error| {
        tracing::warn!(%error, "A login failed.");
        match error {
            OidcError::Issuer(_) => {
                let text = "The issuer cannot be reached. Try again later, or log in with a token.";
                Refusal::new(StatusCode::BAD_GATEWAY, "The issuer cannot be reached", text)
            }
            OidcError::Code(_) => refused("The issuer did not confirm this login. Begin anew."),
            OidcError::Token(_) => refused("What the issuer answered is not good. Begin anew."),
            OidcError::NoGroup(name) => refused(&format!(
                "You are {name}, and in no group that may read records. Ask an administrator of the collector."
            )),
        }
    })
}

fn refused(text: &str) -> Refusal {
    Refusal::new(StatusCode::FORBIDDEN, "You are not logged in", text)
}

fn bad_link() -> Refusal {
    refused("This link is not good: it was used, or it is older than 15 minutes.")
}

fn failed(text: &str) -> Refusal {
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "That did not work", text)
}

fn unavailable(error: StoreError) -> Refusal {
    let problem: Problem = auth::unreadable(error);
    problem.into()
}

fn parameter(uri: &Uri, name: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(uri.query()?.as_bytes());
    pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

fn field<'f>(fields: &'f [(String, String)], name: &str) -> &'f str {
    fields.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
}

fn with_cookies<const N: usize>(mut response: Response, cookies: [Option<HeaderValue>; N]) -> Response {
    for cookie in cookies.into_iter().flatten() {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}
