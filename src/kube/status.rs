//! `metav1.Status`: how every refusal is said, so that kubectl prints it as it prints the API server's own.

use serde_json::{Value, json};

/// A failure, as the API server writes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    code: u16,
    reason: &'static str,
    message: String,
}

impl Status {
    pub(crate) fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into() }
    }

    /// 500.
    pub fn internal_error(message: &str) -> Self {
        Self::new(500, "InternalError", message)
    }

    /// HTTP status code.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// Machine-readable reason, of `metav1.StatusReason`.
    pub fn reason(&self) -> &str {
        self.reason
    }

    /// What people read.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The wire form.
    pub fn to_json(&self) -> Vec<u8> {
        let mut status: Value = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
        });
        if matches!(self.code, 429 | 503)
            && let Some(map) = status.as_object_mut()
        {
            map.insert("details".to_owned(), json!({"retryAfterSeconds": 1}));
        }
        let mut bytes = status.to_string().into_bytes();
        bytes.push(b'\n');
        bytes
    }
}

/// A request or response that the filter does not let pass, and what the agent and the record are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What the agent gets.
    pub status: Status,
    /// Headers beside it.
    pub headers: Vec<(&'static str, String)>,
    /// What refused: a guard's or a rule's name, or the stage.
    pub rule: String,
    /// A short stable code, for records.
    pub code: &'static str,
}

impl Refusal {
    fn new(status: Status, rule: &str, code: &'static str) -> Self {
        Self { status, headers: Vec::new(), rule: rule.to_owned(), code }
    }

    /// 400: the request could be read two ways, or lacks something.
    pub fn bad_request(rule: &str, code: &'static str, why: &str) -> Self {
        Self::new(Status::new(400, "BadRequest", format!("chaperone: {why}")), rule, code)
    }

    /// 401: the token. The challenge follows RFC 6750 section 3.
    pub fn unauthorized(code: &'static str, why: &str) -> Self {
        let mut refusal =
            Self::new(Status::new(401, "Unauthorized", format!("chaperone: {why}")), "authentication", code);
        refusal.headers.push(("www-authenticate", "Bearer error=\"invalid_token\"".to_owned()));
        refusal
    }

    /// 403: a rule or guard.
    pub fn forbidden(rule: &str, code: &'static str, why: &str) -> Self {
        Self::new(Status::new(403, "Forbidden", format!("chaperone: {why}")), rule, code)
    }

    /// 405.
    pub fn method_not_allowed(why: &str) -> Self {
        Self::new(Status::new(405, "MethodNotAllowed", format!("chaperone: {why}")), "request", "method")
    }

    /// 406: no media type that can be masked.
    pub fn not_acceptable(why: &str) -> Self {
        Self::new(Status::new(406, "NotAcceptable", format!("chaperone: {why}")), "request", "accept")
    }

    /// 413.
    pub fn too_large(code: &'static str, why: &str) -> Self {
        Self::new(Status::new(413, "RequestEntityTooLarge", format!("chaperone: {why}")), "request", code)
    }

    /// 415.
    pub fn unsupported_media_type(code: &'static str, why: &str) -> Self {
        Self::new(Status::new(415, "UnsupportedMediaType", format!("chaperone: {why}")), "request", code)
    }

    /// 422: the body.
    ///
    /// Not with the reason `Invalid`: `kubectl apply --force` would answer that by deleting the object, and kubectl shows
    /// no message of it.
    pub fn invalid(rule: &str, code: &'static str, why: &str) -> Self {
        Self::new(Status::new(422, "BadRequest", format!("chaperone: {why}")), rule, code)
    }

    /// 429, with `Retry-After`.
    pub fn too_many_requests(rule: &str, code: &'static str, why: &str) -> Self {
        let status = Status::new(429, "TooManyRequests", format!("chaperone: {why}"));
        Self::new(status, rule, code).retry_after()
    }

    /// 502: the response.
    pub fn bad_gateway(rule: &str, code: &'static str, why: &str) -> Self {
        Self::new(Status::new(502, "InternalError", format!("chaperone: {why}")), rule, code)
    }

    /// 503, with `Retry-After`.
    pub fn service_unavailable(rule: &str, code: &'static str, why: &str) -> Self {
        let status = Status::new(503, "ServiceUnavailable", format!("chaperone: {why}"));
        Self::new(status, rule, code).retry_after()
    }

    fn retry_after(mut self) -> Self {
        self.headers.push(("retry-after", "1".to_owned()));
        self
    }
}
