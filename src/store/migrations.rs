//! The embedded migrations.

use std::error::Error;
use std::time::Duration;

use diesel::QueryResult;
use diesel::dsl::sql;
use diesel::migration::MigrationSource;
use diesel::pg::Pg;
use diesel::sql_types::Bool;
use diesel_async::{AsyncMigrationHarness, RunQueryDsl as _, SimpleAsyncConnection as _};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness as _, embed_migrations};
use tokio::time::sleep;

use super::Connection;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");

/// The advisory lock under which migrations run, so that servers starting together take turns.
const LOCK: i64 = 0x636f_6c6c_6f71_7579;

/// How often a server looks whether it is its turn.
const TURN: Duration = Duration::from_millis(100);

/// What the migration library fails with.
pub type MigrationError = Box<dyn Error + Send + Sync>;

/// Runs the pending migrations, one server at a time, and returns their names.
///
/// The lock is one transaction's, on a connection of its own: the migrations are transactions themselves, and
/// a lock of their session would stay behind in a session that others get, behind a proxy of transactions.
///
/// # Errors
///
/// Whatever Postgres or a migration says; each migration is a transaction of its own, but for those of indexes.
pub async fn run(mut lock: Connection, conn: Connection) -> Result<Vec<String>, MigrationError> {
    take_turn(&mut lock).await?;
    let ran = tokio::task::spawn_blocking(move || {
        let mut harness = AsyncMigrationHarness::new(conn);
        let names = names(&mut harness)?;
        harness.run_pending_migrations(MIGRATIONS)?;
        Ok(names)
    })
    .await?;
    lock.batch_execute("COMMIT").await?;
    ran
}

/// Begins a transaction that holds the lock. Who waits for it does so without a transaction: an index that is built
/// concurrently waits for every older statement, and a statement that waited for the lock would wait for it in turn.
async fn take_turn(lock: &mut Connection) -> QueryResult<()> {
    let is_free = format!("pg_try_advisory_xact_lock({LOCK})");
    loop {
        lock.batch_execute("BEGIN").await?;
        let is_free = diesel::select(sql::<Bool>(&is_free));
        if is_free.get_result(lock).await? {
            // It idles while the migrations run, however long a role's settings let a transaction do so. And what was
            // just read is put away, whose snapshot an index would wait for too.
            let idles = "SET LOCAL idle_in_transaction_session_timeout = 0";
            return lock.batch_execute(idles).await;
        }
        lock.batch_execute("ROLLBACK").await?;
        sleep(TURN).await;
    }
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
