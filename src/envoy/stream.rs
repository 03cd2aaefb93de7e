//! One HTTP stream: hands its events to the exchange and carries out what the exchange answers.

use super::host;
use super::root::Shared;
use crate::exchange::{
    Answer, Arrival, AtRequestBody, AtRequestHeaders, AtResponseBody, AtResponseHeaders, Callout,
    Confirmation, Exchange, Header, LocalReply,
};
use crate::record::Post;
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, BufferType, MapType};

/// Bytes of an answer that are read: an acknowledgement or a service account's token with what is around it is shorter.
const MOST_ANSWER: usize = 64 << 10;

pub(super) struct Stream {
    gateway: Option<Shared>,
    exchange: Option<Exchange>,
    /// The callouts whose answers the stream waits for, by their tokens.
    awaiting: Vec<(u32, Awaited)>,
    /// Set once the filter has answered or reset: nothing more may be done with the stream.
    over: bool,
    trap: Trap,
}

/// What a callout was sent for.
#[derive(Clone, Copy)]
enum Awaited {
    /// The collector's acknowledgement of this batch.
    Acknowledgement(u64),
    /// An upstream token.
    Token,
}

impl Stream {
    pub(super) fn new(gateway: Option<Shared>) -> Self {
        Self { gateway, exchange: None, awaiting: Vec::new(), over: false, trap: Trap::default() }
    }

    fn answer(&mut self, reply: &LocalReply) -> Action {
        self.over = true;
        host::reply(reply);
        Action::Pause
    }

    /// Posts the batches; where that is not even possible, the confirmation has failed at once.
    fn confirm(&mut self, posts: &[Post]) -> Action {
        let Some(gateway) = self.gateway.clone() else { return self.answer(&LocalReply::broken()) };
        for post in posts {
            let callout = gateway.borrow().post(post);
            match host::dispatch(&callout) {
                Some(token) => self.awaiting.push((token, Awaited::Acknowledgement(post.batch))),
                None => {
                    self.answered(post.batch, None, &[]);
                    break;
                }
            }
        }
        Action::Pause
    }

    /// The collector's answer to a post, or none.
    fn answered(&mut self, batch: u64, status: Option<u16>, body: &[u8]) -> Action {
        let (Some(gateway), Some(exchange)) = (&self.gateway, &mut self.exchange) else {
            return self.answer(&LocalReply::broken());
        };
        let acknowledged = gateway.borrow().is_acknowledgement(batch, status, body);
        let (now, jitter) = (host::now(), host::jitter());
        let next = exchange.on_confirmation(&mut gateway.borrow_mut(), now, jitter, batch, acknowledged);
        match next {
            Confirmation::Wait => Action::Pause,
            Confirmation::Resume => Action::Continue,
            Confirmation::Reply(reply) => self.answer(&reply),
        }
    }

    /// Asks for an upstream token; where that is not even possible, there is none.
    fn mint(&mut self, callout: &Callout) -> Action {
        match host::dispatch(callout) {
            Some(token) => {
                self.awaiting.push((token, Awaited::Token));
                Action::Pause
            }
            None => self.granted(&Answer::NONE),
        }
    }

    /// The API server's answer to the request for a token, or none.
    fn granted(&mut self, answer: &Answer) -> Action {
        let (Some(gateway), Some(exchange)) = (&self.gateway, &mut self.exchange) else {
            return self.answer(&LocalReply::broken());
        };
        let next = exchange.on_token(&mut gateway.borrow_mut(), host::now(), answer);
        next.map_or(Action::Pause, |next| self.request_headers(next))
    }

    fn request_headers(&mut self, next: AtRequestHeaders) -> Action {
        match next {
            AtRequestHeaders::Forward(headers) | AtRequestHeaders::Confirm(headers, _)
                if host::set_headers(MapType::HttpRequestHeaders, &headers).is_err() =>
            {
                self.answer(&LocalReply::broken())
            }
            AtRequestHeaders::Forward(_) => Action::Continue,
            AtRequestHeaders::Confirm(_, posts) => self.confirm(&posts),
            AtRequestHeaders::Mint(callout) => self.mint(&callout),
            AtRequestHeaders::Reply(reply) => self.answer(&reply),
        }
    }

    fn request_body(&mut self, chunk: &[u8], end_of_stream: bool) -> Action {
        let (Some(gateway), Some(exchange)) = (&self.gateway, &mut self.exchange) else {
            return self.answer(&LocalReply::broken());
        };
        let answer = exchange.on_request_body(&mut gateway.borrow_mut(), host::now(), chunk, end_of_stream);
        match answer {
            AtRequestBody::Replace(bytes) | AtRequestBody::Confirm(bytes, _)
                if host::set_buffer(BufferType::HttpRequestBody, chunk.len(), &bytes).is_err() =>
            {
                self.answer(&LocalReply::broken())
            }
            AtRequestBody::Pass | AtRequestBody::Replace(_) => Action::Continue,
            AtRequestBody::Confirm(_, posts) => self.confirm(&posts),
            AtRequestBody::Cut => {
                let _ = host::set_buffer(BufferType::HttpRequestBody, chunk.len(), &[]);
                self.reset()
            }
            AtRequestBody::Reply(reply) => self.answer(&reply),
        }
    }

    fn reset(&mut self) -> Action {
        self.over = true;
        let _ = hostcalls::reset_http_response();
        Action::Pause
    }

    /// Whether the response is the API server's: a local reply, the proxy's or our own, says otherwise.
    fn via_upstream() -> bool {
        host::property(&["response", "code_details"]).as_deref() == Some("via_upstream")
    }
}

/// A moment at which a test asks the VM to fail, to see what that leaves behind; in any other build there is none.
#[derive(Default)]
struct Trap {
    #[cfg(feature = "test-panic")]
    moment: Option<String>,
}

