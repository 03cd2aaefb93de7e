//! Retention: batches beyond an age are pruned from the heads of their chains, but for what is held.

use super::StoreError;
use super::batch::key;
use super::index::micros;
use super::merge::Totals;
use super::model::ExchangeSummary;
use super::read::{Reader, json};
use super::rows::write_values;
use super::schema::Dialect;
use super::statement::{Statement, chunks};
use super::write::{Writer, begin, bounded, transaction};
use crate::evidence::tombstone::{Signed, TombstoneKey};
use chaperone_record::Timestamp;
use sqlx::{AnyConnection, Connection as _, Row as _};
use std::collections::BTreeMap;

/// Most batches of a chain that are pruned in one transaction.
const MOST: i64 = 2_000;

/// What is, or would be, pruned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// How many batches.
    pub batches: u64,
    /// How many exchanges.
    pub exchanges: u64,
    /// How many objects, where batches are kept beside the database.
    pub objects: u64,
}

/// The stretch of a chain that may go.
struct Prefix {
    first: i64,
    end: i64,
    /// Digest of the batch before `end`.
    last: String,
}

impl Writer {
    /// Prunes what one chain has from before a moment, as much as one transaction takes; nothing where there is nothing
    /// more. Without a key it only tells.
    pub async fn prune(
        &mut self,
        recorder: &str,
        before: Timestamp,
        key: Option<&TombstoneKey>,
        now: Timestamp,
    ) -> Result<Pruned, StoreError> {
        transaction!(self, |connection, dialect| prune(connection, dialect, recorder, before, key, now))
    }

    /// Keeps a session whatever its age, or no longer. False where that was so before.
    pub async fn hold(&mut self, session: &str, held: bool, now: Timestamp) -> Result<bool, StoreError> {
        transaction!(self, |connection, dialect| hold(connection, dialect, session, held, now))
    }
}

async fn hold(
    connection: &mut AnyConnection,
    dialect: Dialect,
    session: &str,
    held: bool,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let session = key(session);
    let mut change = match held {
        true => Statement::new("INSERT INTO holds (session, time) VALUES ("),
        false => Statement::new("DELETE FROM holds WHERE session = "),
    };
    change.value(session.as_ref());
    if held {
        change.text(", ").value(micros(now)).text(") ON CONFLICT (session) DO NOTHING");
    }
    let mut transaction = connection.begin_with(begin(dialect)).await?;
    let done = change.query().execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(done.rows_affected() == 1)
}

async fn prune(
    connection: &mut AnyConnection,
    dialect: Dialect,
    recorder: &str,
    before: Timestamp,
    key: Option<&TombstoneKey>,
    now: Timestamp,
) -> Result<Pruned, StoreError> {
    let mut transaction = connection.begin_with(begin(dialect)).await?;
    // Every batch that is stored takes this lock of its chain.
    let lock = "UPDATE recorders SET batches = batches WHERE recorder = $1";
    sqlx::query(lock).bind(recorder).execute(&mut *transaction).await?;
    let Some(prefix) = prefix(&mut transaction, recorder, before).await? else {
        return Ok(Pruned::default());
    };
    let select = "SELECT DISTINCT x.exchange, x.summary FROM entries e JOIN exchanges x ON x.exchange = e.exchange \
        WHERE e.recorder = $1 AND e.batch >= $2 AND e.batch < $3 ORDER BY x.exchange";
    let query = sqlx::query(select).bind(recorder).bind(prefix.first).bind(prefix.end);
    let rows = query.fetch_all(&mut *transaction).await?;
    let gone: Vec<ExchangeSummary> = rows.iter().map(|row| json(row, "summary")).collect::<Result<_, _>>()?;
    let pruned = Pruned {
        batches: u64::try_from(prefix.end - prefix.first).unwrap_or(0),
        exchanges: gone.len() as u64,
        objects: 0,
    };
    let Some(key) = key else { return Ok(pruned) };
    forget_batches(&mut transaction, dialect, recorder, prefix.end, now).await?;
    forget_exchanges(&mut transaction, dialect, &gone).await?;
    let signed = key.sign(recorder, prefix.end, &prefix.last, now);
    let upsert = "INSERT INTO prunings (recorder, first, previous, tombstone, signature) VALUES ($1, $2, $3, $4, $5) \
        ON CONFLICT (recorder) DO UPDATE SET first = excluded.first, previous = excluded.previous, \
        tombstone = excluded.tombstone, signature = excluded.signature";
    sqlx::query(upsert)
        .bind(recorder)
        .bind(prefix.end)
        .bind(&prefix.last)
        .bind(&signed.text)
        .bind(&signed.signature)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(pruned)
}

