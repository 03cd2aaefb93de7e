//! The index over entries: what batches change in it. Changes of one transaction are gathered in memory and written once.

use super::StoreError;
use super::batch::{Located, ReceivedBatch};
use super::merge::Totals;
use super::model::ExchangeSummary;
use super::rows::{
    insert_exchanges, lock_owners, write_entries, write_exchanges, write_gaps, write_recorders,
    write_sessions, write_texts, write_values,
};
use super::schema::Dialect;
use super::statement::{ROWS, Statement};
use super::tail::{NOT_YET, take_numbers};
use super::words::words_of;
use crate::evidence::sha256_hex;
use chaperone_record::Timestamp;
use sqlx::{AnyConnection, Row as _};
use std::collections::btree_map::Entry as Slot;
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
    write_entries(connection, batches).await?;
    write_recorders(connection, batches).await?;
    write_gaps(connection, batches).await?;
    let mut index = Index::load(connection, dialect, batches).await?;
    let (mut foreign, mut texts) = (Vec::new(), Vec::new());
    for batch in batches {
        foreign.push(index.merge(batch, &mut texts));
    }
    index.write(connection).await?;
    write_texts(connection, dialect, &texts).await?;
    Ok(foreign)
}

/// The words of an entry.
pub(super) struct Text<'b> {
    pub(super) exchange: &'b str,
    pub(super) batch: &'b ReceivedBatch,
    pub(super) words: String,
}

impl<'b> Text<'b> {
    fn of(batch: &'b ReceivedBatch, located: &'b Located) -> Option<Self> {
        let end = located.start.checked_add(located.length)?;
        let words = words_of(batch.body.get(located.start..end)?);
        Some(Self { exchange: located.entry.exchange()?, batch, words }).filter(|text| !text.words.is_empty())
    }
}

/// What a transaction changes in the index.
struct Index {
    exchanges: BTreeMap<String, Change>,
    sessions: BTreeMap<String, SessionChange>,
}

/// An exchange before and after.
struct Change {
    before: Option<ExchangeSummary>,
    after: ExchangeSummary,
}

/// What to add to a session.
pub(super) struct SessionChange {
    pub(super) derived: Option<String>,
    pub(super) started: i64,
    pub(super) ended: i64,
    pub(super) totals: Totals,
}

impl Index {
    /// The exchanges that the batches name, as they stand, each locked until the transaction ends. One that is new is
    /// put in first: there is nothing to lock otherwise, and another replica may be putting it in too.
    async fn load(
        connection: &mut AnyConnection,
        dialect: Dialect,
        batches: &[&ReceivedBatch],
    ) -> Result<Self, StoreError> {
        let mut exchanges = BTreeMap::new();
        for batch in batches {
            for exchange in batch.entries.iter().filter_map(|located| located.entry.exchange()) {
                if let Slot::Vacant(slot) = exchanges.entry(exchange.to_owned()) {
                    let after = ExchangeSummary::new(exchange, &batch.recorder, batch.received);
                    slot.insert(Change { before: None, after });
                }
            }
        }
        let new: Vec<&ExchangeSummary> = exchanges.values().map(|change| &change.after).collect();
        let mut known = BTreeSet::new();
        for rows in new.chunks(ROWS) {
            let mut insert = insert_exchanges(rows, NOT_YET)?;
            insert.text(" ON CONFLICT (exchange) DO NOTHING RETURNING exchange");
            let put_in = insert.query().fetch_all(&mut *connection).await?;
            let put_in: Result<BTreeSet<String>, _> = put_in.iter().map(|row| row.try_get(0)).collect();
            let put_in = put_in?;
            let there = |row: &&&ExchangeSummary| !put_in.contains(&row.exchange);
            known.extend(rows.iter().filter(there).map(|row| row.exchange.clone()));
        }
        let known: Vec<String> = known.into_iter().collect();
        for names in known.chunks(ROWS) {
            let mut select = Statement::new("SELECT exchange, summary FROM exchanges WHERE exchange IN (");
            select.each(names, |select, name| {
                select.value(name.as_str());
            });
            select.text(") ORDER BY exchange");
            if dialect == Dialect::Postgres {
                select.text(" FOR UPDATE");
            }
            for row in select.query().fetch_all(&mut *connection).await? {
                let before: ExchangeSummary = serde_json::from_str(row.try_get("summary")?)
                    .map_err(|_| StoreError::Damaged("an exchange's summary"))?;
                let after = before.clone();
                exchanges.insert(row.try_get("exchange")?, Change { before: Some(before), after });
            }
        }
        Ok(Self { exchanges, sessions: BTreeMap::new() })
    }

    fn merge<'b>(&mut self, batch: &'b ReceivedBatch, texts: &mut Vec<Text<'b>>) -> u64 {
        let mut foreign = 0;
        for located in &batch.entries {
            let change = located.entry.exchange().and_then(|exchange| self.exchanges.get_mut(exchange));
            match change {
                Some(change) if change.after.recorder == batch.recorder => {
                    change.after.merge(located, batch.kid.is_some(), batch.received);
                    texts.extend(Text::of(batch, located));
                }
                Some(_) => foreign += 1,
                None => {}
            }
        }
        foreign
    }

    /// Writes everything gathered.
    async fn write(mut self, connection: &mut AnyConnection) -> Result<(), StoreError> {
        // In order of time, so that derived sessions grow forwards.
        let mut changes: Vec<Change> = std::mem::take(&mut self.exchanges).into_values().collect();
        changes.retain(|change| change.before.as_ref() != Some(&change.after));
        changes.sort_by(|a, b| (a.after.time, &a.after.exchange).cmp(&(b.after.time, &b.after.exchange)));
        let owner = |change: &Change| match change.after.session {
            None => change.after.derived_owner(),
            Some(_) => None,
        };
        lock_owners(connection, &changes.iter().filter_map(owner).collect()).await?;
        for change in &mut changes {
            let owner = owner(change);
            if let Some(owner) = &owner {
                change.after.session =
                    Some(self.derived_session(connection, owner, micros(change.after.time)).await?);
            }
            self.count(change, owner);
        }
        let changed: Vec<&ExchangeSummary> = changes.iter().map(|change| &change.after).collect();
        write_sessions(connection, &self.sessions).await?;
        write_values(connection, &changed).await?;
        // Last, because from here on other replicas wait until the transaction ends.
        let last = take_numbers(connection, changed.len()).await?;
        write_exchanges(connection, &changed, last).await
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
