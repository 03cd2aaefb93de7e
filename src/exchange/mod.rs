//! One request and its response, as a state machine: events in, effects out.
//!
//! [`Exchange`] is one stream's machine, [`Gateway`] what all streams of a worker share. Neither knows a socket, a clock or
//! a host: the shell calls `on_…` with what happened and carries out the answer. An exchange's way:
//!
//! ```text
//! begin ─ [Mint ─ on_token] ─┬─ Reply ────────────────────────────────────────────────────────► Over
//!                             ├─ Confirm ─ on_confirmation ─┐
//!                  ┌──────────┴─ Forward ───────────────────┘
//!                  └─► on_request_body ─┬─ Replace … Confirm ─ on_confirmation ──────────────────┐
//!                                       └─ Pass ─────────────────────────────────────────────────┤
//!                 Over ◄─ on_log ◄─ on_response_body ◄─ on_response_headers ◄────────────────────┘
//! ```
//!
//! A 101 to what was asked for lets bytes go both ways, as they come: `on_request_body` and `on_response_body` until one
//! of them is the last.

mod account;
mod body_guard;
mod callout;
mod gateway;
mod reply;
mod request;
mod response;
mod upgraded;

#[cfg(test)]
mod tests;

pub use callout::{Answer, Callout, Purpose};
pub use gateway::Gateway;
pub use reply::LocalReply;

use crate::credential::{Mint, UpstreamToken};
use crate::metrics::Metric;
use crate::record::Post;
use crate::stream::handshake::Offer;
use account::Account;
use body_guard::BodyGuards;
use chaperone_record::{Outcome, Timestamp};
use request::Admitted;
use response::ResponseBody;
use std::collections::BTreeSet;
use std::rc::Rc;
use upgraded::Upgraded;

use crate::kube::RequestInfo;

/// A header's name, in lower case as Envoy gives it, and its value.
pub type Header = (Vec<u8>, Vec<u8>);

/// What the shell knows when a request begins.
pub struct Arrival {
    /// All headers, pseudo-headers too, in their order.
    pub headers: Vec<Header>,
    /// Whether no body follows.
    pub end_of_stream: bool,
    /// The client's address as the proxy knows it, `host:port`; empty where it does not.
    pub source: String,
}

/// What to do with a request's headers.
pub enum AtRequestHeaders {
    /// Send these upstream.
    Forward(Vec<Header>),
    /// Set these, post the batches, and tell each answer to [`Exchange::on_confirmation`]; until that says so nothing goes
    /// upstream.
    Confirm(Vec<Header>, Vec<Post>),
    /// Send this, which asks for an upstream token, and wait for [`Exchange::on_token`] before anything goes upstream.
    Mint(Callout),
    /// Answer.
    Reply(LocalReply),
}

/// What to do with a piece of the request's body.
pub enum AtRequestBody {
    /// Send it as it is.
    Pass,
    /// Send this in its place: what was held back before, and most of it.
    Replace(Vec<u8>),
    /// Put this in its place, hold it, post the batches, and tell each answer to [`Exchange::on_confirmation`].
    Confirm(Vec<u8>, Vec<Post>),
    /// Answer.
    Reply(LocalReply),
    /// Send nothing more and reset the stream.
    Cut,
}

/// What to do once a confirmation came, or did not.
pub enum Confirmation {
    /// Nothing: other batches are still to be acknowledged, or nobody waits for this one any more.
    Wait,
    /// Let the request go on.
    Resume,
    /// Answer.
    Reply(LocalReply),
}

/// What to do with a response's headers.
pub enum AtResponseHeaders {
    /// Send these to the agent.
    Pass(Vec<Header>),
    /// Answer instead.
    Reply(LocalReply),
}

/// What to do with a piece of the response's body.
pub enum AtResponseBody {
    /// Send it as it is.
    Keep,
    /// Send this in its place.
    Replace(Vec<u8>),
    /// Send nothing more and reset the stream.
    Cut,
}

