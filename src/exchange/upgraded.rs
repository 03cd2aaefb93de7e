//! Exec, attach and port-forward: what flows once the API server has switched protocols, written down as it runs.

use super::{AtRequestBody, AtResponseBody, Exchange, Gateway, Phase};
use crate::config::Level;
use crate::kube::RequestInfo;
use crate::mask::MaskedPaths;
use crate::record::{ChannelRecorder, Piece};
use crate::stream::handshake::{Accepted, Offer};
use crate::stream::{Event, Masks, Relay, Role, Side};
use chaperone_record::{Channel, ChannelTotal, Connection, Outcome, StreamEnd, Timestamp};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The closing `Status` is read so far; the API server's are shorter.
const MOST_STATUS: usize = 64 << 10;

/// A stream under way.
pub(super) struct Upgraded {
    relay: Relay,
    log: Log,
    subprotocol: &'static str,
    /// The batch that its first entry will be in, or one after it.
    since: u64,
}

/// What is known of a stream's channels.
struct Log {
    level: Level,
    channels: BTreeMap<Place, ChannelRecorder>,
    /// What came last and is not written yet: pieces of one channel that come at once are one entry.
    last: Option<(Place, Vec<u8>)>,
    status: Vec<u8>,
    connections: Option<u64>,
    ended: bool,
}

/// A channel, and of a port-forward the connection that it is in.
type Place = (Channel, Option<Connection>);

/// An entry to be written: a piece, the end of the channel, or both.
pub(super) struct StreamEntry {
    pub(super) place: Place,
    pub(super) piece: Piece,
    pub(super) closed: Option<chaperone_record::BodyDigest>,
}

impl Upgraded {
    /// The API server has accepted an offer.
    pub(super) fn new(
        gateway: &Gateway,
        info: &RequestInfo,
        offer: &Offer,
        accepted: Accepted,
        level: Level,
    ) -> Self {
        let options = info.stream_options().unwrap_or_default();
        let masks = Masks::new(gateway.mask.exec_patterns(info), options.tty);
        let forwards = info.subresource == "portforward";
        Self {
            relay: offer.relay(accepted, masks),
            log: Log {
                level,
                channels: BTreeMap::new(),
                last: None,
                status: Vec::new(),
                connections: forwards.then_some(0),
                ended: false,
            },
            subprotocol: accepted.name,
            since: gateway.next_batch(),
        }
    }

    /// What has been masked.
    fn masked(&self) -> MaskedPaths {
        let mut masked = MaskedPaths::default();
        self.relay.masked().iter().for_each(|(path, count)| masked.add_many(path, *count));
        masked
    }
}

impl Exchange {
    /// Bytes of the client once the protocol has been switched, or before it may speak.
    pub(super) fn upgraded_request_body(
        &mut self,
        gateway: &mut Gateway,
        now: Timestamp,
        chunk: &[u8],
    ) -> AtRequestBody {
        match &self.phase {
            Phase::Upgraded(_) => match self.relay(gateway, now, Side::Client, chunk, false) {
                Some(out) if out == chunk => AtRequestBody::Pass,
                Some(out) => AtRequestBody::Replace(out),
                None => AtRequestBody::Cut,
            },
            _ if chunk.is_empty() => AtRequestBody::Pass,
            // The API server could take them for another request.
            Phase::Responding(_) | Phase::Over => {
                self.cut(gateway, now, EARLY);
                AtRequestBody::Cut
            }
            _ => {
                let refusal = crate::kube::ambiguous(EARLY);
                AtRequestBody::Reply(self.refuse(gateway, now, refusal))
            }
        }
    }

    /// Bytes of the API server once the protocol has been switched.
    pub(super) fn upgraded_response_body(
        &mut self,
        gateway: &mut Gateway,
        now: Timestamp,
        chunk: &[u8],
        end_of_stream: bool,
    ) -> AtResponseBody {
        match self.relay(gateway, now, Side::Server, chunk, end_of_stream) {
            Some(out) if out == chunk => AtResponseBody::Keep,
            Some(out) => AtResponseBody::Replace(out),
            None => AtResponseBody::Cut,
        }
    }

