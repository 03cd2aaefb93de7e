//! `POST /v1/records`: one batch, acknowledged once it is durable.

use super::auth::{self, Action, Caller};
use super::metrics::Reason;
use super::problem::Problem;
use super::room::Part;
use super::{App, now};
use crate::evidence::signature;
use crate::store::batch::ReceivedBatch;
use crate::store::writer::{Stored, SubmitError};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Request, StatusCode, header};
use chaperone_record::{Acknowledgement, SIGNATURE_HEADER};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a body that is refused may keep arriving.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest signature header that is kept.
const MAX_SIGNATURE: usize = 1024;

/// What a client that meets a full queue is told to wait, in seconds.
const RETRY_AFTER: u32 = 1;

/// Takes a batch.
#[utoipa::path(
    post,
    path = "/v1/records",
    tag = "ingest",
    params(("chaperone-signature" = Option<String>, Header, description = "Detached JWS over the body (RFC 7515, appendix F)")),
    request_body(content = inline(super::openapi::Posted), content_type = "application/json"),
    responses((status = 200, description = "The batch is durable", body = Acknowledgement), super::openapi::NotTaken),
    security(("bearer" = []))
)]
pub(super) async fn post_records(
    State(app): State<Arc<App>>,
    request: Request<Body>,
) -> Result<Json<Acknowledgement>, Problem> {
    take(&app, request).await.map(Json).inspect_err(|problem| {
        app.metrics.refusals.get_or_create(&Reason { reason: problem.reason() }).inc();
    })
}

async fn take(app: &App, request: Request<Body>) -> Result<Acknowledgement, Problem> {
    let (parts, body) = request.into_parts();
    let admitted = match admit(app, &parts.headers).await {
        Ok(admitted) => admitted,
        Err(problem) => {
            drain(app, body).await;
            return Err(problem);
        }
    };
    let caller = admitted.caller;
    // Held until the batch is written: what waits is bounded in bytes.
    let mut part = app.room.enter(caller.token.clone(), Instant::now());
    let body = read(app, body, &mut part).await?;
    let started = Instant::now();
    let kid = check_signature(app, admitted.signature.as_deref(), &body)?;
    let batch = ReceivedBatch::parse(body, admitted.signature, kid, now())
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "malformed", error.to_string()))?;
    own_recorder(&caller, &batch.recorder)?;
    app.recorders.take(&batch.recorder, Instant::now()).map_err(too_often)?;
    let acknowledged = store(app, batch).await;
    app.metrics.latency.observe(started.elapsed().as_secs_f64());
    acknowledged
}

/// A request whose body may be read.
struct Admitted {
    signature: Option<String>,
    caller: Caller,
}

/// Decides by the headers alone.
async fn admit(app: &App, headers: &HeaderMap) -> Result<Admitted, Problem> {
    let caller = auth::require(app, headers, Action::Post).await?;
    app.posters.take(&caller.token, Instant::now()).map_err(too_often)?;
    if headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        let detail = "batches are sent without a content encoding";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "contentEncoding", detail));
    }
    let signature = signature_header(headers)?;
    let length = content_length(headers);
    if length.is_some_and(|length| length > app.limits.body_bytes) {
        return Err(too_large(app));
    }
    Ok(Admitted { signature, caller })
}

/// Refuses a batch of a recorder that the token is not for.
fn own_recorder(caller: &Caller, recorder: &str) -> Result<(), Problem> {
    if caller.recorder.as_ref().is_none_or(|own| own.takes(recorder)) {
        return Ok(());
    }
    tracing::warn!(
        token = caller.token,
        name = caller.name,
        recorder,
        "A batch was refused: its token is for another recorder."
    );
    let detail = "this token is for another recorder";
    Err(Problem::new(StatusCode::FORBIDDEN, "recorder", detail))
}

/// Reads a refused body away, within bounds: a connection that is closed over unread bytes is reset, and the client
/// may never see the answer.
async fn drain(app: &App, body: Body) {
    let mut body = Limited::new(body, app.limits.body_bytes);
    let all = async { while let Some(Ok(_)) = body.frame().await {} };
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, all).await;
}

