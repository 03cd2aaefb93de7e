//! What verification and exports read: batches as they came, and the index against which they are held.

use super::StoreError;
use super::batch::{Located, ReceivedBatch};
use super::index::micros;
use super::model::ExchangeSummary;
use super::read::{Reader, json};
use super::rows::{type_name, whole};
use crate::evidence::audit::{Exhibit, Noted};
use crate::evidence::scope::{Scope, Stretch};
use chaperone_record::Timestamp;
use sqlx::Row as _;
use sqlx::any::AnyRow;
use std::collections::BTreeSet;

/// Exchanges read at a time.
const PAGE: i64 = 500;

impl Reader {
    /// Every chain that anything is known of, also where its batches are gone.
    pub async fn chains(&self) -> Result<Vec<String>, StoreError> {
        let select = "SELECT recorder FROM batches UNION SELECT recorder FROM recorders UNION SELECT recorder FROM forks \
            ORDER BY recorder";
        Ok(sqlx::query_scalar(select).fetch_all(&self.pool).await?)
    }

    /// The scope of a session; none where there is no such session.
    pub async fn session_scope(&self, session: &str) -> Result<Option<Scope>, StoreError> {
        let select = "SELECT exchange FROM exchanges WHERE session = $1";
        let exchanges: Vec<String> = sqlx::query_scalar(select).bind(session).fetch_all(&self.pool).await?;
        let exchanges: BTreeSet<String> = exchanges.into_iter().collect();
        Ok((!exchanges.is_empty()).then(|| Scope::Session { session: session.to_owned(), exchanges }))
    }

    /// The stretch of each chain that a scope takes up, by recorder in order.
    pub async fn stretches(&self, scope: &Scope) -> Result<Vec<Stretch>, StoreError> {
        let rows = match scope {
            Scope::Everything {} => {
                // The index remembers how far a chain went, also where its batches were taken away since.
                let select = "SELECT recorder, 0 AS first, max(last) AS last FROM (\
                    SELECT recorder, max(batch) AS last FROM batches GROUP BY recorder \
                    UNION ALL SELECT recorder, last_batch FROM recorders \
                    UNION ALL SELECT recorder, max(batch) FROM forks GROUP BY recorder) AS heads GROUP BY recorder ORDER BY recorder";
                sqlx::query(select).fetch_all(&self.pool).await?
            }
            Scope::Session { session, .. } => {
                let select = "SELECT e.recorder, min(e.batch) AS first, max(e.batch) AS last \
                    FROM exchanges x JOIN entries e ON e.exchange = x.exchange WHERE x.session = $1 \
                    GROUP BY e.recorder ORDER BY e.recorder";
                sqlx::query(select).bind(session).fetch_all(&self.pool).await?
            }
            Scope::Time { since, until } => {
                let select = "SELECT recorder, min(batch) AS first, max(batch) AS last FROM (\
                    SELECT e.recorder, e.batch FROM exchanges x JOIN entries e ON e.exchange = x.exchange \
                    WHERE x.time BETWEEN $1 AND $2 \
                    UNION ALL SELECT recorder, batch FROM gaps WHERE time BETWEEN $1 AND $2) AS meant GROUP BY recorder ORDER BY recorder";
                let query = sqlx::query(select).bind(micros(*since)).bind(micros(*until));
                query.fetch_all(&self.pool).await?
            }
        };
        let stretch = |row: &AnyRow| {
            Ok(Stretch {
                recorder: row.try_get("recorder")?,
                first: row.try_get("first")?,
                last: row.try_get("last")?,
                digest: None,
            })
        };
        rows.iter().map(stretch).collect()
    }

    /// The first batch of a chain with a number above `after`.
    pub async fn batch_after(&self, recorder: &str, after: i64) -> Result<Option<Exhibit>, StoreError> {
        let select = "SELECT * FROM batches WHERE recorder = $1 AND batch > $2 ORDER BY batch LIMIT 1";
        let row = sqlx::query(select).bind(recorder).bind(after).fetch_optional(&self.pool).await?;
        self.exhibit(row.as_ref()).await
    }

    /// The last batch of a chain.
    pub async fn last_batch(&self, recorder: &str) -> Result<Option<Exhibit>, StoreError> {
        let select = "SELECT * FROM batches WHERE recorder = $1 ORDER BY batch DESC LIMIT 1";
        let row = sqlx::query(select).bind(recorder).fetch_optional(&self.pool).await?;
        self.exhibit(row.as_ref()).await
    }

    /// Every fork of a chain, in order.
    pub async fn forks(&self, recorder: &str) -> Result<Vec<Exhibit>, StoreError> {
        let select = "SELECT *, '' AS previous FROM forks WHERE recorder = $1 ORDER BY batch, digest";
        let rows = sqlx::query(select).bind(recorder).fetch_all(&self.pool).await?;
        let mut forks = Vec::with_capacity(rows.len());
        for row in &rows {
            forks.extend(self.exhibit(Some(row)).await?.map(|fork| Exhibit { noted: None, ..fork }));
        }
        Ok(forks)
    }

