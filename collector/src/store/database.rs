//! Which database, and connections to it. An SQLite file is in WAL mode with `synchronous=FULL`, PostgreSQL commits
//! synchronously: either way a commit is on disk when it returns.

use super::StoreError;
use super::schema::Dialect;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions, install_default_drivers};
use sqlx::{AnyConnection, AnyPool, ConnectOptions as _, Executor as _};
use std::fmt;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// How long to wait for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// Which database: `postgres://…`, `sqlite://PATH`, or a plain path to an SQLite file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Database {
    /// An SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL database, or one that speaks as it does.
    Postgres(PostgresUrl),
}

/// A URL that may hold a password: what is shown of it never does.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl(String);

/// A database URL of a kind that is not supported.
#[derive(Debug, thiserror::Error)]
#[error("{0}: not a database this program knows; use a file's path, sqlite://PATH or postgres://…")]
pub struct UnknownDatabase(String);

/// What a pool of reading connections is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// The database as it changes.
    Live,
    /// The database as it stands when it is first read, in one transaction.
    Snapshot,
}

impl Database {
    pub(super) fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    /// A connection that writes; makes an SQLite file where it is missing.
    pub(super) async fn connect(&self) -> Result<AnyConnection, StoreError> {
        if let Self::Sqlite(path) = self {
            create(path)?;
        }
        let failed = |source| StoreError::Open { database: self.to_string(), source };
        let mut connection = self.options("rw")?.connect().await.map_err(failed)?;
        let settings = match self.dialect() {
            // The log is folded into the file once it has 64 MiB: a transaction touches thousands of pages, and the next one
            // most of them again.
            Dialect::Sqlite => {
                "PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
                PRAGMA cache_size = -65536; PRAGMA wal_autocheckpoint = 16384"
            }
            // A role's or a database's default may be `off`; what is stronger than `on` is left alone.
            Dialect::Postgres => {
                "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'; \
                SET statement_timeout = '30s'; SET idle_in_transaction_session_timeout = '60s'"
            }
        };
        connection.execute(settings).await.map_err(failed)?;
        Ok(connection)
    }

    /// Connections that read, at most so many.
    pub(super) fn pool(&self, most: u32, reading: Reading) -> Result<AnyPool, StoreError> {
        if let Self::Sqlite(path) = self
            && !path.is_file()
        {
            return Err(StoreError::Missing(self.to_string()));
        }
        let begin = match (self.dialect(), reading) {
            (Dialect::Sqlite, Reading::Live) => "PRAGMA busy_timeout = 10000; PRAGMA cache_size = -16384",
            (Dialect::Sqlite, Reading::Snapshot) => {
                "PRAGMA busy_timeout = 10000; PRAGMA cache_size = -16384; BEGIN"
            }
            // Plans are made for the values that are asked for: one word is frequent, another is not.
            (Dialect::Postgres, Reading::Live) => {
                "SET default_transaction_read_only = on; SET statement_timeout = '30s'; \
                SET plan_cache_mode = force_custom_plan"
            }
            (Dialect::Postgres, Reading::Snapshot) => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        };
        let pool = AnyPoolOptions::new().max_connections(most).acquire_timeout(ACQUIRE_TIMEOUT);
        let pool = match reading {
            Reading::Live => pool,
            // One connection that is never replaced.
            Reading::Snapshot => {
                pool.max_connections(1).idle_timeout(None).max_lifetime(None).test_before_acquire(false)
            }
        };
        let pool = pool.after_connect(move |connection, _| {
            Box::pin(async move { connection.execute(begin).await.map(drop) })
        });
        Ok(pool.connect_lazy_with(self.options("ro")?))
    }

    fn options(&self, mode: &str) -> Result<AnyConnectOptions, StoreError> {
        install_default_drivers();
        let failed = |source| StoreError::Open { database: self.to_string(), source };
        let url = match self {
            Self::Sqlite(path) => format!("sqlite://{}?mode={mode}", encoded(path)),
            Self::Postgres(url) => url.0.clone(),
        };
        Ok(AnyConnectOptions::from_str(&url).map_err(failed)?.disable_statement_logging())
    }
}

/// A path as a URL has it.
fn encoded(path: &Path) -> String {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute.to_string_lossy().bytes().fold(String::new(), |mut url, byte| {
        if byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte) {
            url.push(char::from(byte));
        } else {
            let _ = write!(url, "%{byte:02X}");
        }
        url
    })
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
            Some(("postgres" | "postgresql", _)) => Ok(Self::Postgres(PostgresUrl(text.to_owned()))),
            // Never the whole URL: it may hold a password.
            Some((scheme, _)) => Err(UnknownDatabase(format!("{scheme}://…"))),
        }
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => path.display().fmt(f),
            Self::Postgres(url) => url.fmt(f),
        }
    }
}

/// The host and the database's name.
impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rest = self.0.split_once("://").map_or("", |(_, rest)| rest);
        let rest = rest.split(['?', '#']).next().unwrap_or("");
        let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
        write!(f, "postgres://{rest}")
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_shown() {
        for (url, shown) in [
            ("postgres://u:hunter2@db.example.com:5432/records", "postgres://db.example.com:5432/records"),
            ("postgresql://u:hun@ter2@db/records?password=hunter2", "postgres://db/records"),
            ("postgres:///records?host=/run/x&password=hunter2", "postgres:///records"),
            ("records.db", "records.db"),
        ] {
            let database: Database = url.parse().unwrap();
            assert_eq!(database.to_string(), shown);
            assert!(!format!("{database:?}").contains("ter2"), "{url}");
        }
        let unknown = "mysql://u:hunter2@db/x".parse::<Database>().unwrap_err().to_string();
        assert!(unknown.starts_with("mysql://…: "), "{unknown}");
    }

    #[test]
    fn any_path_can_be_a_url() {
        assert_eq!(encoded(Path::new("/a b/ü?#%.db")), "/a%20b/%C3%BC%3F%23%25.db");
    }
}
