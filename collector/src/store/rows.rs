//! The rows of the index, table by table.

use super::StoreError;
use super::batch::{Located, ReceivedBatch, key};
use super::filter::listed;
use super::index::{SessionChange, micros};
use super::model::ExchangeSummary;
use super::packed::Summaries;
use super::schema::Dialect;
use super::statement::{Statement, chunks};
use chaperone_record::Entry;
use sqlx::AnyConnection;
use std::collections::{BTreeMap, BTreeSet};

/// Writes entries and their words; those of foreign ones are nothing that is looked for.
pub(super) async fn write_entries(
    connection: &mut AnyConnection,
    dialect: Dialect,
    batches: &[&ReceivedBatch],
    is_foreign: &(impl Fn(&ReceivedBatch, &Located) -> bool + Sync),
) -> Result<(), StoreError> {
    // Only SQLite's numbers are given here: it has one writer, and their words are kept apart.
    let numbered = dialect == Dialect::Sqlite;
    let highest = "SELECT COALESCE(max(id), 0) FROM entries";
    let mut id: i64 = match numbered {
        true => sqlx::query_scalar(highest).fetch_one(&mut *connection).await?,
        false => 0,
    };
    let mut rows = Vec::new();
    for batch in batches {
        for ((position, located), words) in batch.entries.iter().enumerate().zip(&batch.prepared().words) {
            id += 1;
            let words = Some(words.as_str()).filter(|words| !words.is_empty() && !is_foreign(batch, located));
            rows.push((id, *batch, position, located, words));
        }
    }
    for rows in chunks(&rows) {
        let mut insert = Statement::of_many(
            dialect,
            match dialect {
                Dialect::Sqlite => {
                    "INSERT INTO entries (recorder, batch, position, type, exchange, start, length, id) VALUES "
                }
                Dialect::Postgres => {
                    "INSERT INTO entries (recorder, batch, position, type, exchange, start, length, words) VALUES "
                }
            },
        );
        insert.each(rows, |row, (id, batch, position, located, words)| {
            row.text("(").value(batch.recorder.clone()).text(", ").value(batch.batch).text(", ");
            row.value(whole(*position)).text(", ").value(type_name(&located.entry)).text(", ");
            row.value(located.entry.exchange().map(str::to_owned)).text(", ").value(whole(located.start));
            row.text(", ").value(whole(located.length)).text(", ");
            match numbered {
                true => row.value(*id).text(")"),
                false => row.text("CAST(").value(words.map(str::to_owned)).text(" AS tsvector))"),
            };
        });
        insert.query().execute(&mut *connection).await?;
    }
    rows.retain(|(.., words)| numbered && words.is_some());
    for rows in chunks(&rows) {
        let mut insert = Statement::of_many(dialect, "INSERT INTO text_words (rowid, words) VALUES ");
        insert.each(rows, |row, (id, .., words)| {
            row.text("(").value(*id).text(", ").value(words.map(str::to_owned)).text(")");
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
    dialect: Dialect,
    batches: &[&ReceivedBatch],
) -> Result<(), StoreError> {
    // By name, so that every transaction takes their locks in the same order.
    let mut recorders: BTreeMap<&str, Vec<&ReceivedBatch>> = BTreeMap::new();
    for batch in batches {
        recorders.entry(&batch.recorder).or_default().push(batch);
    }
    let recorders: Vec<_> = recorders.into_iter().collect();
    for rows in chunks(&recorders) {
        let mut upsert = Statement::of_many(
            dialect,
            "INSERT INTO recorders \
            (recorder, first_batch, last_batch, batches, entries, first_received, last_received, open) VALUES ",
        );
        upsert.each(rows, |row, (recorder, batches)| {
            let numbers = batches.iter().map(|batch| batch.batch);
            let entries = batches.iter().map(|batch| batch.entries.len()).sum();
            let received = batches.iter().map(|batch| micros(batch.received));
            let open =
                batches.iter().flat_map(|batch| &batch.entries).find_map(|located| match &located.entry {
                    Entry::Open(open) => serde_json::to_string(open).ok(),
                    _ => None,
                });
            row.text("(").value((*recorder).to_owned()).text(", ").value(numbers.clone().min()).text(", ");
            row.value(numbers.max()).text(", ").value(whole(batches.len())).text(", ").value(whole(entries));
            row.text(", ").value(received.clone().min()).text(", ").value(received.max()).text(", ");
            row.value(open).text(")");
        });
        upsert.text(
            " ON CONFLICT (recorder) DO UPDATE SET \
            first_batch = CASE WHEN excluded.first_batch < recorders.first_batch THEN excluded.first_batch ELSE recorders.first_batch END, \
            last_batch = CASE WHEN excluded.last_batch > recorders.last_batch THEN excluded.last_batch ELSE recorders.last_batch END, \
            batches = recorders.batches + excluded.batches, entries = recorders.entries + excluded.entries, \
            last_received = CASE WHEN excluded.last_received > recorders.last_received THEN excluded.last_received ELSE recorders.last_received END, \
            open = COALESCE(recorders.open, excluded.open)",
        );
        upsert.query().execute(&mut *connection).await?;
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
    dialect: Dialect,
    owners: &BTreeSet<String>,
) -> Result<(), StoreError> {
    let owners: Vec<&String> = owners.iter().collect();
    for rows in chunks(&owners) {
        let mut upsert = Statement::of_many(dialect, "INSERT INTO session_owners (owner) VALUES ");
        upsert.each(rows, |row, owner| {
            row.text("(").value((*owner).clone()).text(")");
        });
        upsert.text(" ON CONFLICT (owner) DO UPDATE SET owner = excluded.owner");
        upsert.query().execute(&mut *connection).await?;
    }
    Ok(())
}

/// The insertion of exchanges; what to do about those that are there follows.
pub(super) fn insert_exchanges(dialect: Dialect, rows: &[&ExchangeSummary]) -> Result<Statement, StoreError> {
    let mut insert = Statement::of_many(
        dialect,
        "INSERT INTO exchanges (exchange, recorder, session, time, state, username, agent, model, prompt, \
        verb, api_group, resource, namespace, name, status, masked, refused, verified, user_groups, summary) VALUES ",
    );
    let mut packing = Summaries::new();
    let mut summary = |row: &&ExchangeSummary| {
        let summary = serde_json::to_vec(row).map_err(|_| StoreError::Damaged("an exchange's summary"))?;
        Ok::<_, StoreError>(packing.pack(summary))
    };
    let summaries: Vec<Vec<u8>> = rows.iter().map(&mut summary).collect::<Result<_, _>>()?;
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

pub(super) async fn write_exchanges(
    connection: &mut AnyConnection,
    dialect: Dialect,
    changed: &[&ExchangeSummary],
) -> Result<(), StoreError> {
    for rows in chunks(changed) {
        let mut upsert = insert_exchanges(dialect, rows)?;
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

pub(super) async fn write_sessions(
    connection: &mut AnyConnection,
    dialect: Dialect,
    sessions: BTreeMap<String, SessionChange>,
) -> Result<(), StoreError> {
    let sessions: Vec<_> = sessions.into_iter().collect();
    for rows in chunks(&sessions) {
        let mut upsert = Statement::of_many(
            dialect,
            "INSERT INTO sessions \
            (session, derived, started, ended, requests, writes, refused, failed, incomplete, unverified, masked) VALUES ",
        );
        upsert.each(rows, |row, (session, change)| {
            let totals = change.totals;
            row.text("(").value(session.clone()).text(", ").value(change.derived.clone()).text(", ");
            let numbers = [
                change.started,
                change.ended,
                totals.requests,
                totals.writes,
                totals.refused,
                totals.failed,
                totals.incomplete,
                totals.unverified,
                totals.masked,
            ];
            row.each(numbers, |row, number| {
                row.value(number);
            });
            row.text(")");
        });
        upsert.text(
            " ON CONFLICT (session) DO UPDATE SET \
            started = CASE WHEN excluded.started < sessions.started THEN excluded.started ELSE sessions.started END, \
            ended = CASE WHEN excluded.ended > sessions.ended THEN excluded.ended ELSE sessions.ended END, \
            requests = sessions.requests + excluded.requests, writes = sessions.writes + excluded.writes, \
            refused = sessions.refused + excluded.refused, failed = sessions.failed + excluded.failed, \
            incomplete = sessions.incomplete + excluded.incomplete, \
            unverified = sessions.unverified + excluded.unverified, masked = sessions.masked + excluded.masked",
        );
        upsert.query().execute(&mut *connection).await?;
    }
    Ok(())
}

pub(super) async fn write_values(
    connection: &mut AnyConnection,
    dialect: Dialect,
    changed: &[&ExchangeSummary],
) -> Result<(), StoreError> {
    // By key, so that every transaction takes their locks in the same order.
    let mut values = BTreeMap::new();
    for row in changed {
        let Some(session) = &row.session else { continue };
        for (kind, name, value) in row.session_values() {
            let first = (i64::MAX, key(name).into_owned(), value);
            let since = values.entry((session, kind, key(&first.2).into_owned())).or_insert(first);
            since.0 = since.0.min(micros(row.time));
        }
        // Namespaces are only looked for by: they have no value.
        let object = row.requested.as_ref().and_then(|head| head.object_ref.as_ref());
        if let Some(namespace) = object.map(|object| key(&object.namespace).into_owned()) {
            let first = (i64::MAX, namespace.clone(), String::new());
            let since = values.entry((session, "namespace", namespace)).or_insert(first);
            since.0 = since.0.min(micros(row.time));
        }
    }
    let values: Vec<_> = values.into_iter().collect();
    for rows in chunks(&values) {
        let mut insert = Statement::of_many(
            dialect,
            "INSERT INTO session_values (session, kind, key, name, value, since) VALUES ",
        );
        insert.each(rows, |row, ((session, kind, key), (since, name, value))| {
            row.text("(").value((*session).clone()).text(", ").value(*kind).text(", ").value(key.clone());
            row.text(", ")
                .value(name.clone())
                .text(", ")
                .value(value.clone())
                .text(", ")
                .value(*since)
                .text(")");
        });
        insert.text(
            " ON CONFLICT (session, kind, key) DO UPDATE SET since = excluded.since \
            WHERE excluded.since < session_values.since",
        );
        insert.query().execute(&mut *connection).await?;
    }
    Ok(())
}