#[cfg(feature = "test-panic")]
impl Trap {
    /// A request asks for it with `fieldManager=panic-MOMENT`, last in its query.
    fn set(&mut self) {
        let path = host::property(&["request", "path"]).unwrap_or_default();
        self.moment = path.rsplit_once("fieldManager=panic-").map(|(_, moment)| moment.to_owned());
    }

    #[expect(clippy::panic, reason = "it is what this build is for")]
    fn spring(&self, moment: &str) {
        if self.moment.as_deref() == Some(moment) {
            panic!("The test asks for it: {moment}.");
        }
    }
}

#[cfg(not(feature = "test-panic"))]
impl Trap {
    fn set(&mut self) {}

    fn spring(&self, _moment: &str) {}
}

impl Context for Stream {
    fn on_http_call_response(&mut self, token: u32, headers: usize, body: usize, _trailers: usize) {
        self.trap.spring("acknowledged");
        let Some(at) = self.awaiting.iter().position(|(expected, _)| *expected == token) else { return };
        let (_, awaited) = self.awaiting.swap_remove(at);
        let (status, body) = host::answer(headers, body, MOST_ANSWER);
        let action = match awaited {
            Awaited::Acknowledgement(batch) => self.answered(batch, status, &body),
            Awaited::Token => self.granted(&Answer { status, body }),
        };
        if action == Action::Continue {
            let _ = hostcalls::resume_http_request();
        }
    }
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _count: usize, end_of_stream: bool) -> Action {
        self.trap.set();
        self.trap.spring("headers");
        let (Some(gateway), Some(random)) = (self.gateway.clone(), host::random()) else {
            return self.answer(&LocalReply::broken());
        };
        let arrival = Arrival {
            headers: host::headers(MapType::HttpRequestHeaders),
            end_of_stream,
            source: host::property(&["source", "address"]).unwrap_or_default(),
        };
        let (exchange, answer) =
            Exchange::begin(&mut gateway.borrow_mut(), host::now(), random, arrival, &host::HostVerifier);
        self.exchange = Some(exchange);
        let action = self.request_headers(answer);
        self.trap.spring("posted");
        action
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        if self.over || !self.awaiting.is_empty() {
            return Action::Pause;
        }
        self.trap.spring("body");
        let chunk = host::buffer(BufferType::HttpRequestBody, 0, size);
        if chunk.len() != size {
            return self.answer(&LocalReply::broken());
        }
        self.request_body(&chunk, end_of_stream)
    }

    fn on_http_request_trailers(&mut self, _count: usize) -> Action {
        if self.over || !self.awaiting.is_empty() {
            return Action::Pause;
        }
        let (Some(gateway), Some(exchange)) = (&self.gateway, &mut self.exchange) else {
            return self.answer(&LocalReply::broken());
        };
        let reply = exchange.on_request_trailers(&mut gateway.borrow_mut(), host::now());
        self.answer(&reply)
    }

    fn on_http_response_headers(&mut self, _count: usize, end_of_stream: bool) -> Action {
        self.trap.spring("response");
        if self.over {
            return Action::Continue;
        }
        let (Some(gateway), Some(exchange)) = (&self.gateway, &mut self.exchange) else {
            return Action::Continue;
        };
        let headers: Vec<Header> = host::headers(MapType::HttpResponseHeaders);
        let upstream = Self::via_upstream();
        let answer = exchange.on_response_headers(
            &mut gateway.borrow_mut(),
            host::now(),
            headers,
            end_of_stream,
            upstream,
        );
        match answer {
            AtResponseHeaders::Pass(headers) => {
                match host::set_headers(MapType::HttpResponseHeaders, &headers) {
                    Ok(()) => Action::Continue,
                    Err(_) => self.answer(&LocalReply::broken()),
                }
            }
            AtResponseHeaders::Reply(reply) => self.answer(&reply),
        }
    }

    fn on_http_response_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        if self.over {
            return Action::Continue;
        }
        let (Some(gateway), Some(exchange)) = (&self.gateway, &mut self.exchange) else {
            return Action::Continue;
        };
        let chunk = host::buffer(BufferType::HttpResponseBody, 0, size);
        if chunk.len() != size {
            return self.reset();
        }
        let answer = exchange.on_response_body(&mut gateway.borrow_mut(), host::now(), &chunk, end_of_stream);
        match answer {
            AtResponseBody::Keep => Action::Continue,
            AtResponseBody::Replace(bytes) => {
                match host::set_buffer(BufferType::HttpResponseBody, size, &bytes) {
                    Ok(()) => Action::Continue,
                    Err(_) => self.reset(),
                }
            }
            AtResponseBody::Cut => {
                let _ = host::set_buffer(BufferType::HttpResponseBody, size, &[]);
                self.reset()
            }
        }
    }

    fn on_http_response_trailers(&mut self, _count: usize) -> Action {
        if self.over {
            return Action::Continue;
        }
        let (Some(gateway), Some(exchange)) = (&self.gateway, &mut self.exchange) else {
            return Action::Continue;
        };
        let answer = exchange.on_response_body(&mut gateway.borrow_mut(), host::now(), &[], true);
        match answer {
            // Trailers end the body: bytes still held back can no longer be sent, so the response would be cut short.
            AtResponseBody::Replace(bytes) if !bytes.is_empty() => self.reset(),
            AtResponseBody::Cut => self.reset(),
            _ => Action::Continue,
        }
    }

    fn on_log(&mut self) {
        self.trap.spring("log");
        if let (Some(gateway), Some(exchange)) = (&self.gateway, &mut self.exchange) {
            exchange.on_log(&mut gateway.borrow_mut(), host::now());
        }
    }
}
