//! The index over entries: what batches change in it. Changes of one transaction are gathered in memory and written once.

use super::StoreError;
use super::batch::{Located, ReceivedBatch};
use super::merge::Totals;
use super::model::ExchangeSummary;
use super::read::json;
use super::rows::{
    insert_exchanges, lock_owners, write_entries, write_exchanges, write_gaps, write_recorders,
    write_sessions, write_values,
};
use super::schema::Dialect;
use super::statement::{Statement, chunks};
use super::tail::note_changes;
use crate::evidence::sha256_hex;
use chaperone_record::Timestamp;
use sqlx::{AnyConnection, Row as _};
use std::collections::{BTreeMap, BTreeSet};

/// Requests of one user further apart than this belong to different derived sessions.
const SESSION_GAP: i64 = 30 * 60 * 1_000_000;

/// Microseconds as the database keeps them.
pub(super) fn micros(time: Timestamp) -> i64 {
    i64::try_from(time.micros()).unwrap_or(i64::MAX)
}

/// Takes up batches that were kept. Returns for each how many of its entries name an exchange of another recorder: they
/// are indexed but change nothing, because one chain must not be able to rewrite what another one told.
pub(super) async fn update(
    connection: &mut AnyConnection,
    dialect: Dialect,
    batches: &[&ReceivedBatch],
) -> Result<Vec<u64>, StoreError> {
    write_recorders(connection, dialect, batches).await?;
    write_gaps(connection, batches).await?;
    let index = Index::load(connection, dialect, batches).await?;
    let is_foreign = |batch: &ReceivedBatch, located: &Located| index.is_foreign(batch, located);
    write_entries(connection, dialect, batches, &is_foreign).await?;
    let foreign =
        |batch: &&ReceivedBatch| batch.entries.iter().filter(|e| is_foreign(batch, e)).count() as u64;
    let foreign = batches.iter().map(foreign).collect();
    index.write(connection, dialect).await?;
    Ok(foreign)
}

/// What a transaction changes in the index.
struct Index<'b> {
    exchanges: BTreeMap<String, Change<'b>>,
    sessions: BTreeMap<String, SessionChange>,
}

/// An exchange before and after.
struct Change<'b> {
    before: Option<ExchangeSummary>,
    after: ExchangeSummary,
    entries: Vec<(&'b ReceivedBatch, &'b Located)>,
}

impl Change<'_> {
    /// Adds to what stands what the entries of its recorder tell.
    fn merge(&mut self) {
        for (batch, located) in &self.entries {
            if self.after.recorder == batch.recorder {
                self.after.merge(located, batch.kid.is_some(), batch.received);
            }
        }
    }
}

/// What to add to a session.
pub(super) struct SessionChange {
    pub(super) derived: Option<String>,
    pub(super) started: i64,
    pub(super) ended: i64,
    pub(super) totals: Totals,
}

impl Change<'_> {
    /// Whether a live tail tells of it: it is new, or its state or session is another.
    fn is_told(&self) -> bool {
        let same = |before: &ExchangeSummary| {
            before.state == self.after.state && before.session == self.after.session
        };
        !self.before.as_ref().is_some_and(same)
    }
}

