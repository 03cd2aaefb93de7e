use super::batch::key;
use super::bodies::{Bodies, BodyError};
use super::database::Reading;
use super::model::{
    ExchangeDetail, ExchangeSummary, RecordedEntry, RecordedGap, RecorderState, RecorderSummary,
    SessionDetail, SessionSummary,
};
use super::packed::{unpack, unpack_summary};
use super::schema::{self, Dialect};
use super::statement::Statement;
use super::{Database, StoreError};
use chaperone_record::{Gap, Timestamp};
use serde::de::DeserializeOwned;
use sqlx::any::AnyRow;
use sqlx::{AnyPool, Row as _};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Connections that read at a time.
const READERS: u32 = 4;

/// Reads a database without changing it; it may be in use by servers.
#[derive(Clone)]
pub struct Reader {
    pub(super) pool: AnyPool,
    pub(super) dialect: Dialect,
    bodies: Option<Bodies>,
}

impl Reader {
    /// Opens an existing database read-only.
    pub async fn open(database: &Database) -> Result<Self, StoreError> {
        Self::connect(database, Reading::Live).await
    }

    /// Opens an existing database as it stands at this moment, whatever is written to it from now on: what is compared
    /// must be of one moment.
    pub async fn snapshot(database: &Database) -> Result<Self, StoreError> {
        Self::connect(database, Reading::Snapshot).await
    }

    async fn connect(database: &Database, reading: Reading) -> Result<Self, StoreError> {
        let pool = database.pool(READERS, reading)?;
        schema::check(database, &pool).await?;
        Ok(Self { pool, dialect: database.dialect(), bodies: None })
    }

    /// Reads what is kept beside the database from there.
    pub fn with_bodies(self, bodies: Option<Bodies>) -> Self {
        Self { bodies, ..self }
    }

    /// Where it reads what is kept beside the database.
    pub fn bodies(&self) -> Option<Bodies> {
        self.bodies.clone()
    }

    /// The bytes of a batch, from a row with its `body`, `location` and `digest`.
    pub(super) async fn body_of(&self, row: &AnyRow) -> Result<Arc<[u8]>, StoreError> {
        let Some(location) = row.try_get::<Option<&str>, _>("location")? else {
            return Ok(unpack(row.try_get("body")?).into());
        };
        let nowhere = || BodyError::Nowhere(location.to_owned());
        let bodies = self.bodies.as_ref().ok_or_else(nowhere)?;
        Ok(bodies.get(location, row.try_get("digest")?).await?)
    }

    /// Which of these exchanges are in the records.
    pub async fn known(&self, exchanges: &[&str]) -> Result<BTreeSet<String>, StoreError> {
        let mut select = Statement::new("SELECT x.exchange FROM exchanges x WHERE x.exchange IN (");
        select.each(exchanges, |select, exchange| {
            select.value((*exchange).to_owned());
        });
        select.text(")");
        let rows = select.query().fetch_all(&self.pool).await?;
        Ok(rows.iter().map(|row| row.try_get("exchange")).collect::<Result<_, _>>()?)
    }

    /// One session's numbers.
    pub async fn session(&self, session: &str) -> Result<Option<SessionSummary>, StoreError> {
        let session = key(session);
        let row = sqlx::query("SELECT * FROM sessions WHERE session = $1")
            .bind(session.as_ref())
            .fetch_optional(&self.pool)
            .await?;
        match row {
            Some(row) => Ok(Some(self.session_of(&row).await?)),
            None => Ok(None),
        }
    }

    /// A session with a page of its exchanges; `after` is the `next` of the page before.
    pub async fn session_detail(
        &self,
        session: &str,
        limit: u32,
        after: Option<&str>,
    ) -> Result<Option<SessionDetail>, StoreError> {
        let Some(summary) = self.session(session).await? else { return Ok(None) };
        let session = key(session);
        let session = session.as_ref();
        let (time, exchange) = cursor(after).unwrap_or((i64::MIN, String::new()));
        let select = "SELECT time, summary FROM exchanges WHERE session = $1 AND time >= $2 AND (time > $3 OR exchange > $4) \
            ORDER BY time, exchange LIMIT $5";
        let rows = sqlx::query(select)
            .bind(session)
            .bind(time)
            .bind(time)
            .bind(exchange)
            .bind(i64::from(limit) + 1)
            .fetch_all(&self.pool)
            .await?;
        let page = rows.iter().take(limit as usize);
        let exchanges = page.map(|row| json(row, "summary")).collect::<Result<Vec<ExchangeSummary>, _>>()?;
        let more = rows.len() > exchanges.len();
        let next = exchanges.last().filter(|_| more).map(|e| format!("{}:{}", e.time.micros(), e.exchange));
        let gaps = self.gaps_of(&summary).await?;
        Ok(Some(SessionDetail { summary, exchanges, gaps, next }))
    }

    /// Gaps that a session's recorders admit to while it ran, or within a second of it.
    async fn gaps_of(&self, session: &SessionSummary) -> Result<Vec<RecordedGap>, StoreError> {
        const SLACK: i64 = 1_000_000;
        let select = "SELECT * FROM gaps WHERE time BETWEEN $1 AND $2 AND recorder IN \
            (SELECT DISTINCT recorder FROM exchanges WHERE session = $3) ORDER BY time, recorder, batch, position LIMIT 1000";
        let rows = sqlx::query(select)
            .bind(session.started.saturating_sub(SLACK))
            .bind(session.ended.saturating_add(SLACK))
            .bind(&session.session)
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(gap).collect()
    }