    /// What goes on of some bytes, all of it written down; none where nothing more may.
    fn relay(
        &mut self,
        gateway: &mut Gateway,
        now: Timestamp,
        side: Side,
        chunk: &[u8],
        end_of_stream: bool,
    ) -> Option<Vec<u8>> {
        let Phase::Upgraded(stream) = &mut self.phase else { return None };
        let account = &mut self.account;
        let mut out = Vec::with_capacity(chunk.len().saturating_add(64));
        let Upgraded { relay, log, since, .. } = &mut **stream;
        let lost = if chunk.is_empty() { None } else { gateway.unrecordable(now, self.confirm, *since) };
        let cut = match lost {
            Some(why) => Some(why),
            None => {
                let mut see = |event: Event<'_>| {
                    for entry in log.take(event) {
                        account.stream_entry(gateway, now, entry);
                    }
                };
                let taken = relay.take(side, chunk, &mut out, &mut see);
                if taken.is_ok() && end_of_stream {
                    relay.finish(&mut out, &mut see);
                }
                log.settle().into_iter().for_each(|entry| account.stream_entry(gateway, now, entry));
                taken.err().map(crate::stream::StreamError::as_str)
            }
        };
        let lost = (self.confirm && account.is_lost()).then_some("its record found no room");
        match cut.or(lost) {
            Some(why) => {
                self.cut(gateway, now, why);
                None
            }
            None => {
                if end_of_stream {
                    self.end_upgraded(gateway, now, Some((Outcome::Complete, "")));
                }
                Some(out)
            }
        }
    }

    /// The stream is over; without an outcome it is the one that the sides told.
    pub(super) fn end_upgraded(
        &mut self,
        gateway: &mut Gateway,
        now: Timestamp,
        outcome: Option<(Outcome, &str)>,
    ) {
        let Phase::Upgraded(stream) = std::mem::replace(&mut self.phase, Phase::Over) else { return };
        let masked = stream.masked();
        let Upgraded { mut log, subprotocol, .. } = *stream;
        let (outcome, reason) = outcome.unwrap_or(match log.ended {
            true => (Outcome::Complete, ""),
            false => (Outcome::Aborted, "the stream ended before either side had ended it"),
        });
        for entry in log.rest() {
            self.account.stream_entry(gateway, now, entry);
        }
        self.account.streamed(gateway, now, &masked, log.end(subprotocol), outcome, reason);
    }
}

const EARLY: &str = "bytes came before the API server had switched protocols";

impl Log {
    /// Takes an event; gives what is to be written before it.
    fn take(&mut self, event: Event<'_>) -> Vec<StreamEntry> {
        match event {
            Event::Data(side, role, bytes) => {
                let place = place(side, role);
                if role == Role::Error {
                    let room = MOST_STATUS.saturating_sub(self.status.len());
                    self.status.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
                }
                let before = match &mut self.last {
                    Some((last, all)) if *last == place => {
                        all.extend_from_slice(bytes);
                        return Vec::new();
                    }
                    _ => self.settle(),
                };
                self.last = Some((place, bytes.to_vec()));
                before.into_iter().collect()
            }
            Event::Open(role) => {
                self.connections = self.connections.map(|count| count.saturating_add(1));
                let mut written: Vec<StreamEntry> = self.settle().into_iter().collect();
                // So that the moment is in the record, whatever the connection carries.
                let place = place(Side::Client, role);
                self.recorder(place);
                written.push(StreamEntry { place, piece: nothing(0), closed: None });
                written
            }
            Event::Close(side, role) => {
                // A process's status is the last that is said of it.
                self.ended |= role == Role::Error;
                let mut written: Vec<StreamEntry> = self.settle().into_iter().collect();
                written.extend(self.close(place(side, role)));
                written
            }
            Event::End(..) => {
                self.ended = true;
                Vec::new()
            }
        }
    }

