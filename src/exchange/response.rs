//! The response: what may pass, what is masked on its way, and what must not reach the agent.

use super::upgraded::Upgraded;
use super::{AtResponseBody, AtResponseHeaders, Exchange, Gateway, Header, Phase};
use crate::config::Level;
use crate::kube::{Media, Refusal, StreamKind};
use crate::mask::{BodyMasker, Extra, MaskedPaths, Plan, Taken};
use crate::metrics::Metric;
use crate::record::BodyRecorder;
use chaperone_record::{Channel, Outcome, Timestamp};

/// What stands for the API server's warnings about an object (RFC 7234, section 5.5).
const WITHHELD_WARNING: &[u8] =
    b"299 - \"the API server's warning was withheld by chaperone, because it may quote what is masked\"";

const LEAKS: &str = "a response header repeats the gateway's own credential";

/// A response under way.
pub(super) struct ResponseBody {
    /// As the agent gets it.
    pub(super) status: u16,
    masker: Option<BodyMasker>,
    pub(super) recorder: BodyRecorder,
    /// How it ends if nothing goes wrong.
    outcome: Outcome,
}

impl ResponseBody {
    /// What has been masked so far; asked once.
    pub(super) fn take_masked(&mut self) -> MaskedPaths {
        self.masker.as_mut().map(BodyMasker::take_masked).unwrap_or_default()
    }
}

impl Exchange {
    /// The response's headers are here. `upstream` tells the API server's answer from the proxy's own.
    pub fn on_response_headers(
        &mut self,
        gateway: &mut Gateway,
        now: Timestamp,
        headers: Vec<Header>,
        end_of_stream: bool,
        upstream: bool,
    ) -> AtResponseHeaders {
        if matches!(self.phase, Phase::Over) {
            return AtResponseHeaders::Pass(headers);
        }
        self.account.first_byte(now);
        let status = status(&headers);
        if let Some(token) = self.token.as_ref().filter(|_| upstream && status == 401) {
            gateway.credentials.rejected(token);
        }
        if let Some(offer) = self.offer.as_ref().filter(|_| upstream && status == 101) {
            let accepted = offer.accepted(&headers);
            let leaks = headers.iter().any(|(_, value)| self.holds_token(value));
            return match accepted {
                Ok(chosen) if !leaks => {
                    let level = self.account.level();
                    let stream = Upgraded::new(gateway, &self.info, offer, chosen, level);
                    self.phase = Phase::Upgraded(Box::new(stream));
                    gateway.count(Metric::Streams);
                    AtResponseHeaders::Pass(self.rewrite_response(headers, false, false))
                }
                Ok(_) => AtResponseHeaders::Reply(self.refuse(gateway, now, unmaskable(LEAKS))),
                Err(why) => AtResponseHeaders::Reply(self.refuse(gateway, now, unmaskable(why))),
            };
        }
        let masker = match self.choose(gateway, &headers, status, end_of_stream, upstream) {
            Ok(masker) => masker,
            Err(refusal) => return AtResponseHeaders::Reply(self.refuse(gateway, now, refusal)),
        };
        let streams =
            matches!(self.info.stream_kind(), Some(StreamKind::Watch | StreamKind::Log)) && status == 200;
        let limits = &gateway.config.recording.limits;
        let recorder = match self.account.level() {
            Level::Metadata | Level::Request => BodyRecorder::digest_only(),
            Level::RequestResponse if streams => BodyRecorder::streaming(limits.max_body_bytes),
            Level::RequestResponse => BodyRecorder::new(limits.max_body_bytes, limits.batch_bytes),
        };
        let quotes = self.may_quote(&gateway.mask.extra(&self.info));
        let headers = self.rewrite_response(headers, masker.is_some(), quotes);
        let outcome = if upstream { Outcome::Complete } else { Outcome::ProxyReply };
        let body = ResponseBody { status, masker, recorder, outcome };
        if end_of_stream {
            self.phase = Phase::Over;
            self.account.responded(gateway, now, body, outcome, "");
        } else {
            self.phase = Phase::Responding(Box::new(body));
        }
        AtResponseHeaders::Pass(headers)
    }

    /// How the body is masked; none where it passes as it is.
    fn choose(
        &self,
        gateway: &Gateway,
        headers: &[Header],
        status: u16,
        end_of_stream: bool,
        upstream: bool,
    ) -> Result<Option<BodyMasker>, Refusal> {
        if headers.iter().any(|(_, value)| self.holds_token(value)) {
            return Err(unmaskable(LEAKS));
        }
        if status == 101 {
            return Err(unmaskable(
                "the API server switched protocols on a request that is not a recorded stream",
            ));
        }
        // The proxy's own replies hold nothing of the cluster's; other URLs (discovery, OpenAPI, health) never hold objects.
        if !upstream || end_of_stream || !self.info.is_resource_request {
            return Ok(None);
        }
        if values(headers, b"content-encoding").any(|value| !value.eq_ignore_ascii_case(b"identity")) {
            return Err(unmaskable("the response is compressed though identity was asked for"));
        }
        let mut types = values(headers, b"content-type");
        let (first, second) = (types.next(), types.next());
        if second.is_some() {
            return Err(unmaskable("the response has two content types"));
        }
        // An error is one Status, also where a watch was asked for.
        let mut plan = Plan::response(&self.info);
        plan.watch = plan.watch && status == 200;
        let about_secrets = plan.is_secret();
        let extra = gateway.mask.extra(&self.info);
        // Only what judges a write quotes the object in its words: a read's "not found" is for the agent to see.
        if status >= 400 && !self.is_write() {
            plan.taken = Taken::ByKind;
        } else if status >= 400 && extra.fields.is_some() {
            plan.taken = Taken::Secrets;
        }
        match first.map_or(Media::Other, Media::parse) {
            Media::Json => Ok(Some(BodyMasker::json(plan, extra, &gateway.mask))),
            // Where a text or field stands in protobuf only the kind's schema tells.
            Media::Protobuf if !extra.is_empty() => Err(unmaskable(
                "fields or text of this resource are masked, which is done in JSON only; accept application/json",
            )),
            Media::Protobuf => Ok(Some(BodyMasker::protobuf(plan, &gateway.mask))),
            Media::Yaml | Media::Cbor => {
                Err(unmaskable("the response is YAML or CBOR though JSON was asked for"))
            }
            _ if about_secrets => {
                Err(unmaskable("the response to a request for Secrets is neither JSON nor protobuf"))
            }
            _ => {
                let query = self.info.upstream_target.split_once('?').map_or("", |(_, query)| query);
                let limited = query.contains("limitBytes") || query.contains('%');
                Ok(gateway.mask.log_patterns(&self.info).map(|patterns| BodyMasker::text(patterns, limited)))
            }
        }
    }

