//! From the first header byte to what goes upstream: classify, authenticate, attribute, decide, rewrite.

use super::account::Account;
use super::{Arrival, AtRequestBody, AtRequestHeaders, Exchange, Gateway, Phase, reply};
use crate::config::{Delivery, Level};
use crate::identity::{Identity, SignatureVerifier};
use crate::kube::{Refusal, RequestHead, RequestInfo};
use crate::metrics::Metric;
use crate::record::ExchangeId;
use chaperone_record::{Attribution, Decision, Requested, Timestamp};
use std::rc::Rc;

/// A request on its way through the stages: each fills in what it found out, and a refusal at any of them is written
/// down with what is known by then.
#[derive(Default)]
struct Draft {
    info: Option<RequestInfo>,
    identity: Option<Rc<Identity>>,
    attribution: Attribution,
}

impl Exchange {
    /// A request's headers are here. `random` makes the exchange's id.
    pub fn begin(
        gateway: &mut Gateway,
        now: Timestamp,
        random: [u8; 10],
        arrival: Arrival,
        verifier: &dyn SignatureVerifier,
    ) -> (Self, AtRequestHeaders) {
        gateway.count(Metric::Requests);
        let id = ExchangeId::new(now, random);
        let head = RequestHead::new(arrival.headers);
        let mut draft = Draft::default();
        let decided = draft.decide(gateway, now, &head, arrival.end_of_stream, verifier);
        let decision = match &decided {
            Ok(decision) => decision.clone(),
            Err(refusal) => Decision {
                allowed: false,
                rule: refusal.rule.clone(),
                message: refusal.status.message().to_owned(),
            },
        };
        let requested = draft.requested(&head, &arrival.source, decision);
        let mut exchange = Self {
            phase: Phase::Forwarding,
            account: Account::new(id, now, draft.session(), requested),
            info: draft.info.unwrap_or_default(),
            hold: false,
        };
        let answer = match decided {
            Err(refusal) => AtRequestHeaders::Reply(exchange.refuse(gateway, now, refusal)),
            Ok(_) => exchange.release_head(gateway, now, &head, draft.identity.as_deref(), arrival.end_of_stream),
        };
        (exchange, answer)
    }

    /// The request may go upstream: rewrites its headers and, where delivery is Confirmed, has its record confirmed first.
    fn release_head(
        &mut self,
        gateway: &mut Gateway,
        now: Timestamp,
        head: &RequestHead,
        identity: Option<&Identity>,
        end_of_stream: bool,
    ) -> AtRequestHeaders {
        let headers = match gateway.upstream_headers(head, &self.info, self.account.id()) {
            Ok(headers) => headers,
            Err(refusal) => return AtRequestHeaders::Reply(self.refuse(gateway, now, refusal)),
        };
        let user = identity.map(|identity| &identity.user);
        let (level, delivery) = gateway.recording.level_and_delivery(&self.info, user);
        let limits = &gateway.config.recording.limits;
        self.account.record(level, self.info.is_secret(), limits.max_body_bytes, limits.batch_bytes);
        gateway.count(Metric::Forwarded);
        if delivery == Delivery::Buffered {
            self.account.forwarded(now);
            return AtRequestHeaders::Forward(headers);
        }
        self.hold = !end_of_stream;
        self.account.write_head(gateway, now);
        match gateway.seal(now) {
            Some(post) => {
                self.phase = Phase::ConfirmingHead { batch: post.batch, more: self.hold };
                AtRequestHeaders::Confirm(headers, post)
            }
            // The outbox took nothing: the entry did not fit.
            None => AtRequestHeaders::Reply(self.refuse(gateway, now, reply::unrecorded("its record found no room"))),
        }
    }

    /// Some of the request's body is here.
    pub fn on_request_body(
        &mut self,
        gateway: &mut Gateway,
        now: Timestamp,
        chunk: &[u8],
        end_of_stream: bool,
    ) -> AtRequestBody {
        self.account.request_chunk(gateway, now, chunk);
        match self.phase {
            Phase::HoldingBody if !end_of_stream => AtRequestBody::Hold,
            Phase::HoldingBody => {
                self.account.write_request_body(gateway, now);
                match gateway.seal(now) {
                    Some(post) => {
                        self.phase = Phase::ConfirmingBody { batch: post.batch };
                        AtRequestBody::Confirm(post)
                    }
                    None => AtRequestBody::Reply(self.refuse(gateway, now, reply::unrecorded("its record found no room"))),
                }
            }
            _ => AtRequestBody::Pass,
        }
    }
}

impl Draft {
    /// The stages, in their order.
    fn decide(
        &mut self,
        gateway: &mut Gateway,
        now: Timestamp,
        head: &RequestHead,
        end_of_stream: bool,
        verifier: &dyn SignatureVerifier,
    ) -> Result<Decision, Refusal> {
        if !gateway.has_room() {
            return Err(reply::unrecorded("unacknowledged records fill the outbox; is the collector reachable?"));
        }
        head.check()?;
        let info = self.info.insert(RequestInfo::parse(head.method(), head.path())?);
        let identity = gateway.authenticator.authenticate(now, &head.authorization(), verifier)?;
        let identity = self.identity.insert(identity);
        self.attribution = identity.attribute(&gateway.config.attribution, info.session.as_deref(), &|name| head.value(name));
        self.attribution.require(&gateway.config.attribution, &info.verb)?;
        let decision = gateway.access.decide(info, &identity.user, head, end_of_stream);
        if decision.allowed { Ok(decision) } else { Err(Refusal::forbidden(&decision)) }
    }

    /// The session: what the agent says it is, else its token. Where neither tells, the collector groups by user and time.
    fn session(&self) -> String {
        if let Some(session) = &self.attribution.session {
            return session.value.clone();
        }
        let token = self.identity.as_ref().and_then(|identity| identity.user.token_id.clone());
        token.unwrap_or_default()
    }

    /// The head of the record, with as much as is known.
    fn requested(&self, head: &RequestHead, source: &str, decision: Decision) -> Requested {
        let info = self.info.as_ref();
        Requested {
            user: self.identity.as_ref().map(|identity| identity.user.clone()),
            attribution: self.attribution.clone(),
            method: head.recorded_method(),
            request_uri: head.recorded_uri(),
            verb: info.map(|info| info.verb.to_string()).unwrap_or_default(),
            object_ref: info.and_then(RequestInfo::object_ref),
            source_ips: (!source.is_empty()).then(|| address(source)).into_iter().collect(),
            user_agent: head.user_agent(),
            decision,
        }
    }
}

/// `192.0.2.1:4711` and `[2001:db8::1]:4711` without the port.
fn address(source: &str) -> String {
    let host = source.rsplit_once(':').map_or(source, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']').to_owned()
}
