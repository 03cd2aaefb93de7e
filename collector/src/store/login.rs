//! Who is logged in, and what leads to it: links that work once, and logins that an issuer is to answer. All replicas
//! share them. Of what lets somebody in only the digest is kept.

use super::StoreError;
use super::access::{Role, moment};
use super::index::micros;
use super::read::Reader;
use super::schema::Dialect;
use super::write::{Writer, begin, bounded, transaction};
use crate::evidence::sha256_hex;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chaperone_record::Timestamp;
use sqlx::{AnyConnection, Connection as _, Row as _};
use std::time::Duration;
use zeroize::Zeroizing;

/// How long a link, or an issuer's answer, may be waited for.
pub const PENDING: Duration = Duration::from_secs(15 * 60);

/// A session of somebody who is logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// Who.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// What they logged in with, where that was a token: its id, or what stands for the configured one.
    pub token: Option<String>,
    /// What their forms carry.
    pub csrf: String,
    /// When they logged in.
    pub created: Timestamp,
    /// When they were last seen, give or take a minute.
    pub used: Timestamp,
}

/// How long a session lasts.
#[derive(Clone, Copy, Debug)]
pub struct Lifetime {
    /// Without being used.
    pub idle: Duration,
    /// In any case.
    pub absolute: Duration,
}

/// A login that an OIDC issuer is to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// What the answer must carry.
    pub state: String,
    /// What the ID token must carry.
    pub nonce: String,
    /// What the code was bound to (PKCE).
    pub verifier: String,
    /// Where to go then.
    pub next: String,
}

/// 256 random bits as text.
pub fn secret() -> Result<Zeroizing<String>, getrandom::Error> {
    let mut secret = Zeroizing::new([0_u8; 32]);
    getrandom::fill(&mut *secret)?;
    Ok(Zeroizing::new(URL_SAFE_NO_PAD.encode(secret.as_slice())))
}

/// True for a text that may be of [`secret`]: nothing else is looked up.
pub fn is_secret(text: &str) -> bool {
    text.len() == 43 && text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_')
}

/// So long before a moment; where that would be before 1970, 1970.
fn before(now: Timestamp, span: Duration) -> i64 {
    micros(now).saturating_sub(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)).max(0)
}

impl Writer {
    /// Logs somebody in under a session's id, and forgets all sessions that are over.
    pub async fn log_in(&mut self, id: &str, login: &Login, lifetime: Lifetime) -> Result<(), StoreError> {
        let digest = sha256_hex(id.as_bytes());
        transaction!(self, |connection, dialect| log_in(connection, dialect, &digest, login, lifetime))
    }

    /// Notes that a session is in use.
    pub async fn touch_login(&mut self, id: &str, now: Timestamp) -> Result<(), StoreError> {
        let digest = sha256_hex(id.as_bytes());
        transaction!(self, |connection, dialect| touch(connection, dialect, &digest, now))
    }

    /// Ends a session.
    pub async fn log_out(&mut self, id: &str) -> Result<(), StoreError> {
        let digest = sha256_hex(id.as_bytes());
        transaction!(self, |connection, dialect| log_out(connection, dialect, &digest))
    }

    /// Keeps a link's secret.
    pub async fn add_link(&mut self, secret: &str, now: Timestamp) -> Result<(), StoreError> {
        let digest = sha256_hex(secret.as_bytes());
        transaction!(self, |connection, dialect| add_link(connection, dialect, &digest, now))
    }

    /// Uses a link up; false where it is not good.
    pub async fn take_link(&mut self, secret: &str, now: Timestamp) -> Result<bool, StoreError> {
        let digest = sha256_hex(secret.as_bytes());
        transaction!(self, |connection, dialect| take_link(connection, dialect, &digest, now))
    }

    /// Keeps a login that an issuer is to answer, by what the browser holds.
    pub async fn add_flow(&mut self, browser: &str, flow: &Flow, now: Timestamp) -> Result<(), StoreError> {
        let digest = sha256_hex(browser.as_bytes());
        transaction!(self, |connection, dialect| add_flow(connection, dialect, &digest, flow, now))
    }

    /// Uses such a login up; none where there is none.
    pub async fn take_flow(&mut self, browser: &str, now: Timestamp) -> Result<Option<Flow>, StoreError> {
        let digest = sha256_hex(browser.as_bytes());
        transaction!(self, |connection, dialect| take_flow(connection, dialect, &digest, now))
    }
}

async fn log_in(
    connection: &mut AnyConnection,
    dialect: Dialect,
    digest: &str,
    login: &Login,
    lifetime: Lifetime,
) -> Result<(), StoreError> {
    let insert = "INSERT INTO logins (digest, name, role, token, csrf, created, used) VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let mut transaction = connection.begin_with(begin(dialect)).await?;
    sqlx::query("DELETE FROM logins WHERE created < $1 OR used < $2")
        .bind(before(login.created, lifetime.absolute))
        .bind(before(login.created, lifetime.idle))
        .execute(&mut *transaction)
        .await?;
    sqlx::query(insert)
        .bind(digest)
        .bind(&login.name)
        .bind(login.role.as_str())
        .bind(&login.token)
        .bind(&login.csrf)
        .bind(micros(login.created))
        .bind(micros(login.used))
        .execute(&mut *transaction)
        .await?;
    Ok(transaction.commit().await?)
}

