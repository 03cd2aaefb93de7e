//! What can go wrong between here and the database.

use super::bodies::BodyError;
use sqlx::migrate::MigrateError;
use sqlx::postgres::PgDatabaseError;
use std::path::PathBuf;

/// What can go wrong between here and the database.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database answered with an error. Its text names tables and causes, never a record's content.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// The database could not be opened.
    #[error("{database}: {source}")]
    Open {
        /// Which.
        database: String,
        /// Why.
        source: sqlx::Error,
    },
    /// The schema could not be brought up to date.
    #[error("the database's schema: {0}")]
    Schema(MigrateError),
    /// There is no database where one was named.
    #[error("{0}: no such database")]
    Missing(String),
    /// The database file could not be made.
    #[error("{path}: {source}")]
    Create {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The database was made by something else.
    #[error("{0}: not a database of chaperone's")]
    Foreign(String),
    /// A newer version of this program made the database or brought it up to date.
    #[error("{0}: a newer version of chaperone made this database; use that version, or a newer one")]
    Newer(String),
    /// An older version of this program made the database.
    #[error(
        "{0}: an older version of chaperone made this database; start `chaperone serve` of this version on it once, \
        which brings it up to date"
    )]
    Older(String),
    /// A batch's bytes that are kept beside the database.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// What should be told of needs bytes that are lost.
    #[error("bytes of a batch are lost: {0}")]
    Lost(String),
    /// The database did not answer in time.
    #[error("the database did not answer in time")]
    Timeout,
    /// A stored batch or index row is not what was written: the file was changed or damaged.
    #[error("stored data cannot be read: {0}")]
    Damaged(&'static str),
}

impl StoreError {
    /// Stable short name of the cause, for metrics and `/readyz`. It tells nothing of any record.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Body(_) => "bodies",
            Self::Database(error) | Self::Open { source: error, .. } => cause(error),
            _ => "database",
        }
    }

    /// True where another writer was in the way, and trying again will do.
    pub(super) fn is_conflict(&self) -> bool {
        let Self::Database(error) = self else { return false };
        // serialization_failure, deadlock_detected
        sql_state(error).is_some_and(|state| ["40001", "40P01"].contains(&state))
    }
}

fn cause(error: &sqlx::Error) -> &'static str {
    let sqlx::Error::Database(database) = error else {
        return match error {
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) => "unreachable",
            sqlx::Error::PoolTimedOut => "timeout",
            _ => "database",
        };
    };
    if let Some(state) = sql_state(error) {
        return match state {
            "53100" => "diskFull",
            "58030" => "io",
            "25006" => "readOnly",
            "55P03" | "40001" | "40P01" => "locked",
            "57014" => "timeout",
            "57P01" | "57P02" | "57P03" | "53300" => "unreachable",
            "XX001" | "XX002" => "corrupt",
            _ => "database",
        };
    }
    // SQLite's primary result code is the lowest byte of the extended one.
    match database.code().and_then(|code| code.parse::<u32>().ok()).map(|code| code & 0xff) {
        Some(5 | 6) => "locked",
        Some(8) => "readOnly",
        Some(10) => "io",
        Some(11 | 26) => "corrupt",
        Some(13) => "diskFull",
        _ => "database",
    }
}

/// PostgreSQL's five characters.
fn sql_state(error: &sqlx::Error) -> Option<&str> {
    let sqlx::Error::Database(error) = error else { return None };
    error.try_downcast_ref::<PgDatabaseError>().map(PgDatabaseError::code)
}
