//! The API's description, made from the handlers and the shapes that they answer with: OpenAPI 3.1.

use axum::http::header;
use axum::response::IntoResponse;
use serde::Serialize;
use serde_json::Value;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{IntoParams, IntoResponses, Modify, OpenApi, ToSchema};

/// What Chaperone's collector keeps of what AI agents did at the Kubernetes API.
#[derive(OpenApi)]
#[openapi(
    info(title = "Chaperone collector"),
    paths(
        super::ingest::post_records,
        super::read::sessions,
        super::read::session,
        super::read::exchanges,
        super::read::exchange,
        super::read::search,
        super::tail::tail,
        super::export::export,
        super::read::recorders,
        super::read::access_log,
        super::read::tokens,
        served,
    ),
    components(schemas(ProblemDetails)),
    modifiers(&Bearer)
)]
struct Document;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    }
}

/// The document as JSON.
pub fn document() -> Value {
    let mut document = serde_json::to_value(Document::openapi()).unwrap_or_default();
    head_may_be_missing(&mut document);
    document
}

/// An exchange whose `request` entry is missing has none of that entry's members: then none is required.
fn head_may_be_missing(document: &mut Value) {
    let parts = document.pointer_mut("/components/schemas/ExchangeSummary/allOf");
    for part in parts.and_then(Value::as_array_mut).into_iter().flatten() {
        if part.to_string().contains("schemas/Requested\"") {
            *part = serde_json::json!({"anyOf": [
                {"$ref": "#/components/schemas/Requested"},
                {"not": {"required": ["requestURI"]}},
            ]});
        }
    }
}

/// `GET /v1/openapi.json`: this API. It tells nothing of any record, and needs no token.
#[utoipa::path(
    get,
    path = "/v1/openapi.json",
    tag = "meta",
    responses((status = 200, description = "This document", body = Value)),
    security(())
)]
pub(super) async fn served() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], document().to_string())
}

/// Which page of a list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it only describes")]
pub(super) struct Paging {
    /// At most so many: 100 where none is given.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The `next` of the page before.
    after: Option<String>,
}

/// A problem (RFC 9457).
#[derive(Serialize, ToSchema)]
pub(super) struct ProblemDetails {
    /// `about:blank`.
    r#type: String,
    /// The status in words.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What is wrong here.
    detail: String,
    /// A stable name for it.
    code: String,
}

/// Why nothing is read.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it only describes")]
pub(super) enum Refused {
    /// The query or the path cannot be meant.
    #[response(status = 400, content_type = "application/problem+json")]
    Query(ProblemDetails),
    /// A bearer token whose role allows it is required.
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(ProblemDetails),
    /// Too many read; `Retry-After` says when to try again.
    #[response(status = 429, content_type = "application/problem+json")]
    Busy(ProblemDetails),
    /// The database could not be read.
    #[response(status = 500, content_type = "application/problem+json")]
    Store(ProblemDetails),
    /// The access log could not be written, or tokens not be read.
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(ProblemDetails),
}

/// Why one thing is not read.
#[derive(IntoResponses)]
#[response(status = 404, description = "There is no such thing", content_type = "application/problem+json")]
#[expect(dead_code, reason = "it only describes")]
pub(super) struct Missing(ProblemDetails);

/// A batch: `docs/records.md` tells the entries.
#[derive(Serialize, ToSchema)]
pub(super) struct Posted {
    /// Its chain.
    recorder: String,
    /// Its place in the chain, from 0.
    batch: u64,
    /// SHA-256 of the batch before, lower-case hex.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    previous: String,
    /// What is recorded.
    entries: Vec<Value>,
}

/// Why a batch is not taken.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it only describes")]
pub(super) enum NotTaken {
    /// Not a batch.
    #[response(status = 400, content_type = "application/problem+json")]
    Malformed(ProblemDetails),
    /// A bearer token that may post is required.
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(ProblemDetails),
    /// It is not signed as it must be.
    #[response(status = 403, content_type = "application/problem+json")]
    Unsigned(ProblemDetails),
    /// The body did not come in time.
    #[response(status = 408, content_type = "application/problem+json")]
    Timeout(ProblemDetails),
    /// Other bytes stand under this number.
    #[response(status = 409, content_type = "application/problem+json")]
    Fork(ProblemDetails),
    /// Larger than a batch may be.
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(ProblemDetails),
    /// Batches come without a content encoding.
    #[response(status = 415, content_type = "application/problem+json")]
    Encoded(ProblemDetails),
    /// Too many wait; `Retry-After` says when to try again.
    #[response(status = 429, content_type = "application/problem+json")]
    Busy(ProblemDetails),
    /// It could not be made durable; it is to be posted again.
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(ProblemDetails),
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{env, fs};

    /// `UPDATE_GENERATED=1` writes it anew.
    #[test]
    fn generated_document_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
        let text = format!("{:#}\n", document());
        if env::var_os("UPDATE_GENERATED").is_some() {
            fs::write(path, &text).unwrap();
        }
        assert!(
            fs::read_to_string(path).is_ok_and(|kept| kept == text),
            "docs/openapi.json is out of date: run `UPDATE_GENERATED=1 cargo test -p chaperone generated`"
        );
    }
}
