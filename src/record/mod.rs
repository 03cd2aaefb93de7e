//! What is written down: entries, the chain of batches, and the outbox that posts them.
//!
//! [`Outbox`] is the room's centre: a state machine without a socket or a clock. Exchanges push serialised entries; the
//! shell polls it for batches to post and tells it how each post ended.

mod body;
mod chain;
mod channel;
mod entry;
mod id;
mod outbox;
mod signing;

pub use body::{BodyRecorder, Piece};
pub use chain::{Chain, Opening};
pub use channel::ChannelRecorder;
pub use entry::{Object, encode};
pub use id::{ExchangeId, uuid_v4};
pub use outbox::{Full, Outbox, Post};
pub use signing::SigningKey;