/// What may go: from the chain's first batch on without a hole, all from before the moment, nothing of a held session, and
/// every exchange whole.
async fn prefix(
    connection: &mut AnyConnection,
    recorder: &str,
    before: Timestamp,
) -> Result<Option<Prefix>, StoreError> {
    let select = "SELECT first FROM prunings WHERE recorder = $1";
    let first: Option<i64> =
        sqlx::query_scalar(select).bind(recorder).fetch_optional(&mut *connection).await?;
    let first = first.unwrap_or(0);
    let select = "SELECT batch, received, digest FROM batches WHERE recorder = $1 ORDER BY batch LIMIT $2";
    let rows = sqlx::query(select).bind(recorder).bind(MOST).fetch_all(&mut *connection).await?;
    let mut digests = Vec::new();
    for row in rows {
        let next = first.saturating_add(i64::try_from(digests.len()).unwrap_or(i64::MAX));
        if row.try_get::<i64, _>("batch")? != next || row.try_get::<i64, _>("received")? >= micros(before) {
            break;
        }
        digests.push(row.try_get::<String, _>("digest")?);
    }
    let mut end = first.saturating_add(i64::try_from(digests.len()).unwrap_or(i64::MAX));
    let blocked = "SELECT min(e.batch) FROM entries e JOIN exchanges x ON x.exchange = e.exchange \
        WHERE e.recorder = $1 AND e.batch < $2 AND (x.session IN (SELECT session FROM holds) OR EXISTS \
        (SELECT 1 FROM entries o WHERE o.exchange = e.exchange AND (o.recorder <> $1 OR o.batch >= $2)))";
    while end > first {
        let query = sqlx::query_scalar(blocked).bind(recorder).bind(end);
        match query.fetch_one(&mut *connection).await? {
            Some(batch) => end = batch,
            None => break,
        }
    }
    let last = usize::try_from(end - first - 1).ok().and_then(|last| digests.into_iter().nth(last));
    Ok(last.map(|last| Prefix { first, end, last }))
}

