-- In which order exchanges became known or changed their state: what a live tail goes on from. Of one transaction, all
-- numbers are taken while this row is locked, and it stays locked until the commit: whoever sees a number has seen all
-- below it.
CREATE TABLE changes (
    id   BIGINT NOT NULL PRIMARY KEY,
    last BIGINT NOT NULL
);
INSERT INTO changes (id, last) VALUES (1, 0);
ALTER TABLE exchanges ADD COLUMN changed BIGINT NOT NULL DEFAULT 0;
CREATE INDEX exchanges_by_change ON exchanges (changed);
