//! What is known of an exchange, and how it is written down.

use super::Gateway;
use super::response::ResponseBody;
use super::upgraded::StreamEntry;
use crate::config::Level;
use crate::kube::Refusal;
use crate::mask::{Extra, MaskedPaths, Plan};
use crate::record::{BodyRecorder, ExchangeId, Object, Piece, encode};
use chaperone_record::{
    Channel, Decision, End, Entry, Exchange, Outcome, Request, Requested, Responded, Response,
    ResponseStatus, Stream, StreamEnd, Timestamp, Timing, UpstreamCredential,
};

/// An exchange's account: gathers what entries are made of and writes each at its moment. Which entries there are
/// depends on the delivery: Confirmed writes `request` ahead, everything else goes into one `exchange` where it can.
pub(super) struct Account {
    id: ExchangeId,
    session: String,
    /// The head, until it is written.
    requested: Option<Requested>,
    level: Level,
    timing: Timing,
    request_body: BodyRecorder,
    /// How the request's body is masked before it is written down; none where there is nothing in it to mask.
    mask: Option<(Plan, Extra)>,
    content_type: String,
    /// The request's body is in a `request` entry or in pieces already.
    body_written: bool,
    /// The first batch that may hold an entry of this exchange which is not acknowledged yet; none before there is one.
    since: Option<u64>,
    /// An entry found no room.
    lost: bool,
}

impl Account {
    /// The account of a request that has been classified and decided on.
    pub(super) fn new(id: ExchangeId, now: Timestamp, session: String, requested: Requested) -> Self {
        Self {
            id,
            session,
            requested: Some(requested),
            level: Level::Metadata,
            timing: Timing { received: Some(now), ..Timing::default() },
            request_body: BodyRecorder::digest_only(),
            mask: None,
            content_type: String::new(),
            body_written: false,
            since: None,
            lost: false,
        }
    }

    /// Sets how much is written down. With `mask` the request's body is kept whole, because it is masked before it is
    /// written.
    pub(super) fn record(
        &mut self,
        level: Level,
        mask: Option<(Plan, Extra)>,
        content_type: &str,
        limit: usize,
        piece: usize,
    ) {
        self.level = level;
        let whole = mask.is_some();
        self.mask = mask;
        content_type.clone_into(&mut self.content_type);
        if level >= Level::Request {
            self.request_body = BodyRecorder::new(limit, if whole { usize::MAX } else { piece });
        }
    }

    pub(super) fn id(&self) -> ExchangeId {
        self.id
    }

    pub(super) fn level(&self) -> Level {
        self.level
    }

    /// What the request goes upstream as.
    pub(super) fn credential(&mut self, minted: Option<UpstreamCredential>) {
        if let Some(requested) = &mut self.requested {
            requested.credential = minted;
        }
    }

    pub(super) fn forwarded(&mut self, now: Timestamp) {
        self.timing.forwarded.get_or_insert(now);
    }

    pub(super) fn first_byte(&mut self, now: Timestamp) {
        self.timing.first_byte.get_or_insert(now);
    }

    /// Takes a piece of the request's body.
    pub(super) fn request_chunk(&mut self, gateway: &mut Gateway, now: Timestamp, chunk: &[u8]) {
        if let Some(piece) = self.request_body.push(chunk) {
            self.piece(gateway, now, Channel::Request, piece);
        }
    }

    fn write(&mut self, gateway: &mut Gateway, now: Timestamp, entry: &[u8]) {
        self.since.get_or_insert(gateway.next_batch());
        self.lost |= !gateway.write(now, entry);
    }

    /// From which batch on an acknowledgement is needed for what was written so far, all of it being in the outbox; none
    /// where some of it found no room. What is written from now on counts anew.
    pub(super) fn whole_since(&mut self) -> Option<u64> {
        let since = self.since.take();
        if self.lost { None } else { since }
    }

    /// Writes the `request` entry: what arrived and what was decided.
    pub(super) fn write_head(&mut self, gateway: &mut Gateway, now: Timestamp) {
        let Some(requested) = self.requested.take() else { return };
        let entry = Entry::Request(Box::new(Request {
            exchange: self.id.to_string(),
            session: self.session.clone(),
            requested: Some(requested),
            request_object: None,
            request_digest: None,
            timing: self.timing,
        }));
        self.write(gateway, now, &encode(&entry, None, None));
    }

    /// Writes the second `request` entry: the whole body.
    pub(super) fn write_request_body(&mut self, gateway: &mut Gateway, now: Timestamp) {
        if let Some(piece) = self.request_body.last_piece() {
            self.piece(gateway, now, Channel::Request, piece);
        }
        let object = self.request_object(gateway);
        let entry = Entry::Request(Box::new(Request {
            exchange: self.id.to_string(),
            session: self.session.clone(),
            requested: None,
            request_object: None,
            request_digest: self.request_body.digest(),
            timing: self.timing,
        }));
        self.write(gateway, now, &encode(&entry, object.as_ref(), None));
        self.body_written = true;
    }

    fn request_object(&self, gateway: &Gateway) -> Option<Object> {
        if self.body_written || self.level < Level::Request {
            return None;
        }
        match &self.mask {
            Some((plan, extra)) => {
                gateway.masked_object(self.request_body.bytes(), &self.content_type, *plan, extra)
            }
            None => self.request_body.object(),
        }
    }

    /// Writes a piece of a long body. What it belongs to is written first.
    pub(super) fn piece(&mut self, gateway: &mut Gateway, now: Timestamp, channel: Channel, piece: Piece) {
        self.stream_entry(gateway, now, StreamEntry { place: (channel, None), piece, closed: None });
    }

    /// Whether an entry found no room.
    pub(super) fn is_lost(&self) -> bool {
        self.lost
    }