    /// Whether the index knows each entry of a batch where it stands; else what is wrong.
    pub async fn misindexed(&self, exhibit: &Exhibit) -> Result<Option<String>, StoreError> {
        let parsed = ReceivedBatch::parse(exhibit.body.clone(), None, None, Timestamp::from_micros(0));
        // What is no batch is told elsewhere.
        let Ok(batch) = parsed else { return Ok(None) };
        let select = "SELECT type, exchange, start, length FROM entries WHERE recorder = $1 AND batch = $2 ORDER BY position";
        let rows: Vec<(String, Option<String>, i64, i64)> =
            sqlx::query_as(select).bind(&exhibit.recorder).bind(exhibit.batch).fetch_all(&self.pool).await?;
        let expected = batch.entries.iter().map(|located| {
            let exchange = located.entry.exchange().map(str::to_owned);
            (type_name(&located.entry).to_owned(), exchange, whole(located.start), whole(located.length))
        });
        let same = expected.eq(rows);
        Ok((!same).then(|| "the index does not list the entries of the batch as they stand in it".into()))
    }

    /// A page of the ids of exchanges in the index, in order.
    pub async fn exchanges_after(&self, after: &str) -> Result<Vec<String>, StoreError> {
        let select = "SELECT exchange FROM exchanges WHERE exchange > $1 ORDER BY exchange LIMIT $2";
        Ok(sqlx::query_scalar(select).bind(after).bind(PAGE).fetch_all(&self.pool).await?)
    }

    /// An exchange made again from its entries, of the recorder to which the index says that it belongs, and in the
    /// session where the index has it if that was made up here; none where no batch tells of it.
    pub async fn retold(&self, exchange: &str) -> Result<Option<ExchangeSummary>, StoreError> {
        let select = "SELECT recorder FROM exchanges WHERE exchange = $1";
        let recorder: Option<String> =
            sqlx::query_scalar(select).bind(exchange).fetch_optional(&self.pool).await?;
        let mut told: Option<ExchangeSummary> = None;
        let entries = self.entries_of(exchange).await?;
        for stored in entries.iter().filter(|stored| Some(&stored.recorder) == recorder.as_ref()) {
            let received = Timestamp::from_micros(u64::try_from(stored.received).unwrap_or(0));
            let told = told.get_or_insert_with(|| ExchangeSummary::new(exchange, &stored.recorder, received));
            if let Some(located) = Located::of(&stored.bytes) {
                told.merge(&located, stored.kid.is_some(), received);
            }
        }
        if let Some(told) = &mut told {
            let select = "SELECT s.session FROM exchanges x JOIN sessions s ON s.session = x.session \
                WHERE x.exchange = $1 AND s.derived = $2";
            let query = sqlx::query_scalar(select).bind(exchange).bind(told.derived_owner());
            told.session = query.fetch_optional(&self.pool).await?.or(told.session.take());
        }
        Ok(told)
    }

    /// The session that the index has an exchange in.
    pub async fn session_of_exchange(&self, exchange: &str) -> Result<Option<String>, StoreError> {
        let select = "SELECT session FROM exchanges WHERE exchange = $1";
        let session: Option<Option<String>> =
            sqlx::query_scalar(select).bind(exchange).fetch_optional(&self.pool).await?;
        Ok(session.flatten())
    }

    /// Whether the index has an exchange just so.
    pub async fn is_indexed_as(&self, told: &ExchangeSummary) -> Result<bool, StoreError> {
        let select = "SELECT summary, recorder, session, time, state FROM exchanges WHERE exchange = $1";
        let row = sqlx::query(select).bind(&told.exchange).fetch_one(&self.pool).await?;
        let columns = row.try_get::<&str, _>("recorder")? == told.recorder
            && row.try_get::<Option<&str>, _>("session")? == told.session.as_deref()
            && row.try_get::<i64, _>("time")? == micros(told.time)
            && row.try_get::<&str, _>("state")? == told.state.as_str();
        Ok(columns && json::<ExchangeSummary>(&row, "summary").is_ok_and(|stored| stored == *told))
    }

    /// A session in the index without any exchange.
    pub async fn unfounded(&self) -> Result<Option<String>, StoreError> {
        let select = "SELECT s.session FROM sessions s WHERE NOT EXISTS \
            (SELECT 1 FROM exchanges x WHERE x.session = s.session) LIMIT 1";
        Ok(sqlx::query_scalar(select).fetch_optional(&self.pool).await?)
    }

    /// An exchange that entries name and the index does not have.
    pub async fn unindexed(&self) -> Result<Option<String>, StoreError> {
        let select = "SELECT e.exchange FROM entries e LEFT JOIN exchanges x ON x.exchange = e.exchange \
            WHERE e.exchange IS NOT NULL AND x.exchange IS NULL LIMIT 1";
        Ok(sqlx::query_scalar(select).fetch_optional(&self.pool).await?)
    }

    async fn exhibit(&self, row: Option<&AnyRow>) -> Result<Option<Exhibit>, StoreError> {
        let Some(row) = row else { return Ok(None) };
        let (body, lost) = match self.body_of(row).await {
            Ok(body) => (body.to_vec(), None),
            // To be told of with everything else.
            Err(StoreError::Body(error)) if error.is_loss() => (Vec::new(), Some(error.to_string())),
            Err(error) => return Err(error),
        };
        Ok(Some(Exhibit {
            recorder: row.try_get("recorder")?,
            batch: row.try_get("batch")?,
            body,
            lost,
            signature: row.try_get("signature")?,
            noted: Some(Noted {
                digest: row.try_get("digest")?,
                previous: row.try_get("previous")?,
                kid: row.try_get("kid")?,
            }),
        }))
    }
}
