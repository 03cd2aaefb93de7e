//! Whatever is done to signed records shows: thousands of random changes to an export and to a database's rows, made
//! by somebody who can rewrite everything but does not have the signing keys. None may pass.

use crate::support::*;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chaperone::evidence::audit::{Audit, Exhibit};
use chaperone::evidence::checkpoint::Checkpoint;
use chaperone::evidence::keys::{KeySet, thumbprint};
use chaperone::evidence::report::{Code, Report};
use chaperone::evidence::scope::{Scope, Stretch};
use chaperone::evidence::{bundle, sha256_hex};
use chaperone::store::batch::ReceivedBatch;
use chaperone::store::{Reader, Writer};
use chaperone_record::Timestamp;
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::{EncodePublicKey as _, spki::der::pem::LineEnding};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// Random changes of each kind that know nothing of what they change.
const BLIND: u64 = 2_000;

/// Changes of each kind that are made with understanding, to rows and to a file.
const KNOWING: u64 = 250;

/// Random numbers that a seed repeats (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn flip(&mut self, bytes: &mut [u8]) {
        let at = self.below(bytes.len());
        bytes[at] ^= 1 << self.below(8);
    }

    fn flip_text(&mut self, text: &mut String) {
        let mut bytes = text.clone().into_bytes();
        self.flip(&mut bytes);
        // A byte above 0x7f would be no text: a database or JSON could not hold it.
        match String::from_utf8(bytes) {
            Ok(flipped) => *text = flipped,
            Err(_) => self.flip_text(text),
        }
    }
}

/// Two chains, each under a key of its own, as a database's rows and as an export; and a checkpoint of them.
struct Records {
    keys: KeySet,
    stranger: (SigningKey, String),
    checkpoint: Checkpoint,
    rows: Vec<Exhibit>,
    file: Vec<u8>,
}

fn key(seed: u8) -> (SigningKey, String) {
    let key = SigningKey::from_bytes(&[seed; 32]);
    let kid = thumbprint(&key.verifying_key());
    (key, kid)
}

async fn records() -> Records {
    let place = Place::new();
    let mut keys = KeySet::default();
    let mut batches = Vec::new();
    let gap = json!({"type": "gap", "time": at(3), "entries": 4, "bytes": 900, "reason": "outboxFull"});
    let bodies = [
        ("r-1", vec![pods("s", "e-0", 0)], vec![gap], vec![pods("s", "e-1", 5)]),
        ("r-2", vec![pods("s", "e-2", 7)], vec![], vec![pods("t", "e-3", 9)]),
    ];
    for (seed, (recorder, first, second, third)) in (1..).zip(bodies) {
        let (key, kid) = key(seed);
        keys.add(&key.verifying_key().to_public_key_pem(LineEnding::LF).unwrap()).unwrap();
        for body in chain(recorder, &[&first, &second, &third]) {
            let signature = Some(sign(&key, &kid, &body));
            let received = Timestamp::from_micros(1_795_422_441_123_456);
            batches.push(ReceivedBatch::parse(body, signature, Some(kid.clone()), received).unwrap());
        }
    }
    let mut writer = Writer::open(&place.database().parse().unwrap()).await.unwrap();
    writer.store(&batches).await.unwrap();
    let reader = Reader::open(&place.database().parse().unwrap()).await.unwrap();
    let now = Timestamp::from_micros(1_795_422_442_000_000);
    let (mut rows, mut file) = (Vec::new(), Vec::new());
    for batch in &batches {
        rows.extend(reader.batch_after(&batch.recorder, batch.batch - 1).await.unwrap());
    }
    bundle::export(&reader, Scope::Everything {}, now, &mut file).await.unwrap();
    Records { keys, stranger: key(9), checkpoint: Checkpoint::take(&reader, now).await.unwrap(), rows, file }
}

impl Records {
    /// The codes of what is wrong with an export; a file that is not taken for one at all is also found out.
    fn judge_file(&self, file: &[u8]) -> Vec<Code> {
        match bundle::verify(file, &self.keys, &KeySet::default(), Some(&self.checkpoint)) {
            Ok((_, report)) => codes(report),
            Err(_) => vec![Code::Bundle],
        }
    }

    /// The codes of what is wrong with rows, walked the way a database is: by recorder and number.
    fn judge_rows(&self, rows: &[Exhibit]) -> Vec<Code> {
        let mut chains: BTreeMap<&str, BTreeMap<i64, &Exhibit>> = BTreeMap::new();
        for row in rows {
            chains.entry(&row.recorder).or_default().insert(row.batch, row);
        }
        let scope = Scope::Everything {};
        let mut audit = Audit::new(&self.keys, &scope, Some(&self.checkpoint));
        for (recorder, batches) in chains {
            let last = *batches.keys().last().unwrap();
            audit.begin(&Stretch { recorder: recorder.into(), first: 0, last, digest: None });
            batches.values().for_each(|row| audit.batch(row));
        }
        codes(audit.finish())
    }

    /// The batches of an export made again from rows, with a manifest and an end that fit them: what somebody who
    /// rewrites the whole file would write.
    fn resealed(&self, rows: &[Exhibit]) -> Vec<u8> {
        let mut chains: Vec<Value> = Vec::new();
        for row in rows {
            let digest = sha256_hex(&row.body);
            let stretch = json!({"recorder": row.recorder, "first": 0, "last": row.batch, "digest": digest});
            match chains.last_mut().filter(|chain| chain["recorder"] == *row.recorder) {
                Some(last) => *last = stretch,
                None => chains.push(stretch),
            }
        }
        let mut lines = vec![json!({"type": "manifest", "format": "chaperone-evidence/1", "exported": at(0),
            "scope": {"kind": "everything"}, "chains": chains})];
        lines.extend(rows.iter().map(|row| {
            json!({"type": "batch", "recorder": row.recorder, "batch": row.batch, "signature": row.signature,
                "body": STANDARD.encode(&row.body)})
        }));
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let end = json!({"type": "end", "sha256": sha256_hex(text.as_bytes())});
        format!("{text}{end}\n").into_bytes()
    }

