//! How a connection comes to be: what a client may ask for, and what the server may answer.

use super::channel::{Layout, Subprotocol};
use super::spdy::Purpose;
use super::{Masks, Relay};
use crate::kube::{Refusal, RequestHead, RequestInfo, StreamKind};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

type Header = (Vec<u8>, Vec<u8>);

/// How SPDY connections tell what their streams are.
const VERSIONS: &str = "x-stream-protocol-version";
const TERMINAL: &[&str] = &["v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"];
const PORT_FORWARD: &[&str] = &["portforward.k8s.io"];

/// What a client offers that is understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    protocol: Protocol,
    kind: StreamKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Protocol {
    WebSocket { key: Vec<u8>, subprotocols: Vec<(&'static str, Subprotocol)>, layout: Layout },
    Spdy { versions: Vec<&'static str> },
}

/// What the server chose of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Its name.
    pub name: &'static str,
    /// What the messages are; none where there are none, but SPDY.
    subprotocol: Option<Subprotocol>,
}

/// The protocol that a request asks for, if it is one that can be recorded: the server takes WebSocket by GET only.
fn protocol(head: &RequestHead) -> Option<&'static str> {
    let mut upgrades = head.values("upgrade");
    let (only, None) = (upgrades.next()?, upgrades.next()) else { return None };
    let connection = head.values("connection").flat_map(|value| value.split(|byte| *byte == b','));
    let named = connection.map(<[u8]>::trim_ascii).any(|token| token.eq_ignore_ascii_case(b"upgrade"));
    match head.method() {
        _ if !named => None,
        b"GET" if only.eq_ignore_ascii_case(WEBSOCKET.as_bytes()) => Some(WEBSOCKET),
        b"GET" | b"POST" if only.eq_ignore_ascii_case(SPDY.as_bytes()) => Some(SPDY),
        _ => None,
    }
}

const WEBSOCKET: &str = "websocket";
const SPDY: &str = "SPDY/3.1";

/// Whether a request asks for a connection that can be recorded.
pub fn is_recordable(info: &RequestInfo, head: &RequestHead) -> bool {
    let kind = info.stream_kind().is_some_and(|kind| !Subprotocol::known(kind).is_empty());
    kind && protocol(head).is_some()
}

impl Offer {
    /// Of a request that [`is_recordable`].
    ///
    /// # Errors
    /// 400: no handshake, or nothing in it that is understood.
    pub fn of(info: &RequestInfo, head: &RequestHead) -> Result<Self, Refusal> {
        let kind = info.stream_kind().unwrap_or(StreamKind::Exec);
        let protocol = match protocol(head) {
            Some(SPDY) => Self::spdy(kind, head)?,
            _ => Self::websocket(kind, info, head)?,
        };
        Ok(Self { protocol, kind })
    }

    fn websocket(kind: StreamKind, info: &RequestInfo, head: &RequestHead) -> Result<Protocol, Refusal> {
        if head.values("sec-websocket-version").ne([b"13"]) {
            return Err(refusal("sec-websocket-version must be 13, once"));
        }
        let mut keys = head.values("sec-websocket-key");
        let key = keys.next().filter(|key| STANDARD.decode(key).is_ok_and(|key| key.len() == 16));
        let (Some(key), None) = (key, keys.next()) else {
            return Err(refusal("sec-websocket-key must be 16 bytes in base64, once"));
        };
        let subprotocols =
            offered(head, "sec-websocket-protocol", Subprotocol::known(kind), |(name, _)| name)?;
        let layout = match kind {
            StreamKind::PortForward => Layout::Ports(ports(info)?),
            _ => Layout::Terminal,
        };
        Ok(Protocol::WebSocket { key: key.to_vec(), subprotocols, layout })
    }

    fn spdy(kind: StreamKind, head: &RequestHead) -> Result<Protocol, Refusal> {
        let body =
            head.value("content-length").is_some_and(|length| length.iter().any(|digit| *digit != b'0'));
        if body || head.value("transfer-encoding").is_some() {
            return Err(refusal("a request that switches protocols has no body"));
        }
        let known = if kind == StreamKind::PortForward { PORT_FORWARD } else { TERMINAL };
        Ok(Protocol::Spdy { versions: offered(head, VERSIONS, known, |name| name)? })
    }

    /// The headers that carry it upstream: no extensions, and none of the subprotocols that are not understood, among
    /// which a client can hide a token.
    pub fn headers(&self) -> Vec<Header> {
        let mut headers = vec![("connection", b"Upgrade".to_vec())];
        match &self.protocol {
            Protocol::WebSocket { key, subprotocols, .. } => {
                let names: Vec<&str> = subprotocols.iter().map(|(name, _)| *name).collect();
                headers.extend([
                    ("upgrade", WEBSOCKET.as_bytes().to_vec()),
                    ("sec-websocket-version", b"13".to_vec()),
                    ("sec-websocket-key", key.clone()),
                    ("sec-websocket-protocol", names.join(", ").into_bytes()),
                ]);
            }
            Protocol::Spdy { versions } => {
                headers.push(("upgrade", SPDY.as_bytes().to_vec()));
                // Older API servers read one version a header.
                headers.extend(versions.iter().map(|version| (VERSIONS, version.as_bytes().to_vec())));
            }
        }
        headers.into_iter().map(|(name, value)| (name.as_bytes().to_vec(), value)).collect()
    }

    /// What the server chose.
    ///
    /// # Errors
    /// Why its answer of 101 is none to this offer.
    pub fn accepted(&self, headers: &[Header]) -> Result<Accepted, &'static str> {
        let only = |name: &str| {
            let mut values = headers.iter().filter(|(key, _)| key == name.as_bytes()).map(|(_, value)| value);
            values.next().filter(|_| values.next().is_none())
        };
        let (asked, chosen) = match &self.protocol {
            Protocol::WebSocket { .. } => (WEBSOCKET, only("sec-websocket-protocol")),
            Protocol::Spdy { .. } => (SPDY, only(VERSIONS)),
        };
        if !only("upgrade").is_some_and(|value| value.eq_ignore_ascii_case(asked.as_bytes())) {
            return Err("the API server switched to another protocol than was asked for");
        }
        let is_chosen = |name: &str| chosen.is_some_and(|chosen| chosen == name.as_bytes());
        let found = match &self.protocol {
            Protocol::WebSocket { subprotocols, .. } => {
                if only("sec-websocket-accept").is_none_or(Vec::is_empty) {
                    return Err("the API server's answer is no WebSocket handshake");
                }
                if headers.iter().any(|(name, _)| name == b"sec-websocket-extensions") {
                    return Err("the API server chose an extension, though none was offered");
                }
                let found = subprotocols.iter().find(|(name, _)| is_chosen(name));
                found.map(|(name, subprotocol)| Accepted { name, subprotocol: Some(*subprotocol) })
            }
            Protocol::Spdy { versions } => {
                let found = versions.iter().find(|name| is_chosen(name));
                found.map(|name| Accepted { name, subprotocol: None })
            }
        };
        found.ok_or("the API server chose a subprotocol that was not offered")
    }

    /// A connection of what the server chose, over which nothing went yet.
    pub fn relay(&self, accepted: Accepted, masks: Masks) -> Relay {
        match (&self.protocol, accepted.subprotocol) {
            (Protocol::WebSocket { layout, .. }, Some(subprotocol)) => {
                Relay::websocket(subprotocol, layout.clone(), masks)
            }
            _ if self.kind == StreamKind::PortForward => Relay::spdy(Purpose::PortForward, masks),
            _ => Relay::spdy(Purpose::Terminal, masks),
        }
    }
}

/// What of the values of a header is known, in the client's order.
fn offered<T: Copy + PartialEq>(
    head: &RequestHead,
    header: &str,
    known: &[T],
    name: impl Fn(&T) -> &'static str,
) -> Result<Vec<T>, Refusal> {
    let mut found: Vec<T> = Vec::new();
    for offer in head.values(header).flat_map(|value| value.split(|byte| *byte == b',')) {
        let meant = known.iter().find(|one| name(one).as_bytes() == offer.trim_ascii());
        found.extend(meant.filter(|meant| !found.contains(meant)));
    }
    if found.is_empty() {
        let names: Vec<&str> = known.iter().map(name).collect();
        let names = names.join(", ");
        return Err(refusal(&format!("{header} offers nothing that can be recorded; offer one of {names}")));
    }
    Ok(found)
}

fn refusal(why: &str) -> Refusal {
    Refusal::bad_request("request", "upgrade", why)
}

/// The ports that a connection of numbered channels forwards. SPDY names its own.
fn ports(info: &RequestInfo) -> Result<Vec<u16>, Refusal> {
    info.ports().ok_or_else(|| refusal("ports must be numbers from 1 to 65535, at most 64"))
}
