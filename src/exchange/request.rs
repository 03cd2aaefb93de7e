//! From the first header byte to what goes upstream: classify, authenticate, attribute, decide, rewrite.

use super::account::Account;
use super::body_guard::BodyGuards;
use super::{
    Answer, Arrival, AtRequestBody, AtRequestHeaders, Exchange, Gateway, Header, LocalReply, Phase, reply,
};
use crate::config::Delivery;
use crate::credential::{Lookup, UpstreamToken, impersonation};
use crate::identity::{AuthError, Identity, SignatureVerifier, attribute, require};
use crate::kube::{Refusal, RequestHead, RequestInfo, ambiguous};
use crate::metrics::Metric;
use crate::record::{ExchangeId, Post};
use crate::stream::handshake::{Offer, is_recordable};
use chaperone_record::{Attribution, Decision, Requested, Timestamp};
use std::collections::BTreeSet;
use std::rc::Rc;

/// What a client that takes no JSON accepts.
const PROTOBUF: &[u8] = b"application/vnd.kubernetes.protobuf";

/// A request on its way through the stages: each fills in what it found out, and a refusal at any of them is written
/// down with what is known by then.
#[derive(Default)]
struct Draft {
    info: Option<RequestInfo>,
    identity: Option<Rc<Identity>>,
    attribution: Attribution,
    offer: Option<Offer>,
    impersonation: Vec<Header>,
}

