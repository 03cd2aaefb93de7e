use crate::Entry;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `previous` of batch 0, which has none before it.
pub const FIRST_PREVIOUS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The request header that carries the batch's signature: a detached JWS (RFC 7515 appendix F, EdDSA, `kid`) over
/// the exact bytes of the body.
pub const SIGNATURE_HEADER: &str = "chaperone-signature";

/// One POST to the collector: one link in a recorder's chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Batch<B = Value> {
    /// The worker VM's chain, a UUID made when the VM started.
    pub recorder: String,
    /// Position in the chain, from 0.
    pub batch: u64,
    /// SHA-256 of the body of the batch before, lower-case hex; [`FIRST_PREVIOUS`] for batch 0.
    pub previous: String,
    /// What happened, in the order in which it was recorded.
    pub entries: Vec<Entry<B>>,
}

/// The collector's answer (200) once a batch is durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Acknowledgement {
    /// The batch's `recorder`.
    pub recorder: String,
    /// The batch's number.
    pub batch: u64,
}
