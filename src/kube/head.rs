//! A request's headers: read once, refused where they could be read two ways, and rewritten for upstream.

use super::query::ambiguous;
use super::target::without_credentials;
use super::{Media, Refusal, RequestInfo, media};

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

/// Of these, the ones in whose value a comma can only come from a join.
const JOINED: [&str; 5] = ["host", ":authority", "content-type", "content-length", "transfer-encoding"];

/// Headers that go upstream as they came. All others stay behind: who the agent is, what the connection becomes, and
/// what the proxy itself would act on are not the agent's to say. `:path`, `accept`, `accept-encoding`, `authorization`,
/// `audit-id` and `x-forwarded-for` are set.
const FORWARDED: [&[u8]; 20] = [
    b":method",
    b":authority",
    b":scheme",
    b"host",
    b"content-type",
    b"content-length",
    b"transfer-encoding",
    b"user-agent",
    b"if-none-match",
    b"if-modified-since",
    b"x-forwarded-proto",
    b"x-request-id",
    b"traceparent",
    b"tracestate",
    b"b3",
    b"x-b3-traceid",
    b"x-b3-spanid",
    b"x-b3-parentspanid",
    b"x-b3-sampled",
    b"x-b3-flags",
];

/// A request's headers as they came.
pub struct RequestHead {
    headers: Vec<Header>,
}

impl RequestHead {
    /// Takes all headers, pseudo-headers too. Names are brought to lower case, in which Envoy gives them anyway.
    pub fn new(mut headers: Vec<Header>) -> Self {
        headers.iter_mut().for_each(|(name, _)| name.make_ascii_lowercase());
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
            if value.iter().any(bad) {
                return Err(ambiguous("a header has a control character"));
            }
            if !is_name(name) {
                return Err(ambiguous("a header's name has a character that names can't have"));
            }
        }
        for name in JOINED {
            if self.value(name).is_some_and(|value| value.contains(&b',')) {
                return Err(ambiguous(&format!("the {name} header has two values; send one")));
            }
        }
        for name in ["content-type", "accept", "host", ":authority"] {
            if self.value(name).is_some_and(|value| !value.is_ascii()) {
                return Err(ambiguous(&format!("the {name} header is not ASCII")));
            }
        }
        self.check_framing()?;
        if self.value("content-encoding").is_some_and(|value| !value.eq_ignore_ascii_case(b"identity")) {
            return Err(Refusal::unsupported_media_type(
                "contentEncoding",
                "encoded request bodies can't be recorded, and the API server doesn't decode them; send the body as it is",
            ));
        }
        let content_type = self.value("content-type");
        if content_type.is_some_and(|value| Media::parse(value) == Media::Cbor) {
            return Err(Refusal::unsupported_media_type(
                "contentType",
                "CBOR can't be looked into; send JSON",
            ));
        }
        if self.method() == b"PATCH" {
            media::check_patch(content_type)?;
        }
        Ok(())
    }

    /// Where a body begins and ends must be beyond doubt, and where none belongs none may be.
    fn check_framing(&self) -> Result<(), Refusal> {
        let length = self.value("content-length");
        if length.is_some_and(|value| value.is_empty() || !value.iter().all(u8::is_ascii_digit)) {
            return Err(ambiguous("content-length is not a number"));
        }
        let encoding = self.value("transfer-encoding");
        if encoding.is_some_and(|value| !value.eq_ignore_ascii_case(b"chunked")) {
            return Err(ambiguous("transfer-encoding is not chunked"));
        }
        if length.is_some() && encoding.is_some() {
            return Err(ambiguous("content-length and transfer-encoding are both there; send one"));
        }
        let body = encoding.is_some() || length.is_some_and(|value| value.iter().any(|digit| *digit != b'0'));
        if body && matches!(self.method(), b"GET" | b"HEAD") {
            return Err(ambiguous("a GET or HEAD request has a body, which the API server would not read"));
        }
        Ok(())
    }

    /// The headers that go upstream: those on the list, the injected credential, the exchange's id, the client's address
    /// as the proxy knows it (empty where it does not), and an `Accept` whose answer can be masked.
    ///
    /// # Errors
    /// 406 where nothing the client accepts can be masked.
    pub fn upstream(
        &self,
        info: &RequestInfo,
        authorization: &[u8],
        exchange: &str,
        client: &str,
        attributes: &dyn Fn(&[u8]) -> bool,
    ) -> Result<Vec<Header>, Refusal> {
        let mut headers: Vec<Header> = Vec::with_capacity(FORWARDED.len());
        for (name, value) in &self.headers {
            // A source of attribution concerns nobody upstream, but for the user agent, which the API server logs, and
            // what makes the request a request.
            let kept = name == b"user-agent" || name.starts_with(b":") || !attributes(name);
            match name.as_slice() {
                b":path" => headers.push((name.clone(), info.upstream_target.clone().into_bytes())),
                forwarded if kept && FORWARDED.contains(&forwarded) => {
                    headers.push((name.clone(), value.clone()))
                }
                _ => {}
            }
        }
        let accepted: Vec<&[u8]> = self.values("accept").collect();
        let accept = if info.is_resource_request && !info.is_log() {
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
        if !client.is_empty() {
            headers.push((b"x-forwarded-for".to_vec(), client.as_bytes().to_vec()));
        }
        Ok(headers)
    }
}

/// A header name (RFC 9110 section 5.1), or a pseudo-header's.
fn is_name(name: &[u8]) -> bool {
    let name = name.strip_prefix(b":").unwrap_or(name);
    !name.is_empty()
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

/// What people may read of a header: at most so many bytes, control characters replaced.
fn printable(value: &[u8], most: usize) -> String {
    let text = String::from_utf8_lossy(value.get(..most).unwrap_or(value));
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