    /// One exchange with its entries and their bodies.
    pub async fn exchange(&self, exchange: &str) -> Result<Option<ExchangeDetail>, StoreError> {
        let exchange = key(exchange);
        let exchange = exchange.as_ref();
        let row = sqlx::query("SELECT summary FROM exchanges WHERE exchange = $1")
            .bind(exchange)
            .fetch_optional(&self.pool)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let entries = self.entries_of(exchange).await?;
        let entries = entries.into_iter().map(|stored| {
            Ok(RecordedEntry {
                recorder: stored.recorder,
                batch: stored.batch,
                position: stored.position,
                kid: stored.kid,
                entry: serde_json::from_slice(&stored.bytes).map_err(|_| StoreError::Damaged("an entry"))?,
            })
        });
        Ok(Some(ExchangeDetail {
            summary: json(&row, "summary")?,
            entries: entries.collect::<Result<_, StoreError>>()?,
        }))
    }

    /// Every chain, by name, as it stands at `now`.
    pub async fn recorders(&self, now: Timestamp) -> Result<Vec<RecorderSummary>, StoreError> {
        let select = "SELECT r.*, (SELECT count(*) FROM forks f WHERE f.recorder = r.recorder) AS forks, \
            (SELECT count(*) FROM gaps g WHERE g.recorder = r.recorder) AS gaps, \
            (SELECT count(*) FROM exchanges x WHERE x.recorder = r.recorder AND x.state = 'incomplete') AS incomplete \
            FROM recorders r ORDER BY recorder";
        let rows = sqlx::query(select).fetch_all(&self.pool).await?;
        let recorder = |row: &AnyRow| {
            let (last_batch, batches) = (row.try_get("last_batch")?, row.try_get("batches")?);
            let last_received = row.try_get("last_received")?;
            Ok(RecorderSummary {
                recorder: row.try_get("recorder")?,
                state: RecorderState::of(last_received, now),
                first_batch: row.try_get("first_batch")?,
                last_batch,
                batches,
                missing: i64::saturating_add(last_batch, 1).saturating_sub(batches),
                entries: row.try_get("entries")?,
                incomplete: row.try_get("incomplete")?,
                gaps: row.try_get("gaps")?,
                forks: row.try_get("forks")?,
                first_received: row.try_get("first_received")?,
                last_received,
                open: match row.try_get::<Option<String>, _>("open")? {
                    Some(_) => Some(json(row, "open")?),
                    None => None,
                },
            })
        };
        rows.iter().map(recorder).collect()
    }

    pub(super) async fn session_of(&self, row: &AnyRow) -> Result<SessionSummary, StoreError> {
        let mut summary = SessionSummary {
            session: row.try_get("session")?,
            derived: row.try_get::<Option<String>, _>("derived")?.is_some(),
            started: row.try_get("started")?,
            ended: row.try_get("ended")?,
            requests: row.try_get("requests")?,
            writes: row.try_get("writes")?,
            refused: row.try_get("refused")?,
            failed: row.try_get("failed")?,
            incomplete: row.try_get("incomplete")?,
            unverified: row.try_get("unverified")?,
            masked: row.try_get("masked")?,
            ..SessionSummary::default()
        };
        let select = "SELECT kind, value FROM session_values WHERE session = $1 AND kind <> 'namespace' \
            ORDER BY since, kind, value";
        for row in sqlx::query(select).bind(&summary.session).fetch_all(&self.pool).await? {
            match row.try_get::<&str, _>("kind")? {
                "user" => summary.users.push(json(&row, "value")?),
                "agent" => summary.agents.push(json(&row, "value")?),
                "model" => summary.models.push(json(&row, "value")?),
                "prompt" => summary.prompts.push(json(&row, "value")?),
                _ => {}
            }
        }
        Ok(summary)
    }

    /// Ends the connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

pub(super) fn json<T: DeserializeOwned>(row: &AnyRow, column: &'static str) -> Result<T, StoreError> {
    let damaged = || StoreError::Damaged(column);
    match row.try_get::<&[u8], _>(column) {
        Ok(packed) => serde_json::from_slice(&unpack_summary(packed).ok_or_else(damaged)?),
        Err(_) => serde_json::from_str(row.try_get(column)?),
    }
    .map_err(|_| damaged())
}

pub(super) fn gap(row: &AnyRow) -> Result<RecordedGap, StoreError> {
    let number = |column| Ok::<_, StoreError>(u64::try_from(row.try_get::<i64, _>(column)?).unwrap_or(0));
    Ok(RecordedGap {
        recorder: row.try_get("recorder")?,
        batch: row.try_get("batch")?,
        gap: Gap {
            time: Timestamp::from_micros(number("time")?),
            entries: number("entries")?,
            bytes: number("bytes")?,
            reason: row.try_get("reason")?,
        },
    })
}

/// Adds that a row comes after a page's end, in descending order.
pub(super) fn before(
    select: &mut Statement,
    (time, id): (&'static str, &'static str),
    at: i64,
    last: String,
) {
    // Not `a < … OR a = … AND …`: SQLite would look the two up apart, all that come before, and sort them.
    select.text(time).text(" <= ").value(at).text(" AND (").text(time).text(" < ").value(at);
    select.text(" OR ").text(id).text(" < ").value(last).text(")");
}

/// A page's end, `<microseconds>:<id>`.
pub(super) fn cursor(text: Option<&str>) -> Option<(i64, String)> {
    let (time, id) = text?.split_once(':')?;
    Some((time.parse().ok()?, key(id).into_owned()))
}
