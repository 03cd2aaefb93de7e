//! `GET /v1/export`: a part of the records, streamed as it is read from one moment's database.

use super::openapi::{Missing, Refused};
use super::problem::Problem;
use super::read::{Auditor, failed};
use super::{App, now};
use crate::export::ExportError;
use crate::export::order::{Form, Order};
use crate::store::Reader;
use crate::store::filter::Filter;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, Query, State};
use axum::http::{StatusCode, header, request::Parts};
use axum::response::{IntoResponse, Response};
use clap::ValueEnum as _;
use futures_util::stream;
use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{self, error::TrySendError};

/// Most exports at a time: each has a connection of its own.
pub(super) const EXPORTS: usize = 4;

/// Most of one caller.
pub(super) const CALLER_EXPORTS: usize = 2;

/// Bytes handed on at a time.
const CHUNK: usize = 64 << 10;

/// Chunks that wait for the client.
const CHUNKS: usize = 8;

/// How long a client may take for a chunk: its database's moment is kept for it.
const STALL: Duration = Duration::from_secs(30);

impl FromRequestParts<Arc<App>> for Order {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Problem> {
        let refused = |detail: String| Problem::new(StatusCode::BAD_REQUEST, "query", detail);
        let unreadable = |_| refused("the query cannot be read".to_owned());
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri).map_err(unreadable)?;
        let (mut order, mut form) = (Self::default(), None);
        for (name, value) in pairs {
            if name == "exchange" {
                if order.exchange.replace(value).is_some() {
                    return Err(refused("`exchange` is given twice".to_owned()));
                }
                continue;
            }
            if name != "format" {
                order.filter.set(&name, &value).map_err(|error| refused(error.to_string()))?;
                continue;
            }
            let wrong = |_| refused("`format` is not bundle, har, ocsf, cloudevents or asciicast".to_owned());
            if form.replace(Form::from_str(&value, false).map_err(wrong)?).is_some() {
                return Err(refused("`format` is given twice".to_owned()));
            }
        }
        order.form = form.unwrap_or_default();
        order.filter.check().map_err(|error| refused(error.to_string()))?;
        order.check().map_err(|error| refused(error.to_string()))?;
        Ok(order)
    }
}

/// `GET /v1/export`: whole batches that verify offline, or exchanges in the format of another program. A body that does
/// not end as its transfer encoding says was cut short.
#[utoipa::path(
    get,
    path = "/v1/export",
    tag = "records",
    params(
        Filter,
        ("format" = inline(Option<Form>), Query, description = "What to write; a bundle where none is given"),
        ("exchange" = Option<String>, Query, description = "asciicast: which exec or attach; it may be left out where its session has only one")
    ),
    responses(
        (status = 200, description = "The export", content(
            (String = "application/x-ndjson"),
            (String = "application/x-asciicast"),
            (serde_json::Value = "application/json")
        )),
        Refused,
        Missing
    ),
    security(("bearer" = []))
)]
pub(super) async fn export(
    auditor: Auditor,
    State(app): State<Arc<App>>,
    order: Order,
) -> Result<Response, Problem> {
    let place = app.exports.take(&auditor.caller)?;
    let reader = Reader::snapshot(&app.database).await.map_err(failed)?.with_bodies(app.reader.bodies());
    if !order.is_there(&reader).await.map_err(failed)? {
        return Err(Problem::new(StatusCode::NOT_FOUND, "notFound", order.missing()));
    }
    let headers = [
        (header::CONTENT_TYPE, order.form.media_type().to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{}\"", order.form.file_name())),
    ];
    let (chunks, sent) = mpsc::channel(CHUNKS);
    tokio::spawn(async move {
        let out = BufWriter::with_capacity(CHUNK, Pipe { chunks: chunks.clone() });
        if let Err(error) = order.write(&reader, now(), out).await {
            if let ExportError::Store(error) = &error {
                tracing::error!(%error, "Could not finish an export.");
            }
            let cut = io::Error::other("the export could not be finished");
            let _ = tokio::time::timeout(STALL, chunks.send(Err(cut))).await;
        }
        reader.close().await;
        drop(place);
    });
    let body = Body::from_stream(stream::unfold(sent, |mut sent| async { Some((sent.recv().await?, sent)) }));
    Ok((headers, body).into_response())
}

/// Writes into a response.
struct Pipe {
    chunks: mpsc::Sender<io::Result<Bytes>>,
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let bytes = bytes.get(..CHUNK).unwrap_or(bytes);
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        match self.chunks.try_send(Ok(Bytes::copy_from_slice(bytes))) {
            Ok(()) => {}
            Err(TrySendError::Closed(_)) => return Err(gone()),
            Err(TrySendError::Full(chunk)) => {
                let send = async { tokio::time::timeout(STALL, self.chunks.send(chunk)).await };
                let sent = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(send));
                sent.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?.map_err(|_| gone())?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
