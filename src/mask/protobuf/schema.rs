//! The few message types whose fields are masked, as tables: a walk over them is all that masking needs.
//!
//! Numbers are those of `k8s.io/api` and `k8s.io/apimachinery`'s generated.proto files.

use crate::mask::metadata::{self, Treat};

/// A message type: the fields that matter.
pub(super) struct Message {
    /// Whether other fields are refused; otherwise they pass as they are.
    pub(super) closed: bool,
    pub(super) fields: &'static [Known],
}

/// A field that is masked, or leads to one that is. All are length-delimited.
pub(super) struct Known {
    pub(super) number: u32,
    /// Its name in JSON, for the paths in records.
    pub(super) name: &'static str,
    pub(super) content: Content,
}

/// What a known field holds.
pub(super) enum Content {
    /// A message, at most once: a second one would be merged into the first by a reader.
    One(&'static Message),
    /// Any number of messages.
    Many(&'static Message),
    /// A text or bytes to be replaced whole; at most once.
    Value,
    /// A map's entry `{1 key, 2 value}`, and what happens to its value.
    Entry(Treat),
    /// An object in its `k8s\0` envelope; at most once.
    Envelope,
    /// What passes, at most once.
    Single,
}

impl Content {
    /// Whether a second field of the number is refused.
    pub(super) fn is_singular(&self) -> bool {
        match self {
            Self::One(_) | Self::Value | Self::Envelope | Self::Single => true,
            Self::Many(_) | Self::Entry(_) => false,
        }
    }
}

const fn open(fields: &'static [Known]) -> Message {
    Message { closed: false, fields }
}

const fn closed(fields: &'static [Known]) -> Message {
    Message { closed: true, fields }
}

const fn known(number: u32, name: &'static str, content: Content) -> Known {
    Known { number, name, content }
}

/// `metav1.ObjectMeta` of a Secret.
static OBJECT_META: Message = open(&[
    known(11, "labels", Content::Entry(metadata::label)),
    known(12, "annotations", Content::Entry(metadata::annotation)),
]);

/// `v1.Secret`.
pub(super) static SECRET: Message = open(&[
    known(1, "metadata", Content::One(&OBJECT_META)),
    known(2, "data", Content::Entry(metadata::secret)),
    known(3, "type", Content::Single),
    known(4, "stringData", Content::Entry(metadata::secret)),
]);

/// `v1.SecretList`.
pub(super) static SECRET_LIST: Message =
    open(&[known(1, "metadata", Content::Single), known(2, "items", Content::Many(&SECRET))]);

/// `metav1.PartialObjectMetadata` of a Secret.
pub(super) static PARTIAL: Message = open(&[known(1, "metadata", Content::One(&OBJECT_META))]);

/// `metav1.PartialObjectMetadataList` of Secrets.
pub(super) static PARTIAL_LIST: Message =
    open(&[known(1, "metadata", Content::Single), known(2, "items", Content::Many(&PARTIAL))]);

/// `metav1.Status` that answers a request to Secrets: its texts may quote the live object.
pub(super) static STATUS: Message = open(&[
    known(1, "metadata", Content::Single),
    known(3, "message", Content::Value),
    known(5, "details", Content::One(&STATUS_DETAILS)),
]);

static STATUS_DETAILS: Message = open(&[known(4, "causes", Content::Many(&STATUS_CAUSE))]);

static STATUS_CAUSE: Message = open(&[known(2, "message", Content::Value)]);

/// `authentication.k8s.io` `TokenRequest`: the minted token.
pub(super) static TOKEN_REQUEST: Message = open(&[known(3, "status", Content::One(&TOKEN_REQUEST_STATUS))]);

static TOKEN_REQUEST_STATUS: Message = open(&[known(1, "token", Content::Value)]);

/// `authentication.k8s.io` `TokenReview`: the token under review comes back.
pub(super) static TOKEN_REVIEW: Message = open(&[known(2, "spec", Content::One(&TOKEN_REVIEW_SPEC))]);

static TOKEN_REVIEW_SPEC: Message = open(&[known(1, "token", Content::Value)]);

/// `metav1.WatchEvent`.
pub(super) static WATCH_EVENT: Message =
    closed(&[known(1, "type", Content::Single), known(2, "object", Content::One(&RAW_EXTENSION))]);

static RAW_EXTENSION: Message = closed(&[known(1, "raw", Content::Envelope)]);
