//! Where records are kept.
//!
//! A store keeps two things: the batches, byte for byte as they came, which are the evidence; and an index over
//! their entries (sessions, exchanges, recorders, gaps), which is derived from them and only makes reading quick.
//! One module per database; SQL stands nowhere else. [`batch`] and [`merge`] are the database-independent part.

pub mod batch;
pub mod merge;
pub mod model;
pub mod sqlite;
pub mod writer;

use std::path::PathBuf;
use std::str::FromStr;

/// What can go wrong between here and the database.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database answered with an error. Its text names tables and causes, never a record's content.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// The database file could not be opened.
    #[error("{path}: {source}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: sqlx::Error,
    },
    /// The schema could not be brought up to date, or is newer than this program.
    #[error("the database's schema: {0}")]
    Schema(#[from] sqlx::migrate::MigrateError),
    /// There is no database where one was named.
    #[error("{0}: no such database")]
    Missing(PathBuf),
    /// The database file could not be made.
    #[error("{path}: {source}")]
    Create {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The database was made by something else, or by a newer version of this program.
    #[error("{0}: not a database this version of chaperone can read")]
    Foreign(PathBuf),
    /// A stored batch or index row is not what was written: the file was changed or damaged.
    #[error("stored data cannot be read: {0}")]
    Damaged(&'static str),
}

impl StoreError {
    /// Stable short name of the cause, for metrics and `/readyz`. It tells nothing of any record.
    pub fn reason(&self) -> &'static str {
        let Self::Database(sqlx::Error::Database(error)) = self else { return "database" };
        // SQLite's primary result code is the lowest byte of the extended one.
        match error.code().and_then(|code| code.parse::<u32>().ok()).map(|code| code & 0xff) {
            Some(5 | 6) => "locked",
            Some(8) => "readOnly",
            Some(10) => "io",
            Some(11 | 26) => "corrupt",
            Some(13) => "diskFull",
            _ => "database",
        }
    }
}

/// Which database: `sqlite://PATH`, or a plain path to an SQLite file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Database {
    /// An SQLite file.
    Sqlite(PathBuf),
}

/// A database URL of a kind that is not supported.
#[derive(Debug, thiserror::Error)]
#[error("{0}: not a database this program knows; use a file's path or sqlite://PATH")]
pub struct UnknownDatabase(String);

impl FromStr for Database {
    type Err = UnknownDatabase;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once("://") {
            _ if text.is_empty() => Err(UnknownDatabase(text.to_owned())),
            None => Ok(Self::Sqlite(text.into())),
            // Parameters would be taken for a part of the file's name.
            Some(("sqlite", path)) if !path.is_empty() && !path.contains('?') => {
                Ok(Self::Sqlite(path.into()))
            }
            // Never the whole URL: it may hold a password.
            Some((scheme, _)) => Err(UnknownDatabase(format!("{scheme}://…"))),
        }
    }
}
