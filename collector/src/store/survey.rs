//! Numbers and pages over the exchanges that something is about: a session, an object, or what a filter takes.

use super::StoreError;
use super::batch::key;
use super::filter::Filter;
use super::index::micros;
use super::model::{ExchangeList, ExchangeSummary, RecordedGap};
use super::read::{Reader, cursor, gap, json};
use super::statement::Statement;
use chaperone_record::{ObjectRef, Timestamp};
use sqlx::Row as _;
use sqlx::any::AnyRow;

/// An allowed request that changes something: what `ExchangeSummary::is_write` says, in SQL.
const WRITE: &str = "x.refused = 0 AND x.verb IN ('create', 'update', 'patch', 'delete', 'deletecollection') \
    AND COALESCE(x.api_group, '') NOT IN ('authorization.k8s.io', 'authentication.k8s.io')";

const COUNTS: &str = "count(*) AS requests, \
    CAST(COALESCE(sum(CASE WHEN x.refused = 0 AND x.verb IN ('create', 'update', 'patch', 'delete', 'deletecollection') \
    AND COALESCE(x.api_group, '') NOT IN ('authorization.k8s.io', 'authentication.k8s.io') THEN 1 ELSE 0 END), 0) AS BIGINT) AS writes, \
    CAST(COALESCE(sum(x.refused), 0) AS BIGINT) AS refused, CAST(COALESCE(sum(x.masked), 0) AS BIGINT) AS masked, \
    CAST(COALESCE(sum(CASE WHEN x.state = 'incomplete' THEN 1 ELSE 0 END), 0) AS BIGINT) AS incomplete, \
    CAST(COALESCE(sum(1 - x.verified), 0) AS BIGINT) AS unverified, \
    CAST(COALESCE(min(x.time), 0) AS BIGINT) AS first, CAST(COALESCE(max(x.time), 0) AS BIGINT) AS last";

/// Which of the exchanges are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Show {
    /// All of them.
    #[default]
    All,
    /// Allowed requests that change something.
    Writes,
    /// What the filter refused.
    Refused,
    /// With masked values.
    Masked,
}

impl Show {
    /// All of them, in the order in which they are offered.
    pub const ALL: [Self; 4] = [Self::All, Self::Writes, Self::Refused, Self::Masked];

    /// The word that stands for it in URLs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Writes => "writes",
            Self::Refused => "refused",
            Self::Masked => "masked",
        }
    }
}

/// How an object takes part in exchanges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// They are about it, or about a subresource of it.
    Itself,
    /// They are lists and watches that could hold it.
    Listed,
}

/// What exchanges are about. Empty, it is all of them.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// What must be true of them.
    pub filter: Filter,
    /// Their session.
    pub session: Option<String>,
    /// Their object, by its group, plural, namespace and name.
    pub object: Option<(ObjectRef, Part)>,
    /// Which of them.
    pub show: Show,
}

/// How many of what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Exchanges.
    pub requests: i64,
    /// Allowed requests that change something.
    pub writes: i64,
    /// Requests the filter refused.
    pub refused: i64,
    /// Values masked.
    pub masked: i64,
    /// Exchanges whose end or beginning is not in the records.
    pub incomplete: i64,
    /// Exchanges with a signature that was not checked on arrival.
    pub unverified: i64,
    /// When the first began, microseconds since 1970.
    pub first: i64,
    /// When the last began.
    pub last: i64,
}

/// The counts of all exchanges with one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// The value.
    pub value: String,
    /// The counts.
    pub counts: Counts,
}

/// By what exchanges are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dimension {
    /// By user.
    User,
    /// By agent program.
    Agent,
    /// By prompt.
    Prompt,
    /// By namespace.
    Namespace,
    /// By verb.
    Verb,
}

impl Dimension {
    fn column(self) -> &'static str {
        match self {
            Self::User => "x.username",
            Self::Agent => "x.agent",
            Self::Prompt => "x.prompt",
            Self::Namespace => "x.namespace",
            Self::Verb => "x.verb",
        }
    }
}