async fn forget_batches(
    connection: &mut AnyConnection,
    dialect: Dialect,
    recorder: &str,
    end: i64,
    now: Timestamp,
) -> Result<(), StoreError> {
    for remove in [
        "INSERT INTO removals (location, time) SELECT location, CAST($3 AS BIGINT) FROM batches \
            WHERE recorder = $1 AND batch < $2 AND location IS NOT NULL \
            ON CONFLICT (location) DO UPDATE SET time = excluded.time, done = NULL",
        "INSERT INTO removals (location, time) SELECT location, CAST($3 AS BIGINT) FROM forks \
            WHERE recorder = $1 AND batch < $2 AND location IS NOT NULL \
            ON CONFLICT (location) DO UPDATE SET time = excluded.time, done = NULL",
    ] {
        sqlx::query(remove).bind(recorder).bind(end).bind(micros(now)).execute(&mut *connection).await?;
    }
    let words =
        "DELETE FROM text_words WHERE rowid IN (SELECT id FROM entries WHERE recorder = $1 AND batch < $2)";
    let tables = [
        "DELETE FROM entries WHERE recorder = $1 AND batch < $2",
        "DELETE FROM gaps WHERE recorder = $1 AND batch < $2",
        "DELETE FROM forks WHERE recorder = $1 AND batch < $2",
        "DELETE FROM batches WHERE recorder = $1 AND batch < $2",
    ];
    let words = (dialect == Dialect::Sqlite).then_some(words);
    for delete in words.into_iter().chain(tables) {
        sqlx::query(delete).bind(recorder).bind(end).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Takes exchanges out of the index, and out of what their sessions come to.
async fn forget_exchanges(
    connection: &mut AnyConnection,
    dialect: Dialect,
    gone: &[ExchangeSummary],
) -> Result<(), StoreError> {
    for rows in chunks(gone) {
        for table in
            ["DELETE FROM exchanges WHERE exchange IN (", "DELETE FROM forward_waiting WHERE exchange IN ("]
        {
            let mut delete = Statement::of_many(dialect, table);
            delete.each(rows, |delete, row| {
                delete.value(row.exchange.as_str());
            });
            delete.text(")");
            delete.query().execute(&mut *connection).await?;
        }
    }
    let mut sessions: BTreeMap<&str, Totals> = BTreeMap::new();
    for row in gone.iter().filter(|row| row.is_placed()) {
        if let Some(session) = &row.session {
            let totals = sessions.entry(session).or_default();
            *totals = totals.plus(row.totals());
        }
    }
    for (session, totals) in sessions {
        shrink_session(connection, dialect, session, totals).await?;
    }
    Ok(())
}

async fn shrink_session(
    connection: &mut AnyConnection,
    dialect: Dialect,
    session: &str,
    gone: Totals,
) -> Result<(), StoreError> {
    let update = "UPDATE sessions SET requests = requests - $1, writes = writes - $2, refused = refused - $3, \
        failed = failed - $4, incomplete = incomplete - $5, unverified = unverified - $6, masked = masked - $7 \
        WHERE session = $8";
    sqlx::query(update)
        .bind(gone.requests)
        .bind(gone.writes)
        .bind(gone.refused)
        .bind(gone.failed)
        .bind(gone.incomplete)
        .bind(gone.unverified)
        .bind(gone.masked)
        .bind(session)
        .execute(&mut *connection)
        .await?;
    sqlx::query("DELETE FROM session_values WHERE session = $1")
        .bind(session)
        .execute(&mut *connection)
        .await?;
    let mut after = String::new();
    let mut left = false;
    loop {
        let select =
            "SELECT summary FROM exchanges WHERE session = $1 AND exchange > $2 ORDER BY exchange LIMIT 500";
        let rows = sqlx::query(select).bind(session).bind(&after).fetch_all(&mut *connection).await?;
        let rows: Vec<ExchangeSummary> =
            rows.iter().map(|row| json(row, "summary")).collect::<Result<_, _>>()?;
        let Some(last) = rows.last() else { break };
        left = true;
        after.clone_from(&last.exchange);
        write_values(connection, dialect, &rows.iter().collect::<Vec<_>>()).await?;
    }
    if !left {
        sqlx::query("DELETE FROM sessions WHERE session = $1")
            .bind(session)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

impl Reader {
    /// What was pruned of a chain, as its tombstone says.
    pub async fn tombstone(&self, recorder: &str) -> Result<Option<Signed>, StoreError> {
        let select = "SELECT tombstone, signature FROM prunings WHERE recorder = $1";
        let row = sqlx::query(select).bind(recorder).fetch_optional(&self.pool).await?;
        row.map(|row| Ok(Signed { text: row.try_get("tombstone")?, signature: row.try_get("signature")? }))
            .transpose()
    }

    /// The sessions that are held.
    pub async fn holds(&self) -> Result<Vec<String>, StoreError> {
        Ok(sqlx::query_scalar("SELECT session FROM holds ORDER BY session").fetch_all(&self.pool).await?)
    }
}
