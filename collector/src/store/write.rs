use super::forwarding::note_arrivals;
use super::index;
use super::packed::unpack;
use super::schema::{self, Dialect};
use super::statement::{Statement, chunks};
use super::{Database, StoreError};
use crate::store::batch::ReceivedBatch;
use crate::store::writer::Stored;
use sqlx::{AnyConnection, Connection as _, Row as _};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long PostgreSQL may take for a transaction before its connection is given up: a network may swallow answers.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How often a transaction is tried that other replicas' transactions are in the way of.
const ATTEMPTS: u32 = 10;

/// Runs a transaction, again where other replicas were in its way. A macro, because a closure's future that borrows both
/// the connection and what is stored cannot be told to be `Send`.
macro_rules! transaction {
    ($writer:expr, |$connection:ident, $dialect:ident| $work:expr) => {{
        let $dialect = $writer.database.dialect();
        let mut attempt = 0;
        loop {
            let mut taken = $writer.take().await?;
            let $connection = &mut taken;
            let result = bounded($dialect, $work).await;
            if !$writer.settle(taken, &result, &mut attempt).await {
                break result;
            }
        }
    }};
}

pub(super) use transaction;

/// The one connection that writes. It brings the schema up to date when it opens.
pub struct Writer {
    pub(super) database: Database,
    /// None after a failure, until the next use opens another: a database that fails in the middle of a transaction may
    /// have ended it by itself, and nobody can tell what state the connection is in.
    connection: Option<AnyConnection>,
}

impl Writer {
    /// Opens the database, makes an SQLite file where it is missing, and brings the schema up to date.
    pub async fn open(database: &Database) -> Result<Self, StoreError> {
        let mut connection = database.connect().await?;
        schema::upgrade(database, &mut connection).await?;
        Ok(Self { database: database.clone(), connection: Some(connection) })
    }

    /// Stores the batches in one transaction. When it returns, they are on disk.
    pub async fn store(&mut self, batches: &[ReceivedBatch]) -> Result<Vec<Stored>, StoreError> {
        transaction!(self, |connection, dialect| transact(connection, dialect, batches))
    }

    /// Writes one row with `padding` more bytes, as storing does, to learn whether the database takes so much.
    pub async fn probe(&mut self, padding: usize) -> Result<(), StoreError> {
        transaction!(self, |connection, dialect| probe(connection, dialect, padding))
    }

    /// The connection, opened again where it was given up.
    pub(super) async fn take(&mut self) -> Result<AnyConnection, StoreError> {
        match self.connection.take() {
            Some(connection) => Ok(connection),
            None => bounded(self.database.dialect(), self.database.connect()).await,
        }
    }

    /// Keeps the connection where it is in order. True where the transaction is to be tried again.
    pub(super) async fn settle<T>(
        &mut self,
        connection: AnyConnection,
        result: &Result<T, StoreError>,
        attempt: &mut u32,
    ) -> bool {
        *attempt += 1;
        let again = matches!(result, Err(error) if error.is_conflict()) && *attempt <= ATTEMPTS;
        if result.is_ok() || again {
            self.connection = Some(connection);
        } else {
            let _ = connection.close_hard().await;
        }
        again
    }

    /// Closes the database; of a file, it folds the write-ahead log into it.
    pub async fn close(self) {
        let Some(connection) = self.connection else { return };
        if let Err(error) = connection.close().await {
            tracing::warn!(%error, "Could not close the database.");
        }
    }
}

/// Gives up what takes PostgreSQL too long.
pub(super) async fn bounded<T>(
    dialect: Dialect,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    match dialect {
        Dialect::Sqlite => work.await,
        Dialect::Postgres => tokio::time::timeout(TIMEOUT, work).await.unwrap_or(Err(StoreError::Timeout)),
    }
}

/// How a transaction that writes begins. SQLite's takes the file's one lock at once; PostgreSQL's sees what others have
/// committed in the meantime, and takes the lock of each row that it changes.
pub(super) fn begin(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => "BEGIN IMMEDIATE",
        Dialect::Postgres => "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
    }
}

