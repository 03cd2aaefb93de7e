//! The record schema: what the filter writes and the collector keeps.
//!
//! One POST to the collector is one [`Batch`]: a link in the chain of one worker VM (its `recorder`). A batch
//! carries [`Entry`] values; every entry but `open` and `gap` belongs to one exchange (one request and its response).
//! Field names follow the Kubernetes audit `Event` (`audit.k8s.io/v1`) where it has a word for the thing.
//!
//! Bodies are generic: the filter writes `Box<serde_json::value::RawValue>` (the bytes as the agent saw them, never
//! parsed twice), readers use [`serde_json::Value`], the default.

mod attribution;
mod batch;
mod body;
mod entry;
mod stream;
mod time;

pub use attribution::{Attributed, Attribution, UpstreamCredential, User};
pub use batch::{Acknowledgement, Batch, FIRST_PREVIOUS, SIGNATURE_HEADER};
pub use body::{BodyDigest, EncodedBody};
pub use entry::{
    Channel, Decision, End, Entry, Exchange, FilterBuild, Gap, Masked, ObjectRef, Open, Outcome, Request,
    Requested, Responded, Response, ResponseStatus, Stream, Timing,
};
pub use stream::{ChannelTotal, Connection, StreamEnd, StreamOptions};
pub use time::Timestamp;

#[cfg(test)]
mod tests;
