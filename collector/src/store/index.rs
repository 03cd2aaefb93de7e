//! The index over entries. Changes of one transaction are gathered in memory and written once.

use super::StoreError;
use super::batch::{Located, ReceivedBatch, key};
use super::filter::listed;
use super::merge::Totals;
use super::model::ExchangeSummary;
use super::schema::Dialect;
use super::statement::{ROWS, Statement};
use super::words::words_of;
use crate::evidence::sha256_hex;
use chaperone_record::{Entry, Timestamp};
use sqlx::{AnyConnection, Row as _};
use std::collections::btree_map::Entry as Slot;
use std::collections::{BTreeMap, BTreeSet};

/// Requests of one user further apart than this belong to different derived sessions.
const SESSION_GAP: i64 = 30 * 60 * 1_000_000;

/// Microseconds as the database keeps them.
pub(super) fn micros(time: Timestamp) -> i64 {
    i64::try_from(time.micros()).unwrap_or(i64::MAX)
}

/// Takes up batches that were kept. Returns for each how many of its entries name an exchange of another recorder: they
/// are indexed but change nothing, because one chain must not be able to rewrite what another one told.
pub(super) async fn update(
    connection: &mut AnyConnection,
    dialect: Dialect,
    batches: &[&ReceivedBatch],
) -> Result<Vec<u64>, StoreError> {
    write_entries(connection, batches).await?;
    write_recorders(connection, batches).await?;
    write_gaps(connection, batches).await?;
    let mut index = Index::load(connection, dialect, batches).await?;
    let (mut foreign, mut texts) = (Vec::new(), Vec::new());
    for batch in batches {
        foreign.push(index.merge(batch, &mut texts));
    }
    index.write(connection).await?;
    write_texts(connection, dialect, &texts).await?;
    Ok(foreign)
}

/// The words of an entry.
struct Text<'b> {
    exchange: &'b str,
    batch: &'b ReceivedBatch,
    words: String,
}

impl<'b> Text<'b> {
    fn of(batch: &'b ReceivedBatch, located: &'b Located) -> Option<Self> {
        let end = located.start.checked_add(located.length)?;
        let words = words_of(batch.body.get(located.start..end)?);
        Some(Self { exchange: located.entry.exchange()?, batch, words }).filter(|text| !text.words.is_empty())
    }
}

/// What a transaction changes in the index.
struct Index {
    exchanges: BTreeMap<String, Change>,
    sessions: BTreeMap<String, SessionChange>,
}

/// An exchange before and after.
struct Change {
    before: Option<ExchangeSummary>,
    after: ExchangeSummary,
}

/// What to add to a session.
struct SessionChange {
    derived: Option<String>,
    started: i64,
    ended: i64,
    totals: Totals,
}

impl Index {
    /// The exchanges that the batches name, as they stand, each locked until the transaction ends. One that is new is
    /// put in first: there is nothing to lock otherwise, and another replica may be putting it in too.
    async fn load(
        connection: &mut AnyConnection,
        dialect: Dialect,
        batches: &[&ReceivedBatch],
    ) -> Result<Self, StoreError> {
        let mut exchanges = BTreeMap::new();
        for batch in batches {
            for exchange in batch.entries.iter().filter_map(|located| located.entry.exchange()) {
                if let Slot::Vacant(slot) = exchanges.entry(exchange.to_owned()) {
                    let after = ExchangeSummary::new(exchange, &batch.recorder, batch.received);
                    slot.insert(Change { before: None, after });
                }
            }
        }
        let new: Vec<&ExchangeSummary> = exchanges.values().map(|change| &change.after).collect();
        let mut known = BTreeSet::new();
        for rows in new.chunks(ROWS) {
            let mut insert = insert_exchanges(rows)?;
            insert.text(" ON CONFLICT (exchange) DO NOTHING RETURNING exchange");
            let put_in = insert.query().fetch_all(&mut *connection).await?;
            let put_in: Result<BTreeSet<String>, _> = put_in.iter().map(|row| row.try_get(0)).collect();
            let put_in = put_in?;
            let there = |row: &&&ExchangeSummary| !put_in.contains(&row.exchange);
            known.extend(rows.iter().filter(there).map(|row| row.exchange.clone()));
        }
        let known: Vec<String> = known.into_iter().collect();
        for names in known.chunks(ROWS) {
            let mut select = Statement::new("SELECT exchange, summary FROM exchanges WHERE exchange IN (");
            select.each(names, |select, name| {
                select.value(name.as_str());
            });
            select.text(") ORDER BY exchange");
            if dialect == Dialect::Postgres {
                select.text(" FOR UPDATE");
            }
            for row in select.query().fetch_all(&mut *connection).await? {
                let before: ExchangeSummary = serde_json::from_str(row.try_get("summary")?)
                    .map_err(|_| StoreError::Damaged("an exchange's summary"))?;
                let after = before.clone();
                exchanges.insert(row.try_get("exchange")?, Change { before: Some(before), after });
            }
        }
        Ok(Self { exchanges, sessions: BTreeMap::new() })
    }

