-- Smaller and faster: entries have their words; indexes do not repeat the exchange's id; summaries are bytes.
ALTER TABLE entries ADD COLUMN words TSVECTOR;
-- Words know the exchange and the batch, not which of its entries there: the first has the first one's, and so on.
UPDATE entries SET words = t.words
    FROM (SELECT *, row_number() OVER (PARTITION BY recorder, batch, exchange ORDER BY position) AS nth
        FROM entries WHERE exchange IS NOT NULL) e
    JOIN (SELECT *, row_number() OVER (PARTITION BY recorder, batch, exchange) AS nth FROM texts) t
    ON t.recorder = e.recorder AND t.batch = e.batch AND t.exchange = e.exchange AND t.nth = e.nth
    WHERE entries.recorder = e.recorder AND entries.batch = e.batch AND entries.position = e.position;
DROP TABLE texts;
CREATE INDEX entries_by_word ON entries USING GIN (words);

DROP INDEX exchanges_by_session;
DROP INDEX exchanges_by_time;
DROP INDEX exchanges_by_user;
DROP INDEX exchanges_by_object;
CREATE INDEX exchanges_by_session ON exchanges (session, time);
CREATE INDEX exchanges_by_time ON exchanges (time);
CREATE INDEX exchanges_by_user ON exchanges (username, time);
CREATE INDEX exchanges_by_object ON exchanges (namespace, resource, time);
-- Without the time, so that a prompt's hash is kept once: the exchanges of a prompt are few.
CREATE INDEX exchanges_by_prompt ON exchanges (prompt) WHERE prompt IS NOT NULL;
ALTER TABLE exchanges ALTER COLUMN summary TYPE BYTEA USING convert_to(summary, 'UTF8');

-- What sessions are looked for by.
ALTER TABLE session_values ADD COLUMN name TEXT COLLATE "C" NOT NULL DEFAULT '';
UPDATE session_values SET name = COALESCE(left(value::json->>(CASE kind WHEN 'user' THEN 'username' ELSE 'value' END), 512), '');
CREATE INDEX session_values_by_name ON session_values (kind, name);
