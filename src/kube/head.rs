//! A request's headers: read once, refused where they could be read two ways, and rewritten for upstream.

use super::query::ambiguous;
use super::target::without_credentials;
use super::{Refusal, RequestInfo, media};

type Header = (Vec<u8>, Vec<u8>);

/// Headers of which a request has at most one. Envoy joins repeated ones by a comma; where it does not, they are counted.
const SINGLE: [&[u8]; 11] = [
    b":method",
    b":path",
    b":authority",
    b":scheme",
    b"host",
    b"content-type",
    b"content-length",
    b"content-encoding",
    b"transfer-encoding",
    b"expect",
    b"user-agent",
];

/// Headers that never go upstream. The credential is replaced; the others would let an agent be someone else, name the
/// exchange itself, or speak to the proxy.
const STRIPPED: [&[u8]; 16] = [
    b"authorization",
    b"proxy-authorization",
    b"cookie",
    b"accept",
    b"accept-encoding",
    b"audit-id",
    b"x-http-method-override",
    b"x-http-method",
    b"x-method-override",
    b"x-forwarded-client-cert",
    b"x-forwarded-user",
    b"te",
    b"upgrade",
    b"connection",
    b"keep-alive",
    b"sec-websocket-extensions",
];

/// Prefixes of headers that never go upstream.
const STRIPPED_PREFIXES: [&[u8]; 4] = [b"impersonate-", b"x-remote-", b"x-agent-", b"sec-websocket-"];

/// A request's headers as they came.
pub struct RequestHead {
    headers: Vec<Header>,
}

impl RequestHead {
    /// Takes all headers, pseudo-headers too, names in lower case.
    pub fn new(headers: Vec<Header>) -> Self {
        Self { headers }
    }

    /// The first value of a header.
    pub fn value(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(key, _)| key == name.as_bytes()).map(|(_, value)| value.as_slice())
    }

    /// All values of a header.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.headers.iter().filter(move |(key, _)| key == name.as_bytes()).map(|(_, value)| value.as_slice())
    }

    /// `:method`.
    pub fn method(&self) -> &[u8] {
        self.value(":method").unwrap_or_default()
    }

    /// `:path`.
    pub fn path(&self) -> &[u8] {
        self.value(":path").unwrap_or_default()
    }

    /// For the record.
    pub fn recorded_method(&self) -> String {
        printable(self.method(), 32)
    }

    /// For the record: without credentials.
    pub fn recorded_uri(&self) -> String {
        without_credentials(&printable(self.path(), 8192))
    }

    /// For the record.
    pub fn user_agent(&self) -> String {
        self.value("user-agent").map(|value| printable(value, 512)).unwrap_or_default()
    }

    /// Whether the client asks for another protocol.
    pub fn upgrades(&self) -> bool {
        let asks = |value: &[u8]| value.to_ascii_lowercase().windows(7).any(|window| window == b"upgrade");
        self.value("upgrade").is_some() || self.values("connection").any(asks) || self.method() == b"CONNECT"
    }

    /// What can be said before the request is classified.
    ///
    /// # Errors
    /// 400 for repeated or unreadable headers, 415 for encoded bodies and unknown patch types.
    pub fn check(&self) -> Result<(), Refusal> {
        for name in SINGLE {
            if self.headers.iter().filter(|(key, _)| key == name).count() > 1 {
                let name = String::from_utf8_lossy(name);
                return Err(ambiguous(&format!("the {name} header is there twice; send it once")));
            }
        }
        for (name, value) in &self.headers {
            let bad = |byte: &u8| *byte < 0x20 && *byte != b'\t' || *byte == 0x7f;
            if value.iter().any(bad) || name.is_empty() || std::str::from_utf8(name).is_err() {
                return Err(ambiguous("a header has a control character"));
            }
        }
        for name in ["content-type", "content-length", "accept", "host", ":authority"] {
            if self.value(name).is_some_and(|value| !value.is_ascii()) {
                return Err(ambiguous(&format!("the {name} header is not ASCII")));
            }
        }
        if self.value("content-encoding").is_some_and(|value| !value.eq_ignore_ascii_case(b"identity")) {
            return Err(Refusal::unsupported_media_type(
                "contentEncoding",
                "encoded request bodies can't be recorded, and the API server doesn't decode them; send the body as it is",
            ));
        }
        if self.method() == b"PATCH" {
            media::check_patch(self.value("content-type"))?;
        }
        Ok(())
    }

    /// The headers that go upstream: without what is stripped, with the injected credential, the exchange's id and an
    /// `Accept` whose answer can be masked.
    ///
    /// # Errors
    /// 406 where nothing the client accepts can be masked.
    pub fn upstream(
        &self,
        info: &RequestInfo,
        authorization: &[u8],
        exchange: &str,
        also_stripped: &dyn Fn(&[u8]) -> bool,
    ) -> Result<Vec<Header>, Refusal> {
        let mut headers: Vec<Header> = Vec::with_capacity(self.headers.len().saturating_add(3));
        for (name, value) in &self.headers {
            let stripped = STRIPPED.contains(&name.as_slice())
                || STRIPPED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
                || also_stripped(name);
            match name.as_slice() {
                b":path" => headers.push((name.clone(), info.upstream_target.clone().into_bytes())),
                // An attribution source may name the user agent, which stays: the API server's own log shows it.
                b"user-agent" => headers.push((name.clone(), value.clone())),
                _ if stripped => {}
                _ => headers.push((name.clone(), value.clone())),
            }
        }
        let accepted: Vec<&[u8]> = self.values("accept").collect();
        let accept = if info.is_resource_request && info.subresource != "log" {
            media::accept(&accepted)?.into_bytes()
        } else {
            accepted.join(&b","[..])
        };
        if !accept.is_empty() {
            headers.push((b"accept".to_vec(), accept));
        }
        headers.push((b"authorization".to_vec(), authorization.to_vec()));
        headers.push((b"accept-encoding".to_vec(), b"identity".to_vec()));
        headers.push((b"audit-id".to_vec(), exchange.as_bytes().to_vec()));
        Ok(headers)
    }
}

/// What people may read of a header: at most so many bytes, control characters replaced.
fn printable(value: &[u8], most: usize) -> String {
    let text = String::from_utf8_lossy(value.get(..most).unwrap_or(value));
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
