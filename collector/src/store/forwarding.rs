//! What is to be sent to others: arrivals in the order of their commits, a cursor for each destination, and whose turn it is.

use super::StoreError;
use super::batch::ReceivedBatch;
use super::index::micros;
use super::model::{ExchangeSummary, State};
use super::read::{Reader, json};
use super::schema::Dialect;
use super::statement::{Statement, chunks};
use super::write::{Writer, begin, bounded, transaction};
use chaperone_record::{Gap, Timestamp};
use sqlx::{AnyConnection, Connection as _, Row as _};

/// Arrivals looked at in one step.
const ARRIVALS: i64 = 50;

/// Exchanges after which a step takes up no further batch.
const ENOUGH: usize = 100;

/// Something to tell.
#[derive(Clone, Debug)]
pub enum News {
    /// An exchange that ended; or one that did not within its time, in which case its state is incomplete.
    Exchange(Box<ExchangeSummary>),
    /// What a recorder admits to have lost.
    Gap {
        /// Which: its recorder, batch and place in it.
        id: String,
        /// Whose.
        recorder: String,
        /// What.
        gap: Gap,
    },
}

/// What comes next for a destination.
#[derive(Clone, Debug, Default)]
pub struct Step {
    /// Up to which arrival it goes.
    upto: i64,
    /// What to tell, in order.
    pub news: Vec<News>,
    /// Exchanges that have no end yet.
    waiting: Vec<String>,
    /// Exchanges that have their end now.
    settled: Vec<String>,
    /// Exchanges that are told of without it.
    overdue: Vec<String>,
}

impl Step {
    /// True where there is nothing to do at all.
    pub fn is_idle(&self) -> bool {
        self.upto == 0 && self.news.is_empty() && self.overdue.is_empty()
    }
}

impl Writer {
    /// Begins to keep what comes from now on for a destination; one that is known goes on where it was.
    pub async fn forward_to(&mut self, destination: &str) -> Result<(), StoreError> {
        transaction!(self, |connection, dialect| register(connection, dialect, destination))
    }

    /// Takes a destination, or keeps it, until a moment. False while another holds it.
    pub async fn hold_destination(
        &mut self,
        destination: &str,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        transaction!(self, |connection, dialect| take(connection, dialect, destination, holder, now, until))
    }

    /// What comes next; exchanges that wait since before `overdue` are told of as they are.
    pub async fn next_step(&mut self, destination: &str, overdue: Timestamp) -> Result<Step, StoreError> {
        transaction!(self, |connection, dialect| next_step(connection, dialect, destination, overdue))
    }

    /// Goes on: what the step told has been received. False where the destination is no longer the holder's.
    pub async fn finish_step(
        &mut self,
        destination: &str,
        holder: &str,
        step: &Step,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        transaction!(self, |connection, dialect| finish_step(
            connection,
            dialect,
            destination,
            holder,
            step,
            now
        ))
    }
}

impl Reader {
    /// When the oldest batch arrived that a destination has not been told of.
    pub async fn oldest_untold(&self, destination: &str) -> Result<Option<Timestamp>, StoreError> {
        let select = "SELECT min(a.received) FROM arrivals a WHERE a.number > \
            (SELECT f.told FROM forwards f WHERE f.destination = $1)";
        let oldest: Option<i64> = sqlx::query_scalar(select).bind(destination).fetch_one(&self.pool).await?;
        Ok(oldest.map(|at| Timestamp::from_micros(u64::try_from(at).unwrap_or(0))))
    }
}

