//! The chain: numbered batches, each naming the digest of the one before, each signed.

use super::outbox::Post;
use super::signing::SigningKey;
use crate::config::hex;
use chaperone_record::{Entry, FIRST_PREVIOUS, FilterBuild, Open, Timestamp};
use sha2::{Digest, Sha256};
use std::rc::Rc;

/// What batch 0 says of its recorder.
#[derive(Clone, Debug)]
pub struct Opening {
    /// SHA-256 of the configuration, lower-case hex.
    pub config_digest: String,
    /// The proxy's node id.
    pub node: String,
    /// Names the worker, for people.
    pub worker: String,
}

/// One recorder's chain: seals entries into signed batches.
pub struct Chain {
    recorder: String,
    key: SigningKey,
    opening: Option<Opening>,
    next: u64,
    previous: String,
}

impl Chain {
    /// A new chain. Its `open` entry is written with the first other one, so that a VM without traffic leaves nothing.
    pub fn new(recorder: String, key: SigningKey, opening: Opening) -> Self {
        Self { recorder, key, opening: Some(opening), next: 0, previous: FIRST_PREVIOUS.to_owned() }
    }

    /// The chain's name.
    pub fn recorder(&self) -> &str {
        &self.recorder
    }

    /// The number of the batch to be sealed next.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// The `open` entry, once.
    pub(super) fn open(&mut self, now: Timestamp) -> Option<Vec<u8>> {
        let opening = self.opening.take()?;
        let entry: Entry = Entry::Open(Open {
            time: now,
            filter: FilterBuild {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                build: option_env!("CHAPERONE_BUILD").unwrap_or("unknown").to_owned(),
            },
            config_digest: opening.config_digest,
            node: opening.node,
            worker: opening.worker,
        });
        Some(super::encode(&entry, None, None))
    }

    /// Seals serialised entries, joined by commas, into the next batch.
    pub(super) fn seal(&mut self, entries: &[u8]) -> Post {
        let head = format!(
            r#"{{"recorder":"{}","batch":{},"previous":"{}","entries":["#,
            self.recorder, self.next, self.previous
        );
        let mut body = Vec::with_capacity(head.len().saturating_add(entries.len()).saturating_add(2));
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(entries);
        body.extend_from_slice(b"]}");
        let digest = Sha256::digest(&body).into();
        let post = Post {
            attempts: 0,
            batch: self.next,
            signature: self.key.sign(&body, &digest).into(),
            body: Rc::from(body),
        };
        self.previous = hex(&digest);
        self.next = self.next.saturating_add(1);
        post
    }
}
