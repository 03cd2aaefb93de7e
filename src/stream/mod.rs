//! Streams.
pub mod spdy;