/// Numbers batches that were stored, where anybody is to be told of them. The last thing in a transaction: who else stores
/// waits here until it ends.
pub(super) async fn note_arrivals(
    connection: &mut AnyConnection,
    batches: &[&ReceivedBatch],
) -> Result<(), StoreError> {
    let destinations: i64 =
        sqlx::query_scalar("SELECT count(*) FROM forwards").fetch_one(&mut *connection).await?;
    if destinations == 0 || batches.is_empty() {
        return Ok(());
    }
    let count = i64::try_from(batches.len()).unwrap_or(i64::MAX);
    let update = "UPDATE arrival_numbers SET last = last + $1 WHERE id = 1 RETURNING last";
    let last: i64 = sqlx::query_scalar(update).bind(count).fetch_one(&mut *connection).await?;
    let numbered: Vec<_> = ((last - count + 1)..).zip(batches).collect();
    for rows in chunks(&numbered) {
        let mut insert = Statement::new("INSERT INTO arrivals (number, recorder, batch, received) VALUES ");
        insert.each(rows, |row, (number, batch)| {
            row.text("(").value(*number).text(", ").value(batch.recorder.as_str()).text(", ");
            row.value(batch.batch).text(", ").value(micros(batch.received)).text(")");
        });
        insert.query().execute(&mut *connection).await?;
    }
    Ok(())
}

async fn register(
    connection: &mut AnyConnection,
    dialect: Dialect,
    destination: &str,
) -> Result<(), StoreError> {
    let mut transaction = connection.begin_with(begin(dialect)).await?;
    let insert = "INSERT INTO forwards (destination, told, expires) \
        SELECT $1, last, 0 FROM arrival_numbers WHERE id = 1 ON CONFLICT (destination) DO NOTHING";
    sqlx::query(insert).bind(destination).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(())
}

async fn take(
    connection: &mut AnyConnection,
    dialect: Dialect,
    destination: &str,
    holder: &str,
    now: Timestamp,
    until: Timestamp,
) -> Result<bool, StoreError> {
    let update = "UPDATE forwards SET holder = $1, expires = $2 WHERE destination = $3 AND (holder = $1 OR expires <= $4)";
    let mut transaction = connection.begin_with(begin(dialect)).await?;
    let query = sqlx::query(update).bind(holder).bind(micros(until)).bind(destination).bind(micros(now));
    let done = query.execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(done.rows_affected() == 1)
}

async fn next_step(
    connection: &mut AnyConnection,
    _: Dialect,
    destination: &str,
    overdue: Timestamp,
) -> Result<Step, StoreError> {
    let mut step = Step::default();
    overdue_news(connection, destination, overdue, &mut step).await?;
    let select = "SELECT a.number, a.recorder, a.batch FROM arrivals a WHERE a.number > \
        (SELECT f.told FROM forwards f WHERE f.destination = $1) ORDER BY a.number LIMIT $2";
    let arrivals = sqlx::query(select).bind(destination).bind(ARRIVALS).fetch_all(&mut *connection).await?;
    for arrival in &arrivals {
        if step.news.len() >= ENOUGH {
            break;
        }
        let number: i64 = arrival.try_get("number")?;
        batch_news(connection, number, arrival.try_get("recorder")?, arrival.try_get("batch")?, &mut step)
            .await?;
        step.upto = number;
    }
    Ok(step)
}