/// Every transaction takes its locks in the same order, batches, recorders, exchanges, owners, sessions, each by
/// name, then the numbers of changes: so none waits for one that waits for it.
async fn transact(
    connection: &mut AnyConnection,
    dialect: Dialect,
    batches: &[ReceivedBatch],
) -> Result<Vec<Stored>, StoreError> {
    let mut transaction = connection.begin_with(begin(dialect)).await?;
    let mut order: Vec<(usize, &ReceivedBatch)> = batches.iter().enumerate().collect();
    order.sort_by_key(|(_, batch)| (&batch.recorder, batch.batch));
    let kept =
        keep(&mut transaction, dialect, &order.iter().map(|(_, batch)| *batch).collect::<Vec<_>>()).await?;
    let mut results = vec![Stored::Known; batches.len()];
    for ((place, batch), kept) in order.into_iter().zip(kept) {
        let stored = match kept {
            Kept::New => Stored::New { foreign: 0 },
            Kept::Taken => known_or_fork(&mut transaction, batch).await?,
            Kept::Pruned => Stored::Known,
        };
        if let Some(result) = results.get_mut(place) {
            *result = stored;
        }
    }
    let (new, stored): (Vec<_>, Vec<_>) =
        batches.iter().zip(&mut results).filter(|(_, stored)| matches!(stored, Stored::New { .. })).unzip();
    let foreign = index::update(&mut transaction, dialect, &new).await?;
    for (stored, foreign) in stored.into_iter().zip(foreign) {
        *stored = Stored::New { foreign };
    }
    note_arrivals(&mut transaction, &new).await?;
    transaction.commit().await?;
    Ok(results)
}

async fn probe(connection: &mut AnyConnection, dialect: Dialect, padding: usize) -> Result<(), StoreError> {
    let probe = "INSERT INTO probes (id, time, padding) VALUES (1, 1, $1) \
        ON CONFLICT (id) DO UPDATE SET time = probes.time + 1, padding = excluded.padding";
    let mut transaction = connection.begin_with(begin(dialect)).await?;
    sqlx::query(probe).bind(vec![0_u8; padding]).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(())
}

/// What became of a batch's bytes.
enum Kept {
    New,
    /// Its number is taken.
    Taken,
    /// Retention has taken it away since it came first.
    Pruned,
}

/// Keeps the batches' bytes; they come in order.
async fn keep(
    connection: &mut AnyConnection,
    dialect: Dialect,
    batches: &[&ReceivedBatch],
) -> Result<Vec<Kept>, StoreError> {
    let recorders: BTreeSet<&str> = batches.iter().map(|batch| batch.recorder.as_str()).collect();
    let mut select = Statement::of_many(dialect, "SELECT recorder, first FROM prunings WHERE recorder IN (");
    select.each(recorders, |select, recorder| {
        select.value(recorder.to_owned());
    });
    select.text(")");
    let rows = select.query().fetch_all(&mut *connection).await?;
    // A batch that was pruned was stored before.
    let pruned: BTreeMap<String, i64> =
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<_, sqlx::Error>>()?;
    let is_pruned =
        |batch: &ReceivedBatch| pruned.get(&batch.recorder).is_some_and(|first| batch.batch < *first);
    // The same number twice in one statement: the second is taken.
    let mut seen = BTreeSet::new();
    let new: Vec<_> = batches
        .iter()
        .filter(|batch| !is_pruned(batch) && seen.insert((&batch.recorder, batch.batch)))
        .collect();
    let mut put_in = BTreeSet::new();
    for rows in chunks(&new) {
        let mut insert = Statement::of_many(
            dialect,
            "INSERT INTO batches (recorder, batch, previous, digest, body, location, signature, kid, received) VALUES ",
        );
        insert.each(rows, |row, batch| {
            row.text("(").value(batch.recorder.clone()).text(", ").value(batch.batch).text(", ");
            row.value(batch.previous.clone()).text(", ").value(batch.digest.clone()).text(", ");
            row.value(kept_here(batch).to_vec()).text(", ").value(batch.location.clone()).text(", ");
            row.value(batch.signature.clone()).text(", ");
            row.value(batch.kid.clone()).text(", ").value(index::micros(batch.received)).text(")");
        });
        insert.text(" ON CONFLICT (recorder, batch) DO NOTHING RETURNING recorder, batch");
        for row in insert.query().fetch_all(&mut *connection).await? {
            put_in.insert((row.try_get::<String, _>(0)?, row.try_get::<i64, _>(1)?));
        }
    }
    for batch in batches {
        if put_in.contains(&(batch.recorder.clone(), batch.batch)) && is_condemned(connection, batch).await? {
            let update = "UPDATE batches SET body = $1, location = NULL WHERE recorder = $2 AND batch = $3";
            let body = batch.prepared().body.as_slice();
            let query = sqlx::query(update).bind(body).bind(&batch.recorder).bind(batch.batch);
            query.execute(&mut *connection).await?;
        }
    }
    let kept = |batch: &&ReceivedBatch| match put_in.take(&(batch.recorder.clone(), batch.batch)) {
        Some(_) => Kept::New,
        None if is_pruned(batch) => Kept::Pruned,
        None => Kept::Taken,
    };
    Ok(batches.iter().map(kept).collect())
}

