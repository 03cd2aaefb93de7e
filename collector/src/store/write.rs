use super::index;
use super::schema::{self, Dialect};
use super::{Database, StoreError};
use crate::store::batch::ReceivedBatch;
use crate::store::writer::Stored;
use sqlx::{AnyConnection, Connection as _};
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
    let mut results = vec![Stored::Known; batches.len()];
    for (place, batch) in order {
        let stored = match keep(&mut transaction, batch).await? {
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

/// Keeps the batch's bytes.
async fn keep(connection: &mut AnyConnection, batch: &ReceivedBatch) -> Result<Kept, StoreError> {
    // A batch that was pruned was stored before.
    let pruned = "SELECT count(*) FROM prunings WHERE recorder = $1 AND first > $2";
    let pruned: i64 = sqlx::query_scalar(pruned)
        .bind(&batch.recorder)
        .bind(batch.batch)
        .fetch_one(&mut *connection)
        .await?;
    if pruned > 0 {
        return Ok(Kept::Pruned);
    }
    let insert = "INSERT INTO batches (recorder, batch, previous, digest, body, signature, kid, received) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (recorder, batch) DO NOTHING";
    let done = sqlx::query(insert)
        .bind(&batch.recorder)
        .bind(batch.batch)
        .bind(&batch.previous)
        .bind(&batch.digest)
        .bind(batch.body.as_slice())
        .bind(&batch.signature)
        .bind(&batch.kid)
        .bind(index::micros(batch.received))
        .execute(connection)
        .await?;
    Ok(if done.rows_affected() == 1 { Kept::New } else { Kept::Taken })
}

async fn known_or_fork(connection: &mut AnyConnection, batch: &ReceivedBatch) -> Result<Stored, StoreError> {
    let same: i64 =
        sqlx::query_scalar("SELECT count(*) FROM batches WHERE recorder = $1 AND batch = $2 AND body = $3")
            .bind(&batch.recorder)
            .bind(batch.batch)
            .bind(batch.body.as_slice())
            .fetch_one(&mut *connection)
            .await?;
    if same == 1 {
        return Ok(Stored::Known);
    }
    let insert = "INSERT INTO forks (recorder, batch, digest, body, signature, kid, received) \
        VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (recorder, batch, digest) DO NOTHING";
    let done = sqlx::query(insert)
        .bind(&batch.recorder)
        .bind(batch.batch)
        .bind(&batch.digest)
        .bind(batch.body.as_slice())
        .bind(&batch.signature)
        .bind(&batch.kid)
        .bind(index::micros(batch.received))
        .execute(connection)
        .await?;
    Ok(Stored::Fork { new: done.rows_affected() == 1 })
}
