//! `/exchanges/{id}`: one request and its response, as they were on the wire.

use super::assets::UNSEAL;
use super::diff::{self, Change};
use super::json;
use super::layout::{Failed, command, page};
use super::link;
use super::session::quoted;
use super::step::{Around, facts, remarks, timing};
use super::transcript;
use super::words::{action, chip, code, moment, number, status, text, told, tone, took};
use crate::present::body::encoded;
use crate::present::sanitize::{escape, lines};
use crate::present::terminal::Recording;
use crate::server::viewer::Viewer;
use crate::server::{App, RunsWasm};
use crate::store::Reader;
use crate::store::StoreError;
use crate::store::model::{ExchangeDetail, ExchangeSummary};
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chaperone_record::{BodyDigest, Channel, Entry, Masked};
use maud::{Markup, html};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Most bytes of text that is no JSON shown of a body.
const TEXT: usize = 256 * 1024;

/// What was recorded of an exchange's bodies.
#[derive(Default)]
struct Bodies {
    request: Option<Value>,
    response: Option<Value>,
    masked: Vec<Masked>,
    streams: BTreeMap<Channel, Vec<(u64, u64, Vec<u8>)>>,
}

impl Bodies {
    fn of(detail: ExchangeDetail) -> Self {
        let mut bodies = Self::default();
        for recorded in detail.entries {
            let Ok(entry) = serde_json::from_value::<Entry>(recorded.entry) else { continue };
            match entry {
                Entry::Request(request) => bodies.request = request.request_object.or(bodies.request),
                Entry::Response(response) => {
                    bodies.response = response.responded.response_object.or(bodies.response);
                    bodies.masked = response.responded.masked;
                }
                Entry::Exchange(exchange) => {
                    bodies.request = exchange.request_object.or(bodies.request);
                    bodies.response = exchange.responded.response_object.or(bodies.response);
                    bodies.masked = exchange.responded.masked;
                }
                Entry::Stream(piece) => {
                    let text = piece.data.as_str().unwrap_or("");
                    let data = match piece.encoding.as_deref() {
                        Some("base64") => STANDARD.decode(text).unwrap_or_default(),
                        _ => text.as_bytes().to_vec(),
                    };
                    bodies.streams.entry(piece.channel).or_default().push((
                        piece.position,
                        piece.offset,
                        data,
                    ));
                }
                Entry::Open(_) | Entry::End(_) | Entry::Gap(_) => {}
            }
        }
        bodies.streams.values_mut().for_each(|pieces| pieces.sort());
        bodies
    }
}

