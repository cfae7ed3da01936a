//! The embedded migrations.

use std::error::Error;

use diesel::migration::MigrationSource;
use diesel::pg::Pg;
use diesel_async::{AsyncMigrationHarness, SimpleAsyncConnection as _};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness as _, embed_migrations};

use super::Connection;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");

/// The advisory lock under which migrations run, so that servers starting together take turns.
const LOCK: i64 = 0x636f_6c6c_6f71_7579;

/// What the migration library fails with.
pub type MigrationError = Box<dyn Error + Send + Sync>;

/// Runs the pending migrations, one server at a time, and returns their names.
///
/// # Errors
///
/// Whatever Postgres or a migration says; each migration is a transaction of its own.
pub async fn run(mut conn: Connection) -> Result<Vec<String>, MigrationError> {
    conn.batch_execute(&format!("SELECT pg_advisory_lock({LOCK})"))
        .await?;
    // The lock goes with the connection, which ends with this task.
    tokio::task::spawn_blocking(move || {
        let mut harness = AsyncMigrationHarness::new(conn);
        let names = names(&mut harness)?;
        harness.run_pending_migrations(MIGRATIONS)?;
        Ok(names)
    })
    .await?
}

fn names(harness: &mut AsyncMigrationHarness<Connection>) -> Result<Vec<String>, MigrationError> {
    let pending = harness.pending_migrations(MIGRATIONS)?;
    Ok(pending.iter().map(|m| m.name().to_string()).collect())
}

/// Reverts every migration, newest first: for tests of the `down.sql` files.
///
/// # Errors
///
/// Whatever Postgres or a migration says.
pub async fn revert_all(conn: Connection) -> Result<Vec<String>, MigrationError> {
    tokio::task::spawn_blocking(move || {
        let mut harness = AsyncMigrationHarness::new(conn);
        let all = MigrationSource::<Pg>::migrations(&MIGRATIONS)?;
        let mut names: Vec<String> = all.iter().map(|m| m.name().to_string()).collect();
        names.sort_by(|one, other| other.cmp(one));
        harness.revert_all_migrations(MIGRATIONS)?;
        Ok(names)
    })
    .await?
}

/// The migrations that have not run on the database, in order.
///
/// # Errors
///
/// Whatever Postgres says.
pub async fn pending(conn: Connection) -> Result<Vec<String>, MigrationError> {
    tokio::task::spawn_blocking(move || names(&mut AsyncMigrationHarness::new(conn))).await?
}
