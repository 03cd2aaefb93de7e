-- Who is logged in. Of a session's id only the SHA-256 is kept, lower-case hex: the id has 256 random bits. `token` is what it
-- was logged in with, which ends the session when it ends.
CREATE TABLE logins (
    digest  TEXT   NOT NULL PRIMARY KEY,
    name    TEXT   NOT NULL,
    role    TEXT   NOT NULL,
    token   TEXT,
    csrf    TEXT   NOT NULL,
    created BIGINT NOT NULL,
    used    BIGINT NOT NULL
);

-- Links that log an admin in once.
CREATE TABLE login_links (
    digest  TEXT   NOT NULL PRIMARY KEY,
    expires BIGINT NOT NULL
);

-- Logins that an OIDC issuer is to answer, by the SHA-256 of what the browser holds in a cookie.
CREATE TABLE login_flows (
    digest   TEXT   NOT NULL PRIMARY KEY,
    state    TEXT   NOT NULL,
    nonce    TEXT   NOT NULL,
    verifier TEXT   NOT NULL,
    next     TEXT   NOT NULL,
    expires  BIGINT NOT NULL
);
