//! Records in an SQLite file: WAL with `synchronous=FULL`, so that a commit is on disk when it returns.

mod evidence;
mod index;
mod read;
mod write;

pub use read::Reader;
pub use write::Writer;

use super::StoreError;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, SqlSafeStr as _};
use std::path::Path;
use std::time::Duration;

/// How long a statement waits for another process' lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// The schema's steps, oldest first. Files once released never change.
const MIGRATIONS: [(i64, &str, &str); 1] =
    [(1, "records", include_str!("../../../migrations/0001_records.sql"))];

fn migrator() -> Migrator {
    let step = |(version, name, sql): (i64, &'static str, &'static str)| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(MIGRATIONS.map(step).into())
}

/// The newest schema this program knows.
fn schema_version() -> i64 {
    MIGRATIONS.iter().map(|(version, ..)| *version).max().unwrap_or(0)
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(path).busy_timeout(BUSY_TIMEOUT).disable_statement_logging()
}

fn writing_options(path: &Path) -> SqliteConnectOptions {
    options(path).journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full)
}

/// Makes the file, readable by its owner only, where there is none: records are nobody else's business.
fn create(path: &Path) -> Result<(), StoreError> {
    let mut file = std::fs::OpenOptions::new();
    file.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut file, 0o600);
    match file.open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(source) => Err(StoreError::Create { path: path.to_owned(), source }),
    }
}
