-- Who may use the collector. Of a token's text only the SHA-256 is kept, lower-case hex: the text has 256 random bits.
CREATE TABLE tokens (
    id      TEXT   NOT NULL PRIMARY KEY,
    name    TEXT   NOT NULL,
    role    TEXT   NOT NULL,
    digest  TEXT   NOT NULL UNIQUE,
    created BIGINT NOT NULL,
    expires BIGINT,
    revoked BIGINT
);

-- Who read what.
CREATE TABLE access_log (
    time    BIGINT NOT NULL,
    id      TEXT   NOT NULL,
    name    TEXT   NOT NULL,
    token   TEXT,
    role    TEXT   NOT NULL,
    request TEXT   NOT NULL,
    PRIMARY KEY (time, id)
);
