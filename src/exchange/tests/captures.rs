//! Real exchanges, through the whole machine: what must be refused is, what must pass does byte for byte, and of what is
//! masked nothing planted gets through.

use super::rig::{Begun, Rig, acknowledgement, header};
use crate::exchange::{AtRequestBody, AtResponseHeaders, Exchange, Header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

#[derive(Deserialize)]
struct Capture {
    name: String,
    expect: String,
    forbidden: Vec<String>,
    request: Request,
    response: Response,
}

#[derive(Deserialize)]
struct Request {
    method: String,
    path: String,
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: Value,
}

#[derive(Deserialize)]
struct Response {
    status: u16,
    headers: Vec<(String, String)>,
    body: Option<String>,
    body_base64: Option<String>,
}

impl Capture {
    fn request_body(&self) -> Option<Vec<u8>> {
        match &self.request.body {
            Value::Null => None,
            Value::String(text) => Some(text.clone().into_bytes()),
            other => Some(other.to_string().into_bytes()),
        }
    }

    fn response_body(&self) -> Vec<u8> {
        match (&self.response.body, &self.response.body_base64) {
            (Some(text), _) => text.clone().into_bytes(),
            (None, Some(encoded)) => STANDARD.decode(encoded).unwrap(),
            (None, None) => Vec::new(),
        }
    }

    fn is(&self, media: &str) -> bool {
        let is = |(name, value): &(String, String)| {
            name.eq_ignore_ascii_case("content-type") && value.starts_with(media)
        };
        self.response.headers.iter().any(is)
    }
}

fn captures() -> Vec<Capture> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("test-harness/fixtures/captures");
    let mut captures: Vec<Capture> = Vec::new();
    for version in ["v1.20", "v1.36"] {
        for file in std::fs::read_dir(root.join(version)).unwrap() {
            let mut capture: Capture =
                serde_json::from_slice(&std::fs::read(file.unwrap().path()).unwrap()).unwrap();
            capture.name = format!("{version}/{}", capture.name);
            captures.push(capture);
        }
    }
    assert!(captures.len() > 110, "{}", captures.len());
    captures
}

/// What became of the request: the exchange and what went upstream, or the status of the answer in its place.
fn ask(rig: &mut Rig, capture: &Capture) -> Result<(Exchange, Vec<Header>), u16> {
    let body = capture.request_body();
    let mut headers: Vec<(&str, &str)> = capture
        .request
        .headers
        .iter()
        .filter(|(name, _)| body.is_some() || !name.eq_ignore_ascii_case("content-type"))
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    if body.is_some() && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
        headers.push(("content-type", "application/json"));
    }
    let (mut exchange, begun) = rig.begin(&capture.request.method, &capture.request.path, &headers);
    let upstream = match begun {
        Begun::Forward(headers) => headers,
        Begun::Confirm(headers, post) => {
            rig.confirm(&mut exchange, &post, 200, &acknowledgement(&post));
            headers
        }
        Begun::Mint(_) => panic!("no token is to be minted"),
        Begun::Reply(reply) => return Err(reply.status),
    };
    if let Some(body) = body {
        match rig.body(&mut exchange, &body, true) {
            AtRequestBody::Reply(reply) => return Err(reply.status),
            AtRequestBody::Confirm(_, posts) => {
                for post in &posts {
                    rig.confirm(&mut exchange, post, 200, &acknowledgement(post));
                }
            }
            AtRequestBody::Pass | AtRequestBody::Replace(_) | AtRequestBody::Cut => {}
        }
    }
    Ok((exchange, upstream))
}

/// What the agent gets of the response; none where it is withheld.
fn get(rig: &mut Rig, exchange: &mut Exchange, capture: &Capture) -> Option<Vec<u8>> {
    let headers: Vec<(String, String)> = capture
        .response
        .headers
        .iter()
        .filter(|(name, _)| !name.eq_ignore_ascii_case("transfer-encoding"))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
        .collect();
    let headers: Vec<(&str, &str)> =
        headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let AtResponseHeaders::Pass(_) = rig.respond(exchange, capture.response.status, &headers) else {
        return None;
    };
    let mut got = Vec::new();
    for chunk in capture.response_body().chunks(5000) {
        got.extend(rig.response_body(exchange, chunk, false).expect("not cut"));
    }
    got.extend(rig.response_body(exchange, &[], true).expect("not cut"));
    Some(got)
}

/// Whether a forbidden text is in there, also in base64 and behind JSON's escapes, three times over.
fn leaks(bytes: &[u8], forbidden: &[String], depth: usize) -> bool {
    let holds = |text: &String| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    if forbidden.iter().any(holds) {
        return true;
    }
    if depth == 0 {
        return false;
    }
    let unescaped =
        String::from_utf8_lossy(bytes).replace("\\n", "\n").replace("\\\"", "\"").replace("\\\\", "\\");
    if unescaped.as_bytes() != bytes && leaks(unescaped.as_bytes(), forbidden, depth - 1) {
        return true;
    }
    let base64 = |byte: &u8| !byte.is_ascii_alphanumeric() && !matches!(byte, b'+' | b'/' | b'=');
    bytes.split(base64).filter(|run| run.len() >= 12).any(|run| {
        (0..4).any(|start| {
            let run = run.get(start..).unwrap_or_default();
            let whole = run.len() / 4 * 4;
            STANDARD.decode(&run[..whole]).is_ok_and(|decoded| leaks(&decoded, forbidden, depth - 1))
        })
    })
}

#[test]
fn every_capture_is_refused_masked_or_passed_as_it_must_be() {
    for capture in captures() {
        let name = &capture.name;
        let mut rig = Rig::new(json!({}));
        let (mut exchange, upstream) = match (ask(&mut rig, &capture), capture.expect.as_str()) {
            (Err(status), "refuse") => {
                assert!(matches!(status, 403 | 422), "{name}: {status}");
                continue;
            }
            (Ok(_), "refuse") => panic!("{name} went upstream"),
            (Err(status), _) => panic!("{name} was refused: {status}"),
            (Ok(asked), _) => asked,
        };
        let got = get(&mut rig, &mut exchange, &capture);
        exchange.on_log(&mut rig.gateway, rig.now);
        let body = capture.response_body();
        match (capture.expect.as_str(), got) {
            ("pass", got) => assert!(got.as_ref() == Some(&body), "{name} changed"),
            // JSON is asked for in YAML's place; an API server that sends YAML all the same is not believed.
            (_, None) => {
                assert!(capture.is("application/yaml"), "{name} was withheld");
                assert_eq!(header(&upstream, "accept").as_deref(), Some("application/json"), "{name}");
            }
            (_, Some(got)) => assert!(!leaks(&got, &capture.forbidden, 3), "{name} leaks"),
        }
        assert!(
            capture.expect == "pass" || leaks(&body, &capture.forbidden, 3) || capture.forbidden.is_empty(),
            "{name}: nothing to look for"
        );
        let record = json!(rig.entries()).to_string();
        assert!(!leaks(record.as_bytes(), &capture.forbidden, 3), "{name}: the record leaks");
    }
}
