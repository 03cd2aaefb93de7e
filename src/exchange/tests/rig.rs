//! A gateway with an issuer, a collector that is asked by hand, and a clock that stands still until it is told.

use crate::config::FilterConfig;
use crate::exchange::{
    Answer, Arrival, AtRequestBody, AtRequestHeaders, AtResponseBody, AtResponseHeaders, Callout,
    Confirmation, Exchange, Gateway, Header, LocalReply,
};
use crate::identity::NoHost;
use crate::record::Post;
use chaperone_record::{Batch, Timestamp};
use jwt_simple::prelude::*;
use serde_json::{Value, json};
use std::cell::RefCell;

pub(super) const UPSTREAM_TOKEN: &str = "upstream-credential-0123456789";
const COLLECTOR_TOKEN: &str = "collector-token-0123456789";
/// RFC 8032 section 7.1, test 1.
const SIGNING_KEY: &str = "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g";
/// 2026-11-24T12:00:00Z.
pub(super) const START: u64 = 1_795_521_600_000_000;

/// Headers as a test writes them.
pub(super) type Headers<'a> = &'a [(&'a str, &'a str)];

pub(super) struct Rig {
    pub(super) gateway: Gateway,
    pub(super) now: Timestamp,
    key: Ed25519KeyPair,
    /// Bodies of all batches that were posted, by whomever.
    posted: RefCell<Vec<Vec<u8>>>,
    next: u16,
}

/// What came of a request's headers.
pub(super) enum Begun {
    Forward(Vec<Header>),
    Confirm(Vec<Header>, Post),
    Mint(Callout),
    Reply(LocalReply),
}