    fn merge<'b>(&mut self, batch: &'b ReceivedBatch, texts: &mut Vec<Text<'b>>) -> u64 {
        let mut foreign = 0;
        for located in &batch.entries {
            let change = located.entry.exchange().and_then(|exchange| self.exchanges.get_mut(exchange));
            match change {
                Some(change) if change.after.recorder == batch.recorder => {
                    change.after.merge(located, batch.kid.is_some(), batch.received);
                    texts.extend(Text::of(batch, located));
                }
                Some(_) => foreign += 1,
                None => {}
            }
        }
        foreign
    }

    /// Writes everything gathered.
    async fn write(mut self, connection: &mut AnyConnection) -> Result<(), StoreError> {
        // In order of time, so that derived sessions grow forwards.
        let mut changes: Vec<Change> = std::mem::take(&mut self.exchanges).into_values().collect();
        changes.retain(|change| change.before.as_ref() != Some(&change.after));
        changes.sort_by(|a, b| (a.after.time, &a.after.exchange).cmp(&(b.after.time, &b.after.exchange)));
        let owner = |change: &Change| match change.after.session {
            None => change.after.derived_owner(),
            Some(_) => None,
        };
        lock_owners(connection, &changes.iter().filter_map(owner).collect()).await?;
        for change in &mut changes {
            let owner = owner(change);
            if let Some(owner) = &owner {
                change.after.session =
                    Some(self.derived_session(connection, owner, micros(change.after.time)).await?);
            }
            self.count(change, owner);
        }
        let changed: Vec<&ExchangeSummary> = changes.iter().map(|change| &change.after).collect();
        write_exchanges(connection, &changed).await?;
        write_sessions(connection, &self.sessions).await?;
        write_values(connection, &changed).await
    }

    /// The session of `owner` that a request at `time` continues, or a new one's id.
    async fn derived_session(
        &self,
        connection: &mut AnyConnection,
        owner: &str,
        time: i64,
    ) -> Result<String, StoreError> {
        let near = |change: &SessionChange| {
            change.derived.as_deref() == Some(owner)
                && change.started <= time.saturating_add(SESSION_GAP)
                && change.ended >= time.saturating_sub(SESSION_GAP)
        };
        if let Some((session, _)) = self.sessions.iter().find(|(_, change)| near(change)) {
            return Ok(session.clone());
        }
        let select = "SELECT session FROM sessions WHERE derived = $1 AND started <= $2 AND ended >= $3 \
            ORDER BY started LIMIT 1";
        let found: Option<String> = sqlx::query_scalar(select)
            .bind(owner)
            .bind(time.saturating_add(SESSION_GAP))
            .bind(time.saturating_sub(SESSION_GAP))
            .fetch_optional(connection)
            .await?;
        Ok(found.unwrap_or_else(|| {
            let digest = sha256_hex(format!("{owner}\n{time}").as_bytes());
            format!("auto-{}", digest.get(..16).unwrap_or(&digest))
        }))
    }

    fn count(&mut self, change: &Change, derived: Option<String>) {
        let Some(session) = &change.after.session else { return };
        if !change.after.is_placed() {
            return;
        }
        let before = change.before.as_ref().filter(|before| before.session.is_some() && before.is_placed());
        let old = before.map_or(Totals::default(), ExchangeSummary::totals);
        let (started, ended) = (micros(change.after.time), micros(change.after.last_moment()));
        let entry = self.sessions.entry(session.clone()).or_insert(SessionChange {
            derived: None,
            started,
            ended,
            totals: Totals::default(),
        });
        entry.derived = entry.derived.take().or(derived);
        entry.started = entry.started.min(started);
        entry.ended = entry.ended.max(ended);
        entry.totals = entry.totals.plus(change.after.totals().minus(old));
    }
}

