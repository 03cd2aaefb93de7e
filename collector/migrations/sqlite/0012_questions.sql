-- What is asked for: exchanges of a model and of an agent in the order of time, and sessions by their namespaces.
CREATE INDEX exchanges_by_model ON exchanges (model, time) WHERE model IS NOT NULL;
CREATE INDEX exchanges_by_agent ON exchanges (agent, time) WHERE agent IS NOT NULL;
-- A prompt's exchanges are found by the sessions that have it, which are few.
DROP INDEX exchanges_by_prompt;
INSERT INTO session_values (session, kind, key, name, value, since)
    SELECT session, 'namespace', namespace, namespace, '', min(time) FROM exchanges
    WHERE session IS NOT NULL AND namespace IS NOT NULL GROUP BY session, namespace;
-- Exchanges in several entries: one may have the one word that is looked for and another the other.
CREATE INDEX entries_in_parts ON entries (exchange) WHERE type <> 'exchange' AND exchange IS NOT NULL;
