//! What is to be masked in a response, as the request tells it.

use crate::kube::RequestInfo;

/// What a body's objects are taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Secrets, whatever their `kind` says: the request was for Secrets.
    Secrets,
    /// Carriers of a token: TokenRequest, TokenReview.
    Tokens,
    /// What their `kind` says.
    ByKind,
}

/// How a body is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What its objects are.
    pub taken: Taken,
    /// A sequence of watch events rather than one object.
    pub watch: bool,
}

impl Plan {
    /// For the response to a request.
    pub fn response(info: &RequestInfo) -> Self {
        let full = (info.api_group.as_str(), info.resource.as_str(), info.subresource.as_str());
        let taken = match full {
            ("", "secrets", _) => Taken::Secrets,
            ("", "serviceaccounts", "token") | ("authentication.k8s.io", "tokenreviews", _) => Taken::Tokens,
            _ => Taken::ByKind,
        };
        Self { taken, watch: info.verb == "watch" }
    }

    /// For the body of a request to Secrets, before it is written down.
    pub fn secret_request() -> Self {
        Self { taken: Taken::Secrets, watch: false }
    }

    /// Whether the request was for Secrets or tokens.
    pub fn is_secret(&self) -> bool {
        self.taken != Taken::ByKind
    }
}