/// A request that may go upstream, once there is a token for it.
pub(super) struct Admitted {
    head: RequestHead,
    identity: Rc<Identity>,
    /// The client's address; empty where the proxy does not know it.
    client: String,
    impersonation: Vec<Header>,
    end_of_stream: bool,
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
        let session = draft.identity.as_ref().map(|identity| session(&draft.attribution, identity));
        let session = session.unwrap_or_default();
        let requested = draft.requested(gateway, &head, &arrival.source, decision);
        let info = draft.info.take().unwrap_or_default();
        let mut exchange = Self {
            phase: Phase::Forwarding,
            account: Account::new(id, now, session, requested),
            guards: BodyGuards::new(gateway, &info, &head),
            info,
            confirm: false,
            offer: draft.offer.take(),
            token: None,
        };
        let answer = match (decided, draft.identity) {
            (Ok(_), Some(identity)) => {
                let (client, impersonation) = (address(&arrival.source), draft.impersonation);
                let end_of_stream = arrival.end_of_stream;
                let admitted = Admitted { head, identity, client, impersonation, end_of_stream };
                exchange.obtain_token(gateway, now, admitted)
            }
            (Err(refusal), _) => AtRequestHeaders::Reply(exchange.refuse(gateway, now, refusal)),
            (Ok(_), None) => {
                AtRequestHeaders::Reply(exchange.refuse(gateway, now, AuthError::Missing.into()))
            }
        };
        (exchange, answer)
    }

    fn obtain_token(
        &mut self,
        gateway: &mut Gateway,
        now: Timestamp,
        admitted: Admitted,
    ) -> AtRequestHeaders {
        match gateway.credentials.token_for(now, &admitted.identity) {
            Ok(Lookup::Ready(token)) => self.release_head(gateway, now, &admitted, token),
            Ok(Lookup::Mint(mint)) => match gateway.credentials.callout(&mint, 0) {
                Some(callout) => {
                    gateway.count(Metric::TokenRequests);
                    self.phase = Phase::Minting(mint, Box::new(admitted));
                    AtRequestHeaders::Mint(callout)
                }
                None => AtRequestHeaders::Reply(LocalReply::broken()),
            },
            Err(refusal) => AtRequestHeaders::Reply(self.refuse(gateway, now, refusal)),
        }
    }

    /// The answer to the callout that asked for an upstream token; none where nobody waits for it any more.
    pub fn on_token(
        &mut self,
        gateway: &mut Gateway,
        now: Timestamp,
        answer: &Answer,
    ) -> Option<AtRequestHeaders> {
        if !matches!(self.phase, Phase::Minting(..)) {
            return None;
        }
        let Phase::Minting(mint, admitted) = std::mem::replace(&mut self.phase, Phase::Forwarding) else {
            return None;
        };
        Some(match gateway.minted(now, &mint, answer) {
            Ok(token) => self.release_head(gateway, now, &admitted, token),
            Err(refusal) => AtRequestHeaders::Reply(self.refuse(gateway, now, refusal)),
        })
    }

    /// The request may go upstream: rewrites its headers and, where delivery is Confirmed, has its record confirmed first.
    fn release_head(
        &mut self,
        gateway: &mut Gateway,
        now: Timestamp,
        admitted: &Admitted,
        token: Rc<UpstreamToken>,
    ) -> AtRequestHeaders {
        let Admitted { head, identity, client, impersonation, end_of_stream } = admitted;
        let id = self.account.id().to_string();
        let authorization = [b"Bearer ", token.value.expose()].concat();
        self.account.credential(token.minted.clone());
        self.token = Some(token);
        let rewritten =
            head.upstream(&self.info, &authorization, &id, client, &|name| gateway.attributes(name));
        let only_json = !gateway.mask.extra(&self.info).is_empty();
        let rewritten = rewritten.and_then(|headers| match accepts_json(&headers) {
            false if only_json => Err(Refusal::not_acceptable(
                "fields or text of this resource are masked, which is done in JSON only; accept application/json",
            )),
            _ => Ok(headers),
        });
        let mut headers = match rewritten {
            Ok(headers) => headers,
            Err(refusal) => return AtRequestHeaders::Reply(self.refuse(gateway, now, refusal)),
        };
        headers.extend_from_slice(impersonation);
        let (level, delivery) = gateway.recording.decide(&self.info, &identity.user);
        let limits = &gateway.config.recording.limits;
        let (limit, piece) = (limits.max_body_bytes, limits.batch_bytes);
        self.account.record(
            level,
            gateway.mask.request(&self.info),
            self.guards.content_type(),
            limit,
            piece,
        );
        gateway.count(Metric::Forwarded);
        if let Some(offer) = &self.offer {
            headers.extend(offer.headers());
        }
        // What follows is not the request's, and nothing before the API server has agreed.
        let body = !*end_of_stream && self.offer.is_none();
        self.confirm = delivery == Delivery::Confirmed;
        if !self.confirm {
            self.account.forwarded(now);
            if body && self.guards.need_all() {
                self.phase = Phase::HoldingBody { tail: None };
            }
            return AtRequestHeaders::Forward(headers);
        }
        self.account.write_head(gateway, now);
        match self.seal(gateway, now, body) {
            Some(posts) => AtRequestHeaders::Confirm(headers, posts),
            None => AtRequestHeaders::Reply(self.no_room(gateway, now)),
        }
    }

    /// Seals what was written down of the request. Gives the batches whose acknowledgement stands for it; none where some of
    /// it found no room.
    fn seal(&mut self, gateway: &mut Gateway, now: Timestamp, more: bool) -> Option<Vec<Post>> {
        let posts = gateway.seal(now, self.account.whole_since()?);
        let batches: BTreeSet<u64> = posts.iter().map(|post| post.batch).collect();
        if batches.is_empty() {
            return None;
        }
        self.phase = Phase::Confirming { batches, more };
        Some(posts)
    }

    fn no_room(&mut self, gateway: &mut Gateway, now: Timestamp) -> LocalReply {
        self.refuse(gateway, now, reply::unrecorded("its record found no room"))
    }

    /// Some of the request's body is here.
    pub fn on_request_body(
        &mut self,
        gateway: &mut Gateway,
        now: Timestamp,
        chunk: &[u8],
        end_of_stream: bool,
    ) -> AtRequestBody {
        if self.offer.is_some() {
            return self.upgraded_request_body(gateway, now, chunk);
        }
        self.account.request_chunk(gateway, now, chunk);
        let guarded =
            self.guards.push(chunk).and_then(|()| if end_of_stream { self.guards.finish() } else { Ok(()) });
        if let Err(refusal) = guarded {
            return AtRequestBody::Reply(self.refuse(gateway, now, refusal));
        }
        let Phase::HoldingBody { tail } = self.phase else { return AtRequestBody::Pass };
        let mut released = Vec::with_capacity(chunk.len().saturating_add(1));
        released.extend(tail);
        released.extend_from_slice(chunk);
        if !end_of_stream {
            self.phase = Phase::HoldingBody { tail: released.pop() };
            return AtRequestBody::Replace(released);
        }
        if !self.confirm {
            self.phase = Phase::Forwarding;
            return AtRequestBody::Replace(released);
        }
        self.account.write_request_body(gateway, now);
        match self.seal(gateway, now, false) {
            Some(posts) => AtRequestBody::Confirm(released, posts),
            None => AtRequestBody::Reply(self.no_room(gateway, now)),
        }
    }

    /// Trailers follow the body: the API has none, and what was held back could not be sent before them.
    pub fn on_request_trailers(&mut self, gateway: &mut Gateway, now: Timestamp) -> LocalReply {
        let refusal = ambiguous(TRAILERS);
        match self.phase {
            // A client chooses when they come: what has gone through by then stays in the record.
            Phase::Responding(_) | Phase::Upgraded(_) | Phase::Over => {
                self.cut(gateway, now, TRAILERS);
                reply::from_refusal(refusal, self.account.id())
            }
            _ => self.refuse(gateway, now, refusal),
        }
    }
}