/// A kind of request, when it was first made and how often since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// The verb.
    pub verb: String,
    /// The API group.
    pub group: String,
    /// The resource, like `pods/exec`.
    pub resource: String,
    /// Whether such a request was ever let through.
    pub allowed: bool,
    /// When the first was, microseconds since 1970.
    pub first: i64,
    /// How many there were.
    pub count: i64,
}

/// Batches that did not arrive, or were pruned: from one number to another, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole {
    /// The first.
    pub from: i64,
    /// The last.
    pub to: i64,
}

impl Reader {
    fn about(&self, about: &About, select: &mut Statement) {
        about.filter.conditions(self.dialect, select);
        if let Some(session) = &about.session {
            select.text(" AND x.session = ").value(key(session).into_owned());
        }
        if let Some((object, part)) = &about.object {
            let text = |text: &str| key(text).into_owned();
            select.text(" AND x.api_group = ").value(text(&object.api_group));
            match part {
                Part::Itself => {
                    let prefix = format!("{}/", object.resource);
                    let length = i64::try_from(prefix.chars().count()).unwrap_or(i64::MAX);
                    select.text(" AND x.name = ").value(text(&object.name));
                    select.text(" AND (x.resource = ").value(text(&object.resource));
                    select.text(" OR substr(x.resource, 1, CAST(").value(length).text(" AS INTEGER)) = ");
                    select.value(prefix).text(")");
                    // A namespace's own requests have it as their namespace too, but for its creation.
                    if object.resource != "namespaces" {
                        select.text(" AND x.namespace = ").value(text(&object.namespace));
                    }
                }
                Part::Listed => {
                    select.text(" AND x.verb IN ('list', 'watch') AND COALESCE(x.name, '') = ''");
                    select.text(" AND x.resource = ").value(text(&object.resource));
                    select.text(" AND x.namespace IN (").value(text(&object.namespace)).text(", '')");
                }
            }
        }
        match about.show {
            Show::All => {}
            Show::Writes => {
                select.text(" AND ").text(WRITE);
            }
            Show::Refused => {
                select.text(" AND x.refused = 1");
            }
            Show::Masked => {
                select.text(" AND x.masked > 0");
            }
        }
    }

    /// A page in order of time, or the newest first; `after` is the `next` of the page before.
    pub async fn page(
        &self,
        about: &About,
        newest_first: bool,
        limit: u32,
        after: Option<&str>,
    ) -> Result<ExchangeList, StoreError> {
        let mut select = Statement::new("SELECT x.summary FROM exchanges x WHERE ");
        if newest_first {
            let (time, exchange) = cursor(after).unwrap_or((i64::MAX, String::new()));
            super::read::before(&mut select, ("x.time", "x.exchange"), time, exchange);
        } else {
            let (time, exchange) = cursor(after).unwrap_or((i64::MIN, String::new()));
            select.text("(x.time > ").value(time).text(" OR (x.time = ").value(time);
            select.text(" AND x.exchange > ").value(exchange).text("))");
        }
        self.about(about, &mut select);
        select.text(match newest_first {
            true => " ORDER BY x.time DESC, x.exchange DESC LIMIT ",
            false => " ORDER BY x.time, x.exchange LIMIT ",
        });
        select.value(i64::from(limit) + 1);
        let rows = select.query().fetch_all(&self.pool).await?;
        let page = rows.iter().take(limit as usize);
        let exchanges = page.map(|row| json(row, "summary")).collect::<Result<Vec<ExchangeSummary>, _>>()?;
        let more = rows.len() > exchanges.len();
        let next = exchanges.last().filter(|_| more).map(|e| format!("{}:{}", e.time.micros(), e.exchange));
        Ok(ExchangeList { exchanges, next })
    }

