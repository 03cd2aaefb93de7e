-- Where a batch's bytes are kept that are not in `body`, which is empty then: a key below what `--bodies` names.
ALTER TABLE batches ADD COLUMN location TEXT;
ALTER TABLE forks ADD COLUMN location TEXT;
CREATE INDEX batches_by_location ON batches (location) WHERE location IS NOT NULL;
CREATE INDEX forks_by_location ON forks (location) WHERE location IS NOT NULL;

-- Objects that nothing names any more: to be removed, or removed (`done`) a while ago. What comes under such a key
-- meanwhile is kept in the database.
CREATE TABLE removals (
    location TEXT   NOT NULL PRIMARY KEY,
    time     BIGINT NOT NULL,
    done     BIGINT
);