pub(super) async fn show(
    viewer: Viewer,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Response, Failed> {
    let detail = app.reader.exchange(&id).await?.ok_or(Failed::missing("step"))?;
    let summary = detail.summary.clone();
    let places: Vec<_> =
        detail.entries.iter().map(|e| (e.recorder.clone(), e.batch, e.kid.clone())).collect();
    let sealed: Vec<String> =
        detail.entries.iter().filter_map(|e| e.entry["sealed"].as_str().map(str::to_owned)).collect();
    let recording = Recording::of(&detail);
    let scripts = recording.as_ref().and_then(transcript::scripts);
    let mut bodies = Bodies::of(detail);
    if recording.is_some() {
        // They are told as a transcript.
        bodies.streams.retain(|channel, _| *channel == Channel::Error);
    }
    let change = change(&app.reader, &summary, &bodies).await?;
    let (class, word) = tone(&summary);
    let content = html! {
        p.crumbs {
            a href="/sessions" { "Sessions" }
            @if let Some(session) = &summary.session {
                " › " a href=(link::session(session)) { (text(session)) }
                " › " a href={ (link::session(session)) "?after=" (summary.time.micros().saturating_sub(1)) ":" } { "this step" }
            }
        }
        h1.step.(class) {
            @if word != "read" { (chip(class, word, "")) " " }
            @if summary.is_refused() { "was refused: " }
            bdi { (action(&summary)) } (remarks(&summary))
        }
        p.dim { (moment(i64::try_from(summary.time.micros()).unwrap_or(0))) " · " (status(&summary)) " · " (took(&summary))
            @if let Some(object) = link::object(&summary) { " · " a href=(object) { "Everything done to this object" } }
        }
        (facts(&summary, Around::default()))
        (timing(&summary.timing))
        @if let Some(change) = change { (change) }
        @if let Some(recording) = &recording { (transcript::section(recording, &summary.exchange)) }
        (wire(&summary, &bodies, recording.is_some()))
        @if !sealed.is_empty() { (originals(&summary.exchange, &sealed)) }
        details.place {
            summary { "Where it is recorded" }
            dl.facts {
                dt { "Audit-ID" } dd { (code(&summary.exchange)) }
                @for (recorder, batch, kid) in places {
                    dt { "Entry" }
                    dd { "batch " (number(batch)) " of " (code(&recorder)) @match kid { Some(kid) => { ", signed by " (code(&kid)) } None => ", signature not checked" } }
                }
            }
        }
    };
    let plays = scripts.is_some();
    let content = html! { (content) @if let Some(scripts) = scripts { (scripts) } };
    let mut response = page(&viewer, "/sessions", &told(&summary), content).into_response();
    if plays {
        response.extensions_mut().insert(RunsWasm);
    }
    Ok(response)
}

/// What was masked, to be opened with the auditor's key by a script in the page. Nothing here is a form's: it cannot be
/// sent by mistake.
fn originals(exchange: &str, sealed: &[String]) -> Markup {
    html! {
        section.proof #originals data-unseal=(exchange) {
            h2 { "Masked originals" }
            p { "They are kept, sealed to the auditor's public key: this server cannot read them." }
            @for sealed in sealed { template data-sealed=(sealed) {} }
            div.key-form data-key-form hidden {
                label {
                    span { "The auditor's private key, " span.dim { "which is used in this page and never leaves it" } }
                    textarea rows="3" spellcheck="false" autocomplete="off" autocapitalize="off" placeholder="-----BEGIN PRIVATE KEY-----" {}
                }
                div.line {
                    button type="button" data-open { "Open" }
                    label { "or from a file " input type="file" accept=".pem,.key,.txt"; }
                    button.quiet type="button" data-forget { "Hide again" }
                }
            }
            p role="status" {}
            div data-originals {}
            details { summary { "Without a browser" }
                (command(&format!("chaperone unseal --key unsealing-key.pem {}", quoted(exchange))))
            }
            script type="module" src=(UNSEAL.url()) {}
        }
    }
}

/// Request and response, side by side, but for what is told above as a transcript; scripts put it into a step where it is opened.
fn wire(summary: &ExchangeSummary, bodies: &Bodies, is_told: bool) -> Markup {
    let stream = |channels: &[Channel]| {
        html! { @for channel in channels { @if let Some(pieces) = bodies.streams.get(channel) { (streamed(*channel, pieces)) } } }
    };
    let has = |channels: &[Channel]| channels.iter().any(|channel| bodies.streams.contains_key(channel));
    let (up, down) = (
        [Channel::Request, Channel::Stdin, Channel::Resize],
        [Channel::Response, Channel::Stdout, Channel::Stderr, Channel::Error],
    );
    html! {
        section.wire id="wire" {
            div {
                h2 { "Request" }
                @if let Some(body) = &bodies.request { (body_of(body, summary.request_digest.as_ref(), &[])) }
                @else if is_told { p.dim { "What was typed stands above." } }
                @else if !has(&up) { p.dim { @match &summary.request_digest {
                    Some(digest) if digest.bytes > 0 => { (number(i64::try_from(digest.bytes).unwrap_or(0))) " bytes; their content is not recorded at this level." }
                    _ => "No body.",
                } } }
                (stream(&up))
            }
            div {
                h2 { "Response " span.dim { "as the agent got it" } }
                @if let Some(body) = &bodies.response { (body_of(body, summary.response_digest.as_ref(), &bodies.masked)) }
                @else if !has(&down) { p.dim { @match &summary.response_digest {
                    Some(digest) if digest.bytes > 0 => { (number(i64::try_from(digest.bytes).unwrap_or(0))) " bytes; their content is not recorded at this level." }
                    _ => "No body.",
                } } }
                (stream(&down))
            }
        }
    }
}

fn body_of(body: &Value, digest: Option<&BodyDigest>, masked: &[Masked]) -> Markup {
    html! {
        @match encoded(body) {
            Some(data) => {
                @if digest.is_some_and(|digest| digest.bytes > data.len() as u64) { p.dim { "Only the first " (number(i64::try_from(data.len()).unwrap_or(0))) " bytes are recorded." } }
                (raw(&data))
            }
            None => (json::tree(body, masked)),
        }
        @if let Some(digest) = digest {
            p.dim.digest { (number(i64::try_from(digest.bytes).unwrap_or(0))) " bytes, SHA-256 " (code(&digest.sha256)) }
        }
    }
}

