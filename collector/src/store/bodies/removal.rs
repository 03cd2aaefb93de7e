//! Removing objects: those of pruned batches, and those that no row ever named.
//!
//! A batch may be posted again, and find its object, while that is being removed. So removals are written down first, in a
//! transaction that no batch is stored beside; a batch whose object is to be removed is kept in the database instead.

use super::super::StoreError;
use super::super::index::micros;
use super::super::schema::Dialect;
use super::super::statement::Statement;
use super::super::write::{Writer, begin, bounded, transaction};
use super::Bodies;
use chaperone_record::Timestamp;
use futures_util::TryStreamExt as _;
use sqlx::{AnyConnection, Connection as _, Row as _};
use std::collections::BTreeSet;

/// Objects looked at in one transaction.
const CHUNK: usize = 500;

/// How long it is remembered that an object was removed, in microseconds: longer than anybody takes to store a batch.
const REMEMBERED: i64 = 24 * 3600 * 1_000_000;

impl Writer {
    /// Removes the objects of pruned batches, and those from before a moment that no row names; says how many.
    pub async fn remove_objects(
        &mut self,
        bodies: &Bodies,
        before: Timestamp,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let mut old = bodies.older(before).try_chunks(CHUNK);
        while let Some(locations) = old.try_next().await.map_err(|error| StoreError::Body(error.1))? {
            transaction!(self, |connection, dialect| condemn(connection, dialect, &locations, now))?;
        }
        let mut removed = 0;
        loop {
            let locations = transaction!(self, |connection, dialect| condemned(connection, dialect))?;
            if locations.is_empty() {
                break;
            }
            for location in &locations {
                bodies.remove(location).await?;
            }
            removed += locations.len() as u64;
            transaction!(self, |connection, dialect| remember(connection, dialect, &locations, now))?;
        }
        Ok(removed)
    }
}

/// Writes down which of these objects nothing names.
async fn condemn(
    connection: &mut AnyConnection,
    dialect: Dialect,
    locations: &[String],
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut transaction = connection.begin_with(begin(dialect)).await?;
    let orphans = orphans(&mut transaction, locations).await?;
    if orphans.is_empty() {
        return Ok(());
    }
    if dialect == Dialect::Postgres {
        // Every batch that is stored inserts there first; SQLite has one writer anyway.
        sqlx::query("LOCK TABLE batches IN EXCLUSIVE MODE").execute(&mut *transaction).await?;
    }
    let orphans = self::orphans(&mut transaction, &orphans).await?;
    if !orphans.is_empty() {
        let mut insert = Statement::new("INSERT INTO removals (location, time) VALUES ");
        insert.each(&orphans, |row, location| {
            row.text("(").value(location.as_str()).text(", ").value(micros(now)).text(")");
        });
        insert.text(" ON CONFLICT (location) DO UPDATE SET time = excluded.time, done = NULL");
        insert.query().execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(())
}

async fn orphans(connection: &mut AnyConnection, locations: &[String]) -> Result<Vec<String>, StoreError> {
    let mut named = BTreeSet::new();
    for table in
        ["SELECT location FROM batches WHERE location IN (", "SELECT location FROM forks WHERE location IN ("]
    {
        let mut select = Statement::new(table);
        select.each(locations, |select, location| {
            select.value(location.as_str());
        });
        select.text(")");
        for row in select.query().fetch_all(&mut *connection).await? {
            named.insert(row.try_get::<String, _>(0)?);
        }
    }
    Ok(locations.iter().filter(|location| !named.contains(*location)).cloned().collect())
}

async fn condemned(connection: &mut AnyConnection, _: Dialect) -> Result<Vec<String>, StoreError> {
    let select = "SELECT location FROM removals WHERE done IS NULL ORDER BY location LIMIT 500";
    Ok(sqlx::query_scalar(select).fetch_all(connection).await?)
}

async fn remember(
    connection: &mut AnyConnection,
    dialect: Dialect,
    locations: &[String],
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut transaction = connection.begin_with(begin(dialect)).await?;
    let mut update = Statement::new("UPDATE removals SET done = ");
    update.value(micros(now)).text(" WHERE location IN (");
    update.each(locations, |update, location| {
        update.value(location.as_str());
    });
    update.text(")");
    update.query().execute(&mut *transaction).await?;
    sqlx::query("DELETE FROM removals WHERE done < $1")
        .bind(micros(now).saturating_sub(REMEMBERED))
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(())
}
