//! A request in the form in which a new one is compared with recorded ones.

use crate::evidence::sha256_hex;
use serde_json::Value;
use std::collections::BTreeSet;

/// Paths that clients read to learn what the API server can do, and how often they do depends on their caches.
const OPEN: [&str; 6] = ["/openapi", "/version", "/healthz", "/livez", "/readyz", "/.well-known"];

/// Parameters that say how long the client waits. Clients choose them at random.
const WAITING: [&str; 2] = ["timeout", "timeoutSeconds"];

/// Method, path and query, whichever way they were written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Target {
    method: String,
    path: String,
    query: Vec<(String, String)>,
}

impl Target {
    pub(super) fn new(method: &str, uri: &str) -> Self {
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        let path = percent_encoding::percent_decode_str(path).decode_utf8_lossy().into_owned();
        let mut query: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes())
            .filter(|(name, _)| !WAITING.contains(&name.as_ref()))
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        // Stable: of one parameter's values the order says something, as of exec's `command`.
        query.sort_by(|(one, _), (other, _)| one.cmp(other));
        Self { method: method.to_owned(), path, query }
    }

    /// The same for every method: a stream is opened with GET over WebSocket, and with POST over SPDY.
    pub(super) fn of_stream(mut self) -> Self {
        "CONNECT".clone_into(&mut self.method);
        self
    }

    /// True for what a client asks about the API itself.
    pub(super) fn is_discovery(&self) -> bool {
        let parts: Vec<&str> = self.path.split('/').filter(|part| !part.is_empty()).collect();
        let api = match parts.first() {
            Some(&"api") => parts.len() <= 2,
            Some(&"apis") => parts.len() <= 3,
            _ => false,
        };
        let under = |prefix: &str| {
            self.path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        matches!(self.method.as_str(), "GET" | "HEAD") && (api || OPEN.iter().any(|prefix| under(prefix)))
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }
}

/// A request's body: equal where the bytes are, or where both are the same JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Content(BTreeSet<String>);

impl Content {
    /// Of a body that came.
    pub(super) fn of(bytes: &[u8]) -> Self {
        if bytes.is_empty() {
            return Self::default();
        }
        let json = serde_json::from_slice::<Value>(bytes).ok();
        Self::recorded(Some(sha256_hex(bytes)), json.as_ref())
    }

    /// Of a body that was recorded, as far as it was.
    pub(super) fn recorded(digest: Option<String>, json: Option<&Value>) -> Self {
        // Objects are kept in the order of their keys, so that one JSON is written in one way.
        let json = json.map(|json| format!("json:{}", sha256_hex(json.to_string().as_bytes())));
        Self(digest.into_iter().chain(json).collect())
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        self == other || !self.0.is_disjoint(&other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_request_written_in_two_ways_is_one() {
        for (name, one, other, same) in [
            ("order of parameters", "/api/v1/pods?b=2&a=1", "/api/v1/pods?a=1&b=2", true),
            ("escapes", "/api/v1/namespaces/a%62", "/api/v1/namespaces/ab", true),
            ("blanks", "/x?labelSelector=a+in+(b)", "/x?labelSelector=a%20in%20%28b%29", true),
            ("how long to wait", "/x?watch=1&timeoutSeconds=303", "/x?watch=1&timeoutSeconds=517", true),
            ("another value", "/x?fieldManager=a", "/x?fieldManager=b", false),
            ("a command's words", "/x?command=a&command=b", "/x?command=b&command=a", false),
        ] {
            assert_eq!(Target::new("GET", one) == Target::new("GET", other), same, "{name}");
        }
    }

    #[test]
    fn bodies_are_the_same_by_bytes_or_by_meaning() {
        let recorded =
            Content::recorded(Some(sha256_hex(b"{\"a\": 1}")), Some(&serde_json::json!({"a": "masked"})));
        for (name, body, same) in [
            ("its bytes, masked in the record", &b"{\"a\": 1}"[..], true),
            ("its JSON", b"{ \"a\":\"masked\" }", true),
            ("other JSON", b"{\"a\":2}", false),
            ("none", b"", false),
        ] {
            assert_eq!(Content::of(body).is_same(&recorded), same, "{name}");
        }
        assert!(Content::of(b"").is_same(&Content::recorded(None, None)));
    }

    #[test]
    fn discovery_is_what_is_asked_about_the_api() {
        for (path, discovery) in [
            ("/api", true),
            ("/apis?timeout=32s", true),
            ("/apis/apps/v1", true),
            ("/openapi/v3/api/v1", true),
            ("/version", true),
            ("/api/v1/pods", false),
            ("/apis/apps/v1/deployments", false),
            ("/versions", false),
        ] {
            assert_eq!(Target::new("GET", path).is_discovery(), discovery, "{path}");
        }
        assert!(!Target::new("POST", "/api").is_discovery());
    }
}
