//! Which part of the records is meant.

use chaperone_record::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A part of the records. Whatever the part, whole batches belong to it, and every batch between its first and its
/// last of a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", deny_unknown_fields)]
pub enum Scope {
    /// Every chain from its first batch on.
    Everything {},
    /// One session.
    Session {
        /// Its id.
        session: String,
        /// The exchanges it consists of.
        exchanges: BTreeSet<String>,
    },
    /// The exchanges and gaps that began in a span of time.
    Time {
        /// The first moment.
        since: Timestamp,
        /// The last moment.
        until: Timestamp,
    },
}

impl Scope {
    /// True for the whole of the records.
    pub fn is_everything(&self) -> bool {
        matches!(self, Self::Everything {})
    }

    /// True where an exchange belongs to it: by its id, or by when its request came, as far as that is known.
    pub fn takes(&self, exchange: &str, received: Option<Timestamp>) -> bool {
        match self {
            Self::Everything {} => true,
            Self::Session { exchanges, .. } => exchanges.contains(exchange),
            Self::Time { since, until } => received.is_some_and(|at| (*since..=*until).contains(&at)),
        }
    }
}

/// The stretch of one chain that a part of the records takes up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Stretch {
    /// Whose chain.
    pub recorder: String,
    /// Its first batch.
    pub first: i64,
    /// Its last batch.
    pub last: i64,
    /// SHA-256 of the last batch, lower-case hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}