fn streamed(channel: Channel, pieces: &[(u64, u64, Vec<u8>)]) -> Markup {
    let name = match channel {
        Channel::Request => "Request, as it was sent",
        Channel::Response => "Response, as it came",
        Channel::Stdin => "Typed",
        Channel::Stdout => "Printed",
        Channel::Stderr => "Printed as errors",
        Channel::Error => "How it ended",
        Channel::Resize => "Sizes of the terminal",
        Channel::Sent => "Sent to the port",
        Channel::Received => "Received from the port",
    };
    let all: Vec<u8> = pieces.iter().flat_map(|(.., data)| data.iter().copied()).collect();
    html! { h3 { (name) } (raw(&all)) }
}

/// Text line by line, with what would be unseen shown; bytes as their number.
fn raw(data: &[u8]) -> Markup {
    let Ok(text) = std::str::from_utf8(data) else {
        return html! { p.dim { (number(i64::try_from(data.len()).unwrap_or(0))) " bytes that are no text." } };
    };
    let end = (0..=TEXT.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    let (shown, rest) = text.split_at(end);
    html! {
        pre.text { @for line in lines(shown) { bdi { (line) } "\n" } }
        @if !rest.is_empty() { p.dim { "and " (number(i64::try_from(rest.len()).unwrap_or(0))) " bytes more." } }
    }
}

/// What a write changed, where the record knows what was before.
async fn change(
    reader: &Reader,
    summary: &ExchangeSummary,
    bodies: &Bodies,
) -> Result<Option<Markup>, StoreError> {
    let verb = summary.requested.as_ref().map_or("", |head| head.verb.as_str());
    let object =
        link::named(summary).zip(summary.requested.as_ref().and_then(|head| head.object_ref.as_ref()));
    let Some((mut object, as_asked)) =
        object.filter(|_| matches!(verb, "update" | "patch") && summary.session.is_some())
    else {
        return Ok(None);
    };
    object.subresource.clone_from(&as_asked.subresource);
    if !object.subresource.is_empty() {
        return Ok(None);
    }
    let answered =
        (!summary.is_refused() && !summary.is_failed()).then_some(bodies.response.as_ref()).flatten();
    let (after, source) = match (answered.filter(|body| is_object(body)), &bodies.request) {
        (Some(body), _) => (body, "what the API server answered"),
        (None, Some(body)) if verb == "update" && is_object(body) => (body, "what the agent asked for"),
        _ => return Ok(None),
    };
    for earlier in reader.earlier(summary, &object, 5).await? {
        let Some(detail) = reader.exchange(&earlier.exchange).await? else { continue };
        let Some(before) = Bodies::of(detail).response.filter(is_object) else { continue };
        let changes = diff::changes(&before, after);
        return Ok(Some(html! {
            section.change {
                h2 { "What changed" }
                p.dim {
                    "From " a href=(link::exchange(&earlier.exchange)) { (told(&earlier)) } ", earlier in this session, to " (source)
                    ". Masked values are compared masked: a change between two of them cannot be seen."
                }
                (changed(&changes))
            }
        }));
    }
    Ok(None)
}

/// A Kubernetes object, and no list, table or Status.
fn is_object(body: &Value) -> bool {
    body.get("kind").and_then(Value::as_str).is_some_and(|kind| kind != "Status" && kind != "Table")
        && body.get("metadata").is_some_and(Value::is_object)
        && body.get("items").is_none()
}

fn changed(changes: &[Change]) -> Markup {
    if changes.is_empty() {
        return html! { p { "No field that people set." } };
    }
    html! {
        table.diff {
            thead { tr { th scope="col" { "Field" } th scope="col" { "Before" } th scope="col" { "After" } } }
            tbody { @for change in changes.iter().take(500) {
                tr {
                    th scope="row" { (code(&change.path)) }
                    td { @match &change.before { Some(value) => { del { bdi { (escape(value)) } } } None => span.dim { "not set" } } }
                    td { @match &change.after { Some(value) => { ins { bdi { (escape(value)) } } } None => span.dim { "taken away" } } }
                }
            } }
        }
        @if changes.len() > 500 { p.dim { "and " (changes.len() - 500) " more" } }
    }
}
