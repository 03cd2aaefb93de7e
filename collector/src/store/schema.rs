//! The schema: one list of steps, each in the words of either database.

use super::{Database, StoreError};
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{AnyConnection, AnyPool, SqlSafeStr as _};

/// How often bringing the schema up to date is tried: other replicas may start at the same time, and all but one of
/// them find the step half done.
const ATTEMPTS: u32 = 5;

/// Whose SQL it is, for the little in which databases differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
}

macro_rules! step {
    ($version:literal, $file:literal) => {
        (
            $version,
            $file,
            include_str!(concat!("../../migrations/sqlite/", $file, ".sql")),
            include_str!(concat!("../../migrations/postgres/", $file, ".sql")),
        )
    };
}

/// The steps, oldest first. Files once released never change.
const STEPS: [(i64, &str, &str, &str); 12] = [
    step!(1, "0001_records"),
    step!(2, "0002_replicas"),
    step!(3, "0003_search"),
    step!(4, "0004_access"),
    step!(5, "0005_retention"),
    step!(6, "0006_login"),
    step!(7, "0007_bodies"),
    step!(8, "0008_forward"),
    step!(9, "0009_compact"),
    step!(10, "0010_changes"),
    step!(11, "0011_bounds"),
    step!(12, "0012_questions"),
];

fn migrator(dialect: Dialect) -> Migrator {
    let step = |(version, name, sqlite, postgres): (i64, &'static str, &'static str, &'static str)| {
        let sql = match dialect {
            Dialect::Sqlite => sqlite,
            Dialect::Postgres => postgres,
        };
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    let mut migrator = Migrator::with_migrations(STEPS.map(step).into());
    // Its lock would be an advisory one, which poolers and some databases do not have.
    migrator.set_locking(false);
    migrator
}

/// Brings the schema up to date.
pub(super) async fn upgrade(database: &Database, connection: &mut AnyConnection) -> Result<(), StoreError> {
    let migrator = migrator(database.dialect());
    let mut attempt = 1;
    loop {
        match migrator.run_direct(None, connection, false).await {
            Ok(()) => return Ok(()),
            Err(MigrateError::VersionMissing(_)) => return Err(StoreError::Newer(database.to_string())),
            Err(MigrateError::VersionMismatch(_)) => return Err(StoreError::Foreign(database.to_string())),
            Err(error) if attempt == ATTEMPTS => return Err(StoreError::Schema(error)),
            Err(_) => attempt += 1,
        }
    }
}

/// Refuses a database whose schema is not this program's.
pub(super) async fn check(database: &Database, pool: &AnyPool) -> Result<(), StoreError> {
    let select = "SELECT max(version) FROM _sqlx_migrations WHERE success";
    let version: Option<i64> =
        sqlx::query_scalar(select).fetch_one(pool).await.map_err(|error| match error {
            sqlx::Error::Database(error) if !error.is_transient_in_connect_phase() => {
                StoreError::Foreign(database.to_string())
            }
            source => StoreError::Open { database: database.to_string(), source },
        })?;
    let newest = STEPS.iter().map(|(version, ..)| *version).max().unwrap_or(0);
    match version.unwrap_or(0) {
        version if version > newest => Err(StoreError::Newer(database.to_string())),
        version if version < newest => Err(StoreError::Older(database.to_string())),
        _ => Ok(()),
    }
}
