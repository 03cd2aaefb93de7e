//! What the collector's database says, read from an export of it.

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chaperone_record::{Batch, BodyDigest, Channel, Entry, Requested, Responded};
use chaperone_test_harness::proxy::BatchId;
use chaperone_test_harness::stage::Stage;
use chaperone_test_harness::standin::Logged;
use ring::digest::{Context as Digest, SHA256, digest};
use serde_json::Value;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};

/// Everything in it.
#[derive(Default)]
pub struct Records {
    pub exchanges: HashMap<String, Recorded>,
    /// The SHA-256 of each batch's bytes.
    pub batches: HashMap<BatchId, Vec<u8>>,
    /// Entries that recorders admit to have lost.
    pub dropped: usize,
}

/// What the records say of one request.
#[derive(Default)]
pub struct Recorded {
    /// Its head; only from a `request` entry, which is written before the request is forwarded.
    requested: Option<Requested>,
    request: Body,
    pub response: Body,
    /// How it ended is known.
    pub ended: bool,
}

/// A recorded body: digests only, for the audit may be of a gigabyte.
#[derive(Default)]
pub struct Body {
    /// The SHA-256 of its JSON, members in alphabetical order.
    object: Option<Vec<u8>>,
    pub digest: Option<BodyDigest>,
    pub pieces: Pieces,
}

/// The pieces of a body, which an export gives in their order, one joined to the other.
pub struct Pieces {
    joined: Digest,
    pub count: usize,
    pub bytes: u64,
    /// A piece does not begin where the one before it ends.
    hole: bool,
}

impl Records {
    /// Reads the database, whether or not the collector runs.
    pub async fn of(stage: &Stage) -> Result<Self> {
        let path = stage.dir().path("audit.jsonl");
        let out = path.display().to_string();
        if path.exists() {
            fs::remove_file(&path)?;
        }
        stage.collector.run(&["export", "--out", &out]).await?;
        let mut records = Self::default();
        for line in BufReader::new(File::open(&path)?).lines() {
            let line: Value = serde_json::from_str(&line?)?;
            if line["type"] == "batch" {
                let body = STANDARD.decode(line["body"].as_str().context("no body")?)?;
                records.add(&body)?;
            }
        }
        Ok(records)
    }

    fn add(&mut self, bytes: &[u8]) -> Result<()> {
        let batch: Batch = serde_json::from_slice(bytes)?;
        self.batches.insert((batch.recorder, batch.batch), sha256(bytes));
        for entry in batch.entries {
            match entry {
                Entry::Open(_) => {}
                Entry::Gap(gap) => self.dropped += usize::try_from(gap.entries)?,
                Entry::Request(entry) => {
                    let recorded = self.exchange(entry.exchange);
                    recorded.requested = entry.requested.or(recorded.requested.take());
                    recorded.request.take(entry.request_object, entry.request_digest);
                }
                Entry::Response(entry) => self.exchange(entry.exchange).ends(entry.responded),
                Entry::End(entry) => self.exchange(entry.exchange).ends(entry.responded),
                Entry::Exchange(entry) => {
                    let recorded = self.exchange(entry.exchange);
                    recorded.request.take(entry.request_object, entry.request_digest);
                    recorded.ends(entry.responded);
                }
                Entry::Stream(entry) => {
                    let data = entry.data.as_str().context("a piece without data")?;
                    let data = match entry.encoding {
                        Some(_) => STANDARD.decode(data)?,
                        None => data.as_bytes().to_vec(),
                    };
                    let recorded = self.exchange(entry.exchange);
                    let body = match entry.channel {
                        Channel::Request => &mut recorded.request,
                        _ => &mut recorded.response,
                    };
                    body.pieces.join(entry.position, &data);
                }
            }
        }
        Ok(())
    }

    fn exchange(&mut self, id: String) -> &mut Recorded {
        self.exchanges.entry(id).or_default()
    }

    /// Whether they tell of what arrived at the API server; else what they do not tell.
    pub fn tell(&self, logged: &Logged) -> Result<(), String> {
        let recorded = self.exchanges.get(&logged.audit_id).ok_or("no record at all")?;
        let head = recorded.requested.as_ref().ok_or("no `request` entry")?;
        if (&head.method, &head.request_uri) != (&logged.method, &logged.uri) || !head.decision.allowed {
            return Err(format!("the record tells of {} {}", head.method, head.request_uri));
        }
        // A body that broke off was never more than a part, and is not executed.
        if logged.body.is_empty() || logged.status.is_none() {
            return Ok(());
        }
        recorded.request.is(&logged.body)
    }
}

impl Recorded {
    fn ends(&mut self, responded: Responded) {
        self.ended = true;
        self.response.take(responded.response_object, responded.response_digest);
    }
}

impl Body {
    fn take(&mut self, object: Option<Value>, digest: Option<BodyDigest>) {
        self.object = object.map(|object| json_digest(&object)).or(self.object.take());
        self.digest = digest.or(self.digest.take());
    }

    /// Whether it is these bytes, as far as it is recorded; else what differs.
    pub fn is(&self, bytes: &[u8]) -> Result<(), String> {
        let digest = self.digest.as_ref().ok_or("no digest of its body")?;
        if digest.sha256 != hex(&sha256(bytes)) || digest.bytes != bytes.len() as u64 {
            return Err(format!("the digest is of another body, of {} bytes", digest.bytes));
        }
        let whole = match &self.object {
            Some(object) => serde_json::from_slice(bytes).is_ok_and(|sent| *object == json_digest(&sent)),
            None => self.pieces.are(bytes),
        };
        if whole { Ok(()) } else { Err("its body is not recorded as it was".to_owned()) }
    }
}

impl Pieces {
    fn join(&mut self, position: u64, piece: &[u8]) {
        self.hole |= position != self.bytes;
        self.joined.update(piece);
        self.bytes += piece.len() as u64;
        self.count += 1;
    }

    /// Whether they are these bytes, without a hole.
    pub fn are(&self, bytes: &[u8]) -> bool {
        let joined = self.joined.clone().finish();
        !self.hole && self.count > 0 && joined.as_ref() == sha256(bytes)
    }
}

impl Default for Pieces {
    fn default() -> Self {
        Self { joined: Digest::new(&SHA256), count: 0, bytes: 0, hole: false }
    }
}

fn json_digest(json: &Value) -> Vec<u8> {
    sha256(json.to_string().as_bytes())
}

pub fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA256, bytes).as_ref().to_vec()
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
