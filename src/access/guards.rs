//! Built-in refusals: ways to a credential, around the record, or back to a masked value. Each has a name and can be
//! switched off.

use crate::kube::{Refusal, RequestHead, RequestInfo, StreamKind};
use crate::stream::handshake::is_recordable;

/// The guards that are on.
pub struct Guards {
    disabled: Vec<String>,
}

/// Guards that look at a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyGuard {
    /// `mask-write-back`.
    MaskWriteBack,
    /// `secret-json-patch`.
    SecretJsonPatch,
    /// `service-account-secrets`.
    ServiceAccountSecrets,
}

impl BodyGuard {
    /// The guard's name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::MaskWriteBack => "mask-write-back",
            Self::SecretJsonPatch => "secret-json-patch",
            Self::ServiceAccountSecrets => "service-account-secrets",
        }
    }
}

/// URLs whose contents are a component's insides.
const DEBUG_PATHS: [&str; 7] = ["/metrics", "/logs", "/debug", "/configz", "/flagz", "/statusz", "/proxy"];

impl Guards {
    /// All but those named.
    pub fn new(disabled: &[String]) -> Self {
        Self { disabled: disabled.to_vec() }
    }

    fn on(&self, name: &str) -> bool {
        !self.disabled.iter().any(|disabled| disabled == name)
    }

    /// Whether a body guard is on.
    pub fn checks(&self, guard: BodyGuard) -> bool {
        self.on(guard.name())
    }

    /// What can be said from the request's head.
    ///
    /// # Errors
    /// 403 naming the guard.
    pub fn check(&self, info: &RequestInfo, head: &RequestHead, end_of_stream: bool) -> Result<(), Refusal> {
        let Some((name, why)) = first(info, head, end_of_stream).into_iter().find(|(name, _)| self.on(name))
        else {
            return Ok(());
        };
        Err(refusal(name, why))
    }
}

/// 403 with the guard's name and the way out.
pub(crate) fn refusal(name: &str, why: &str) -> Refusal {
    let why =
        format!("guard {name} refuses this: {why}; an operator can switch it off in access.guards.disable");
    Refusal::forbidden(&format!("guard:{name}"), "guard", &why)
}

/// Every guard that the request meets, by its name and reason.
fn first(info: &RequestInfo, head: &RequestHead, end_of_stream: bool) -> Vec<(&'static str, &'static str)> {
    let mut met = Vec::new();
    let write = matches!(info.verb.as_str(), "create" | "update" | "patch" | "delete" | "deletecollection");
    if !info.is_resource_request {
        let under = |prefix: &str| {
            info.path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if DEBUG_PATHS.iter().any(|prefix| under(prefix)) {
            met.push(("debug-endpoints", "the URL shows a component's insides, credentials among them"));
        }
    }
    match (info.api_group.as_str(), info.resource.as_str(), info.subresource.as_str()) {
        ("", "serviceaccounts", "token") => {
            met.push((
                "token-request",
                "it would hand out a service account's token, a credential that is not recorded",
            ));
        }
        ("authentication.k8s.io", "tokenreviews", _) => {
            met.push(("token-review", "it carries a token, and tells whether it is good"));
        }
        ("certificates.k8s.io", "certificatesigningrequests" | "podcertificaterequests", _) if write => {
            met.push((
                "certificate-signing",
                "it would lead to a client certificate, a credential that is not recorded",
            ));
        }
        ("", "nodes", "proxy") => {
            met.push(("node-proxy", "the kubelet's API is not classified, masked or recorded"))
        }
        ("", "pods", "proxy") => {
            met.push(("pod-proxy", "what a pod serves is not classified, masked or recorded"))
        }
        ("", "services", "proxy") => {
            met.push(("service-proxy", "what a service serves is not classified, masked or recorded"))
        }
        ("admissionregistration.k8s.io", _, _) if write => {
            met.push((
                "admission-config",
                "an admission policy or webhook can read Secrets and every request",
            ));
        }
        _ => {}
    }
    let stream =
        matches!(info.stream_kind(), Some(StreamKind::Exec | StreamKind::Attach | StreamKind::PortForward));
    if (head.upgrades() || stream) && !is_recordable(info, head) {
        met.push(("unrecorded-streams", "a connection that switches protocols can't be recorded, but for exec, attach and port-forward over WebSocket or SPDY/3.1"));
    }
    let dry_run = info.query.first("dryRun").is_some();
    if matches!(info.verb.as_str(), "delete" | "deletecollection") && dry_run && !end_of_stream {
        met.push(("delete-dry-run-body", "with a body the API server ignores dryRun in the query and really deletes; put dryRun into the body's DeleteOptions, or send no body"));
    }
    met
}