    fn change(&self, what: Change, random: &mut Random) -> Vec<Exhibit> {
        let mut rows = self.rows.clone();
        let (at, other) = (random.below(rows.len()), random.below(rows.len() - 1));
        let other = if other >= at { other + 1 } else { other };
        match what {
            Change::Body => random.flip(&mut rows[at].body),
            Change::Signature => random.flip_text(rows[at].signature.as_mut().unwrap()),
            Change::Unsigned => rows[at].signature = None,
            Change::Removed => drop(rows.remove(at)),
            Change::Swapped => {
                // Each stands at the other's place, under the other's name.
                rows.swap(at, other);
                let (a, b) = (rows[at].clone(), rows[other].clone());
                (rows[at].recorder, rows[at].batch) = (b.recorder, b.batch);
                (rows[other].recorder, rows[other].batch) = (a.recorder, a.batch);
            }
            Change::Replayed => {
                // Once more, at the end of its chain.
                let mut copy = rows[at].clone();
                let last = rows.iter().rposition(|row| row.recorder == copy.recorder).unwrap();
                copy.batch = rows[last].batch + 1;
                rows.insert(last + 1, copy);
            }
            Change::Replaced => {
                let Exhibit { body, signature, noted, .. } = rows[other].clone();
                rows[at] = Exhibit { body, signature, noted, ..rows[at].clone() };
            }
            Change::Truncated => {
                let recorder = rows[at].recorder.clone();
                let first = rows[at].batch;
                rows.retain(|row| row.recorder != recorder || row.batch < first);
            }
            Change::Forged => {
                // Other entries, well chained to both sides, signed by a stranger in its own or another's name.
                let recorder = rows[at].recorder.clone();
                let (mut previous, mut forging) = (ZEROS.to_owned(), false);
                let named = if random.below(2) == 0 { &self.stranger.1 } else { &key(1).1 };
                for (index, row) in rows.iter_mut().enumerate().filter(|(_, row)| row.recorder == recorder) {
                    forging |= index >= at;
                    if forging {
                        let entries = [pods("s", &format!("forged-{}", random.next()), 1)];
                        row.body = batch(&recorder, row.batch as u64, &previous, &entries);
                        row.signature = Some(sign(&self.stranger.0, named, &row.body));
                        row.noted = None;
                    }
                    previous = sha256_hex(&row.body);
                }
            }
        }
        rows
    }
}

#[derive(Clone, Copy, Debug)]
enum Change {
    Body,
    Signature,
    Unsigned,
    Removed,
    Swapped,
    Replayed,
    Replaced,
    Truncated,
    Forged,
}

fn codes(report: Report) -> Vec<Code> {
    report.problems.into_iter().map(|problem| problem.code).collect()
}

#[tokio::test]
async fn no_change_passes_unnoticed() {
    let records = records().await;
    assert_eq!(records.judge_file(&records.file), [], "untouched");
    assert_eq!(records.judge_rows(&records.rows), [], "untouched");
    assert_eq!(
        records.judge_file(&records.resealed(&records.rows)),
        [],
        "a resealed file is as good as the first"
    );
    assert!(records.judge_rows(&[]).contains(&Code::Removed));

    let made = AtomicU64::new(0);
    let one = |name: &str, seed: u64, judge: &dyn Fn(&mut Random) -> Vec<Code>| {
        let found = judge(&mut Random(seed));
        made.fetch_add(1, Ordering::Relaxed);
        assert!(!found.is_empty(), "{name}, seed {seed}: unnoticed");
    };
    let changes = [
        Change::Body,
        Change::Signature,
        Change::Unsigned,
        Change::Removed,
        Change::Swapped,
        Change::Replayed,
        Change::Replaced,
        Change::Truncated,
        Change::Forged,
    ];
    let workers = std::thread::available_parallelism().map_or(2, |n| n.get() as u64);
    std::thread::scope(|scope| {
        for worker in 0..workers {
            let (records, one) = (&records, &one);
            scope.spawn(move || {
                for seed in (worker..BLIND).step_by(workers as usize) {
                    one("a bit of the file", seed, &|random| {
                        let mut file = records.file.clone();
                        random.flip(&mut file);
                        records.judge_file(&file)
                    });
                    one("the file cut", seed, &|random| {
                        records.judge_file(&records.file[..random.below(records.file.len())])
                    });
                    one("a bit of a note", seed, &|random| {
                        let mut rows = records.rows.clone();
                        let at = random.below(rows.len());
                        let noted = rows[at].noted.as_mut().unwrap();
                        match random.below(3) {
                            0 => random.flip_text(&mut noted.digest),
                            1 => random.flip_text(&mut noted.previous),
                            _ => random.flip_text(noted.kid.as_mut().unwrap()),
                        }
                        records.judge_rows(&rows)
                    });
                }
                for change in changes {
                    for seed in (worker..KNOWING).step_by(workers as usize) {
                        let name = format!("{change:?}");
                        one(&name, seed, &|random| records.judge_rows(&records.change(change, random)));
                        one(&name, seed, &|random| {
                            records.judge_file(&records.resealed(&records.change(change, random)))
                        });
                    }
                }
            });
        }
    });
    assert!(made.into_inner() >= 10_000);
}
