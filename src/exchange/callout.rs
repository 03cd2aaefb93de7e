//! Requests that the filter itself sends.

use std::rc::Rc;
use std::time::Duration;

/// Why a callout was sent; says what its answer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A fetch of the key store, by its id.
    Keys(u64),
    /// A batch for the collector, by its number.
    Batch(u64),
    /// An upstream token, by the number of its renewal.
    Token(u64),
}

/// A request to an Envoy cluster.
#[derive(Clone, Debug)]
pub struct Callout {
    /// What its answer is for.
    pub purpose: Purpose,
    /// The cluster.
    pub cluster: String,
    /// Headers, pseudo-headers first.
    pub headers: Vec<(&'static str, String)>,
    /// Body; empty for none.
    pub body: Rc<[u8]>,
    /// After this it has failed.
    pub timeout: Duration,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status; none where there was no answer at all.
    pub status: Option<u16>,
    /// The body, up to a bound.
    pub body: Vec<u8>,
}

impl Answer {
    /// No answer.
    pub const NONE: Self = Self { status: None, body: Vec::new() };
}