/// What a batch tells of: exchanges of which nothing came after it, and gaps.
async fn batch_news(
    connection: &mut AnyConnection,
    number: i64,
    recorder: &str,
    batch: i64,
    step: &mut Step,
) -> Result<(), StoreError> {
    let select = "SELECT x.exchange, x.summary, (SELECT max(a.number) FROM entries o \
        JOIN arrivals a ON a.recorder = o.recorder AND a.batch = o.batch \
        WHERE o.exchange = x.exchange AND o.recorder = x.recorder) AS newest \
        FROM (SELECT exchange, min(position) AS place FROM entries WHERE recorder = $1 AND batch = $2 GROUP BY exchange) e \
        JOIN exchanges x ON x.exchange = e.exchange AND x.recorder = $1 ORDER BY e.place";
    let rows = sqlx::query(select).bind(recorder).bind(batch).fetch_all(&mut *connection).await?;
    for row in &rows {
        let newest: Option<i64> = row.try_get("newest")?;
        if newest.is_some_and(|newest| newest > number) {
            continue;
        }
        let exchange: String = row.try_get("exchange")?;
        let summary: ExchangeSummary = json(row, "summary")?;
        if summary.state == State::Incomplete {
            step.waiting.push(exchange);
        } else {
            step.news.push(News::Exchange(Box::new(summary)));
            step.waiting.retain(|waiting| *waiting != exchange);
            step.settled.push(exchange);
        }
    }
    let select = "SELECT position, time, entries, bytes, reason FROM gaps WHERE recorder = $1 AND batch = $2 ORDER BY position";
    for row in sqlx::query(select).bind(recorder).bind(batch).fetch_all(&mut *connection).await? {
        let number = |column| Ok::<_, StoreError>(u64::try_from(row.try_get::<i64, _>(column)?).unwrap_or(0));
        step.news.push(News::Gap {
            id: format!("{recorder}/{batch}/{}", row.try_get::<i64, _>("position")?),
            recorder: recorder.to_owned(),
            gap: Gap {
                time: Timestamp::from_micros(number("time")?),
                entries: number("entries")?,
                bytes: number("bytes")?,
                reason: row.try_get("reason")?,
            },
        });
    }
    Ok(())
}

/// Exchanges that have waited long enough. Of one that ended since, its arrival tells.
async fn overdue_news(
    connection: &mut AnyConnection,
    destination: &str,
    overdue: Timestamp,
    step: &mut Step,
) -> Result<(), StoreError> {
    let select = "SELECT w.exchange, x.summary FROM forward_waiting w JOIN exchanges x ON x.exchange = w.exchange \
        WHERE w.destination = $1 AND w.since <= $2 ORDER BY w.since, w.exchange LIMIT 100";
    let query = sqlx::query(select).bind(destination).bind(micros(overdue));
    for row in &query.fetch_all(&mut *connection).await? {
        step.overdue.push(row.try_get("exchange")?);
        let summary: ExchangeSummary = json(row, "summary")?;
        if summary.state == State::Incomplete {
            step.news.push(News::Exchange(Box::new(summary)));
        }
    }
    Ok(())
}

async fn finish_step(
    connection: &mut AnyConnection,
    dialect: Dialect,
    destination: &str,
    holder: &str,
    step: &Step,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let mut transaction = connection.begin_with(begin(dialect)).await?;
    let update = "UPDATE forwards SET told = CASE WHEN told < $1 THEN $1 ELSE told END WHERE destination = $2 AND holder = $3";
    let query = sqlx::query(update).bind(step.upto).bind(destination).bind(holder);
    if query.execute(&mut *transaction).await?.rows_affected() != 1 {
        return Ok(false);
    }
    for exchanges in chunks(&step.settled) {
        let mut delete = Statement::new("DELETE FROM forward_waiting WHERE destination = ");
        delete.value(destination.to_owned()).text(" AND exchange IN (");
        delete.each(exchanges, |delete, exchange| {
            delete.value(exchange.as_str());
        });
        delete.text(")");
        delete.query().execute(&mut *transaction).await?;
    }
    // They are told of once, however long they wait.
    for exchange in &step.overdue {
        let update = "UPDATE forward_waiting SET since = $1 WHERE destination = $2 AND exchange = $3";
        let query = sqlx::query(update).bind(i64::MAX).bind(destination).bind(exchange);
        query.execute(&mut *transaction).await?;
    }
    for exchange in &step.waiting {
        let insert = "INSERT INTO forward_waiting (destination, exchange, since) VALUES ($1, $2, $3) \
            ON CONFLICT (destination, exchange) DO NOTHING";
        let query = sqlx::query(insert).bind(destination).bind(exchange).bind(micros(now));
        query.execute(&mut *transaction).await?;
    }
    sqlx::query("DELETE FROM arrivals WHERE number <= (SELECT min(told) FROM forwards)")
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(true)
}