async fn known_or_fork(connection: &mut AnyConnection, batch: &ReceivedBatch) -> Result<Stored, StoreError> {
    let select = "SELECT body, location, digest FROM batches WHERE recorder = $1 AND batch = $2";
    let row = sqlx::query(select).bind(&batch.recorder).bind(batch.batch).fetch_one(&mut *connection).await?;
    let same = match row.try_get::<Option<&str>, _>("location")? {
        // An object's key has the digest of its bytes.
        Some(_) => row.try_get::<&str, _>("digest")? == batch.digest,
        None => unpack(row.try_get("body")?) == batch.body,
    };
    if same {
        return Ok(Stored::Known);
    }
    let insert = "INSERT INTO forks (recorder, batch, digest, body, location, signature, kid, received) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (recorder, batch, digest) DO NOTHING";
    let done = sqlx::query(insert)
        .bind(&batch.recorder)
        .bind(batch.batch)
        .bind(&batch.digest)
        .bind(kept_here(batch))
        .bind(&batch.location)
        .bind(&batch.signature)
        .bind(&batch.kid)
        .bind(index::micros(batch.received))
        .execute(&mut *connection)
        .await?;
    let new = done.rows_affected() == 1;
    if new && is_condemned(connection, batch).await? {
        let update =
            "UPDATE forks SET body = $1, location = NULL WHERE recorder = $2 AND batch = $3 AND digest = $4";
        let query = sqlx::query(update)
            .bind(batch.prepared().body.as_slice())
            .bind(&batch.recorder)
            .bind(batch.batch);
        query.bind(&batch.digest).execute(connection).await?;
    }
    Ok(Stored::Fork { new })
}

/// The bytes that the database keeps of a batch: none where they are kept elsewhere.
fn kept_here(batch: &ReceivedBatch) -> &[u8] {
    if batch.location.is_some() { &[] } else { &batch.prepared().body }
}

/// Whether the object that holds a batch's bytes is to be removed. Asked after its row was inserted, so that whoever writes
/// down removals sees the row, or is seen here.
async fn is_condemned(connection: &mut AnyConnection, batch: &ReceivedBatch) -> Result<bool, StoreError> {
    let Some(location) = &batch.location else { return Ok(false) };
    let select = "SELECT count(*) FROM removals WHERE location = $1";
    let condemned: i64 = sqlx::query_scalar(select).bind(location).fetch_one(connection).await?;
    Ok(condemned > 0)
}
