//! What is written down: entries, the chain of batches, and the outbox that posts them.

mod signing;

pub use signing::SigningKey;
