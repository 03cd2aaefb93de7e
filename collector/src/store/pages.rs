//! Pages of the sessions and exchanges that a filter takes: whether what is asked for is gathered and sorted, or time is
//! walked backwards until the page is full.

use super::StoreError;
use super::filter::Filter;
use super::model::{ExchangeList, ExchangeSummary, SessionList};
use super::read::{Reader, before, cursor, json};
use super::schema::Dialect;
use super::statement::Statement;
use super::words;
use sqlx::Row as _;

/// Exchanges whose words are looked at one by one before all that have a word are, for each on a page.
const LATEST: i64 = 20;

/// So many sessions are gathered and sorted; more are walked.
const FEW: i64 = 2_000;

/// Entries that have a word are counted up to here.
const MANY: i64 = 10_000;

/// From so many entries with the words of a question on, time is walked.
const WALKED: i64 = 5_000;

/// Kinds and names.
type Values = Vec<(&'static str, String)>;

impl Reader {
    /// A page of the sessions with an exchange that the filter takes, the newest first; `after` is the `next` of the page
    /// before.
    pub async fn sessions(
        &self,
        filter: &Filter,
        limit: u32,
        after: Option<&str>,
    ) -> Result<SessionList, StoreError> {
        let (time, session) = cursor(after).unwrap_or((i64::MAX, String::new()));
        let filter = &self.rarest_first(filter).await?;
        let (few, many) = match filter.is_narrow() {
            true => Default::default(),
            false => self.sessions_having(filter).await?,
        };
        // Either those are gathered and sorted that have what few have, or sessions are walked backwards.
        let gathered = filter.is_narrow() || !few.is_empty();
        let started = if gathered { "+s.started" } else { "s.started" };
        let mut select = Statement::new("SELECT s.* FROM sessions s WHERE ");
        before(&mut select, (started, "s.session"), time, session);
        filter.session_conditions(&mut select);
        for (kind, name) in few {
            select
                .text(" AND s.session IN (SELECT v.session FROM session_values v WHERE v.kind = ")
                .value(kind);
            select.text(" AND v.name = ").value(name).text(")");
        }
        for (kind, name) in many {
            // Neither by the index of names, nor all of them at once.
            select.text(
                " AND EXISTS (SELECT 1 FROM session_values v WHERE v.session = s.session AND v.kind = ",
            );
            select.value(kind).text(" AND v.name || '' = ").value(name).text(" LIMIT 1 OFFSET 0)");
        }
        if !filter.is_empty() && !filter.is_session_value() {
            select.text(match (filter.is_narrow(), self.dialect) {
                (true, _) => " AND s.session IN (SELECT x.session FROM exchanges x WHERE x.session IS NOT NULL",
                (false, Dialect::Sqlite) => {
                    " AND EXISTS (SELECT 1 FROM exchanges x INDEXED BY exchanges_by_session WHERE x.session = s.session"
                }
                (false, Dialect::Postgres) => {
                    " AND EXISTS (SELECT 1 FROM exchanges x WHERE x.session = s.session"
                }
            });
            filter.conditions(self.dialect, &mut select);
            select.text(")");
        }
        select
            .text(" ORDER BY ")
            .text(started)
            .text(" DESC, s.session DESC LIMIT ")
            .value(i64::from(limit) + 1);
        let rows = select.query().fetch_all(&self.pool).await?;
        let mut sessions = Vec::with_capacity(rows.len());
        for row in rows.iter().take(limit as usize) {
            sessions.push(self.session_of(row).await?);
        }
        let more = rows.len() > sessions.len();
        let next = sessions.last().filter(|_| more).map(|last| format!("{}:{}", last.started, last.session));
        Ok(SessionList { sessions, next })
    }

    /// What the filter asks for that sessions have a list of: what few have, and what many have.
    async fn sessions_having(&self, filter: &Filter) -> Result<(Values, Values), StoreError> {
        let select = "SELECT count(*) FROM (SELECT 1 FROM session_values v WHERE v.kind = $1 AND v.name = $2 LIMIT $3) f";
        let (mut few, mut many) = (Vec::new(), Vec::new());
        for (kind, name) in filter.session_values() {
            let count = sqlx::query_scalar(select).bind(kind).bind(&name).bind(FEW);
            match count.fetch_one(&self.pool).await? {
                FEW.. => many.push((kind, name)),
                _ => few.push((kind, name)),
            }
        }
        Ok((few, many))
    }

    /// Whether so many entries have the words that a page is full sooner where time is walked backwards. PostgreSQL looks at
    /// an exchange's words by themselves; SQLite cannot.
    async fn is_walked_for(&self, filter: &Filter) -> Result<bool, StoreError> {
        if filter.words.is_none() || self.dialect == Dialect::Sqlite {
            return Ok(false);
        }
        let words: Vec<_> = filter.words().collect();
        let mut select = Statement::new("SELECT count(*) AS found FROM (SELECT 1 FROM entries e WHERE ");
        words::having(&words, self.dialect, &mut select);
        select.text(" LIMIT ").value(WALKED).text(") f");
        Ok(select.query().fetch_one(&self.pool).await?.try_get::<i64, _>("found")? == WALKED)
    }

    /// The filter with its words in order of how many entries have them. PostgreSQL knows by itself.
    async fn rarest_first(&self, filter: &Filter) -> Result<Filter, StoreError> {
        let mut words = Vec::new();
        if self.dialect == Dialect::Sqlite && filter.words().nth(1).is_some() {
            let select = "SELECT count(*) FROM (SELECT 1 FROM text_words WHERE text_words MATCH $1 LIMIT $2)";
            for word in filter.words() {
                let count = sqlx::query_scalar(select).bind(word.fts5()).bind(MANY);
                let count: i64 = count.fetch_one(&self.pool).await?;
                words.push((count, word.to_string()));
            }
            words.sort();
        }
        let words: Vec<String> = words.into_iter().map(|(_, word)| word).collect();
        Ok(match words.is_empty() {
            true => filter.clone(),
            false => Filter { words: Some(words.join(" ")), ..filter.clone() },
        })
    }

    /// A page of the exchanges that the filter takes, the newest first; `after` is the `next` of the page before.
    pub async fn exchanges(
        &self,
        filter: &Filter,
        limit: u32,
        after: Option<&str>,
    ) -> Result<ExchangeList, StoreError> {
        let (time, exchange) = cursor(after).unwrap_or((i64::MAX, String::new()));
        let most = i64::from(limit) + 1;
        let mut rows = Vec::new();
        // What is frequent fills the page from the latest exchanges, without all that have it being gathered and sorted.
        if (filter.words.is_some() || filter.namespace.is_some() && filter.resource.is_none())
            && let Some(since) = self.latest(time, limit).await?
        {
            let first = if filter.words.is_some() { self.first_entry(since).await? } else { 0 };
            let mut select = Statement::new(match self.dialect {
                Dialect::Sqlite => "SELECT x.summary FROM exchanges x INDEXED BY exchanges_by_time WHERE ",
                Dialect::Postgres => "SELECT x.summary FROM exchanges x WHERE ",
            });
            before(&mut select, ("x.time", "x.exchange"), time, exchange.clone());
            select.text(" AND x.time >= ").value(since);
            filter.conditions_of_few(self.dialect, &mut select, first);
            select.text(" ORDER BY x.time DESC, x.exchange DESC LIMIT ").value(most);
            rows = select.query().fetch_all(&self.pool).await?;
        }
        if rows.len() <= limit as usize {
            // With a `+` it is no index's column: what is rare is gathered and sorted, and not met while walking backwards.
            let walked = self.is_walked_for(filter).await?;
            let column = match filter.words.is_some() && !walked || filter.prompt.is_some() {
                true => "+x.time",
                false => "x.time",
            };
            let mut select = Statement::new("SELECT x.summary FROM exchanges x WHERE ");
            before(&mut select, (column, "x.exchange"), time, exchange);
            match walked {
                true => filter.conditions_of_few(self.dialect, &mut select, 0),
                false => self.rarest_first(filter).await?.conditions(self.dialect, &mut select),
            }
            select.text(" ORDER BY ").text(column).text(" DESC, x.exchange DESC LIMIT ").value(most);
            rows = select.query().fetch_all(&self.pool).await?;
        }
        let page = rows.iter().take(limit as usize);
        let exchanges = page.map(|row| json(row, "summary")).collect::<Result<Vec<ExchangeSummary>, _>>()?;
        let more = rows.len() > exchanges.len();
        let next = exchanges.last().filter(|_| more).map(|e| format!("{}:{}", e.time.micros(), e.exchange));
        Ok(ExchangeList { exchanges, next })
    }

    /// When the latest exchanges until `time` began, enough for a page of `limit`; none where there are no more than those.
    async fn latest(&self, time: i64, limit: u32) -> Result<Option<i64>, StoreError> {
        let select =
            "SELECT x.time FROM exchanges x WHERE x.time <= $1 ORDER BY x.time DESC LIMIT 1 OFFSET $2";
        let latest = sqlx::query_scalar(select).bind(time).bind(LATEST.saturating_mul(i64::from(limit)));
        Ok(latest.fetch_optional(&self.pool).await?)
    }

    /// On SQLite, where numbers of entries grow with arrival: the first of an exchange that began at `since` or later.
    async fn first_entry(&self, since: i64) -> Result<i64, StoreError> {
        if self.dialect == Dialect::Postgres {
            return Ok(0);
        }
        let select = "SELECT COALESCE(min(e.id), 0) FROM exchanges x CROSS JOIN entries e \
            WHERE e.exchange = x.exchange AND x.time >= $1";
        Ok(sqlx::query_scalar(select).bind(since).fetch_one(&self.pool).await?)
    }
}
