-- What exchanges are looked for by.
ALTER TABLE exchanges ADD COLUMN refused BIGINT NOT NULL DEFAULT 0;
ALTER TABLE exchanges ADD COLUMN verified BIGINT NOT NULL DEFAULT 0;
ALTER TABLE exchanges ADD COLUMN user_groups TEXT COLLATE "C" NOT NULL DEFAULT '';   -- each between line ends
UPDATE exchanges SET
    refused = CASE WHEN state = 'refused' OR summary::json->'decision'->>'allowed' = 'false' THEN 1 ELSE 0 END,
    verified = CASE WHEN summary::json->>'verified' = 'true' THEN 1 ELSE 0 END,
    user_groups = COALESCE((SELECT string_agg(chr(10) || replace(value, chr(10), ' ') || chr(10), '')
        FROM json_array_elements_text(summary::json->'user'->'groups')), '');
CREATE INDEX exchanges_by_user ON exchanges (username, time, exchange);
CREATE INDEX exchanges_by_object ON exchanges (namespace, resource, time, exchange);

-- Which entry has which words. Entries from before this step are not in it.
CREATE TABLE texts (
    exchange TEXT COLLATE "C" NOT NULL,
    recorder TEXT COLLATE "C" NOT NULL,
    batch    BIGINT NOT NULL,
    words    TSVECTOR NOT NULL
);
CREATE INDEX texts_by_batch ON texts (recorder, batch);
CREATE INDEX texts_by_word ON texts USING GIN (words);
