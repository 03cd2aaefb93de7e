//! A batch as it was received: its bytes, and where in them each entry stands.

use super::packed::pack;
use super::words::words_of;
use crate::evidence::sha256_hex;
use chaperone_record::{Entry, Timestamp};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::sync::OnceLock;

/// Longest `recorder` that is taken; the filter sends a UUID.
const MAX_RECORDER: usize = 128;

/// Longest text in the index that stands as it is.
const MAX_KEY: usize = 512;

/// Why bytes are not a batch. Carries no text of the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// Not JSON, or not the shape of a batch.
    #[error("the body is not a batch: it fails at line {line}, column {column}")]
    Shape {
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
    },
    /// An entry is not one of the kinds that the schema knows.
    #[error("entry {0} of the batch is not an entry of a known type")]
    Entry(usize),
    /// `recorder` is empty, too long, not plain, or would lead to another folder.
    #[error("`recorder` must be 1 to 128 letters, digits, `-`, `.`, `_` or `:`, and neither `.` nor `..`")]
    Recorder,
    /// `batch` does not fit.
    #[error("`batch` is out of range")]
    Number,
    /// `previous` is no digest.
    #[error("`previous` must be 64 lower-case hex digits")]
    Previous,
}

/// A batch as the collector took it.
#[derive(Clone, Debug)]
pub struct ReceivedBatch {
    /// The chain it belongs to.
    pub recorder: String,
    /// Its place in the chain.
    pub batch: i64,
    /// The digest it states for the batch before it.
    pub previous: String,
    /// SHA-256 of `body`, lower-case hex.
    pub digest: String,
    /// The bytes as received.
    pub body: Vec<u8>,
    /// The signature header as it came.
    pub signature: Option<String>,
    /// The key the signature was checked with; none where signatures are not checked.
    pub kid: Option<String>,
    /// When it came.
    pub received: Timestamp,
    /// Where `body` is kept, where that is not the database.
    pub location: Option<String>,
    /// Its entries, in order.
    pub entries: Vec<Located>,
    /// See [`ReceivedBatch::prepare`].
    prepared: OnceLock<Prepared>,
}

/// What is made of a batch to be stored.
#[derive(Clone, Debug)]
pub(super) struct Prepared {
    /// Its body, packed.
    pub(super) body: Vec<u8>,
    /// The words of each entry.
    pub(super) words: Vec<String>,
}

/// An entry and the bytes of the batch it was read from.
#[derive(Clone, Debug)]
pub struct Located {
    /// The entry without its bodies, which are only ever read from the batch's bytes.
    pub entry: Entry,
    /// The name the request's body gives to the object: what a `create` is about.
    pub object_name: Option<String>,
    /// Offset of its first byte in the batch.
    pub start: usize,
    /// How many bytes.
    pub length: usize,
}

/// A batch whose entries are still text.
#[derive(Deserialize)]
struct Envelope<'a> {
    recorder: String,
    batch: u64,
    previous: String,
    #[serde(borrow)]
    entries: Vec<&'a RawValue>,
}

/// Where a batch says that it stands: what its chain is checked by, whatever its entries are.
#[derive(Deserialize)]
pub(crate) struct Place {
    pub(crate) recorder: String,
    pub(crate) batch: u64,
    pub(crate) previous: String,
}

impl Place {
    /// Reads it from a batch's bytes.
    pub(crate) fn read(body: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(body)
    }
}

impl ReceivedBatch {
    /// Reads a batch. `signature` is kept as it came; `kid` says that it was checked.
    pub fn parse(
        body: Vec<u8>,
        signature: Option<String>,
        kid: Option<String>,
        received: Timestamp,
    ) -> Result<Self, BatchError> {
        let envelope: Envelope<'_> = serde_json::from_slice(&body)
            .map_err(|error| BatchError::Shape { line: error.line(), column: error.column() })?;
        let plain = |c: u8| c.is_ascii_alphanumeric() || b"-._:".contains(&c);
        let recorder = envelope.recorder.as_str();
        if !(1..=MAX_RECORDER).contains(&recorder.len())
            || !recorder.bytes().all(plain)
            || [".", ".."].contains(&recorder)
        {
            return Err(BatchError::Recorder);
        }
        if !is_digest(&envelope.previous) {
            return Err(BatchError::Previous);
        }
        let batch = i64::try_from(envelope.batch).map_err(|_| BatchError::Number)?;
        let locate =
            |(index, raw): (usize, &&RawValue)| Located::read(raw, &body).ok_or(BatchError::Entry(index));
        let entries = envelope.entries.iter().enumerate().map(locate).collect::<Result<_, _>>()?;
        let (recorder, previous) = (envelope.recorder, envelope.previous);
        Ok(Self {
            recorder,
            batch,
            previous,
            digest: sha256_hex(&body),
            body,
            signature,
            kid,
            received,
            location: None,
            entries,
            prepared: OnceLock::new(),
        })
    }

    /// Does what takes long of storing it, which many can do at a time; the one task that writes need not.
    pub fn prepare(&self) {
        self.prepared();
    }

    pub(super) fn prepared(&self) -> &Prepared {
        self.prepared.get_or_init(|| Prepared {
            body: pack(&self.body),
            words: self.entries.iter().map(|located| self.words(located).unwrap_or_default()).collect(),
        })
    }

    /// The words of an entry; none of one that belongs to no exchange.
    fn words(&self, located: &Located) -> Option<String> {
        located.entry.exchange()?;
        Some(words_of(self.body.get(located.start..located.start.checked_add(located.length)?)?))
    }
}

