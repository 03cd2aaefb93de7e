//! The API server's audit log against the records, joined by `Audit-ID`: what reached the API server around the gateway,
//! and what the gateway forwarded that the API server never logged.
//!
//! The log is the JSON lines of `audit.k8s.io/v1` `Event`s that `--audit-log-path` writes. What its policy leaves out cannot
//! be compared.

use crate::store::filter::Filter;
use crate::store::{Reader, StoreError};
use chaperone_record::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, Read as _};

/// Longest line of an audit log, in bytes: a whole object, and its managed fields.
const MAX_LINE: u64 = 16 << 20;
/// Ids asked for, and exchanges read, at a time.
const PAGE: u32 = 500;

/// What an audit log has of one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Logged {
    /// Its `Audit-ID`.
    #[serde(rename = "auditID")]
    pub audit_id: String,
    /// When it came.
    pub time: Timestamp,
    /// Who it was, to the API server.
    pub user: String,
    /// What was asked.
    pub verb: String,
    /// Path and query.
    #[serde(rename = "requestURI")]
    pub request_uri: String,
    /// What it said it was.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user_agent: String,
    /// Where it came from.
    #[serde(rename = "sourceIPs", skip_serializing_if = "Vec::is_empty")]
    pub source_ips: Vec<String>,
}

/// What the gateway forwarded and the API server never logged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Forwarded {
    /// The exchange.
    pub exchange: String,
    /// When it came.
    pub time: Timestamp,
    /// What was asked.
    pub verb: String,
    /// Path and query.
    #[serde(rename = "requestURI")]
    pub request_uri: String,
}

/// What came out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reconciliation {
    /// The first and the last moment in the log.
    pub period: Option<(Timestamp, Timestamp)>,
    /// How many requests the log has, of the users that were asked for.
    pub logged: u64,
    /// How many of them are in the records.
    pub recorded: u64,
    /// Those that are not: they went around the gateway.
    pub around: Vec<Logged>,
    /// What was forwarded in that time and is not in the log.
    pub unlogged: Vec<Forwarded>,
    /// Lines that are no audit event.
    pub unread: u64,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log.
    #[error("{0}")]
    Log(io::Error),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    #[serde(rename = "auditID")]
    audit_id: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    verb: String,
    #[serde(default)]
    user: EventUser,
    #[serde(default)]
    user_agent: String,
    #[serde(default, rename = "sourceIPs")]
    source_ips: Vec<String>,
    request_received_timestamp: Timestamp,
}

#[derive(Default, Deserialize)]
struct EventUser {
    #[serde(default)]
    username: String,
}

/// The log, as far as it was read.
#[derive(Default)]
pub struct AuditLog {
    /// The requests of the users that count.
    requests: BTreeMap<String, Logged>,
    /// Everybody's.
    ids: BTreeSet<String>,
    period: Option<(Timestamp, Timestamp)>,
    unread: u64,
}

impl AuditLog {
    /// Reads a log, or its next part. Of several events of one request the first counts. Where `users` are given, others'
    /// requests are not looked for in the records.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(&mut self, mut log: impl BufRead, users: &[String]) -> Result<(), ReconcileError> {
        let mut line = Vec::new();
        loop {
            line.clear();
            let read =
                log.by_ref().take(MAX_LINE).read_until(b'\n', &mut line).map_err(ReconcileError::Log)?;
            if read == 0 {
                return Ok(());
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            match serde_json::from_slice(&line) {
                Ok(event) => self.add(event, users),
                Err(_) => self.unread += 1,
            }
        }
    }

    fn add(&mut self, event: Event, users: &[String]) {
        let time = event.request_received_timestamp;
        let (first, last) = self.period.unwrap_or((time, time));
        self.period = Some((first.min(time), last.max(time)));
        self.ids.insert(event.audit_id.clone());
        if !users.is_empty() && !users.contains(&event.user.username) {
            return;
        }
        self.requests.entry(event.audit_id.clone()).or_insert_with(|| Logged {
            audit_id: event.audit_id,
            time,
            user: event.user.username,
            verb: event.verb,
            request_uri: event.request_uri,
            user_agent: event.user_agent,
            source_ips: event.source_ips,
        });
    }

    /// Compares with the records.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn reconcile(self, reader: &Reader) -> Result<Reconciliation, ReconcileError> {
        let mut found = Reconciliation {
            period: self.period,
            logged: self.requests.len() as u64,
            unread: self.unread,
            ..Reconciliation::default()
        };
        let ids: Vec<&str> = self.requests.keys().map(String::as_str).collect();
        let mut around = BTreeSet::new();
        for page in ids.chunks(PAGE as usize) {
            let known = reader.known(page).await?;
            found.recorded += known.len() as u64;
            around.extend(page.iter().filter(|id| !known.contains(**id)).map(|id| (*id).to_owned()));
        }
        found.around = self.requests.into_values().filter(|one| around.contains(&one.audit_id)).collect();
        found.around.sort_by_key(|one| one.time);
        if let Some((since, until)) = self.period {
            found.unlogged = unlogged(reader, since, until, &self.ids).await?;
        }
        Ok(found)
    }
}

/// What was forwarded in the log's time and is not in it.
async fn unlogged(
    reader: &Reader,
    since: Timestamp,
    until: Timestamp,
    logged: &BTreeSet<String>,
) -> Result<Vec<Forwarded>, StoreError> {
    let filter = Filter { since: Some(since), until: Some(until), ..Filter::default() };
    let (mut unlogged, mut after) = (Vec::new(), None);
    loop {
        let page = reader.exchanges(&filter, PAGE, after.as_deref()).await?;
        let forwarded = page.exchanges.into_iter().filter(|one| one.timing.forwarded.is_some());
        // Both clocks count: what was forwarded after the log's last moment may be in the next file.
        let within = forwarded.filter(|one| one.timing.forwarded.is_some_and(|moment| moment <= until));
        unlogged.extend(within.filter(|one| !logged.contains(&one.exchange)).filter_map(|one| {
            let requested = one.requested?;
            Some(Forwarded {
                exchange: one.exchange,
                time: one.time,
                verb: requested.verb,
                request_uri: requested.request_uri,
            })
        }));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    unlogged.reverse();
    Ok(unlogged)
}

impl Reconciliation {
    /// Whether log and records tell of the same requests.
    pub fn agrees(&self) -> bool {
        self.around.is_empty() && self.unlogged.is_empty() && self.unread == 0
    }
}