impl Rig {
    pub(super) fn new(sections: Value) -> Self {
        let key = Ed25519KeyPair::generate().with_key_id("k1");
        let x = base64::Engine::encode(
            &base64::engine::general_purpose::URL_SAFE_NO_PAD,
            key.public_key().to_bytes(),
        );
        let mut config = json!({
            "apiVersion": "chaperone.dev/v1alpha1", "kind": "FilterConfig",
            "authentication": {"jwt": [{"issuer": {
                "url": "https://idp.example.com", "audiences": ["kubernetes"],
                "jwks": {"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k1", "alg": "EdDSA", "use": "sig", "x": x}]},
            }}]},
            "credential": {"bearerToken": {"env": "UPSTREAM"}},
            "recording": {
                "collector": {"cluster": "collector", "token": {"env": "COLLECTOR"}},
                "signingKey": {"env": "SIGNING"},
            },
        });
        for (name, section) in sections.as_object().into_iter().flatten() {
            merge(&mut config[name], section);
        }
        let env = |name: &str| {
            let value = match name {
                "UPSTREAM" => UPSTREAM_TOKEN,
                "COLLECTOR" => COLLECTOR_TOKEN,
                "SIGNING" => SIGNING_KEY,
                _ => return None,
            };
            Some(value.to_owned())
        };
        let config =
            FilterConfig::parse(config.to_string().as_bytes(), &env).expect("the configuration is valid");
        let now = Timestamp::from_micros(START);
        let gateway = Gateway::new(config, now, [7; 16], "node-1".to_owned(), "1".to_owned());
        let gateway = gateway.unwrap_or_else(|problems| panic!("{problems:?}"));
        Self { gateway, now, key, posted: RefCell::default(), next: 0 }
    }

    pub(super) fn wait(&mut self, millis: u64) {
        self.now = Timestamp::from_micros(self.now.micros() + millis * 1000);
    }

    /// A good token with these claims besides the necessary ones.
    pub(super) fn token(&self, more: &Value) -> String {
        let seconds = self.now.micros() / 1_000_000;
        let mut claims = json!({
            "iss": "https://idp.example.com", "sub": "alice", "aud": "kubernetes", "groups": ["dev"], "jti": "token-1",
            "iat": seconds - 10, "nbf": seconds - 10, "exp": seconds + 600,
        });
        merge(&mut claims, more);
        let encode =
            |value: &[u8]| base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, value);
        let signed = format!(
            "{}.{}",
            encode(br#"{"alg":"EdDSA","typ":"JWT","kid":"k1"}"#),
            encode(claims.to_string().as_bytes())
        );
        let key = ed25519_compact::KeyPair::from_slice(&self.key.to_bytes()).unwrap();
        format!("{signed}.{}", encode(&*key.sk.sign(signed.as_bytes(), None)))
    }

    /// A request with a good token.
    pub(super) fn begin(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> (Exchange, Begun) {
        let token = format!("Bearer {}", self.token(&json!({})));
        let headers = [&[("authorization", token.as_str())], headers].concat();
        self.begin_bare(method, path, &headers)
    }

    /// A request with just these headers. One with a content type has a body.
    pub(super) fn begin_bare(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> (Exchange, Begun) {
        let pseudo = [(":method", method), (":path", path), (":authority", "gateway"), (":scheme", "https")];
        let headers: Vec<Header> = pseudo
            .iter()
            .chain(headers)
            .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
            .collect();
        let end_of_stream = !headers.iter().any(|(name, _)| name == b"content-type" || name == b"upgrade");
        let arrival = Arrival { headers, end_of_stream, source: "192.0.2.7:40000".to_owned() };
        self.next += 1;
        let [high, low] = self.next.to_be_bytes();
        let (exchange, answer) = Exchange::begin(
            &mut self.gateway,
            self.now,
            [high, low, 0, 0, 0, 0, 0, 0, 0, 0],
            arrival,
            &NoHost,
        );
        let begun = self.begun(answer);
        (exchange, begun)
    }

    fn begun(&self, answer: AtRequestHeaders) -> Begun {
        match answer {
            AtRequestHeaders::Forward(headers) => Begun::Forward(headers),
            AtRequestHeaders::Confirm(headers, mut posts) => {
                assert_eq!(posts.len(), 1, "a head is in one batch");
                let post = posts.remove(0);
                self.posted.borrow_mut().push(post.body.to_vec());
                Begun::Confirm(headers, post)
            }
            AtRequestHeaders::Mint(callout) => Begun::Mint(callout),
            AtRequestHeaders::Reply(reply) => Begun::Reply(reply),
        }
    }

    /// The API server's answer to a TokenRequest.
    pub(super) fn token_granted(&mut self, exchange: &mut Exchange, status: u16, body: &Value) -> Begun {
        let answer = Answer { status: Some(status), body: body.to_string().into_bytes() };
        let next = exchange.on_token(&mut self.gateway, self.now, &answer).expect("it waits");
        self.begun(next)
    }

    /// Some of the request's body.
    pub(super) fn body(&mut self, exchange: &mut Exchange, chunk: &[u8], end: bool) -> AtRequestBody {
        let answer = exchange.on_request_body(&mut self.gateway, self.now, chunk, end);
        if let AtRequestBody::Confirm(_, posts) = &answer {
            self.posted.borrow_mut().extend(posts.iter().map(|post| post.body.to_vec()));
        }
        answer
    }

    /// The collector's word on a post of the exchange's own.
    pub(super) fn confirm(
        &mut self,
        exchange: &mut Exchange,
        post: &Post,
        status: u16,
        body: &str,
    ) -> Confirmation {
        let acknowledged = self.gateway.is_acknowledgement(post.batch, Some(status), body.as_bytes());
        exchange.on_confirmation(&mut self.gateway, self.now, 0, post.batch, acknowledged)
    }

    /// The response's headers.
    pub(super) fn respond(
        &mut self,
        exchange: &mut Exchange,
        status: u16,
        headers: &[(&str, &str)],
    ) -> AtResponseHeaders {
        self.respond_by(exchange, status, headers, true)
    }

    /// The response's headers, the API server's or the proxy's own.
    pub(super) fn respond_by(
        &mut self,
        exchange: &mut Exchange,
        status: u16,
        headers: &[(&str, &str)],
        upstream: bool,
    ) -> AtResponseHeaders {
        let status = status.to_string();
        let headers = [&[(":status", status.as_str())], headers]
            .concat()
            .iter()
            .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
            .collect();
        exchange.on_response_headers(&mut self.gateway, self.now, headers, false, upstream)
    }

    /// Some of the response's body: what the agent gets of it; none where the response is cut.
    pub(super) fn response_body(
        &mut self,
        exchange: &mut Exchange,
        chunk: &[u8],
        end: bool,
    ) -> Option<Vec<u8>> {
        match exchange.on_response_body(&mut self.gateway, self.now, chunk, end) {
            AtResponseBody::Keep => Some(chunk.to_vec()),
            AtResponseBody::Replace(bytes) => Some(bytes),
            AtResponseBody::Cut => None,
        }
    }

    /// A whole JSON response.
    pub(super) fn answer(&mut self, exchange: &mut Exchange, status: u16, body: &Value) -> Value {
        let headers = [("content-type", "application/json")];
        assert!(matches!(self.respond(exchange, status, &headers), AtResponseHeaders::Pass(_)));
        let bytes = self.response_body(exchange, body.to_string().as_bytes(), true).expect("not cut");
        exchange.on_log(&mut self.gateway, self.now);
        serde_json::from_slice(&bytes).expect("JSON")
    }

    /// Everything written down so far, in order: what exchanges posted, and what the outbox would post next.
    pub(super) fn entries(&mut self) -> Vec<Value> {
        self.wait(1000);
        for callout in self.gateway.on_tick(self.now) {
            self.posted.borrow_mut().push(callout.body.to_vec());
        }
        let mut batches: Vec<Value> = self
            .posted
            .borrow()
            .iter()
            .map(|body| serde_json::from_slice(body).expect("a batch is JSON"))
            .collect();
        batches.sort_by_key(|batch| batch["batch"].as_u64());
        batches.dedup_by_key(|batch| batch["batch"].as_u64());
        for body in self.posted.borrow().iter() {
            let batch: Result<Batch, _> = serde_json::from_slice(body);
            assert!(batch.is_ok(), "the schema's own type reads it: {:?}", batch.err());
            let text = String::from_utf8_lossy(body);
            for secret in [UPSTREAM_TOKEN, COLLECTOR_TOKEN, "eyJhbGciOi"] {
                assert!(!text.contains(secret), "a credential is in a record");
            }
        }
        batches.iter().flat_map(|batch| batch["entries"].as_array().cloned().unwrap_or_default()).collect()
    }

    /// The entries of one type.
    pub(super) fn entries_of(&mut self, kind: &str) -> Vec<Value> {
        self.entries().into_iter().filter(|entry| entry["type"] == kind).collect()
    }
}

/// The collector's acknowledgement of a batch.
pub(super) fn acknowledgement(post: &Post) -> String {
    let batch: Value = serde_json::from_slice(&post.body).unwrap();
    json!({"recorder": batch["recorder"], "batch": post.batch}).to_string()
}

/// The only value of a header.
pub(super) fn header(headers: &[Header], name: &str) -> Option<String> {
    let mut values = headers.iter().filter(|(key, _)| key == name.as_bytes());
    let value = values.next().map(|(_, value)| String::from_utf8(value.clone()).unwrap());
    assert!(values.next().is_none(), "{name} is there twice");
    value
}

/// A local reply's `Status`.
pub(super) fn status(reply: &LocalReply) -> Value {
    let status: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!((&status["kind"], &status["code"]), (&json!("Status"), &json!(reply.status)));
    status
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                if value.is_null() {
                    into.remove(name);
                } else {
                    merge(into.entry(name.clone()).or_insert(Value::Null), value);
                }
            }
        }
        (into, from) => *into = from.clone(),
    }
}
