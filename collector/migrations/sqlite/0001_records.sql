-- What was received, exactly as it was received. Everything below `forks` is derived from `batches` and can be
-- built again from it. Times are microseconds since 1970-01-01T00:00:00Z.
CREATE TABLE batches (
    recorder  TEXT    NOT NULL,
    batch     BIGINT  NOT NULL,
    previous  TEXT    NOT NULL,          -- as the batch states it
    digest    TEXT    NOT NULL,          -- SHA-256 of body, lower-case hex
    body      BLOB    NOT NULL,
    signature TEXT,                      -- the header as it came
    kid       TEXT,                      -- the key that signed it; NULL where that was not checked
    received  BIGINT  NOT NULL,
    PRIMARY KEY (recorder, batch)
);

-- Other bytes under a number that is taken: an alarm. The bytes are kept, they are evidence too.
CREATE TABLE forks (
    recorder  TEXT    NOT NULL,
    batch     BIGINT  NOT NULL,
    digest    TEXT    NOT NULL,
    body      BLOB    NOT NULL,
    signature TEXT,
    kid       TEXT,
    received  BIGINT  NOT NULL,
    PRIMARY KEY (recorder, batch, digest)
);

-- Where each entry stands in its batch: bytes start .. start + length of batches.body.
CREATE TABLE entries (
    recorder TEXT   NOT NULL,
    batch    BIGINT NOT NULL,
    position BIGINT NOT NULL,
    type     TEXT   NOT NULL,
    exchange TEXT,
    start    BIGINT NOT NULL,
    length   BIGINT NOT NULL,
    PRIMARY KEY (recorder, batch, position)
);
CREATE INDEX entries_by_exchange ON entries (exchange) WHERE exchange IS NOT NULL;

-- One request and its response, merged from its entries. `summary` is the whole of it as JSON, without bodies;
-- the other columns are what is searched and sorted by.
CREATE TABLE exchanges (
    exchange    TEXT    NOT NULL PRIMARY KEY,
    recorder    TEXT    NOT NULL,
    session     TEXT,
    time        BIGINT  NOT NULL,
    state       TEXT    NOT NULL,
    username    TEXT,
    agent       TEXT,
    model       TEXT,
    prompt      TEXT,
    verb        TEXT,
    api_group   TEXT,
    resource    TEXT,
    namespace   TEXT,
    name        TEXT,
    status      BIGINT,
    masked      BIGINT  NOT NULL,
    summary     TEXT    NOT NULL
);
CREATE INDEX exchanges_by_session ON exchanges (session, time, exchange);
CREATE INDEX exchanges_by_time ON exchanges (time, exchange);
CREATE INDEX exchanges_incomplete ON exchanges (recorder) WHERE state = 'incomplete';

CREATE TABLE sessions (
    session    TEXT   NOT NULL PRIMARY KEY,
    derived    TEXT,                     -- whose it is, where the filter could not tell the session
    started    BIGINT NOT NULL,
    ended      BIGINT NOT NULL,
    requests   BIGINT NOT NULL,
    writes     BIGINT NOT NULL,
    refused    BIGINT NOT NULL,
    failed     BIGINT NOT NULL,
    incomplete BIGINT NOT NULL,
    unverified BIGINT NOT NULL,
    masked     BIGINT NOT NULL
);
CREATE INDEX sessions_by_time ON sessions (started, session);
CREATE INDEX sessions_by_derived ON sessions (derived, started) WHERE derived IS NOT NULL;

-- The users, agents, models and prompts of a session, each as JSON and once.
CREATE TABLE session_values (
    session TEXT   NOT NULL,
    kind    TEXT   NOT NULL,
    value   TEXT   NOT NULL,
    since   BIGINT NOT NULL,
    PRIMARY KEY (session, kind, value)
);

CREATE TABLE recorders (
    recorder       TEXT   NOT NULL PRIMARY KEY,
    first_batch    BIGINT NOT NULL,
    last_batch     BIGINT NOT NULL,
    batches        BIGINT NOT NULL,
    entries        BIGINT NOT NULL,
    first_received BIGINT NOT NULL,
    last_received  BIGINT NOT NULL,
    open           TEXT                  -- the `open` entry as JSON
);

CREATE TABLE gaps (
    recorder TEXT   NOT NULL,
    batch    BIGINT NOT NULL,
    position BIGINT NOT NULL,
    time     BIGINT NOT NULL,
    entries  BIGINT NOT NULL,
    bytes    BIGINT NOT NULL,
    reason   TEXT   NOT NULL,
    PRIMARY KEY (recorder, batch, position)
);

-- One row that `/readyz` writes to, to know that the database can be written; `padding` is as large as the last batch
-- that could not be.
CREATE TABLE probes (
    id      BIGINT NOT NULL PRIMARY KEY,
    time    BIGINT NOT NULL,
    padding BLOB   NOT NULL
);
