-- Locked while a session without a name is looked for, so that replicas do not make one each.
CREATE TABLE session_owners (
    owner TEXT COLLATE "C" NOT NULL PRIMARY KEY
);
