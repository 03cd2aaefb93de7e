-- What exchanges are looked for by.
ALTER TABLE exchanges ADD COLUMN refused BIGINT NOT NULL DEFAULT 0;
ALTER TABLE exchanges ADD COLUMN verified BIGINT NOT NULL DEFAULT 0;
ALTER TABLE exchanges ADD COLUMN user_groups TEXT NOT NULL DEFAULT '';   -- each between line ends
UPDATE exchanges SET
    refused = CASE WHEN state = 'refused' OR json_extract(summary, '$.decision.allowed') = 0 THEN 1 ELSE 0 END,
    verified = CASE WHEN json_extract(summary, '$.verified') = 1 THEN 1 ELSE 0 END,
    user_groups = COALESCE((SELECT group_concat(char(10) || replace(value, char(10), ' ') || char(10), '')
        FROM json_each(summary, '$.user.groups')), '');
CREATE INDEX exchanges_by_user ON exchanges (username, time, exchange);
CREATE INDEX exchanges_by_object ON exchanges (namespace, resource, time, exchange);

-- Which entry has which words. Entries from before this step are not in it.
CREATE TABLE texts (
    id       INTEGER PRIMARY KEY,
    exchange TEXT   NOT NULL,
    recorder TEXT   NOT NULL,
    batch    BIGINT NOT NULL
);
CREATE INDEX texts_by_batch ON texts (recorder, batch);
CREATE VIRTUAL TABLE text_words USING fts5(words, content='', contentless_delete=1, detail=none, tokenize='ascii');