/// One request and its response.
pub struct Exchange {
    phase: Phase,
    account: Account,
    info: RequestInfo,
    guards: BodyGuards,
    /// Whether the body is held back until its record is acknowledged.
    confirm: bool,
    /// The WebSocket or SPDY connection that it asks for; none where it asks for none.
    offer: Option<Offer>,
    /// What it goes upstream with.
    token: Option<Rc<UpstreamToken>>,
}

/// Where an exchange stands.
enum Phase {
    /// An upstream token is asked for; headers wait.
    Minting(Mint, Box<Admitted>),
    /// What was written down of the request is posted, in these batches; headers or body wait. `more` says whether a body
    /// follows.
    Confirming { batches: BTreeSet<u64>, more: bool },
    /// The body comes. Its last byte so far is held back until all of it has been looked at, and its record is
    /// acknowledged where that is asked for: an API server acts on whole bodies only.
    HoldingBody { tail: Option<u8> },
    /// The request goes upstream as it comes.
    Forwarding,
    /// The response goes to the agent as it comes.
    Responding(Box<ResponseBody>),
    /// The API server has switched protocols; bytes go both ways as they come.
    Upgraded(Box<Upgraded>),
    /// Everything is written down.
    Over,
}

impl Exchange {
    /// The answer to one of the posts that the exchange waits for. `jitter` is any random number.
    pub fn on_confirmation(
        &mut self,
        gateway: &mut Gateway,
        now: Timestamp,
        jitter: u64,
        batch: u64,
        acknowledged: bool,
    ) -> Confirmation {
        gateway.posted(now, batch, acknowledged, jitter);
        let Phase::Confirming { batches, more } = &mut self.phase else { return Confirmation::Wait };
        if !batches.contains(&batch) {
            return Confirmation::Wait;
        }
        if !acknowledged {
            let refusal = reply::unrecorded("the collector did not acknowledge the record of this request");
            return Confirmation::Reply(self.refuse(gateway, now, refusal));
        }
        batches.remove(&batch);
        if !batches.is_empty() {
            return Confirmation::Wait;
        }
        self.phase = if *more { Phase::HoldingBody { tail: None } } else { Phase::Forwarding };
        self.account.forwarded(now);
        Confirmation::Resume
    }

    /// The stream is over, for whatever reason: what was not written down yet is.
    pub fn on_log(&mut self, gateway: &mut Gateway, now: Timestamp) {
        let reason = match &self.phase {
            Phase::Over => return,
            Phase::Minting(..) | Phase::Confirming { .. } | Phase::HoldingBody { .. } => {
                "the stream ended before the request was forwarded"
            }
            Phase::Forwarding => "the stream ended before a response came",
            Phase::Responding(_) => "the stream ended before the response was whole",
            Phase::Upgraded(_) => return self.end_upgraded(gateway, now, None),
        };
        if let Phase::Responding(body) = std::mem::replace(&mut self.phase, Phase::Over) {
            self.account.response_so_far(gateway, now, *body);
        }
        self.account.aborted(gateway, now, reason);
    }

    /// Breaks off the response or stream that is under way, all of it so far written down.
    fn cut(&mut self, gateway: &mut Gateway, now: Timestamp, why: &str) {
        match &self.phase {
            Phase::Upgraded(_) => self.end_upgraded(gateway, now, Some((Outcome::Cut, why))),
            Phase::Responding(_) => {
                if let Phase::Responding(body) = std::mem::replace(&mut self.phase, Phase::Over) {
                    self.account.responded(gateway, now, *body, Outcome::Cut, why);
                }
            }
            _ => return,
        }
        gateway.count(Metric::Cut);
    }

    /// Writes a refusal down and makes it the answer.
    fn refuse(&mut self, gateway: &mut Gateway, now: Timestamp, refusal: crate::kube::Refusal) -> LocalReply {
        self.phase = Phase::Over;
        self.account.refused(gateway, now, &refusal);
        reply::from_refusal(refusal, self.account.id())
    }
}
