-- Whom finished exchanges are sent to, and up to which arrival. One replica at a time sends: who holds it until it expires.
CREATE TABLE forwards (
    destination TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    told        BIGINT NOT NULL,
    holder      TEXT COLLATE "C",
    expires     BIGINT NOT NULL
);

-- Batches in the order of their commits, as long as somebody is still to be told of them.
CREATE TABLE arrivals (
    number   BIGINT NOT NULL PRIMARY KEY,
    recorder TEXT COLLATE "C" NOT NULL,
    batch    BIGINT NOT NULL,
    received BIGINT NOT NULL
);
CREATE INDEX arrivals_by_batch ON arrivals (recorder, batch);

-- The last number of an arrival. Its one row is locked until a transaction ends, so that numbers follow commits.
CREATE TABLE arrival_numbers (
    id   BIGINT NOT NULL PRIMARY KEY,
    last BIGINT NOT NULL
);
INSERT INTO arrival_numbers (id, last) VALUES (1, 0);

-- Exchanges without an end when their arrival was told of.
CREATE TABLE forward_waiting (
    destination TEXT COLLATE "C" NOT NULL,
    exchange    TEXT COLLATE "C" NOT NULL,
    since       BIGINT NOT NULL,
    PRIMARY KEY (destination, exchange)
);