const TRAILERS: &str = "the request has trailers, which the API server does not read; leave them out";

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
            return Err(reply::unrecorded(
                "unacknowledged records fill the outbox; is the collector reachable?",
            ));
        }
        head.check()?;
        // The proxy takes `transfer-encoding` off, and HTTP/2 needs no header for a body: that there is one shows here.
        if !end_of_stream && matches!(head.method(), b"GET" | b"HEAD") && !head.upgrades() {
            return Err(ambiguous("a GET or HEAD request has a body, which the API server would not read"));
        }
        let info = self.info.insert(RequestInfo::parse(head.method(), head.path())?);
        let authorization: Vec<&[u8]> = head.values("authorization").collect();
        let identity =
            self.identity.insert(gateway.authenticator.authenticate(now, &authorization, verifier)?);
        let sources = &gateway.config.attribution;
        self.attribution =
            attribute(sources, Some(identity), info.session.as_deref(), &|name| head.value(name));
        require(sources, &self.attribution, &info.verb)?;
        gateway.guards.check(info, head, end_of_stream)?;
        let decision = gateway.access.decide(info, &identity.user)?;
        self.offer = if is_recordable(info, head) { Some(Offer::of(info, head)?) } else { None };
        if gateway.credentials.impersonates() {
            self.impersonation =
                impersonation(identity, &session(&self.attribution, identity), &self.attribution)?;
        }
        Ok(decision)
    }

    /// The head of the record, with as much as is known.
    fn requested(
        &self,
        gateway: &Gateway,
        head: &RequestHead,
        source: &str,
        decision: Decision,
    ) -> Requested {
        let info = self.info.as_ref();
        let attribution = match &self.identity {
            Some(_) => self.attribution.clone(),
            // Refused before the token was taken: what the headers say is all there is.
            None => attribute(
                &gateway.config.attribution,
                None,
                info.and_then(|info| info.session.as_deref()),
                &|name| head.value(name),
            ),
        };
        Requested {
            user: self.identity.as_ref().map(|identity| identity.user.clone()),
            attribution,
            method: head.recorded_method(),
            request_uri: head.recorded_uri(),
            verb: info.map(|info| info.verb.to_string()).unwrap_or_default(),
            object_ref: info.and_then(RequestInfo::object_ref),
            stream_options: info.and_then(RequestInfo::stream_options),
            source_ips: (!source.is_empty()).then(|| address(source)).into_iter().collect(),
            user_agent: head.user_agent(),
            decision,
            credential: None,
        }
    }
}

/// The session: what the agent says it is, else its token. Where neither tells, the collector groups by user and time.
fn session(attribution: &Attribution, identity: &Identity) -> String {
    match &attribution.session {
        Some(session) => session.value.clone(),
        None => identity.user.token_id.clone().unwrap_or_default(),
    }
}

/// `192.0.2.1:4711` and `[2001:db8::1]:4711` without the port.
fn address(source: &str) -> String {
    let host = source.rsplit_once(':').map_or(source, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']').to_owned()
}

/// Whether the API server may answer JSON, or something other than an object.
fn accepts_json(upstream: &[Header]) -> bool {
    let accept = upstream.iter().find(|(name, _)| name == b"accept");
    accept.is_none_or(|(_, value)| !value.starts_with(PROTOBUF))
}