async fn store(app: &App, batch: ReceivedBatch) -> Result<Acknowledgement, Problem> {
    let acknowledgement =
        Acknowledgement { recorder: batch.recorder.clone(), batch: u64::try_from(batch.batch).unwrap_or(0) };
    let (entries, bytes) = (batch.entries.len() as u64, batch.body.len() as u64);
    let stored = app.queue.store(batch).await.map_err(|error| match error {
        SubmitError::Full => busy(),
        SubmitError::Stopping => unavailable(&error, "stopping"),
        SubmitError::Failed(reason) => unavailable(&error, reason),
    })?;
    match stored {
        Stored::New { foreign } => {
            app.tails.wake();
            app.metrics.batches.inc();
            app.metrics.entries.inc_by(entries);
            app.metrics.bytes.inc_by(bytes);
            app.metrics.foreign.inc_by(foreign);
            if foreign > 0 {
                let Acknowledgement { recorder, batch } = &acknowledgement;
                tracing::warn!(%recorder, batch, foreign, "A batch names exchanges of another recorder; they were not merged.");
            }
            Ok(acknowledgement)
        }
        Stored::Known => {
            app.metrics.retries.inc();
            Ok(acknowledgement)
        }
        Stored::Fork { new } => {
            let Acknowledgement { recorder, batch } = &acknowledgement;
            app.metrics.forks.inc_by(u64::from(new));
            tracing::error!(%recorder, batch, new, "Other bytes came under a batch number that is taken.");
            let detail =
                "another batch is stored under this number; this one is kept as evidence of the fork";
            Err(Problem::new(StatusCode::CONFLICT, "fork", detail))
        }
    }
}

fn signature_header(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(SIGNATURE_HEADER).iter();
    let text = match (values.next(), values.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => value.to_str().ok().filter(|text| text.len() <= MAX_SIGNATURE),
        _ => None,
    };
    let malformed =
        || Problem::new(StatusCode::BAD_REQUEST, "malformed", "the signature header cannot be read");
    text.map(|text| Some(text.to_owned())).ok_or_else(malformed)
}

fn check_signature(app: &App, header: Option<&str>, body: &[u8]) -> Result<Option<String>, Problem> {
    if app.keys.is_empty() {
        return Ok(None);
    }
    signature::verify(&app.keys, header, body).map(Some).map_err(|error| {
        tracing::warn!(reason = error.code(), "A batch was refused for its signature.");
        Problem::new(StatusCode::FORBIDDEN, "signature", error.to_string()).because(error.code())
    })
}

fn content_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

async fn read(app: &App, body: Body, part: &mut Part) -> Result<Vec<u8>, Problem> {
    let gives_way = part.gives_way();
    tokio::select! {
        read = tokio::time::timeout(app.limits.client_timeout, collect(app, body, part)) => read.unwrap_or_else(|_| {
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "timeout", "the body took too long to arrive"))
        }),
        () = gives_way => Err(busy()),
    }
}

async fn collect(app: &App, body: Body, part: &mut Part) -> Result<Vec<u8>, Problem> {
    let mut body = Limited::new(body, app.limits.body_bytes);
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| match error.is::<LengthLimitError>() {
            true => too_large(app),
            false => Problem::new(StatusCode::BAD_REQUEST, "body", "the body could not be read"),
        })?;
        let Ok(data) = frame.into_data() else { continue };
        part.grow(data.len()).await.map_err(|_| busy())?;
        bytes.extend_from_slice(&data);
    }
    part.arrived();
    Ok(bytes)
}

fn too_large(app: &App) -> Problem {
    let detail = format!("a batch may have at most {} bytes", app.limits.body_bytes);
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "tooLarge", detail)
}

fn unavailable(error: &SubmitError, reason: &'static str) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", error.to_string())
        .because(reason)
        .retry_after(RETRY_AFTER)
}

fn too_often(seconds: u32) -> Problem {
    let detail = "batches come too often";
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "tooOften", detail).retry_after(seconds)
}

fn busy() -> Problem {
    let detail = "too many batches are waiting to be written";
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "busy", detail).retry_after(RETRY_AFTER)
}
