-- What was received, exactly as it was received. Everything below `forks` is derived from `batches` and can be
-- built again from it. Times are microseconds since 1970-01-01T00:00:00Z.
CREATE TABLE batches (
    recorder  TEXT COLLATE "C" NOT NULL,
    batch     BIGINT  NOT NULL,
    previous  TEXT COLLATE "C" NOT NULL,          -- as the batch states it
    digest    TEXT COLLATE "C" NOT NULL,          -- SHA-256 of body, lower-case hex
    body      BYTEA   NOT NULL,
    signature TEXT COLLATE "C",                      -- the header as it came
    kid       TEXT COLLATE "C",                      -- the key that signed it; NULL where that was not checked
    received  BIGINT  NOT NULL,
    PRIMARY KEY (recorder, batch)
);

-- Other bytes under a number that is taken: an alarm. The bytes are kept, they are evidence too.
CREATE TABLE forks (
    recorder  TEXT COLLATE "C" NOT NULL,
    batch     BIGINT  NOT NULL,
    digest    TEXT COLLATE "C" NOT NULL,
    body      BYTEA   NOT NULL,
    signature TEXT COLLATE "C",
    kid       TEXT COLLATE "C",
    received  BIGINT  NOT NULL,
    PRIMARY KEY (recorder, batch, digest)
);

-- Where each entry stands in its batch: bytes start .. start + length of batches.body.
CREATE TABLE entries (
    recorder TEXT COLLATE "C" NOT NULL,
    batch    BIGINT NOT NULL,
    position BIGINT NOT NULL,
    type     TEXT COLLATE "C" NOT NULL,
    exchange TEXT COLLATE "C",
    start    BIGINT NOT NULL,
    length   BIGINT NOT NULL,
    PRIMARY KEY (recorder, batch, position)
);
CREATE INDEX entries_by_exchange ON entries (exchange) WHERE exchange IS NOT NULL;

-- One request and its response, merged from its entries. `summary` is the whole of it as JSON, without bodies;
-- the other columns are what is searched and sorted by.
CREATE TABLE exchanges (
    exchange    TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    recorder    TEXT COLLATE "C" NOT NULL,
    session     TEXT COLLATE "C",
    time        BIGINT  NOT NULL,
    state       TEXT COLLATE "C" NOT NULL,
    username    TEXT COLLATE "C",
    agent       TEXT COLLATE "C",
    model       TEXT COLLATE "C",
    prompt      TEXT COLLATE "C",
    verb        TEXT COLLATE "C",
    api_group   TEXT COLLATE "C",
    resource    TEXT COLLATE "C",
    namespace   TEXT COLLATE "C",
    name        TEXT COLLATE "C",
    status      BIGINT,
    masked      BIGINT  NOT NULL,
    summary     TEXT NOT NULL
);
CREATE INDEX exchanges_by_session ON exchanges (session, time, exchange);
CREATE INDEX exchanges_by_time ON exchanges (time, exchange);
CREATE INDEX exchanges_incomplete ON exchanges (recorder) WHERE state = 'incomplete';

CREATE TABLE sessions (
    session    TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    derived    TEXT COLLATE "C",                     -- whose it is, where the filter could not tell the session
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
    session TEXT COLLATE "C" NOT NULL,
    kind    TEXT COLLATE "C" NOT NULL,
    key     TEXT COLLATE "C" NOT NULL,   -- the value, or where that is long its beginning and its digest
    value   TEXT NOT NULL,
    since   BIGINT NOT NULL,
    PRIMARY KEY (session, kind, key)
);

CREATE TABLE recorders (
    recorder       TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    first_batch    BIGINT NOT NULL,
    last_batch     BIGINT NOT NULL,
    batches        BIGINT NOT NULL,
    entries        BIGINT NOT NULL,
    first_received BIGINT NOT NULL,
    last_received  BIGINT NOT NULL,
    open           TEXT                  -- the `open` entry as JSON
);

CREATE TABLE gaps (
    recorder TEXT COLLATE "C" NOT NULL,
    batch    BIGINT NOT NULL,
    position BIGINT NOT NULL,
    time     BIGINT NOT NULL,
    entries  BIGINT NOT NULL,
    bytes    BIGINT NOT NULL,
    reason   TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (recorder, batch, position)
);

-- One row that `/readyz` writes to, to know that the database can be written; `padding` is as large as the last batch
-- that could not be.
CREATE TABLE probes (
    id      BIGINT NOT NULL PRIMARY KEY,
    time    BIGINT NOT NULL,
    padding BYTEA  NOT NULL
);
