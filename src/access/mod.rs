//! Who may do what: built-in guards first, then the configured rules, in RBAC's words. And, in the same words, how each
//! request is recorded.

mod guards;
mod matching;
mod policy;
mod recording;

#[cfg(test)]
mod tests;

pub(crate) use guards::refusal;
pub use guards::{BodyGuard, Guards};
pub use policy::AccessPolicy;
pub use recording::RecordingPolicy;
