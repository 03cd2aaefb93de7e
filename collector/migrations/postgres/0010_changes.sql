-- In which order exchanges became known or changed their state: what a live tail goes on from. The last million.
CREATE TABLE changes (
    number   BIGINT NOT NULL PRIMARY KEY,
    exchange TEXT COLLATE "C" NOT NULL
);

-- The last number of a change. Its one row is locked until a transaction ends, so that numbers follow commits: whoever sees
-- a number has seen all below it.
CREATE TABLE change_numbers (
    id   BIGINT NOT NULL PRIMARY KEY,
    last BIGINT NOT NULL
);
INSERT INTO change_numbers (id, last) VALUES (1, 0);