async fn touch(
    connection: &mut AnyConnection,
    dialect: Dialect,
    digest: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut transaction = connection.begin_with(begin(dialect)).await?;
    sqlx::query("UPDATE logins SET used = $1 WHERE digest = $2 AND used < $1")
        .bind(micros(now))
        .bind(digest)
        .execute(&mut *transaction)
        .await?;
    Ok(transaction.commit().await?)
}

async fn log_out(connection: &mut AnyConnection, dialect: Dialect, digest: &str) -> Result<(), StoreError> {
    let mut transaction = connection.begin_with(begin(dialect)).await?;
    sqlx::query("DELETE FROM logins WHERE digest = $1").bind(digest).execute(&mut *transaction).await?;
    Ok(transaction.commit().await?)
}

async fn add_link(
    connection: &mut AnyConnection,
    dialect: Dialect,
    digest: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut transaction = connection.begin_with(begin(dialect)).await?;
    sqlx::query("DELETE FROM login_links WHERE expires <= $1")
        .bind(micros(now))
        .execute(&mut *transaction)
        .await?;
    sqlx::query("INSERT INTO login_links (digest, expires) VALUES ($1, $2)")
        .bind(digest)
        .bind(micros(now.later(PENDING)))
        .execute(&mut *transaction)
        .await?;
    Ok(transaction.commit().await?)
}

async fn take_link(
    connection: &mut AnyConnection,
    dialect: Dialect,
    digest: &str,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let mut transaction = connection.begin_with(begin(dialect)).await?;
    let done = sqlx::query("DELETE FROM login_links WHERE digest = $1 AND expires > $2")
        .bind(digest)
        .bind(micros(now))
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(done.rows_affected() == 1)
}

async fn add_flow(
    connection: &mut AnyConnection,
    dialect: Dialect,
    digest: &str,
    flow: &Flow,
    now: Timestamp,
) -> Result<(), StoreError> {
    let insert = "INSERT INTO login_flows (digest, state, nonce, verifier, next, expires) VALUES ($1, $2, $3, $4, $5, $6)";
    let mut transaction = connection.begin_with(begin(dialect)).await?;
    sqlx::query("DELETE FROM login_flows WHERE expires <= $1")
        .bind(micros(now))
        .execute(&mut *transaction)
        .await?;
    sqlx::query(insert)
        .bind(digest)
        .bind(&flow.state)
        .bind(&flow.nonce)
        .bind(&flow.verifier)
        .bind(&flow.next)
        .bind(micros(now.later(PENDING)))
        .execute(&mut *transaction)
        .await?;
    Ok(transaction.commit().await?)
}

async fn take_flow(
    connection: &mut AnyConnection,
    dialect: Dialect,
    digest: &str,
    now: Timestamp,
) -> Result<Option<Flow>, StoreError> {
    let delete =
        "DELETE FROM login_flows WHERE digest = $1 AND expires > $2 RETURNING state, nonce, verifier, next";
    let mut transaction = connection.begin_with(begin(dialect)).await?;
    let query = sqlx::query(delete).bind(digest).bind(micros(now));
    let row = query.fetch_optional(&mut *transaction).await?;
    transaction.commit().await?;
    row.map(|row| {
        Ok(Flow {
            state: row.try_get("state")?,
            nonce: row.try_get("nonce")?,
            verifier: row.try_get("verifier")?,
            next: row.try_get("next")?,
        })
    })
    .transpose()
}

impl Reader {
    /// The session with this id, where it is not over, and neither is the token it was logged in with.
    pub async fn login(
        &self,
        id: &str,
        now: Timestamp,
        lifetime: Lifetime,
    ) -> Result<Option<Login>, StoreError> {
        let select = "SELECT * FROM logins l WHERE digest = $1 AND created >= $2 AND used >= $3 \
            AND NOT EXISTS (SELECT 1 FROM tokens t WHERE t.id = l.token AND (t.revoked IS NOT NULL OR t.expires <= $4))";
        let query = sqlx::query(select)
            .bind(sha256_hex(id.as_bytes()))
            .bind(before(now, lifetime.absolute))
            .bind(before(now, lifetime.idle))
            .bind(micros(now));
        let row = query.fetch_optional(&self.pool).await?;
        row.map(|row| {
            Ok(Login {
                name: row.try_get("name")?,
                role: Role::of(row.try_get("role")?)?,
                token: row.try_get("token")?,
                csrf: row.try_get("csrf")?,
                created: moment(row.try_get("created")?),
                used: moment(row.try_get("used")?),
            })
        })
        .transpose()
    }

    /// True where somebody is, or can be, an admin: by a good token, or logged in.
    pub async fn has_admin(&self, now: Timestamp, lifetime: Lifetime) -> Result<bool, StoreError> {
        let select = "SELECT (SELECT count(*) FROM tokens WHERE role = 'admin' AND revoked IS NULL AND (expires IS NULL OR expires > $1)) \
            + (SELECT count(*) FROM logins WHERE role = 'admin' AND created >= $2 AND used >= $3)";
        let query = sqlx::query_scalar::<_, i64>(select)
            .bind(micros(now))
            .bind(before(now, lifetime.absolute))
            .bind(before(now, lifetime.idle));
        Ok(query.fetch_one(&self.pool).await? > 0)
    }
}
