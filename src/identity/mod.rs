//! Who asks: bearer tokens, the keys that sign them, and the claims they make.
//!
//! [`Authenticator`] is the room's centre. It takes what stood in `Authorization` and gives an [`Identity`], or an
//! [`AuthError`] that says what is wrong without repeating any of the token. Keys come in through
//! [`Authenticator::poll`] and [`Authenticator::on_answer`]: the shell fetches, this room decides what and when.

mod attribution;
mod authenticator;
mod cache;
mod claims;
mod error;
mod flood;
mod jwk;
mod jwt;
mod keys;
mod signature;

#[cfg(test)]
mod tests;

pub use attribution::{attribute, require};
pub use authenticator::Authenticator;
pub use error::AuthError;
pub use keys::Fetch;
pub use signature::{NoHost, SignatureVerifier};

use chaperone_record::{Timestamp, User};
use serde_json::Value;

/// A verified token's meaning.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The user, after claim mapping.
    pub user: User,
    /// All claims, for attribution.
    pub claims: Value,
    /// The token is not taken after this; the clock skew is in it.
    pub expires: Timestamp,
    /// Which issuer, by its place in the configuration.
    pub(crate) issuer: usize,
    /// Digest of the key that verified it.
    pub(crate) key: [u8; 32],
}
