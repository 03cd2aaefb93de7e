//! Keeps Secret values out of what an agent reads, and masks out of what it writes.

mod literals;
mod masked;
pub mod patch;
mod path;
pub mod protobuf;
mod replacement;
pub mod secret_type;
pub mod text;
pub mod write_back;

pub use masked::MaskedPaths;
pub use replacement::Replacement;
