use super::{
    create,
    index::{Index, Seen},
    migrator, writing_options,
};
use crate::store::StoreError;
use crate::store::batch::ReceivedBatch;
use crate::store::writer::Stored;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};
use std::path::{Path, PathBuf};

/// The one connection that writes. It brings the schema up to date when it opens.
pub struct Writer {
    path: PathBuf,
    /// None after a failure, until the next use opens another: a database that fails in the middle of a transaction may
    /// have ended it by itself, and nobody can tell what state the connection is in.
    connection: Option<SqliteConnection>,
    /// Session values written before, so that the same user and model is not written again with every request.
    seen: Seen,
}

impl Writer {
    /// Opens the file, and makes it where it is missing.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        create(path)?;
        let opened = writing_options(path).connect().await;
        let mut connection = opened.map_err(|source| StoreError::Open { path: path.to_owned(), source })?;
        migrator().run(&mut connection).await?;
        Ok(Self { path: path.to_owned(), connection: Some(connection), seen: Seen::new() })
    }

    /// Stores the batches in one transaction. When it returns, they are on disk.
    pub async fn store(&mut self, batches: &[ReceivedBatch]) -> Result<Vec<Stored>, StoreError> {
        let mut connection = self.take_connection().await?;
        let stored = transact(&mut connection, &mut self.seen, batches).await;
        self.keep_or_discard(connection, &stored).await;
        stored
    }

    /// Writes one row with `padding` more bytes, as storing does, to learn whether the database takes so much.
    pub async fn probe(&mut self, padding: usize) -> Result<(), StoreError> {
        let mut connection = self.take_connection().await?;
        let probed = probe(&mut connection, padding).await;
        self.keep_or_discard(connection, &probed).await;
        probed
    }

    async fn take_connection(&mut self) -> Result<SqliteConnection, StoreError> {
        match self.connection.take() {
            Some(connection) => Ok(connection),
            None => Ok(writing_options(&self.path).connect().await?),
        }
    }

    async fn keep_or_discard<T>(&mut self, connection: SqliteConnection, result: &Result<T, StoreError>) {
        if result.is_ok() {
            self.connection = Some(connection);
        } else {
            self.seen.clear();
            let _ = connection.close_hard().await;
        }
    }

    /// Closes the file and folds the write-ahead log into it.
    pub async fn close(self) {
        let Some(connection) = self.connection else { return };
        if let Err(error) = connection.close().await {
            tracing::warn!(%error, "Could not close the database.");
        }
    }
}

async fn transact(
    connection: &mut SqliteConnection,
    seen: &mut Seen,
    batches: &[ReceivedBatch],
) -> Result<Vec<Stored>, StoreError> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let mut index = Index::default();
    let mut results = Vec::with_capacity(batches.len());
    for batch in batches {
        results.push(if keep(&mut transaction, batch).await? {
            Stored::New { foreign: index.add(&mut transaction, batch).await? }
        } else {
            known_or_fork(&mut transaction, batch).await?
        });
    }
    index.write(&mut transaction, seen).await?;
    transaction.commit().await?;
    Ok(results)
}

async fn probe(connection: &mut SqliteConnection, padding: usize) -> Result<(), StoreError> {
    let probe = "INSERT INTO probes (id, time, padding) VALUES (1, 1, zeroblob(?)) \
        ON CONFLICT (id) DO UPDATE SET time = probes.time + 1, padding = excluded.padding";
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query(probe).bind(super::index::whole(padding)).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(())
}

/// Keeps the batch's bytes; false where its number is taken.
async fn keep(connection: &mut SqliteConnection, batch: &ReceivedBatch) -> Result<bool, StoreError> {
    let insert = "INSERT INTO batches (recorder, batch, previous, digest, body, signature, kid, received) \
        VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (recorder, batch) DO NOTHING";
    let done = sqlx::query(insert)
        .bind(&batch.recorder)
        .bind(batch.batch)
        .bind(&batch.previous)
        .bind(&batch.digest)
        .bind(batch.body.as_slice())
        .bind(&batch.signature)
        .bind(&batch.kid)
        .bind(super::index::micros(batch.received))
        .execute(connection)
        .await?;
    Ok(done.rows_affected() == 1)
}

async fn known_or_fork(
    connection: &mut SqliteConnection,
    batch: &ReceivedBatch,
) -> Result<Stored, StoreError> {
    let same: i64 =
        sqlx::query_scalar("SELECT count(*) FROM batches WHERE recorder = ? AND batch = ? AND body = ?")
            .bind(&batch.recorder)
            .bind(batch.batch)
            .bind(batch.body.as_slice())
            .fetch_one(&mut *connection)
            .await?;
    if same == 1 {
        return Ok(Stored::Known);
    }
    let insert = "INSERT INTO forks (recorder, batch, digest, body, signature, kid, received) \
        VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (recorder, batch, digest) DO NOTHING";
    let done = sqlx::query(insert)
        .bind(&batch.recorder)
        .bind(batch.batch)
        .bind(&batch.digest)
        .bind(batch.body.as_slice())
        .bind(&batch.signature)
        .bind(&batch.kid)
        .bind(super::index::micros(batch.received))
        .execute(connection)
        .await?;
    Ok(Stored::Fork { new: done.rows_affected() == 1 })
}