    /// How many come up to and with the end of a page, in order of time.
    pub async fn position(&self, about: &About, after: &str) -> Result<i64, StoreError> {
        let Some((time, exchange)) = cursor(Some(after)) else { return Ok(0) };
        let mut select = Statement::new("SELECT count(*) AS position FROM exchanges x WHERE (x.time < ");
        select.value(time).text(" OR (x.time = ").value(time).text(" AND x.exchange <= ");
        select.value(exchange).text("))");
        self.about(about, &mut select);
        Ok(select.query().fetch_one(&self.pool).await?.try_get("position")?)
    }

    /// All counts.
    pub async fn counts(&self, about: &About) -> Result<Counts, StoreError> {
        let mut select = Statement::new("SELECT ");
        select.text(COUNTS).text(" FROM exchanges x WHERE x.time >= 0");
        self.about(about, &mut select);
        counts(&select.query().fetch_one(&self.pool).await?)
    }

    /// The counts of each stretch of `width` microseconds from `from` on, by its number; stretches without any are left out.
    pub async fn over_time(
        &self,
        about: &About,
        from: i64,
        width: i64,
    ) -> Result<Vec<(i64, Counts)>, StoreError> {
        let mut select = Statement::new("SELECT (x.time - ");
        select.value(from).text(") / ").value(width.max(1)).text(" AS stretch, ").text(COUNTS);
        select.text(" FROM exchanges x WHERE x.time >= ").value(from);
        self.about(about, &mut select);
        select.text(" GROUP BY 1 ORDER BY 1");
        let rows = select.query().fetch_all(&self.pool).await?;
        rows.iter().map(|row| Ok((row.try_get("stretch")?, counts(row)?))).collect()
    }

    /// How many entries were lost in each stretch of time.
    pub async fn gaps_over_time(&self, from: i64, width: i64) -> Result<Vec<(i64, i64)>, StoreError> {
        let mut select = Statement::new("SELECT (time - ");
        select.value(from).text(") / ").value(width.max(1)).text(" AS stretch, ");
        select.text("CAST(sum(entries) AS BIGINT) AS entries FROM gaps WHERE time >= ").value(from);
        select.text(" GROUP BY 1 ORDER BY 1");
        let rows = select.query().fetch_all(&self.pool).await?;
        rows.iter().map(|row| Ok((row.try_get("stretch")?, row.try_get("entries")?))).collect()
    }

    /// The counts of each value, those with the most requests first, or in order of their first.
    pub async fn tally(
        &self,
        dimension: Dimension,
        about: &About,
        by_first: bool,
        limit: u32,
    ) -> Result<Vec<Tally>, StoreError> {
        let mut select = Statement::new("SELECT ");
        select.text(dimension.column()).text(" AS value, ").text(COUNTS);
        select.text(" FROM exchanges x WHERE ").text(dimension.column()).text(" <> ''");
        self.about(about, &mut select);
        select.text(" GROUP BY ").text(dimension.column());
        select.text(if by_first {
            " ORDER BY first, value LIMIT "
        } else {
            " ORDER BY requests DESC, value LIMIT "
        });
        select.value(i64::from(limit));
        let rows = select.query().fetch_all(&self.pool).await?;
        rows.iter().map(|row| Ok(Tally { value: row.try_get("value")?, counts: counts(row)? })).collect()
    }

    /// The kinds of requests for resources, those that were made for the first time the latest first.
    pub async fn kinds(&self, about: &About, limit: u32) -> Result<Vec<Kind>, StoreError> {
        let mut select = Statement::new(
            "SELECT x.verb, x.api_group, x.resource, min(x.refused) AS refused, min(x.time) AS first, count(*) AS requests \
            FROM exchanges x WHERE x.resource <> ''",
        );
        self.about(about, &mut select);
        select.text(" GROUP BY x.verb, x.api_group, x.resource ORDER BY first DESC LIMIT ");
        select.value(i64::from(limit));
        let rows = select.query().fetch_all(&self.pool).await?;
        let kind = |row: &AnyRow| {
            Ok(Kind {
                verb: row.try_get("verb")?,
                group: row.try_get("api_group")?,
                resource: row.try_get("resource")?,
                allowed: row.try_get::<i64, _>("refused")? == 0,
                first: row.try_get("first")?,
                count: row.try_get("requests")?,
            })
        };
        rows.iter().map(kind).collect()
    }