impl<'b> Index<'b> {
    /// The exchanges that the batches name, with what these tell of them, each locked until the transaction ends. All of
    /// them are put in as if they were new, which most are: there is nothing to lock otherwise, and another replica may be
    /// putting them in too. Those that are there are read.
    async fn load(
        connection: &mut AnyConnection,
        dialect: Dialect,
        batches: &[&'b ReceivedBatch],
    ) -> Result<Self, StoreError> {
        let mut exchanges = BTreeMap::new();
        for batch in batches {
            for located in &batch.entries {
                let Some(exchange) = located.entry.exchange() else { continue };
                let change = exchanges.entry(exchange.to_owned()).or_insert_with(|| Change {
                    before: None,
                    after: ExchangeSummary::new(exchange, &batch.recorder, batch.received),
                    entries: Vec::new(),
                });
                change.entries.push((*batch, located));
            }
        }
        exchanges.values_mut().for_each(Change::merge);
        let new: Vec<&ExchangeSummary> = exchanges.values().map(|change| &change.after).collect();
        let mut known = Vec::new();
        for rows in chunks(&new) {
            let mut insert = insert_exchanges(dialect, rows)?;
            insert.text(" ON CONFLICT (exchange) DO NOTHING RETURNING exchange");
            let put_in = insert.query().fetch_all(&mut *connection).await?;
            let put_in: Result<BTreeSet<String>, _> = put_in.iter().map(|row| row.try_get(0)).collect();
            let put_in = put_in?;
            let there = |row: &&&ExchangeSummary| !put_in.contains(&row.exchange);
            known.extend(rows.iter().filter(there).map(|row| row.exchange.clone()));
        }
        for names in chunks(&known) {
            let select = "SELECT exchange, summary FROM exchanges WHERE exchange IN (";
            let mut select = Statement::of_many(dialect, select);
            select.each(names, |select, name| {
                select.value(name.clone());
            });
            select.text(") ORDER BY exchange");
            if dialect == Dialect::Postgres {
                select.text(" FOR UPDATE");
            }
            for row in select.query().fetch_all(&mut *connection).await? {
                let before: ExchangeSummary = json(&row, "summary")?;
                if let Some(change) = exchanges.get_mut(row.try_get::<&str, _>("exchange")?) {
                    change.after = before.clone();
                    change.before = Some(before);
                    change.merge();
                }
            }
        }
        Ok(Self { exchanges, sessions: BTreeMap::new() })
    }

    /// True for an entry that names an exchange of another recorder.
    fn is_foreign(&self, batch: &ReceivedBatch, located: &Located) -> bool {
        let change = located.entry.exchange().and_then(|exchange| self.exchanges.get(exchange));
        change.is_some_and(|change| change.after.recorder != batch.recorder)
    }

    /// Writes everything gathered.
    async fn write(mut self, connection: &mut AnyConnection, dialect: Dialect) -> Result<(), StoreError> {
        // In order of time, so that derived sessions grow forwards.
        let mut changes: Vec<Change<'_>> = std::mem::take(&mut self.exchanges).into_values().collect();
        changes.retain(|change| change.before.as_ref() != Some(&change.after));
        changes.sort_by(|a, b| (a.after.time, &a.after.exchange).cmp(&(b.after.time, &b.after.exchange)));
        let owner = |change: &Change<'_>| match change.after.session {
            None => change.after.derived_owner(),
            Some(_) => None,
        };
        lock_owners(connection, dialect, &changes.iter().filter_map(owner).collect()).await?;
        let mut stale = Vec::new();
        for (place, change) in changes.iter_mut().enumerate() {
            let owner = owner(change);
            if change.before.is_some() || owner.is_some() {
                stale.push(place);
            }
            if let Some(owner) = &owner {
                change.after.session =
                    Some(self.derived_session(connection, owner, micros(change.after.time)).await?);
            }
            self.count(change, owner);
        }
        let stale: Vec<_> =
            stale.into_iter().filter_map(|place| changes.get(place)).map(|change| &change.after).collect();
        write_exchanges(connection, dialect, &stale).await?;
        write_sessions(connection, dialect, self.sessions).await?;
        let changed: Vec<_> = changes.iter().map(|change| &change.after).collect();
        write_values(connection, dialect, &changed).await?;
        let told: Vec<&str> = changes
            .iter()
            .filter(|change| change.is_told())
            .map(|change| change.after.exchange.as_str())
            .collect();
        // Last, because from here on other replicas wait until the transaction ends.
        note_changes(connection, dialect, &told).await
    }

    /// The session of `owner` that a request at `time` continues, or a new one's id.
    async fn derived_session(
        &self,
        connection: &mut AnyConnection,
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
        let select = "SELECT session FROM sessions WHERE derived = $1 AND started <= $2 AND ended >= $3 \
            ORDER BY started LIMIT 1";
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

    fn count(&mut self, change: &Change<'_>, derived: Option<String>) {
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
