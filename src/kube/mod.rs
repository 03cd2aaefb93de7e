//! The Kubernetes API's vocabulary: what a request asks for, media types, `Status`.

mod head;
mod media;
mod query;
mod status;
mod stream_options;
mod target;

#[cfg(test)]
mod tests;

pub use head::RequestHead;
pub use media::Media;
pub use query::Query;
pub(crate) use query::ambiguous;
pub use status::{Refusal, Status};
pub use target::{RequestInfo, StreamKind};
