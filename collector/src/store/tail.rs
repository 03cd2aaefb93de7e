//! Changes in the order in which they became durable, on whichever replica: what a live tail tells.

use super::StoreError;
use super::filter::Filter;
use super::model::ExchangeSummary;
use super::read::{Reader, json};
use super::schema::Dialect;
use super::statement::{Statement, chunks};
use serde::{Deserialize, Serialize};
use sqlx::{AnyConnection, Row as _};
use std::collections::BTreeSet;

/// Changes that are kept: a tail may have been away for so many.
const KEPT: i64 = 1_000_000;

/// An exchange that became known, or changed its state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// Its place among all changes.
    pub number: i64,
    /// The exchange as it stands now.
    pub exchange: ExchangeSummary,
}

/// Some changes in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Changes {
    /// What changed.
    pub changes: Vec<Change>,
    /// Everything up to here has been told.
    pub until: i64,
}

/// Numbers changes of exchanges, and holds other replicas back from doing so until the transaction ends.
pub(super) async fn note_changes(
    connection: &mut AnyConnection,
    dialect: Dialect,
    exchanges: &[&str],
) -> Result<(), StoreError> {
    if exchanges.is_empty() {
        return Ok(());
    }
    let count = i64::try_from(exchanges.len()).unwrap_or(i64::MAX);
    let update = "UPDATE change_numbers SET last = last + $1 WHERE id = 1 RETURNING last";
    let last: i64 = sqlx::query_scalar(update).bind(count).fetch_one(&mut *connection).await?;
    let numbered: Vec<_> = (last.saturating_sub(count).saturating_add(1)..).zip(exchanges).collect();
    for rows in chunks(&numbered) {
        let mut insert = Statement::of_many(dialect, "INSERT INTO changes (number, exchange) VALUES ");
        insert.each(rows, |row, (number, exchange)| {
            row.text("(").value(*number).text(", ").value((**exchange).to_owned()).text(")");
        });
        insert.query().execute(&mut *connection).await?;
    }
    let forget = "DELETE FROM changes WHERE number <= $1";
    sqlx::query(forget).bind(last.saturating_sub(KEPT)).execute(connection).await?;
    Ok(())
}

impl Reader {
    /// The number of the last change.
    pub async fn last_change(&self) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar("SELECT last FROM change_numbers WHERE id = 1").fetch_one(&self.pool).await?)
    }

    /// Whether every change after `after` is still kept.
    pub async fn keeps_changes(&self, after: i64) -> Result<bool, StoreError> {
        Ok(after >= self.last_change().await?.saturating_sub(KEPT))
    }

    /// At most so many changes after `after` and until `until` that the filter takes. Of an exchange that changed several
    /// times, the last.
    pub async fn changes(
        &self,
        filter: &Filter,
        after: i64,
        until: i64,
        limit: u32,
    ) -> Result<Changes, StoreError> {
        let mut select = Statement::new(
            "SELECT c.number, x.summary FROM changes c JOIN exchanges x ON x.exchange = c.exchange WHERE c.number > ",
        );
        select.value(after).text(" AND c.number <= ").value(until);
        filter.conditions(self.dialect, &mut select);
        select.text(" ORDER BY c.number LIMIT ").value(i64::from(limit));
        let rows = select.query().fetch_all(&self.pool).await?;
        let changes = rows
            .iter()
            .map(|row| Ok(Change { number: row.try_get("number")?, exchange: json(row, "summary")? }));
        let mut changes = changes.collect::<Result<Vec<_>, StoreError>>()?;
        let full = changes.len() >= limit as usize;
        let until = changes.last().filter(|_| full).map_or(until, |last| last.number);
        // Each stands as it is now, so it is told once.
        let mut told = BTreeSet::new();
        changes.reverse();
        changes.retain(|change| told.insert(change.exchange.exchange.clone()));
        changes.reverse();
        Ok(Changes { changes, until })
    }
}