async fn write_entries(connection: &mut AnyConnection, batches: &[&ReceivedBatch]) -> Result<(), StoreError> {
    let located = |batch| move |(position, located)| (batch, position, located);
    let rows: Vec<(&&ReceivedBatch, usize, &Located)> =
        batches.iter().flat_map(|batch| batch.entries.iter().enumerate().map(located(batch))).collect();
    for rows in rows.chunks(ROWS) {
        let mut insert = Statement::new(
            "INSERT INTO entries (recorder, batch, position, type, exchange, start, length) VALUES ",
        );
        insert.each(rows, |row, (batch, position, located)| {
            row.text("(").value(batch.recorder.as_str()).text(", ").value(batch.batch).text(", ");
            row.value(whole(*position)).text(", ").value(type_name(&located.entry)).text(", ");
            row.value(located.entry.exchange()).text(", ").value(whole(located.start)).text(", ");
            row.value(whole(located.length)).text(")");
        });
        insert.query().execute(&mut *connection).await?;
    }
    Ok(())
}

pub(super) fn whole(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn type_name(entry: &Entry) -> &'static str {
    match entry {
        Entry::Open(_) => "open",
        Entry::Request(_) => "request",
        Entry::Response(_) => "response",
        Entry::Exchange(_) => "exchange",
        Entry::Stream(_) => "stream",
        Entry::End(_) => "end",
        Entry::Gap(_) => "gap",
    }
}

