-- For which recorders an ingest token is: a name, or the beginning of names and `*`; none: for all.
ALTER TABLE tokens ADD COLUMN recorder TEXT;

-- 1 where somebody asked for what they may not have.
ALTER TABLE access_log ADD COLUMN refused BIGINT NOT NULL DEFAULT 0;