    /// What came last, to be written now.
    fn settle(&mut self) -> Option<StreamEntry> {
        let (place, bytes) = self.last.take()?;
        let piece = self.recorder(place).push(&bytes)?;
        Some(StreamEntry { place, piece, closed: None })
    }

    fn close(&mut self, place: Place) -> Option<StreamEntry> {
        let (_, connection) = place;
        // Nothing was ever there, or it was closed before; of a terminal's channels the end will tell.
        let recorder = match connection {
            Some(_) if place.0 == Channel::Error && !self.channels.contains_key(&place) => return None,
            _ => self.recorder(place),
        };
        let piece = recorder.rest();
        let (closed, position) = (recorder.digest(), recorder.total());
        if connection.is_some() {
            self.channels.remove(&place);
        }
        Some(StreamEntry { place, piece: piece.unwrap_or_else(|| nothing(position)), closed: Some(closed) })
    }

    fn recorder(&mut self, place: Place) -> &mut ChannelRecorder {
        let kept = match place.0 {
            Channel::Stdin | Channel::Resize | Channel::Sent => self.level >= Level::Request,
            _ => self.level >= Level::RequestResponse,
        };
        self.channels.entry(place).or_insert_with(|| ChannelRecorder::new(kept))
    }

    /// What is left to be written at the end.
    fn rest(&mut self) -> Vec<StreamEntry> {
        let mut written: Vec<StreamEntry> = self.settle().into_iter().collect();
        let rest = self.channels.iter_mut().filter_map(|(place, recorder)| {
            Some(StreamEntry { place: *place, piece: recorder.rest()?, closed: None })
        });
        written.extend(rest);
        written
    }

    fn end(&self, subprotocol: &str) -> StreamEnd {
        let channels = self.channels.iter().map(|((channel, connection), recorder)| ChannelTotal {
            channel: *channel,
            connection: *connection,
            digest: recorder.digest(),
        });
        StreamEnd {
            subprotocol: subprotocol.to_owned(),
            exit_code: exit_code(&self.status),
            channels: channels.collect(),
            connections: self.connections,
        }
    }
}

/// Stands for no bytes, at this position.
fn nothing(position: u64) -> Piece {
    Piece { position, data: serde_json::Value::String(String::new()), encoding: None }
}

fn place(side: Side, role: Role) -> Place {
    match role {
        Role::Stdin => (Channel::Stdin, None),
        Role::Stdout => (Channel::Stdout, None),
        Role::Stderr => (Channel::Stderr, None),
        Role::Error => (Channel::Error, None),
        Role::Resize => (Channel::Resize, None),
        Role::PortData { port, request } => {
            let channel = if side == Side::Client { Channel::Sent } else { Channel::Received };
            (channel, Some(Connection { id: request, port }))
        }
        Role::PortError { port, request } => (Channel::Error, Some(Connection { id: request, port })),
    }
}

/// A closing `metav1.Status`, as far as it tells the exit code (k8s.io/apimachinery/pkg/util/remotecommand).
#[derive(Deserialize)]
struct Closing {
    #[serde(default)]
    status: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    #[serde(default)]
    causes: Vec<Cause>,
}

#[derive(Deserialize)]
struct Cause {
    #[serde(default)]
    reason: String,
    #[serde(default)]
    message: String,
}

/// The process's exit code; none where the status does not tell.
fn exit_code(status: &[u8]) -> Option<i32> {
    let closing: Closing = serde_json::from_slice(status).ok()?;
    match (closing.status.as_str(), closing.reason.as_str()) {
        ("Success", _) => Some(0),
        (_, "NonZeroExitCode") => {
            let causes = closing.details?.causes;
            causes.iter().find(|cause| cause.reason == "ExitCode")?.message.parse().ok()
        }
        _ => None,
    }
}
