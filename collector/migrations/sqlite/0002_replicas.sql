-- Locked while a session without a name is looked for, so that replicas do not make one each.
CREATE TABLE session_owners (
    owner TEXT NOT NULL PRIMARY KEY
);

-- Values of any length get a key that an index can hold: the value, or where that is long its beginning and its digest.
CREATE TABLE keyed_values (
    session TEXT   NOT NULL,
    kind    TEXT   NOT NULL,
    key     TEXT   NOT NULL,
    value   TEXT   NOT NULL,
    since   BIGINT NOT NULL,
    PRIMARY KEY (session, kind, key)
);
INSERT INTO keyed_values SELECT session, kind, value, value, since FROM session_values;
DROP TABLE session_values;
ALTER TABLE keyed_values RENAME TO session_values;