    /// Writes what came over a channel. What it belongs to is written first.
    pub(super) fn stream_entry(&mut self, gateway: &mut Gateway, now: Timestamp, entry: StreamEntry) {
        self.write_head(gateway, now);
        let received = self.timing.received.unwrap_or(now);
        let StreamEntry { place: (channel, connection), piece, closed } = entry;
        let entry: Entry = Entry::Stream(Stream {
            exchange: self.id.to_string(),
            session: self.session.clone(),
            channel,
            offset: now.micros().saturating_sub(received.micros()),
            position: piece.position,
            data: piece.data,
            encoding: piece.encoding,
            connection,
            closed,
        });
        self.write(gateway, now, &encode(&entry, None, None));
    }

    /// A stream is over.
    pub(super) fn streamed(
        &mut self,
        gateway: &mut Gateway,
        now: Timestamp,
        masked: &MaskedPaths,
        end: StreamEnd,
        outcome: Outcome,
        reason: &str,
    ) {
        self.write_head(gateway, now);
        gateway.count_masked(masked.paths());
        self.timing.complete = Some(now);
        let responded = Responded {
            response_status: ResponseStatus { code: 101, ..ResponseStatus::default() },
            response_object: None,
            response_digest: None,
            masked: masked.paths().to_vec(),
            sealed: None,
            outcome,
            reason: reason.to_owned(),
        };
        let (exchange, session, timing) = (self.id.to_string(), self.session.clone(), self.timing);
        let stream = Some(Box::new(end));
        let entry = Entry::End(End { exchange, session, responded, stream, timing });
        self.write(gateway, now, &encode(&entry, None, None));
    }

    /// The filter refused: before anything went upstream, or in place of a response that could not be masked.
    pub(super) fn refused(&mut self, gateway: &mut Gateway, now: Timestamp, refusal: &Refusal) {
        if let Some(requested) = &mut self.requested
            && requested.decision.allowed
            && self.timing.forwarded.is_none()
        {
            requested.decision = Decision {
                allowed: false,
                rule: refusal.rule.clone(),
                message: refusal.status.message().to_owned(),
            };
        }
        gateway.count_refusal(refusal);
        let responded = Responded {
            response_status: ResponseStatus {
                code: refusal.status.code(),
                reason: refusal.status.reason().to_owned(),
                message: refusal.status.message().to_owned(),
            },
            response_object: None,
            response_digest: None,
            masked: Vec::new(),
            sealed: None,
            outcome: Outcome::Refused,
            reason: refusal.code.to_owned(),
        };
        self.finish(gateway, now, responded, None, false);
    }

    /// The stream ended before the exchange did.
    pub(super) fn aborted(&mut self, gateway: &mut Gateway, now: Timestamp, reason: &str) {
        if self.timing.complete.is_some() {
            return;
        }
        let responded = Responded {
            response_status: ResponseStatus::default(),
            response_object: None,
            response_digest: None,
            masked: Vec::new(),
            sealed: None,
            outcome: Outcome::Aborted,
            reason: reason.to_owned(),
        };
        self.finish(gateway, now, responded, None, false);
    }

    /// The response broke off; what came of it is written down.
    pub(super) fn response_so_far(&mut self, gateway: &mut Gateway, now: Timestamp, body: ResponseBody) {
        let outcome = (Outcome::Aborted, "the stream ended before the response was whole");
        self.responded(gateway, now, body, outcome.0, outcome.1);
    }

    /// The response is over, whole or not.
    pub(super) fn responded(
        &mut self,
        gateway: &mut Gateway,
        now: Timestamp,
        mut body: ResponseBody,
        outcome: Outcome,
        reason: &str,
    ) {
        if let Some(piece) = body.recorder.last_piece() {
            self.piece(gateway, now, Channel::Response, piece);
        }
        let masked = body.take_masked();
        gateway.count_masked(masked.paths());
        let sealed = gateway.sealed(&masked, self.id);
        let responded = Responded {
            response_status: ResponseStatus { code: body.status, ..ResponseStatus::default() },
            response_object: None,
            response_digest: body.recorder.digest(),
            masked: masked.paths().to_vec(),
            sealed,
            outcome,
            reason: reason.to_owned(),
        };
        let object = if self.level >= Level::RequestResponse { body.recorder.object() } else { None };
        self.finish(gateway, now, responded, object, body.recorder.in_pieces());
    }

    /// Writes the last entry: `exchange` where nothing was written yet, otherwise `response`, or `end` after pieces.
    fn finish(
        &mut self,
        gateway: &mut Gateway,
        now: Timestamp,
        responded: Responded,
        object: Option<Object>,
        in_pieces: bool,
    ) {
        self.timing.complete = Some(now);
        let (exchange, session, timing) = (self.id.to_string(), self.session.clone(), self.timing);
        if self.requested.is_none() && !self.body_written && self.request_body.digest().is_some() {
            self.write_request_body(gateway, now);
        }
        let request = self.request_object(gateway);
        let bytes = match self.requested.take() {
            Some(requested) => {
                let request_digest = self.request_body.digest();
                let entry = Exchange {
                    exchange,
                    session,
                    requested,
                    request_object: None,
                    request_digest,
                    responded,
                    timing,
                };
                encode(&Entry::Exchange(Box::new(entry)), request.as_ref(), object.as_ref())
            }
            None if in_pieces || object.is_none() => {
                encode(&Entry::End(End { exchange, session, responded, stream: None, timing }), None, None)
            }
            None => encode(
                &Entry::Response(Box::new(Response { exchange, session, responded, timing })),
                None,
                object.as_ref(),
            ),
        };
        self.write(gateway, now, &bytes);
    }
}
