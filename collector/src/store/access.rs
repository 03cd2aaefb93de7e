//! Who may use the collector, and who read what: tokens, of which only digests are kept, and the access log.

use super::StoreError;
use super::index::micros;
use super::read::Reader;
use super::schema::Dialect;
use super::statement::Statement;
use super::write::{Writer, begin, bounded, transaction};
use crate::evidence::sha256_hex;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chaperone_record::Timestamp;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Connection as _, Row as _};
use utoipa::ToSchema;
use zeroize::Zeroizing;

/// What every token begins with, so that scanners for leaked secrets know one when they see it.
const PREFIX: &str = "chaperone_";

/// Longest request that the access log holds, in characters; of longer ones the beginning.
pub const MAX_REQUEST: usize = 8192;

/// Longest recorder that a token is bound to.
const MAX_RECORDER: usize = 128;

/// What a token lets its holder do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// Post records, and nothing else: for filters.
    Ingest,
    /// Read records.
    Auditor,
    /// Read records, the access log and the list of tokens.
    Admin,
}

impl Role {
    /// The word that stands for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Auditor => "auditor",
            Self::Admin => "admin",
        }
    }

    pub(super) fn of(word: &str) -> Result<Self, StoreError> {
        [Self::Ingest, Self::Auditor, Self::Admin]
            .into_iter()
            .find(|role| role.as_str() == word)
            .ok_or(StoreError::Damaged("a token's role"))
    }
}

/// A token as it is listed: never its text, which nobody but its holder has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenSummary {
    /// Names it, for `revoke`.
    pub id: String,
    /// Whose it is.
    pub name: String,
    /// What it lets its holder do.
    pub role: Role,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends; none where it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Timestamp>,
    /// The only recorder that it posts for: a name, or the beginning of names and `*`; none where it posts for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorder: Option<RecorderPattern>,
}

/// Recorders that a token may post for: one by its name, or all whose names begin so: `gateway-1.*`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String)]
pub struct RecorderPattern(String);

/// A text that names no recorder.
#[derive(Debug, thiserror::Error)]
#[error(
    "a recorder has 1 to 128 letters, digits, `-`, `.`, `_` or `:`; a `*` at the end stands for any of them"
)]
pub struct BadPattern;

impl RecorderPattern {
    /// True for a recorder that it names.
    pub fn takes(&self, recorder: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(beginning) => recorder.starts_with(beginning),
            None => recorder == self.0,
        }
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for RecorderPattern {
    type Error = BadPattern;

    fn try_from(text: String) -> Result<Self, BadPattern> {
        let name = text.strip_suffix('*').unwrap_or(&text);
        let plain = |c: u8| c.is_ascii_alphanumeric() || b"-._:".contains(&c);
        let good = !name.is_empty() && name.len() <= MAX_RECORDER && name.bytes().all(plain);
        if good { Ok(Self(text)) } else { Err(BadPattern) }
    }
}

impl From<RecorderPattern> for String {
    fn from(pattern: RecorderPattern) -> Self {
        pattern.0
    }
}

impl TokenSummary {
    /// True where filters can post with it.
    pub fn posts(&self, now: Timestamp) -> bool {
        self.role == Role::Ingest
            && self.revoked.is_none()
            && self.expires.is_none_or(|expires| expires > now)
    }
}

/// One reading of records by somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Access {
    /// When.
    pub time: Timestamp,
    /// Whose token it was.
    pub name: String,
    /// The token's id; none for the one that is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// What its role was.
    pub role: Role,
    /// What was asked for: `GET /v1/sessions?user=alice`.
    pub request: String,
    /// True where it was not theirs to have, and they got nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub refused: bool,
}

/// A page of the access log, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccessLog {
    /// Who read what.
    pub accesses: Vec<Access>,
    /// Where the next page begins; none on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// True for a text that may be a token's: nothing else is looked up.
pub fn is_token(text: &str) -> bool {
    text.strip_prefix(PREFIX).is_some_and(|rest| rest.len() == 43 && rest.is_ascii())
}

/// A token's text, and what is listed of it.
pub fn new_token(
    role: Role,
    name: &str,
    created: Timestamp,
    expires: Option<Timestamp>,
    recorder: Option<RecorderPattern>,
) -> Result<(Zeroizing<String>, TokenSummary), getrandom::Error> {
    let mut secret = Zeroizing::new([0_u8; 32]);
    getrandom::fill(&mut *secret)?;
    let text = Zeroizing::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(secret.as_slice())));
    let (id, name) = (random_id()?, name.to_owned());
    let summary = TokenSummary { id, name, role, created, expires, revoked: None, recorder };
    Ok((text, summary))
}

/// Sixteen hex digits.
fn random_id() -> Result<String, getrandom::Error> {
    Ok(format!("{:016x}", getrandom::u64()?))
}

impl Writer {
    /// Keeps a token: what is listed of it, and the digest of its text.
    pub async fn add_token(&mut self, text: &str, token: &TokenSummary) -> Result<(), StoreError> {
        let digest = sha256_hex(text.as_bytes());
        transaction!(self, |connection, dialect| add_token(connection, dialect, &digest, token))
    }

    /// Revokes a token; false where there is none with this id that is not revoked.
    pub async fn revoke_token(&mut self, id: &str, now: Timestamp) -> Result<bool, StoreError> {
        transaction!(self, |connection, dialect| revoke_token(connection, dialect, id, now))
    }

