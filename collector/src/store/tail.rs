//! Changes in the order in which they became durable, on whichever replica: what a live tail tells.

use super::StoreError;
use super::filter::Filter;
use super::model::ExchangeSummary;
use super::read::{Reader, json};
use super::statement::Statement;
use serde::{Deserialize, Serialize};
use sqlx::{AnyConnection, Row as _};

/// The number of a row that no reader has seen.
pub(super) const NOT_YET: Option<i64> = None;

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

/// Takes so many numbers, and holds other replicas back from taking any until the transaction ends. They come after the
/// one that is returned.
pub(super) async fn take_numbers(connection: &mut AnyConnection, count: usize) -> Result<i64, StoreError> {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    if count == 0 {
        return Ok(0);
    }
    let update = "UPDATE changes SET last = last + $1 WHERE id = 1 RETURNING last";
    let last: i64 = sqlx::query_scalar(update).bind(count).fetch_one(connection).await?;
    Ok(last.saturating_sub(count))
}

impl Reader {
    /// The number of the last change.
    pub async fn last_change(&self) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar("SELECT last FROM changes WHERE id = 1").fetch_one(&self.pool).await?)
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
        let mut select = Statement::new("SELECT x.changed, x.summary FROM exchanges x WHERE x.changed > ");
        select.value(after).text(" AND x.changed <= ").value(until);
        filter.conditions(self.dialect, &mut select);
        select.text(" ORDER BY x.changed LIMIT ").value(i64::from(limit));
        let rows = select.query().fetch_all(&self.pool).await?;
        let changes = rows
            .iter()
            .map(|row| Ok(Change { number: row.try_get("changed")?, exchange: json(row, "summary")? }));
        let changes = changes.collect::<Result<Vec<_>, StoreError>>()?;
        let full = changes.len() >= limit as usize;
        let until = changes.last().filter(|_| full).map_or(until, |last| last.number);
        Ok(Changes { changes, until })
    }
}