    fn is_write(&self) -> bool {
        !matches!(self.info.verb.as_str(), "get" | "list" | "watch")
    }

    /// Whether what is said about the object in free text, by admission webhooks as well, may quote what is masked in it.
    fn may_quote(&self, extra: &Extra) -> bool {
        self.is_write() && (Plan::response(&self.info).is_secret() || !extra.is_empty())
    }

    /// Whether a header's value repeats the credential that the request went upstream with.
    fn holds_token(&self, value: &[u8]) -> bool {
        self.token.as_ref().is_some_and(|token| {
            let token = token.value.expose();
            value.len() >= token.len() && value.windows(token.len().max(1)).any(|window| window == token)
        })
    }

    /// The response's headers as the agent gets them.
    fn rewrite_response(&self, headers: Vec<Header>, masked: bool, quotes: bool) -> Vec<Header> {
        const WARNING: &[u8] = b"warning";
        let warned = headers.iter().any(|(name, _)| name == WARNING);
        let mut kept: Vec<Header> = headers
            .into_iter()
            // A masked body has another length; left in place, the bytes beyond it would be read as the next response.
            .filter(|(name, _)| !(masked && name == b"content-length") && name != b"audit-id")
            .filter(|(name, _)| !(quotes && name == WARNING))
            .collect();
        if quotes && warned {
            kept.push((WARNING.to_vec(), WITHHELD_WARNING.to_vec()));
        }
        kept.push((b"audit-id".to_vec(), self.account.id().to_string().into_bytes()));
        kept
    }

    /// Some of the response's body is here.
    pub fn on_response_body(
        &mut self,
        gateway: &mut Gateway,
        now: Timestamp,
        chunk: &[u8],
        end_of_stream: bool,
    ) -> AtResponseBody {
        if matches!(self.phase, Phase::Upgraded(_)) {
            return self.upgraded_response_body(gateway, now, chunk, end_of_stream);
        }
        if self.offer.is_some() && matches!(self.phase, Phase::Over) && !chunk.is_empty() {
            return AtResponseBody::Cut;
        }
        let Phase::Responding(body) = &mut self.phase else { return AtResponseBody::Keep };
        let masked = match &mut body.masker {
            None => Ok(None),
            Some(masker) => {
                let mut out = Vec::with_capacity(chunk.len().saturating_add(64));
                let pushed = masker.push(chunk, &mut out);
                let done = pushed.and_then(|()| if end_of_stream { masker.finish(&mut out) } else { Ok(()) });
                done.map(|()| Some(out))
            }
        };
        let seen = match &masked {
            Ok(Some(bytes)) => bytes.as_slice(),
            Ok(None) => chunk,
            Err(_) => &[],
        };
        if !seen.is_empty()
            && let Some(piece) = body.recorder.push(seen)
        {
            self.account.piece(gateway, now, Channel::Response, piece);
        }
        let (outcome, reason) = match &masked {
            Err(code) => (Outcome::Cut, *code),
            Ok(_) if end_of_stream => (body.outcome, ""),
            Ok(_) => return passed(masked.ok().flatten(), chunk),
        };
        if let Phase::Responding(body) = std::mem::replace(&mut self.phase, Phase::Over) {
            self.account.responded(gateway, now, *body, outcome, reason);
        }
        match masked {
            Ok(masked) => passed(masked, chunk),
            Err(_) => {
                gateway.count(Metric::Cut);
                AtResponseBody::Cut
            }
        }
    }
}

/// What goes on in a chunk's place. Most have nothing in them to mask: then the proxy need not copy them.
fn passed(masked: Option<Vec<u8>>, chunk: &[u8]) -> AtResponseBody {
    match masked {
        Some(bytes) if bytes != chunk => AtResponseBody::Replace(bytes),
        _ => AtResponseBody::Keep,
    }
}

fn unmaskable(why: &str) -> Refusal {
    Refusal::bad_gateway("masking", "unmaskable", &format!("the response was withheld, because {why}"))
}

fn values<'a>(headers: &'a [Header], name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    headers.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_slice())
}

fn status(headers: &[Header]) -> u16 {
    let text = values(headers, b":status").next().and_then(|value| std::str::from_utf8(value).ok());
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}
