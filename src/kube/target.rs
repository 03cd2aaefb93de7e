//! What a request asks for: the API server's `RequestInfo` (k8s.io/apiserver/pkg/endpoints/request/requestinfo.go),
//! computed from the request line, or a refusal where that line could be read two ways.

use super::Refusal;
use super::query::{Query, ambiguous, decode, required_name};
use chaperone_record::ObjectRef;

/// Longer request targets are refused.
const MOST_BYTES: usize = 8192;
const MOST_PARTS: usize = 64;

/// What a request asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestInfo {
    /// Whether it is about an object; otherwise a URL such as `/healthz`.
    pub is_resource_request: bool,
    /// The decoded path, trailing slashes trimmed, without the session prefix.
    pub path: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`; the lower-case method for URLs.
    pub verb: String,
    /// Empty for the core group.
    pub api_group: String,
    /// Without the group.
    pub api_version: String,
    /// Plural.
    pub resource: String,
    /// Empty for none.
    pub subresource: String,
    /// Empty for none.
    pub namespace: String,
    /// Empty for lists and creates.
    pub name: String,
    /// The decoded query.
    pub query: Query,
    /// From the `/s/<session>` prefix of a kubeconfig's server path.
    pub session: Option<String>,
    /// Path and query to send upstream: as they came, without the session prefix and credentials.
    pub upstream_target: String,
}

/// Requests whose bodies are long-lived, or that become something other than HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamKind {
    /// A watch.
    Watch,
    /// A log that is followed.
    Log,
    /// `pods/exec`.
    Exec,
    /// `pods/attach`.
    Attach,
    /// `pods/portforward`.
    PortForward,
}

impl RequestInfo {
    /// Classifies a request line.
    ///
    /// # Errors
    /// 400 for what could be read two ways, 405 for methods the API does not have.
    pub fn parse(method: &[u8], target: &[u8]) -> Result<Self, Refusal> {
        let method_verb = match method {
            b"GET" | b"HEAD" => "get",
            b"POST" => "create",
            b"PUT" => "update",
            b"PATCH" => "patch",
            b"DELETE" => "delete",
            _ => {
                return Err(Refusal::method_not_allowed(
                    "the method is none of GET, HEAD, POST, PUT, PATCH, DELETE",
                ));
            }
        };
        let target = printable(target)?;
        let (session, target) = strip_session(target)?;
        let (raw_path, raw_query) = target.split_once('?').unwrap_or((target, ""));
        let path = decoded_path(raw_path)?;
        // A second prefix, or an escaped one: another gateway behind this one would take it off.
        if path == "/s" || path.starts_with("/s/") {
            return Err(ambiguous(
                "the session prefix must be written /s/<session>/, once and without escapes",
            ));
        }
        let query = Query::parse(raw_query)?;
        if let Some(name) = query.contradiction() {
            return Err(ambiguous(&format!(
                "the query names {name:?} twice with different values; give it once"
            )));
        }
        let mut info = Self {
            session,
            upstream_target: without_credentials(target),
            verb: String::from_utf8_lossy(method).to_ascii_lowercase(),
            path: path.clone(),
            query,
            ..Self::default()
        };
        info.classify(&path, method_verb)?;
        Ok(info)
    }

    fn classify(&mut self, path: &str, method_verb: &str) -> Result<(), Refusal> {
        let mut parts: &[&str] = &path.trim_matches('/').split('/').take(MOST_PARTS).collect::<Vec<_>>();
        let group = match parts {
            ["api", _, _, ..] => "",
            ["apis", group, _, _, ..] => group,
            _ => return Ok(()),
        };
        parts = parts.get(if group.is_empty() { 1 } else { 2 }..).unwrap_or_default();
        let Some((version, rest)) = parts.split_first() else { return Ok(()) };
        parts = rest;
        self.is_resource_request = true;
        self.api_group = group.to_owned();
        self.api_version = (*version).to_owned();
        self.verb = method_verb.to_owned();
        let mut legacy_watch = false;
        if let Some((&"proxy", _)) = parts.split_first() {
            return Err(ambiguous("the /proxy/ prefix was removed from the API; use the proxy subresource"));
        }
        if let Some((&"watch", rest)) = parts.split_first() {
            if rest.is_empty() {
                return Err(ambiguous("the /watch/ prefix needs a resource behind it"));
            }
            if method_verb != "get" {
                return Err(Refusal::method_not_allowed("the /watch/ prefix takes GET only"));
            }
            "watch".clone_into(&mut self.verb);
            legacy_watch = true;
            parts = rest;
        }
        if let ["namespaces", namespace, rest @ ..] = parts {
            self.namespace = (*namespace).to_owned();
            if let [third, ..] = rest
                && !matches!(*third, "status" | "finalize")
            {
                parts = rest;
            }
        }
        if let Some(resource) = parts.first() {
            self.resource = (*resource).to_owned();
        }
        self.name = parts.get(1).copied().unwrap_or_default().to_owned();
        self.subresource = parts.get(2).copied().unwrap_or_default().to_owned();
        if self.name.is_empty() && self.verb == "get" {
            self.verb = if self.query.flag("watch") { "watch" } else { "list" }.to_owned();
            if let Some(name) = self.query.first("fieldSelector").and_then(required_name) {
                self.name = name;
            }
        } else if self.name.is_empty() && self.verb == "delete" && !legacy_watch {
            "deletecollection".clone_into(&mut self.verb);
        }
        Ok(())
    }

    /// `resource` or `resource/subresource`.
    pub fn full_resource(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.clone()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }

    /// Whether it is about Secrets.
    pub fn is_secret(&self) -> bool {
        self.is_resource_request && self.api_group.is_empty() && self.resource == "secrets"
    }

    /// Whether it is a pod's log, which is text.
    pub fn is_log(&self) -> bool {
        self.is_resource_request
            && (self.api_group.as_str(), self.resource.as_str(), self.subresource.as_str())
                == ("", "pods", "log")
    }

    /// Whether a pattern of `nonResourceURLs` is about the path: the path itself, or with `*` behind it what paths begin
    /// with. A trailing slash of the request counts and does not: the API server serves `/version/` as `/version`, and
    /// `/logs/` is under `/logs/*`.
    pub fn is_at(&self, pattern: &str) -> bool {
        let raw = self.upstream_target.split('?').next().unwrap_or_default();
        let fits = |path: &str| match pattern.strip_suffix('*') {
            Some(prefix) => path.starts_with(prefix),
            None => path == pattern,
        };
        fits(&self.path) || (raw.ends_with('/') && fits(&format!("{}/", self.path)))
    }

    /// Whether it may change something: writes, and whatever runs in or talks to a pod.
    pub fn is_write(&self) -> bool {
        self.is_resource_request
            && (matches!(self.verb.as_str(), "create" | "update" | "patch" | "delete" | "deletecollection")
                || matches!(
                    self.stream_kind(),
                    Some(StreamKind::Exec | StreamKind::Attach | StreamKind::PortForward)
                ))
    }

    /// Whether and how the exchange streams.
    pub fn stream_kind(&self) -> Option<StreamKind> {
        if !self.is_resource_request {
            return None;
        }
        match (self.api_group.as_str(), self.resource.as_str(), self.subresource.as_str()) {
            ("", "pods", "exec") => Some(StreamKind::Exec),
            ("", "pods", "attach") => Some(StreamKind::Attach),
            ("", "pods", "portforward") => Some(StreamKind::PortForward),
            ("", "pods", "log") if self.query.flag("follow") => Some(StreamKind::Log),
            _ if self.verb == "watch" => Some(StreamKind::Watch),
            _ => None,
        }
    }

    /// For the record; none for URLs.
    pub fn object_ref(&self) -> Option<ObjectRef> {
        self.is_resource_request.then(|| ObjectRef {
            api_group: self.api_group.clone(),
            api_version: self.api_version.clone(),
            resource: self.resource.clone(),
            subresource: self.subresource.clone(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        })
    }
}

/// The request target as text: visible ASCII, starting with `/`.
fn printable(target: &[u8]) -> Result<&str, Refusal> {
    if target.len() > MOST_BYTES {
        return Err(ambiguous("the path and query are longer than 8192 bytes"));
    }
    let text =
        std::str::from_utf8(target).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic()));
    let text =
        text.ok_or_else(|| ambiguous("the path or query has characters that must be percent-encoded"))?;
    if !text.starts_with('/') || text.contains('#') {
        return Err(ambiguous("the request target must be a path, starting with / and without a fragment"));
    }
    Ok(text)
}

/// Takes `/s/<session>` off the front: how a kubeconfig's server URL can carry an agent's session.
fn strip_session(target: &str) -> Result<(Option<String>, &str), Refusal> {
    let Some(rest) = target.strip_prefix("/s/") else { return Ok((None, target)) };
    let Some((session, _)) = rest.split_once('/') else {
        return Err(ambiguous("after /s/<session> a path must follow"));
    };
    let fits = (1..=128).contains(&session.len())
        && session.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte))
        && session.bytes().any(|byte| byte != b'.');
    let rest = rest.get(session.len()..).unwrap_or_default();
    if !fits {
        return Err(ambiguous("the session in /s/<session>/ must be 1 to 128 of A-Z a-z 0-9 . _ ~ -"));
    }
    Ok((Some(session.to_owned()), rest))
}

/// Decodes a path once, as Go does, and refuses what a second reader could decode or split differently.
fn decoded_path(raw: &str) -> Result<String, Refusal> {
    let lower = raw.to_ascii_lowercase();
    for (text, why) in [
        ("%2f", "an encoded slash, which the API server splits at and others do not"),
        ("%5c", "an encoded backslash"),
        ("%25", "an encoded percent sign, which a second decoding would read differently"),
        ("%2e", "an encoded dot"),
        ("%3b", "an encoded semicolon"),
        ("\\", "a backslash"),
        (";", "a semicolon"),
    ] {
        if lower.contains(text) {
            return Err(ambiguous(&format!("the path has {why}")));
        }
    }
    let path = decode(raw, false)?;
    let trimmed = path.trim_end_matches('/');
    if trimmed.contains("//") {
        return Err(ambiguous("the path has an empty segment (//)"));
    }
    if trimmed.split('/').any(|part| part == "." || part == "..") {
        return Err(ambiguous("the path has a . or .. segment"));
    }
    if trimmed.split('/').count() > MOST_PARTS {
        return Err(ambiguous("the path has more than 64 segments"));
    }
    Ok(if trimmed.is_empty() { "/".to_owned() } else { trimmed.to_owned() })
}

/// The target without query parameters that carry credentials.
pub(super) fn without_credentials(target: &str) -> String {
    let Some((path, query)) = target.split_once('?') else { return target.to_owned() };
    // Some readers split at semicolons too. What has one is refused, but recorded.
    let kept: Vec<&str> = query
        .split(['&', ';'])
        .filter(|part| {
            let name = part.split('=').next().unwrap_or_default();
            let name = decode(name, true).unwrap_or_default().to_ascii_lowercase();
            !matches!(name.as_str(), "access_token" | "id_token" | "token" | "authorization")
        })
        .collect();
    if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) }
}
