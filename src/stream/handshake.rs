//! How a connection comes to be: what a client may ask for, and what the server may answer.

use super::channel::{Layout, Subprotocol};
use crate::kube::{Refusal, RequestHead, RequestInfo, StreamKind};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

type Header = (Vec<u8>, Vec<u8>);

/// What a client offers that is understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    key: Vec<u8>,
    subprotocols: Vec<(&'static str, Subprotocol)>,
    layout: Layout,
}

/// Whether a request asks for a WebSocket connection that can be recorded: the server takes those by GET only.
pub fn is_recordable(info: &RequestInfo, head: &RequestHead) -> bool {
    let kind = info.stream_kind().is_some_and(|kind| !Subprotocol::known(kind).is_empty());
    let mut upgrades = head.values("upgrade");
    let websocket = upgrades.next().is_some_and(|value| value.eq_ignore_ascii_case(b"websocket"));
    let alone = upgrades.next().is_none();
    let connection = head.values("connection").flat_map(|value| value.split(|byte| *byte == b','));
    let named = connection.map(<[u8]>::trim_ascii).any(|token| token.eq_ignore_ascii_case(b"upgrade"));
    kind && websocket && alone && named && head.method() == b"GET"
}

impl Offer {
    /// Of a request that [`is_recordable`].
    ///
    /// # Errors
    /// 400: no handshake of RFC 6455, or nothing in it that is understood.
    pub fn of(info: &RequestInfo, head: &RequestHead) -> Result<Self, Refusal> {
        if head.values("sec-websocket-version").ne([b"13"]) {
            return Err(refusal("sec-websocket-version must be 13, once"));
        }
        let mut keys = head.values("sec-websocket-key");
        let key = keys.next().filter(|key| STANDARD.decode(key).is_ok_and(|key| key.len() == 16));
        let (Some(key), None) = (key, keys.next()) else {
            return Err(refusal("sec-websocket-key must be 16 bytes in base64, once"));
        };
        let known = info.stream_kind().map(Subprotocol::known).unwrap_or_default();
        let offered =
            head.values("sec-websocket-protocol").flat_map(|value| value.split(|byte| *byte == b','));
        let mut subprotocols: Vec<(&str, Subprotocol)> = Vec::new();
        for offer in offered.map(<[u8]>::trim_ascii) {
            let found = known.iter().find(|(name, _)| name.as_bytes() == offer);
            subprotocols.extend(found.filter(|found| !subprotocols.contains(found)));
        }
        if subprotocols.is_empty() {
            let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            return Err(refusal(&format!(
                "sec-websocket-protocol offers nothing that can be recorded; offer one of {}",
                names.join(", ")
            )));
        }
        let layout = match info.stream_kind() {
            Some(StreamKind::PortForward) => Layout::Ports(ports(info)?),
            _ => Layout::Terminal,
        };
        Ok(Self { key: key.to_vec(), subprotocols, layout })
    }

    /// The headers that carry it upstream: no extensions, and none of the subprotocols that are not understood, among
    /// which a client can hide a token.
    pub fn headers(&self) -> Vec<Header> {
        let names: Vec<&str> = self.subprotocols.iter().map(|(name, _)| *name).collect();
        [
            ("connection", b"Upgrade".to_vec()),
            ("upgrade", b"websocket".to_vec()),
            ("sec-websocket-version", b"13".to_vec()),
            ("sec-websocket-key", self.key.clone()),
            ("sec-websocket-protocol", names.join(", ").into_bytes()),
        ]
        .into_iter()
        .map(|(name, value)| (name.as_bytes().to_vec(), value))
        .collect()
    }

    /// What the channels' numbers mean.
    pub fn layout(&self) -> Layout {
        self.layout.clone()
    }

    /// The subprotocol that the server chose, with its name.
    ///
    /// # Errors
    /// Why its answer of 101 is none to this offer.
    pub fn accepted(&self, headers: &[Header]) -> Result<(&'static str, Subprotocol), &'static str> {
        let only = |name: &[u8]| {
            let mut values = headers.iter().filter(|(key, _)| key == name).map(|(_, value)| value);
            values.next().filter(|_| values.next().is_none())
        };
        if !only(b"upgrade").is_some_and(|value| value.eq_ignore_ascii_case(b"websocket")) {
            return Err("the API server switched to another protocol than was asked for");
        }
        if only(b"sec-websocket-accept").is_none_or(Vec::is_empty) {
            return Err("the API server's answer is no WebSocket handshake");
        }
        if headers.iter().any(|(name, _)| name == b"sec-websocket-extensions") {
            return Err("the API server chose an extension, though none was offered");
        }
        let chosen = only(b"sec-websocket-protocol");
        let found =
            self.subprotocols.iter().find(|(name, _)| chosen.is_some_and(|chosen| chosen == name.as_bytes()));
        found.copied().ok_or("the API server chose a subprotocol that was not offered")
    }
}

fn refusal(why: &str) -> Refusal {
    Refusal::bad_request("request", "upgrade", why)
}

/// The ports that a connection of numbered channels forwards. SPDY names its own.
fn ports(info: &RequestInfo) -> Result<Vec<u16>, Refusal> {
    info.ports().ok_or_else(|| refusal("ports must be numbers from 1 to 65535, at most 64"))
}
