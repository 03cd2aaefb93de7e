-- Who is logged in. Of a session's id only the SHA-256 is kept, lower-case hex: the id has 256 random bits. `token` is what it
-- was logged in with, which ends the session when it ends.
CREATE TABLE logins (
    digest  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name    TEXT COLLATE "C" NOT NULL,
    role    TEXT COLLATE "C" NOT NULL,
    token   TEXT COLLATE "C",
    csrf    TEXT COLLATE "C" NOT NULL,
    created BIGINT NOT NULL,
    used    BIGINT NOT NULL
);

-- Links that log an admin in once.
CREATE TABLE login_links (
    digest  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    expires BIGINT NOT NULL
);

-- Logins that an OIDC issuer is to answer, by the SHA-256 of what the browser holds in a cookie.
CREATE TABLE login_flows (
    digest   TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    state    TEXT COLLATE "C" NOT NULL,
    nonce    TEXT COLLATE "C" NOT NULL,
    verifier TEXT COLLATE "C" NOT NULL,
    next     TEXT COLLATE "C" NOT NULL,
    expires  BIGINT NOT NULL
);
