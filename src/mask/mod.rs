//! Keeps Secret values out of what an agent reads, and masks out of what it writes.

mod body;
pub mod json;
mod literals;
mod masked;
mod metadata;
pub mod patch;
mod path;
mod plan;
pub mod protobuf;
mod replacement;
pub mod secret_type;
pub mod text;
pub mod write_back;

pub use body::{BodyMasker, MaskRules};
pub use json::JsonMasker;
pub use masked::MaskedPaths;
pub use plan::{Plan, Taken};
pub use replacement::Replacement;
