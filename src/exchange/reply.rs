//! What the agent is told when the filter answers instead of the API server.

use crate::kube::{Refusal, Status};
use crate::record::ExchangeId;

/// An answer of the filter's own: a `metav1.Status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalReply {
    /// HTTP status code.
    pub status: u16,
    /// Headers.
    pub headers: Vec<(&'static str, String)>,
    /// JSON.
    pub body: Vec<u8>,
}

impl LocalReply {
    /// The filter has no configuration or no randomness, or its host breaks the protocol: refuse everything.
    pub fn broken() -> Self {
        Self {
            status: 500,
            headers: vec![("content-type", "application/json".to_owned())],
            body: Status::internal_error(
                "chaperone: the filter is not in working order; see the proxy's log",
            )
            .to_json(),
        }
    }
}

/// The answer to a refused request. It carries the exchange's id, so that the agent's user can ask an auditor about it.
pub(super) fn from_refusal(refusal: Refusal, id: ExchangeId) -> LocalReply {
    let mut headers = vec![("content-type", "application/json".to_owned()), ("audit-id", id.to_string())];
    headers.extend(refusal.headers);
    LocalReply { status: refusal.status.code(), headers, body: refusal.status.to_json() }
}

/// 503: no record, no action.
pub(super) fn unrecorded(why: &str) -> Refusal {
    Refusal::service_unavailable(
        "recording",
        "unrecorded",
        &format!("not forwarded, because {why}; try again"),
    )
}