async fn write_recorders(
    connection: &mut AnyConnection,
    batches: &[&ReceivedBatch],
) -> Result<(), StoreError> {
    let upsert = "INSERT INTO recorders \
        (recorder, first_batch, last_batch, batches, entries, first_received, last_received, open) \
        VALUES ($1, $2, $3, 1, $4, $5, $6, $7) ON CONFLICT (recorder) DO UPDATE SET \
        first_batch = CASE WHEN excluded.first_batch < recorders.first_batch THEN excluded.first_batch ELSE recorders.first_batch END, \
        last_batch = CASE WHEN excluded.last_batch > recorders.last_batch THEN excluded.last_batch ELSE recorders.last_batch END, \
        batches = recorders.batches + 1, entries = recorders.entries + excluded.entries, \
        last_received = CASE WHEN excluded.last_received > recorders.last_received THEN excluded.last_received ELSE recorders.last_received END, \
        open = COALESCE(recorders.open, excluded.open)";
    let mut batches = batches.to_vec();
    batches.sort_by_key(|batch| &batch.recorder);
    for batch in batches {
        let open = batch.entries.iter().find_map(|located| match &located.entry {
            Entry::Open(open) => serde_json::to_string(open).ok(),
            _ => None,
        });
        sqlx::query(upsert)
            .bind(&batch.recorder)
            .bind(batch.batch)
            .bind(batch.batch)
            .bind(whole(batch.entries.len()))
            .bind(micros(batch.received))
            .bind(micros(batch.received))
            .bind(open)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

async fn write_gaps(connection: &mut AnyConnection, batches: &[&ReceivedBatch]) -> Result<(), StoreError> {
    let insert = "INSERT INTO gaps (recorder, batch, position, time, entries, bytes, reason) \
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    for batch in batches {
        for (position, located) in batch.entries.iter().enumerate() {
            let Entry::Gap(gap) = &located.entry else { continue };
            sqlx::query(insert)
                .bind(&batch.recorder)
                .bind(batch.batch)
                .bind(whole(position))
                .bind(micros(gap.time))
                .bind(i64::try_from(gap.entries).unwrap_or(i64::MAX))
                .bind(i64::try_from(gap.bytes).unwrap_or(i64::MAX))
                .bind(key(&gap.reason).as_ref())
                .execute(&mut *connection)
                .await?;
        }
    }
    Ok(())
}

/// Locks owners' unnamed sessions against other replicas.
async fn lock_owners(connection: &mut AnyConnection, owners: &BTreeSet<String>) -> Result<(), StoreError> {
    let upsert = "INSERT INTO session_owners (owner) VALUES ($1) ON CONFLICT (owner) DO UPDATE SET owner = excluded.owner";
    for owner in owners {
        sqlx::query(upsert).bind(owner).execute(&mut *connection).await?;
    }
    Ok(())
}

/// The insertion of exchanges; what to do about those that are there follows.
fn insert_exchanges(rows: &[&ExchangeSummary]) -> Result<Statement, StoreError> {
    let mut insert = Statement::new(
        "INSERT INTO exchanges (exchange, recorder, session, time, state, username, agent, model, prompt, \
        verb, api_group, resource, namespace, name, status, masked, refused, verified, user_groups, summary) VALUES ",
    );
    let summaries: Vec<String> = rows
        .iter()
        .map(|row| serde_json::to_string(row).map_err(|_| StoreError::Damaged("an exchange's summary")))
        .collect::<Result<_, _>>()?;
    insert.each(rows.iter().zip(summaries), |insert, (row, summary)| {
        let head = row.requested.as_ref();
        let attribution = head.map(|head| &head.attribution);
        let object = head.and_then(|head| head.object_ref.as_ref());
        let resource = object.map(|object| match object.subresource.as_str() {
            "" => object.resource.clone(),
            subresource => format!("{}/{subresource}", object.resource),
        });
        let name = object.map(|object| object.name.as_str()).filter(|name| !name.is_empty());
        let texts = [
            Some(row.exchange.as_str()),
            Some(&row.recorder),
            row.session.as_deref(),
            head.and_then(|head| head.user.as_ref()).map(|user| user.username.as_str()),
            attribution.and_then(|a| a.agent.as_ref()).map(|value| value.value.as_str()),
            attribution.and_then(|a| a.model.as_ref()).map(|value| value.value.as_str()),
            attribution.and_then(|a| a.prompt.as_ref()).map(|value| value.value.as_str()),
            head.map(|head| head.verb.as_str()),
            object.map(|object| object.api_group.as_str()),
            resource.as_deref(),
            object.map(|object| object.namespace.as_str()),
            name.or(row.object_name.as_deref()),
        ];
        let [
            exchange,
            recorder,
            session,
            username,
            agent,
            model,
            prompt,
            verb,
            group,
            resource,
            namespace,
            name,
        ] = texts.map(|text| text.map(|text| key(text).into_owned()));
        insert.text("(");
        insert.each([exchange, recorder, session], |row, text| {
            row.value(text);
        });
        insert.text(", ").value(micros(row.time)).text(", ").value(row.state.as_str()).text(", ");
        let rest = [username, agent, model, prompt, verb, group, resource, namespace, name];
        insert.each(rest, |row, text| {
            row.value(text);
        });
        insert.text(", ").value(row.response_status.as_ref().map(|status| i64::from(status.code)));
        insert.text(", ").value(i64::try_from(row.masked_values()).unwrap_or(i64::MAX));
        let groups = head.and_then(|head| head.user.as_ref()).map_or(&[][..], |user| &user.groups);
        let groups: String = groups.iter().map(|group| listed(group)).collect();
        insert.text(", ").value(i64::from(row.is_refused())).text(", ").value(i64::from(row.verified));
        insert.text(", ").value(groups).text(", ").value(summary).text(")");
    });
    Ok(insert)
}

async fn write_exchanges(
    connection: &mut AnyConnection,
    changed: &[&ExchangeSummary],
) -> Result<(), StoreError> {
    for rows in changed.chunks(ROWS) {
        let mut upsert = insert_exchanges(rows)?;
        upsert.text(
            " ON CONFLICT (exchange) DO UPDATE SET \
            session = excluded.session, time = excluded.time, state = excluded.state, username = excluded.username, \
            agent = excluded.agent, model = excluded.model, prompt = excluded.prompt, verb = excluded.verb, \
            api_group = excluded.api_group, resource = excluded.resource, namespace = excluded.namespace, \
            name = excluded.name, status = excluded.status, masked = excluded.masked, refused = excluded.refused, verified = excluded.verified, \
            user_groups = excluded.user_groups, summary = excluded.summary",
        );
        upsert.query().execute(&mut *connection).await?;
    }
    Ok(())
}

async fn write_sessions(
    connection: &mut AnyConnection,
    sessions: &BTreeMap<String, SessionChange>,
) -> Result<(), StoreError> {
    let upsert = "INSERT INTO sessions \
        (session, derived, started, ended, requests, writes, refused, failed, incomplete, unverified, masked) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (session) DO UPDATE SET \
        started = CASE WHEN excluded.started < sessions.started THEN excluded.started ELSE sessions.started END, \
        ended = CASE WHEN excluded.ended > sessions.ended THEN excluded.ended ELSE sessions.ended END, \
        requests = sessions.requests + excluded.requests, writes = sessions.writes + excluded.writes, \
        refused = sessions.refused + excluded.refused, failed = sessions.failed + excluded.failed, \
        incomplete = sessions.incomplete + excluded.incomplete, \
        unverified = sessions.unverified + excluded.unverified, masked = sessions.masked + excluded.masked";
    for (session, change) in sessions {
        let totals = change.totals;
        sqlx::query(upsert)
            .bind(session)
            .bind(&change.derived)
            .bind(change.started)
            .bind(change.ended)
            .bind(totals.requests)
            .bind(totals.writes)
            .bind(totals.refused)
            .bind(totals.failed)
            .bind(totals.incomplete)
            .bind(totals.unverified)
            .bind(totals.masked)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

async fn write_texts(
    connection: &mut AnyConnection,
    dialect: Dialect,
    texts: &[Text<'_>],
) -> Result<(), StoreError> {
    let place = |row: &mut Statement, text: &Text<'_>| {
        row.text("(").value(text.exchange).text(", ").value(text.batch.recorder.as_str());
        row.text(", ").value(text.batch.batch);
    };
    match dialect {
        Dialect::Sqlite => {
            for text in texts {
                let mut insert = Statement::new("INSERT INTO texts (exchange, recorder, batch) VALUES ");
                place(&mut insert, text);
                insert.text(") RETURNING id");
                let id: i64 = insert.query().fetch_one(&mut *connection).await?.try_get(0)?;
                let insert = "INSERT INTO text_words (rowid, words) VALUES ($1, $2)";
                sqlx::query(insert).bind(id).bind(&text.words).execute(&mut *connection).await?;
            }
        }
        Dialect::Postgres => {
            for rows in texts.chunks(ROWS) {
                let mut insert =
                    Statement::new("INSERT INTO texts (exchange, recorder, batch, words) VALUES ");
                insert.each(rows, |row, text| {
                    place(row, text);
                    row.text(", CAST(").value(text.words.as_str()).text(" AS tsvector))");
                });
                insert.query().execute(&mut *connection).await?;
            }
        }
    }
    Ok(())
}

pub(super) async fn write_values(
    connection: &mut AnyConnection,
    changed: &[&ExchangeSummary],
) -> Result<(), StoreError> {
    // By key, so that every transaction takes their locks in the same order.
    let mut values = BTreeMap::new();
    for row in changed {
        let Some(session) = &row.session else { continue };
        for (kind, value) in row.session_values() {
            let since = values.entry((session, kind, key(&value).into_owned())).or_insert((i64::MAX, value));
            since.0 = since.0.min(micros(row.time));
        }
    }
    let values: Vec<_> = values.into_iter().collect();
    for rows in values.chunks(ROWS) {
        let mut insert =
            Statement::new("INSERT INTO session_values (session, kind, key, value, since) VALUES ");
        insert.each(rows, |row, ((session, kind, key), (since, value))| {
            row.text("(").value(session.as_str()).text(", ").value(*kind).text(", ").value(key.as_str());
            row.text(", ").value(value.as_str()).text(", ").value(*since).text(")");
        });
        insert.text(
            " ON CONFLICT (session, kind, key) DO UPDATE SET since = excluded.since \
            WHERE excluded.since < session_values.since",
        );
        insert.query().execute(&mut *connection).await?;
    }
    Ok(())
}
