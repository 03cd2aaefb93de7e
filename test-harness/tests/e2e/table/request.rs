//! A request, byte by byte.

/// A request to be sent as it stands. Unless told otherwise it has a host, a user agent that names its row, the agent's
/// token, and asks for the connection to be closed.
#[derive(Clone, Debug, Default)]
pub struct Request {
    line: Vec<u8>,
    headers: Vec<Vec<u8>>,
    body: Vec<u8>,
    /// Default headers that it does without.
    without: Vec<&'static str>,
    /// A token of its own.
    token: Option<String>,
    /// Ends lines with this.
    bare_newlines: bool,
}

/// A GET.
pub fn get(target: &str) -> Request {
    request("GET", target)
}

/// A request of any method.
pub fn request(method: &str, target: &str) -> Request {
    line(format!("{method} {target} HTTP/1.1"))
}

/// A request with any first line.
pub fn line(line: impl Into<Vec<u8>>) -> Request {
    Request { line: line.into(), ..Request::default() }
}

/// A POST of a JSON body.
pub fn post(target: &str, body: &str) -> Request {
    request("POST", target).body("application/json", body)
}

/// A PATCH.
pub fn patch(target: &str, content_type: &str, body: impl AsRef<[u8]>) -> Request {
    request("PATCH", target).body(content_type, body)
}

impl Request {
    /// A further header line, as it stands. One that has a default is not sent twice.
    pub fn header(mut self, line: impl AsRef<[u8]>) -> Self {
        self.headers.push(line.as_ref().to_vec());
        self
    }

    /// Leaves a default header out: `host`, `user-agent`, `authorization` or `connection`.
    pub fn without(mut self, name: &'static str) -> Self {
        self.without.push(name);
        self
    }

    /// With this token instead of the good one.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// With a body of this type, and its length.
    pub fn body(self, content_type: &str, body: impl AsRef<[u8]>) -> Self {
        let length = body.as_ref().len();
        let typed =
            if content_type.is_empty() { self } else { self.header(format!("Content-Type: {content_type}")) };
        typed.header(format!("Content-Length: {length}")).bytes_after(body)
    }

    /// With these bytes after the head, whatever its headers say.
    pub fn bytes_after(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.body = bytes.as_ref().to_vec();
        self
    }

    /// Lines end with LF only.
    pub fn bare_newlines(mut self) -> Self {
        self.bare_newlines = true;
        self
    }

    /// Its path and query.
    pub fn target(&self) -> &str {
        std::str::from_utf8(&self.line).ok().and_then(|line| line.split(' ').nth(1)).unwrap_or_default()
    }

    /// The body, as far as the head says that there is one; none where it comes in chunks.
    pub fn sent_body(&self) -> Option<&[u8]> {
        let has = |name: &[u8]| self.headers.iter().any(|line| line.to_ascii_lowercase().starts_with(name));
        let body = if has(b"content-length") { self.body.as_slice() } else { &[] };
        (!has(b"transfer-encoding")).then_some(body)
    }

    /// Whether its answer has no body.
    pub fn is_head(&self) -> bool {
        self.line.starts_with(b"HEAD ")
    }

    /// What in it may be a token.
    pub fn secrets(&self) -> Vec<Vec<u8>> {
        let credentials = self.headers.iter().filter(|line| line.starts_with(b"Authorization")).cloned();
        credentials.chain(self.token.iter().map(|token| token.clone().into_bytes())).collect()
    }

    /// The bytes to send.
    pub fn bytes(&self, token: &str, user_agent: &str) -> Vec<u8> {
        let token = self.token.as_deref().unwrap_or(token);
        let defaults = [
            ("host", "Host: gateway".to_owned()),
            ("user-agent", format!("User-Agent: {user_agent}")),
            ("authorization", format!("Authorization: Bearer {token}")),
            ("connection", "Connection: close".to_owned()),
        ];
        let newline: &[u8] = if self.bare_newlines { b"\n" } else { b"\r\n" };
        let mut bytes = self.line.clone();
        bytes.extend_from_slice(newline);
        for (_, line) in defaults.iter().filter(|(name, _)| !self.without.contains(name)) {
            bytes.extend_from_slice(line.as_bytes());
            bytes.extend_from_slice(newline);
        }
        for line in &self.headers {
            bytes.extend_from_slice(line);
            bytes.extend_from_slice(newline);
        }
        bytes.extend_from_slice(newline);
        bytes.extend_from_slice(&self.body);
        bytes
    }
}
