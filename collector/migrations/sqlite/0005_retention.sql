-- Sessions that are kept whatever their age.
CREATE TABLE holds (
    session TEXT   NOT NULL PRIMARY KEY,
    time    BIGINT NOT NULL
);

-- What was pruned of each chain: every batch below `first`, the last of which had the digest `previous`. `tombstone` says
-- so as JSON, and `signature` is a detached JWS over it.
CREATE TABLE prunings (
    recorder  TEXT   NOT NULL PRIMARY KEY,
    first     BIGINT NOT NULL,
    previous  TEXT   NOT NULL,
    tombstone TEXT   NOT NULL,
    signature TEXT   NOT NULL
);
