-- Smaller and faster: entries have a number, which is also that of their words; indexes end where SQLite's own key of the
-- row goes on; summaries are bytes.
CREATE TABLE numbered (
    id       INTEGER PRIMARY KEY,
    recorder TEXT   NOT NULL,
    batch    BIGINT NOT NULL,
    position BIGINT NOT NULL,
    type     TEXT   NOT NULL,
    exchange TEXT,
    start    BIGINT NOT NULL,
    length   BIGINT NOT NULL
);
-- Words know the exchange and the batch, not which of its entries there: the first has the first one's, and so on.
INSERT INTO numbered
    SELECT t.id, e.recorder, e.batch, e.position, e.type, e.exchange, e.start, e.length
    FROM (SELECT *, row_number() OVER (PARTITION BY recorder, batch, exchange ORDER BY position) AS nth
        FROM entries WHERE exchange IS NOT NULL) e
    JOIN (SELECT *, row_number() OVER (PARTITION BY recorder, batch, exchange ORDER BY id) AS nth FROM texts) t
    ON t.recorder = e.recorder AND t.batch = e.batch AND t.exchange = e.exchange AND t.nth = e.nth;
CREATE UNIQUE INDEX entries_by_place ON numbered (recorder, batch, position);
INSERT OR IGNORE INTO numbered (recorder, batch, position, type, exchange, start, length)
    SELECT recorder, batch, position, type, exchange, start, length FROM entries ORDER BY recorder, batch, position;
DROP TABLE entries;
DROP TABLE texts;
ALTER TABLE numbered RENAME TO entries;
CREATE INDEX entries_by_exchange ON entries (exchange) WHERE exchange IS NOT NULL;

DROP INDEX exchanges_by_session;
DROP INDEX exchanges_by_time;
DROP INDEX exchanges_by_user;
DROP INDEX exchanges_by_object;
CREATE INDEX exchanges_by_session ON exchanges (session, time);
CREATE INDEX exchanges_by_time ON exchanges (time);
CREATE INDEX exchanges_by_user ON exchanges (username, time);
CREATE INDEX exchanges_by_object ON exchanges (namespace, resource, time);
CREATE INDEX exchanges_by_prompt ON exchanges (prompt) WHERE prompt IS NOT NULL;
UPDATE exchanges SET summary = CAST(summary AS BLOB);

-- What sessions are looked for by.
ALTER TABLE session_values ADD COLUMN name TEXT NOT NULL DEFAULT '';
UPDATE session_values SET name = COALESCE(json_extract(value, CASE kind WHEN 'user' THEN '$.username' ELSE '$.value' END), '');
CREATE INDEX session_values_by_name ON session_values (kind, name);