impl Located {
    fn read(raw: &RawValue, body: &[u8]) -> Option<Self> {
        let text = raw.get();
        // `raw` borrows from `body`, so the distance between their addresses is the entry's offset.
        let start = text.as_ptr().addr().checked_sub(body.as_ptr().addr())?;
        Some(Self { start, ..Self::of(text.as_bytes())? })
    }

    /// Reads an entry that is all of `bytes`.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let mut entry: Entry = serde_json::from_slice(bytes).ok()?;
        let object_name = strip_bodies(&mut entry);
        bound_names(&mut entry);
        Some(Self { entry, object_name, start: 0, length: bytes.len() })
    }
}

/// Takes the bodies out of an entry and returns the object name that they state: the request's, else the response's, which
/// alone has it where the request is protobuf or asks for a generated name.
fn strip_bodies(entry: &mut Entry) -> Option<String> {
    let name = |object: Option<Value>| object?.pointer("/metadata/name")?.as_str().map(str::to_owned);
    match entry {
        Entry::Request(request) => name(request.request_object.take()),
        Entry::Exchange(exchange) => {
            let response = exchange.responded.response_object.take();
            name(exchange.request_object.take()).or_else(|| name(response))
        }
        Entry::Response(response) => name(response.responded.response_object.take()),
        Entry::Stream(stream) => {
            stream.data = Value::Null;
            None
        }
        Entry::Open(_) | Entry::End(_) | Entry::Gap(_) => None,
    }
}

/// The ids by which entries belong together, as the index has them.
fn bound_names(entry: &mut Entry) {
    let names = match entry {
        Entry::Request(entry) => [&mut entry.exchange, &mut entry.session],
        Entry::Response(entry) => [&mut entry.exchange, &mut entry.session],
        Entry::Exchange(entry) => [&mut entry.exchange, &mut entry.session],
        Entry::Stream(entry) => [&mut entry.exchange, &mut entry.session],
        Entry::End(entry) => [&mut entry.exchange, &mut entry.session],
        Entry::Open(_) | Entry::Gap(_) => return,
    };
    for name in names {
        if let Cow::Owned(bounded) = key(name) {
            *name = bounded;
        }
    }
}

/// A text as the index has it: databases hold no NUL, and their indexes no text of more than some kilobytes. What is
/// longer is cut, and its digest tells it from others that begin alike.
pub(crate) fn key(text: &str) -> Cow<'_, str> {
    let text =
        if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) };
    if text.len() <= MAX_KEY {
        return text;
    }
    let room = MAX_KEY - 65;
    let end = text.char_indices().map(|(at, _)| at).take_while(|at| *at <= room).last().unwrap_or(0);
    Cow::Owned(format!("{}~{}", text.get(..end).unwrap_or(""), sha256_hex(text.as_bytes())))
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaperone_record::FIRST_PREVIOUS;

    fn parse(body: &str) -> Result<ReceivedBatch, BatchError> {
        ReceivedBatch::parse(body.as_bytes().to_vec(), None, None, Timestamp::from_micros(1))
    }

    #[test]
    fn entries_know_where_they_stand() {
        let gap =
            r#"{"type": "gap", "time":"2026-11-23T08:27:21Z","entries":1,"bytes":2,"reason":"outboxFull"}"#;
        let stream =
            r#"{"type":"stream","exchange":"e","channel":"stdout","offset":1,"position":0,"data":"é"}"#;
        let body = format!(
            r#" {{"recorder":"r","batch":3,"previous":"{FIRST_PREVIOUS}","entries":[ {gap} , {stream}]}}"#
        );
        let batch = parse(&body).unwrap();
        let texts: Vec<_> = batch.entries.iter().map(|e| &body[e.start..e.start + e.length]).collect();
        assert_eq!(texts, [gap, stream]);
        assert_eq!((batch.batch, batch.digest), (3, sha256_hex(body.as_bytes())));
    }

    #[test]
    fn what_is_no_batch_is_refused_without_being_quoted() {
        let with = |recorder: &str, number: &str, previous: &str, entries: &str| {
            format!(
                r#"{{"recorder":"{recorder}","batch":{number},"previous":"{previous}","entries":[{entries}]}}"#
            )
        };
        for (name, body, error) in [
            ("nothing", String::new(), BatchError::Shape { line: 1, column: 0 }),
            ("empty recorder", with("", "0", FIRST_PREVIOUS, ""), BatchError::Recorder),
            ("a path", with("../r", "0", FIRST_PREVIOUS, ""), BatchError::Recorder),
            ("long recorder", with(&"r".repeat(129), "0", FIRST_PREVIOUS, ""), BatchError::Recorder),
            ("huge number", with("r", "9223372036854775808", FIRST_PREVIOUS, ""), BatchError::Number),
            ("short digest", with("r", "0", "00", ""), BatchError::Previous),
            ("upper-case digest", with("r", "0", &"A".repeat(64), ""), BatchError::Previous),
            ("unknown entry", with("r", "0", FIRST_PREVIOUS, r#"{"type":"secret"}"#), BatchError::Entry(0)),
        ] {
            let refused = parse(&body).unwrap_err();
            assert_eq!(refused, error, "{name}");
            assert!(!refused.to_string().contains("secret"), "{name}");
        }
        assert!(matches!(parse(&with("r", "-1", FIRST_PREVIOUS, "")), Err(BatchError::Shape { .. })));
        assert!(matches!(parse(&"[".repeat(100_000)), Err(BatchError::Shape { .. })));
        let deep = format!(
            "{}{}",
            r#"{"type":"stream","exchange":"e","channel":"stdout","offset":1,"position":0,"data":"#,
            "[".repeat(500)
        );
        let deep = with("r", "0", FIRST_PREVIOUS, &format!("{deep}{}}}", "]".repeat(500)));
        assert!(parse(&deep).is_err());
    }
}
