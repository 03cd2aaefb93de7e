//! Keeps Secret values out of what an agent reads, and masks out of what it writes.

mod body;
pub mod fields;
pub mod json;
mod literals;
mod masked;
mod metadata;
mod originals;
pub mod patch;
mod path;
mod plan;
pub mod protobuf;
mod replacement;
mod rules;
pub mod seal;
pub mod secret_type;
pub mod text;
pub mod write_back;

pub use body::BodyMasker;
pub use json::JsonMasker;
pub use masked::MaskedPaths;
pub use originals::Originals;
pub use plan::{Plan, Taken};
pub use replacement::Replacement;
pub use rules::{Extra, MaskRules};
