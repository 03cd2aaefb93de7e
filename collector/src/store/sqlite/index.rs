//! The index over entries. Changes of one transaction are gathered in memory and written once.

use crate::evidence::sha256_hex;
use crate::store::StoreError;
use crate::store::batch::{Located, ReceivedBatch};
use crate::store::merge::Totals;
use crate::store::model::ExchangeSummary;
use chaperone_record::{Entry, Timestamp};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use std::collections::{BTreeMap, HashSet};

/// Requests of one user further apart than this belong to different derived sessions.
const SESSION_GAP: i64 = 30 * 60 * 1_000_000;

/// Rows in one INSERT of entries: SQLite takes 32,766 values, seven of them a row.
const ROWS: usize = 500;

/// How many session values are remembered as written.
const MOST_SEEN: usize = 20_000;

/// Session values that were written before: session, kind and value.
pub(super) type Seen = HashSet<(String, &'static str, String)>;

/// Microseconds as the database keeps them.
pub(super) fn micros(time: Timestamp) -> i64 {
    i64::try_from(time.micros()).unwrap_or(i64::MAX)
}

/// What a transaction changes in the index.
#[derive(Default)]
pub(super) struct Index {
    exchanges: BTreeMap<String, Change>,
    sessions: BTreeMap<String, SessionChange>,
}

/// An exchange before and after.
struct Change {
    before: Option<ExchangeSummary>,
    after: ExchangeSummary,
}

/// What to add to a session.
struct SessionChange {
    derived: Option<String>,
    started: i64,
    ended: i64,
    totals: Totals,
}

impl Index {
    /// Takes up a batch that was kept. Returns how many of its entries name an exchange of another recorder: they
    /// are indexed but change nothing, because one chain must not be able to rewrite what another one told.
    pub(super) async fn add(
        &mut self,
        connection: &mut SqliteConnection,
        batch: &ReceivedBatch,
    ) -> Result<u64, StoreError> {
        write_entries(connection, batch).await?;
        write_recorder(connection, batch).await?;
        let mut foreign = 0;
        for (position, located) in batch.entries.iter().enumerate() {
            match &located.entry {
                Entry::Gap(_) => write_gap(connection, batch, position, located).await?,
                entry => {
                    let Some(exchange) = entry.exchange() else { continue };
                    let change = self.change(connection, exchange, batch).await?;
                    if change.after.recorder == batch.recorder {
                        change.after.merge(located, batch.kid.is_some());
                    } else {
                        foreign += 1;
                    }
                }
            }
        }
        Ok(foreign)
    }

    async fn change(
        &mut self,
        connection: &mut SqliteConnection,
        exchange: &str,
        batch: &ReceivedBatch,
    ) -> Result<&mut Change, StoreError> {
        if !self.exchanges.contains_key(exchange) {
            let before = load(connection, exchange).await?;
            let new = || ExchangeSummary::new(exchange, &batch.recorder, batch.received);
            let after = before.clone().unwrap_or_else(new);
            self.exchanges.insert(exchange.to_owned(), Change { before, after });
        }
        self.exchanges.get_mut(exchange).ok_or(StoreError::Damaged("an exchange that was just put in"))
    }

    /// Writes everything gathered.
    pub(super) async fn write(
        mut self,
        connection: &mut SqliteConnection,
        seen: &mut Seen,
    ) -> Result<(), StoreError> {
        // In order of time, so that derived sessions grow forwards.
        let mut changes: Vec<Change> = std::mem::take(&mut self.exchanges).into_values().collect();
        changes.retain(|change| change.before.as_ref() != Some(&change.after));
        changes.sort_by(|a, b| (a.after.time, &a.after.exchange).cmp(&(b.after.time, &b.after.exchange)));
        for change in &mut changes {
            let owner = match change.after.session {
                None => change.after.derived_owner(),
                Some(_) => None,
            };
            if let Some(owner) = &owner {
                change.after.session =
                    Some(self.derived_session(connection, owner, micros(change.after.time)).await?);
            }
            self.count(change, owner);
            write_exchange(connection, &change.after).await?;
            write_values(connection, &change.after, seen).await?;
        }
        for (session, change) in &self.sessions {
            write_session(connection, session, change).await?;
        }
        Ok(())
    }

    /// The session of `owner` that a request at `time` continues, or a new one's id.
    async fn derived_session(
        &self,
        connection: &mut SqliteConnection,
        owner: &str,
        time: i64,
    ) -> Result<String, StoreError> {
        let near = |change: &SessionChange| {
            change.derived.as_deref() == Some(owner)
                && change.started <= time.saturating_add(SESSION_GAP)
                && change.ended >= time.saturating_sub(SESSION_GAP)
        };
        if let Some((session, _)) = self.sessions.iter().find(|(_, change)| near(change)) {
            return Ok(session.clone());
        }
        let select = "SELECT session FROM sessions WHERE derived = ? AND started <= ? AND ended >= ? ORDER BY started LIMIT 1";
        let found: Option<String> = sqlx::query_scalar(select)
            .bind(owner)
            .bind(time.saturating_add(SESSION_GAP))
            .bind(time.saturating_sub(SESSION_GAP))
            .fetch_optional(connection)
            .await?;
        Ok(found.unwrap_or_else(|| {
            let digest = sha256_hex(format!("{owner}\n{time}").as_bytes());
            format!("auto-{}", digest.get(..16).unwrap_or(&digest))
        }))
    }

    fn count(&mut self, change: &Change, derived: Option<String>) {
        let Some(session) = &change.after.session else { return };
        if !change.after.is_placed() {
            return;
        }
        let before = change.before.as_ref().filter(|before| before.session.is_some() && before.is_placed());
        let old = before.map_or(Totals::default(), ExchangeSummary::totals);
        let (started, ended) = (micros(change.after.time), micros(change.after.last_moment()));
        let entry = self.sessions.entry(session.clone()).or_insert(SessionChange {
            derived: None,
            started,
            ended,
            totals: Totals::default(),
        });
        entry.derived = entry.derived.take().or(derived);
        entry.started = entry.started.min(started);
        entry.ended = entry.ended.max(ended);
        entry.totals = entry.totals.plus(change.after.totals().minus(old));
    }
}

async fn load(
    connection: &mut SqliteConnection,
    exchange: &str,
) -> Result<Option<ExchangeSummary>, StoreError> {
    let text: Option<String> = sqlx::query_scalar("SELECT summary FROM exchanges WHERE exchange = ?")
        .bind(exchange)
        .fetch_optional(connection)
        .await?;
    text.map(|text| serde_json::from_str(&text).map_err(|_| StoreError::Damaged("an exchange's summary")))
        .transpose()
}

async fn write_entries(connection: &mut SqliteConnection, batch: &ReceivedBatch) -> Result<(), StoreError> {
    let rows: Vec<(usize, &Located)> = batch.entries.iter().enumerate().collect();
    for chunk in rows.chunks(ROWS) {
        let insert = "INSERT INTO entries (recorder, batch, position, type, exchange, start, length) ";
        let mut query = QueryBuilder::<Sqlite>::new(insert);
        query.push_values(chunk, |mut row, (position, located)| {
            row.push_bind(&batch.recorder)
                .push_bind(batch.batch)
                .push_bind(whole(*position))
                .push_bind(type_name(&located.entry))
                .push_bind(located.entry.exchange())
                .push_bind(whole(located.start))
                .push_bind(whole(located.length));
        });
        query.build().execute(&mut *connection).await?;
    }
    Ok(())
}

pub(super) fn whole(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn type_name(entry: &Entry) -> &'static str {
    match entry {
        Entry::Open(_) => "open",
        Entry::Request(_) => "request",
        Entry::Response(_) => "response",
        Entry::Exchange(_) => "exchange",
        Entry::Stream(_) => "stream",
        Entry::End(_) => "end",
        Entry::Gap(_) => "gap",
    }
}

async fn write_recorder(connection: &mut SqliteConnection, batch: &ReceivedBatch) -> Result<(), StoreError> {
    let open = batch.entries.iter().find_map(|located| match &located.entry {
        Entry::Open(open) => serde_json::to_string(open).ok(),
        _ => None,
    });
    let upsert = "INSERT INTO recorders \
        (recorder, first_batch, last_batch, batches, entries, first_received, last_received, open) \
        VALUES (?, ?, ?, 1, ?, ?, ?, ?) ON CONFLICT (recorder) DO UPDATE SET \
        first_batch = CASE WHEN excluded.first_batch < recorders.first_batch THEN excluded.first_batch ELSE recorders.first_batch END, \
        last_batch = CASE WHEN excluded.last_batch > recorders.last_batch THEN excluded.last_batch ELSE recorders.last_batch END, \
        batches = recorders.batches + 1, entries = recorders.entries + excluded.entries, \
        last_received = CASE WHEN excluded.last_received > recorders.last_received THEN excluded.last_received ELSE recorders.last_received END, \
        open = COALESCE(recorders.open, excluded.open)";
    sqlx::query(upsert)
        .bind(&batch.recorder)
        .bind(batch.batch)
        .bind(batch.batch)
        .bind(whole(batch.entries.len()))
        .bind(micros(batch.received))
        .bind(micros(batch.received))
        .bind(open)
        .execute(connection)
        .await?;
    Ok(())
}

async fn write_gap(
    connection: &mut SqliteConnection,
    batch: &ReceivedBatch,
    position: usize,
    located: &Located,
) -> Result<(), StoreError> {
    let Entry::Gap(gap) = &located.entry else { return Ok(()) };
    let insert = "INSERT INTO gaps (recorder, batch, position, time, entries, bytes, reason) VALUES (?, ?, ?, ?, ?, ?, ?)";
    sqlx::query(insert)
        .bind(&batch.recorder)
        .bind(batch.batch)
        .bind(whole(position))
        .bind(micros(gap.time))
        .bind(i64::try_from(gap.entries).unwrap_or(i64::MAX))
        .bind(i64::try_from(gap.bytes).unwrap_or(i64::MAX))
        .bind(&gap.reason)
        .execute(connection)
        .await?;
    Ok(())
}

async fn write_exchange(connection: &mut SqliteConnection, row: &ExchangeSummary) -> Result<(), StoreError> {
    let upsert = "INSERT INTO exchanges (exchange, recorder, session, time, state, username, agent, model, prompt, \
        verb, api_group, resource, namespace, name, status, masked, summary) \
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (exchange) DO UPDATE SET \
        session = excluded.session, time = excluded.time, state = excluded.state, username = excluded.username, \
        agent = excluded.agent, model = excluded.model, prompt = excluded.prompt, verb = excluded.verb, \
        api_group = excluded.api_group, resource = excluded.resource, namespace = excluded.namespace, \
        name = excluded.name, status = excluded.status, masked = excluded.masked, summary = excluded.summary";
    let summary = serde_json::to_string(row).map_err(|_| StoreError::Damaged("an exchange's summary"))?;
    let head = row.requested.as_ref();
    let attribution = head.map(|head| &head.attribution);
    let object = head.and_then(|head| head.object_ref.as_ref());
    let resource = object.map(|object| match object.subresource.as_str() {
        "" => object.resource.clone(),
        subresource => format!("{}/{subresource}", object.resource),
    });
    let name = object.map(|object| object.name.as_str()).filter(|name| !name.is_empty());
    sqlx::query(upsert)
        .bind(&row.exchange)
        .bind(&row.recorder)
        .bind(&row.session)
        .bind(micros(row.time))
        .bind(row.state.as_str())
        .bind(head.and_then(|head| head.user.as_ref()).map(|user| user.username.as_str()))
        .bind(attribution.and_then(|a| a.agent.as_ref()).map(|value| value.value.as_str()))
        .bind(attribution.and_then(|a| a.model.as_ref()).map(|value| value.value.as_str()))
        .bind(attribution.and_then(|a| a.prompt.as_ref()).map(|value| value.value.as_str()))
        .bind(head.map(|head| head.verb.as_str()))
        .bind(object.map(|object| object.api_group.as_str()))
        .bind(resource)
        .bind(object.map(|object| object.namespace.as_str()))
        .bind(name.or(row.object_name.as_deref()))
        .bind(row.response_status.as_ref().map(|status| i64::from(status.code)))
        .bind(i64::try_from(row.masked_values()).unwrap_or(i64::MAX))
        .bind(summary)
        .execute(connection)
        .await?;
    Ok(())
}

async fn write_values(
    connection: &mut SqliteConnection,
    row: &ExchangeSummary,
    seen: &mut Seen,
) -> Result<(), StoreError> {
    let Some(session) = &row.session else { return Ok(()) };
    if seen.len() > MOST_SEEN {
        seen.clear();
    }
    for (kind, value) in row.session_values() {
        let key = (session.clone(), kind, value);
        if seen.contains(&key) {
            continue;
        }
        let insert = "INSERT INTO session_values (session, kind, value, since) VALUES (?, ?, ?, ?) \
            ON CONFLICT (session, kind, value) DO UPDATE SET since = excluded.since WHERE excluded.since < session_values.since";
        sqlx::query(insert)
            .bind(&key.0)
            .bind(key.1)
            .bind(&key.2)
            .bind(micros(row.time))
            .execute(&mut *connection)
            .await?;
        seen.insert(key);
    }
    Ok(())
}

async fn write_session(
    connection: &mut SqliteConnection,
    session: &str,
    change: &SessionChange,
) -> Result<(), StoreError> {
    let upsert = "INSERT INTO sessions \
        (session, derived, started, ended, requests, writes, refused, failed, incomplete, unverified, masked) \
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (session) DO UPDATE SET \
        started = CASE WHEN excluded.started < sessions.started THEN excluded.started ELSE sessions.started END, \
        ended = CASE WHEN excluded.ended > sessions.ended THEN excluded.ended ELSE sessions.ended END, \
        requests = sessions.requests + excluded.requests, writes = sessions.writes + excluded.writes, \
        refused = sessions.refused + excluded.refused, failed = sessions.failed + excluded.failed, \
        incomplete = sessions.incomplete + excluded.incomplete, \
        unverified = sessions.unverified + excluded.unverified, masked = sessions.masked + excluded.masked";
    let totals = change.totals;
    sqlx::query(upsert)
        .bind(session)
        .bind(&change.derived)
        .bind(change.started)
        .bind(change.ended)
        .bind(totals.requests)
        .bind(totals.writes)
        .bind(totals.refused)
        .bind(totals.failed)
        .bind(totals.incomplete)
        .bind(totals.unverified)
        .bind(totals.masked)
        .execute(connection)
        .await?;
    Ok(())
}