    /// The newest gaps.
    pub async fn newest_gaps(&self, limit: u32) -> Result<Vec<RecordedGap>, StoreError> {
        let mut select =
            Statement::new("SELECT * FROM gaps ORDER BY time DESC, recorder, batch, position LIMIT ");
        select.value(i64::from(limit));
        let rows = select.query().fetch_all(&self.pool).await?;
        rows.iter().map(gap).collect()
    }

    /// Which batches of a chain are not there, the first so many holes.
    pub async fn holes(&self, recorder: &str, first: i64, limit: u32) -> Result<Vec<Hole>, StoreError> {
        let select = "SELECT batch, next FROM (SELECT batch, lead(batch) OVER (ORDER BY batch) AS next \
            FROM batches WHERE recorder = $1) AS links WHERE next > batch + 1 ORDER BY batch LIMIT $2";
        let rows = sqlx::query(select).bind(recorder).bind(i64::from(limit)).fetch_all(&self.pool).await?;
        let head = (first > 0).then_some(Hole { from: 0, to: first.saturating_sub(1) });
        let hole = |row: &AnyRow| {
            let (batch, next): (i64, i64) = (row.try_get("batch")?, row.try_get("next")?);
            Ok(Hole { from: batch.saturating_add(1), to: next.saturating_sub(1) })
        };
        head.map(Ok).into_iter().chain(rows.iter().map(hole)).collect()
    }

    /// Below which batch a chain was pruned under a signed tombstone.
    pub async fn pruned_below(&self, recorder: &str) -> Result<Option<i64>, StoreError> {
        let select = "SELECT first FROM prunings WHERE recorder = $1";
        Ok(sqlx::query_scalar(select).bind(recorder).fetch_optional(&self.pool).await?)
    }

    /// Up to `limit` exchanges of the same session before this one which were answered with the same object, the latest
    /// first.
    pub async fn earlier(
        &self,
        exchange: &ExchangeSummary,
        object: &ObjectRef,
        limit: u32,
    ) -> Result<Vec<ExchangeSummary>, StoreError> {
        let mut select = Statement::new("SELECT x.summary FROM exchanges x WHERE x.time < ");
        select.value(micros(exchange.time)).text(" AND x.status < 300 AND x.refused = 0");
        select.text(" AND x.verb IN ('get', 'create', 'update', 'patch')");
        let about = About {
            session: exchange.session.clone(),
            object: Some((object.clone(), Part::Itself)),
            ..About::default()
        };
        self.about(&about, &mut select);
        select.text(" AND x.resource = ").value(key(&object.resource).into_owned());
        select.text(" ORDER BY x.time DESC, x.exchange DESC LIMIT ").value(i64::from(limit));
        let rows = select.query().fetch_all(&self.pool).await?;
        rows.iter().map(|row| json(row, "summary")).collect()
    }
}

fn counts(row: &AnyRow) -> Result<Counts, StoreError> {
    Ok(Counts {
        requests: row.try_get("requests")?,
        writes: row.try_get("writes")?,
        refused: row.try_get("refused")?,
        masked: row.try_get("masked")?,
        incomplete: row.try_get("incomplete")?,
        unverified: row.try_get("unverified")?,
        first: row.try_get("first")?,
        last: row.try_get("last")?,
    })
}

impl Counts {
    /// When the first began.
    pub fn began(&self) -> Timestamp {
        Timestamp::from_micros(u64::try_from(self.first).unwrap_or(0))
    }
}