    /// Writes to the access log. When it returns, it is on disk.
    pub async fn log_accesses(&mut self, accesses: &[Access]) -> Result<(), StoreError> {
        transaction!(self, |connection, dialect| log_accesses(connection, dialect, accesses))
    }
}

async fn add_token(
    connection: &mut AnyConnection,
    dialect: Dialect,
    digest: &str,
    token: &TokenSummary,
) -> Result<(), StoreError> {
    let insert = "INSERT INTO tokens (id, name, role, digest, created, expires, recorder) \
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let mut transaction = connection.begin_with(begin(dialect)).await?;
    sqlx::query(insert)
        .bind(&token.id)
        .bind(&token.name)
        .bind(token.role.as_str())
        .bind(digest)
        .bind(micros(token.created))
        .bind(token.expires.map(micros))
        .bind(token.recorder.as_ref().map(RecorderPattern::as_str))
        .execute(&mut *transaction)
        .await?;
    Ok(transaction.commit().await?)
}

async fn revoke_token(
    connection: &mut AnyConnection,
    dialect: Dialect,
    id: &str,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let update = "UPDATE tokens SET revoked = $1 WHERE id = $2 AND revoked IS NULL";
    let mut transaction = connection.begin_with(begin(dialect)).await?;
    let done = sqlx::query(update).bind(micros(now)).bind(id).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(done.rows_affected() == 1)
}

async fn log_accesses(
    connection: &mut AnyConnection,
    dialect: Dialect,
    accesses: &[Access],
) -> Result<(), StoreError> {
    let insert = "INSERT INTO access_log (time, id, name, token, role, request, refused) \
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let mut transaction = connection.begin_with(begin(dialect)).await?;
    for access in accesses {
        let request: String = access.request.chars().take(MAX_REQUEST).collect();
        sqlx::query(insert)
            .bind(micros(access.time))
            .bind(random_id().map_err(|_| StoreError::Damaged("no randomness"))?)
            .bind(&access.name)
            .bind(&access.token)
            .bind(access.role.as_str())
            .bind(request)
            .bind(i64::from(access.refused))
            .execute(&mut *transaction)
            .await?;
    }
    Ok(transaction.commit().await?)
}

impl Reader {
    /// Every token, by when it was made.
    pub async fn tokens(&self) -> Result<Vec<TokenSummary>, StoreError> {
        let select = "SELECT * FROM tokens ORDER BY created, id";
        sqlx::query(select).fetch_all(&self.pool).await?.iter().map(token).collect()
    }

    /// The token with this text, where it is good at this moment.
    pub async fn token(&self, text: &str, now: Timestamp) -> Result<Option<TokenSummary>, StoreError> {
        // It is looked up by its digest: how long that takes tells nothing of any token's text.
        let select = "SELECT * FROM tokens WHERE digest = $1 AND revoked IS NULL AND (expires IS NULL OR expires > $2)";
        let query = sqlx::query(select).bind(sha256_hex(text.as_bytes())).bind(micros(now));
        query.fetch_optional(&self.pool).await?.as_ref().map(token).transpose()
    }

    /// A page of the access log, from this moment on, the newest first; `after` is the `next` of the page before.
    pub async fn access_log(
        &self,
        since: Option<Timestamp>,
        limit: u32,
        after: Option<&str>,
    ) -> Result<AccessLog, StoreError> {
        let (time, id) = super::read::cursor(after).unwrap_or((i64::MAX, String::new()));
        let mut select = Statement::new("SELECT * FROM access_log WHERE ");
        super::read::before(&mut select, ("time", "id"), time, id);
        select.text(" AND time >= ").value(since.map_or(0, micros));
        select.text(" ORDER BY time DESC, id DESC LIMIT ").value(i64::from(limit) + 1);
        let rows = select.query().fetch_all(&self.pool).await?;
        let page = rows.get(..limit as usize).unwrap_or(&rows);
        let next = match page.last() {
            Some(last) if rows.len() > page.len() => {
                Some(format!("{}:{}", last.try_get::<i64, _>("time")?, last.try_get::<&str, _>("id")?))
            }
            _ => None,
        };
        Ok(AccessLog { accesses: page.iter().map(access).collect::<Result<_, _>>()?, next })
    }
}

fn token(row: &AnyRow) -> Result<TokenSummary, StoreError> {
    let recorder = row.try_get::<Option<String>, _>("recorder")?.map(RecorderPattern::try_from);
    Ok(TokenSummary {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        role: Role::of(row.try_get("role")?)?,
        created: moment(row.try_get("created")?),
        expires: row.try_get::<Option<i64>, _>("expires")?.map(moment),
        revoked: row.try_get::<Option<i64>, _>("revoked")?.map(moment),
        recorder: recorder.transpose().map_err(|_| StoreError::Damaged("a token's recorder"))?,
    })
}

fn access(row: &AnyRow) -> Result<Access, StoreError> {
    Ok(Access {
        time: moment(row.try_get("time")?),
        name: row.try_get("name")?,
        token: row.try_get("token")?,
        role: Role::of(row.try_get("role")?)?,
        request: row.try_get("request")?,
        refused: row.try_get::<i64, _>("refused")? != 0,
    })
}

pub(super) fn moment(micros: i64) -> Timestamp {
    Timestamp::from_micros(u64::try_from(micros).unwrap_or(0))
}
