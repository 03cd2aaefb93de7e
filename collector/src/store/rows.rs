//! The rows of the index, table by table.

use super::StoreError;
use super::batch::{Located, ReceivedBatch, key};
use super::filter::listed;
use super::index::{SessionChange, Text, micros};
use super::model::ExchangeSummary;
use super::schema::Dialect;
use super::statement::{ROWS, Statement};
use chaperone_record::Entry;
use sqlx::{AnyConnection, Row as _};
use std::collections::{BTreeMap, BTreeSet};

pub(super) async fn write_entries(
    connection: &mut AnyConnection,
    batches: &[&ReceivedBatch],
) -> Result<(), StoreError> {
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

pub(super) async fn write_recorders(
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

pub(super) async fn write_gaps(
    connection: &mut AnyConnection,
    batches: &[&ReceivedBatch],
) -> Result<(), StoreError> {
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
pub(super) async fn lock_owners(
    connection: &mut AnyConnection,
    owners: &BTreeSet<String>,
) -> Result<(), StoreError> {
    let upsert = "INSERT INTO session_owners (owner) VALUES ($1) ON CONFLICT (owner) DO UPDATE SET owner = excluded.owner";
    for owner in owners {
        sqlx::query(upsert).bind(owner).execute(&mut *connection).await?;
    }
    Ok(())
}

/// The insertion of exchanges; what to do about those that are there follows.
/// They get the numbers of change after `last`.
pub(super) fn insert_exchanges(
    rows: &[&ExchangeSummary],
    last: Option<i64>,
) -> Result<Statement, StoreError> {
    let mut insert = Statement::new(
        "INSERT INTO exchanges (exchange, recorder, session, time, state, username, agent, model, prompt, \
        verb, api_group, resource, namespace, name, status, masked, refused, verified, user_groups, changed, summary) VALUES ",
    );
    let summaries: Vec<String> = rows
        .iter()
        .map(|row| serde_json::to_string(row).map_err(|_| StoreError::Damaged("an exchange's summary")))
        .collect::<Result<_, _>>()?;
    insert.each(rows.iter().zip(summaries).zip(1..), |insert, ((row, summary), number)| {
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
        let changed = last.map_or(0, |last| last.saturating_add(number));
        insert.text(", ").value(groups).text(", ").value(changed).text(", ").value(summary).text(")");
    });
    Ok(insert)
}

pub(super) async fn write_exchanges(
    connection: &mut AnyConnection,
    changed: &[&ExchangeSummary],
    mut last: i64,
) -> Result<(), StoreError> {
    for rows in changed.chunks(ROWS) {
        let mut upsert = insert_exchanges(rows, Some(last))?;
        last = last.saturating_add(whole(rows.len()));
        upsert.text(
            " ON CONFLICT (exchange) DO UPDATE SET \
            changed = CASE WHEN exchanges.changed > 0 AND exchanges.state = excluded.state \
                AND exchanges.session = excluded.session THEN exchanges.changed ELSE excluded.changed END, \
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

pub(super) async fn write_sessions(
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

pub(super) async fn write_texts(
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
