-- Sessions that are kept whatever their age.
CREATE TABLE holds (
    session TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    time    BIGINT NOT NULL
);

-- What was pruned of each chain: every batch below `first`, the last of which had the digest `previous`. `tombstone` says
-- so as JSON, and `signature` is a detached JWS over it.
CREATE TABLE prunings (
    recorder  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    first     BIGINT NOT NULL,
    previous  TEXT COLLATE "C" NOT NULL,
    tombstone TEXT COLLATE "C" NOT NULL,
    signature TEXT COLLATE "C" NOT NULL
);
