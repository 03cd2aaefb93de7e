use serde::{Deserialize, Serialize};

/// SHA-256 and length of a whole body as the agent sent or saw it, also where the recorded copy is cut short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BodyDigest {
    /// Lower-case hex.
    pub sha256: String,
    /// Length in bytes.
    pub bytes: u64,
}

/// How a body that is not one JSON document is written into `requestObject` and `responseObject`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncodedBody {
    /// `utf-8` or `base64` (RFC 4648 section 4, padded).
    pub encoding: String,
    /// The body in that encoding; shorter than the digest's `bytes` where the limit cut it.
    pub data: String,
}
