//! Who has a connection to the database goes in the middle of a statement or a transaction: the connection is given back
//! fit for the next, or closed.

use std::time::{Duration, Instant};

use colloquy::store::{Connection, Database, Pool, PoolOptions, PooledConnection};
use diesel_async::{AnsiTransactionManager, SimpleAsyncConnection as _, TransactionManager as _};
use tokio::time::{sleep, timeout};

use crate::support::pgbouncer::PgBouncer;
use crate::support::rows::lines;
use crate::support::server::Setup;
use crate::support::{postgres, run};

/// What sleeps for shorter than a connection is waited for, and for longer than that.
const SHORT: &str = "SELECT pg_sleep(0.03)::text AS line";
const LONG: &str = "SELECT pg_sleep(20)::text AS line";

/// So many may leave a session in the middle before it is closed.
const TIMES: usize = 100;

/// A pool of one connection, with a table of its own.
async fn pool(database: &Database) -> Pool {
    let options = PoolOptions {
        size: 1,
        ..Setup::default().pool
    };
    let table = "CREATE TABLE words (word text NOT NULL); \
         CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.03); RETURN NULL; END $$; \
         CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON words DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow()";
    postgres::sql(&mut database.connect().await.unwrap(), table).await;
    database.pool(options).unwrap()
}

/// Which session of Postgres serves.
async fn session(conn: &mut Connection) -> String {
    let pid = "SELECT pg_backend_pid()::text AS line";
    lines(conn, pid).await.concat()
}

async fn words(conn: &mut Connection) -> Vec<String> {
    lines(conn, "SELECT word AS line FROM words ORDER BY word").await
}

/// Waits for so short a time that nothing which sleeps is answered: says whether it is so, which a busy machine may prevent.
async fn unanswered<T>(answer: impl Future<Output = T>) -> bool {
    timeout(Duration::from_millis(5), answer).await.is_err()
}

/// Has somebody go once their statement has been sent.
async fn leave(mut conn: PooledConnection, statement: &str) -> bool {
    unanswered(lines(&mut conn, statement)).await
}

async fn begin(conn: &mut Connection) {
    AnsiTransactionManager::begin_transaction(conn)
        .await
        .unwrap();
}

async fn add(conn: &mut Connection, word: &str) {
    postgres::sql(conn, &format!("INSERT INTO words VALUES ('{word}')")).await;
}

/// Pools straight to Postgres and through a proxy of transactions, which has one session.
async fn everywhere(test: impl AsyncFn(Pool)) {
    test(pool(&postgres::database().await).await).await;
    if let Some(pooler) = PgBouncer::start(1).await {
        let direct = postgres::database().await;
        let _table = pool(&direct).await;
        let options = PoolOptions {
            size: 1,
            ..Setup::default().pool
        };
        test(pooler.database(&direct).pool(options).unwrap()).await;
    }
}

/// The same for what ends with the session it began with. On a busy machine somebody may wait for too long, or a connection
/// may not answer in time and be closed; not each time.
async fn in_one_session(test: impl AsyncFn(&Pool) -> Option<bool>) {
    everywhere(async |pool| {
        for _ in 0..10 {
            let closed = pool.metrics().closed.get();
            let same = test(&pool).await;
            if pool.metrics().closed.get() == closed
                && let Some(same) = same
            {
                assert!(same, "another session");
                return;
            }
        }
        panic!("nothing was left in time, or each connection was closed");
    })
    .await;
}

#[test]
fn who_leaves_amid_a_statement_leaves_a_connection_that_is_fit() {
    run(in_one_session(async |pool| {
        let mut conn = pool.get().await.unwrap();
        let before = session(&mut conn).await;
        if !leave(conn, SHORT).await {
            return None;
        }
        let mut conn = pool.get().await.unwrap();
        Some(session(&mut conn).await == before)
    }));
}

#[test]
fn what_was_begun_and_left_is_rolled_back_and_the_connection_is_fit() {
    run(in_one_session(async |pool| {
        let mut conn = pool.get().await.unwrap();
        let before = session(&mut conn).await;
        begin(&mut conn).await;
        add(&mut conn, "amid").await;
        if !leave(conn, SHORT).await {
            return None;
        }

        let mut conn = pool.get().await.unwrap();
        begin(&mut conn).await;
        add(&mut conn, "between").await;
        drop(conn);

        let mut conn = pool.get().await.unwrap();
        begin(&mut conn).await;
        let failed = conn.batch_execute("SELECT 1/0").await;
        assert!(failed.is_err());
        drop(conn);

        let mut conn = pool.get().await.unwrap();
        let none: [&str; 0] = [];
        assert_eq!(words(&mut conn).await, none);
        Some(session(&mut conn).await == before)
    }));
}

#[test]
fn a_commit_that_nobody_waits_for_is_a_commit() {
    run(in_one_session(async |pool| {
        let mut conn = pool.get().await.unwrap();
        postgres::sql(&mut conn, "TRUNCATE words").await;
        let before = session(&mut conn).await;
        begin(&mut conn).await;
        add(&mut conn, "committed").await;
        let commit = AnsiTransactionManager::commit_transaction(&mut *conn);
        if !unanswered(commit).await {
            return None;
        }
        drop(conn);

        let mut conn = pool.get().await.unwrap();
        let same = session(&mut conn).await == before;
        if same {
            assert_eq!(words(&mut conn).await, ["committed"]);
        }
        // And the next transaction is one.
        let before = words(&mut conn).await;
        begin(&mut conn).await;
        add(&mut conn, "rolled back").await;
        AnsiTransactionManager::rollback_transaction(&mut *conn)
            .await
            .unwrap();
        assert_eq!(words(&mut conn).await, before);
        Some(same)
    }));
}

/// A `COMMIT` that Postgres did not accept leaves the transaction open.
#[test]
fn a_transaction_that_did_not_end_is_handed_to_nobody() {
    run(async {
        let pool = pool(&postgres::database().await).await;
        loop {
            let mut conn = pool.get().await.unwrap();
            let before = session(&mut conn).await;
            // Begun behind the connection's back, so that it takes the transaction to have ended.
            let begun =
                "BEGIN; INSERT INTO words VALUES ('open'); SELECT pg_sleep(0.03); SELECT 1 / 0";
            if !unanswered(conn.batch_execute(begun)).await {
                conn.batch_execute("ROLLBACK").await.unwrap();
                continue;
            }
            drop(conn);
            let mut conn = pool.get().await.unwrap();
            assert_ne!(session(&mut conn).await, before);
            assert_eq!(pool.metrics().closed.get(), 1);
            let none: [&str; 0] = [];
            assert_eq!(words(&mut conn).await, none);
            return;
        }
    });
}

#[test]
fn what_takes_long_is_ended_and_its_connection_closed() {
    run(everywhere(async |pool| {
        let mut conn = pool.get().await.unwrap();
        let before = session(&mut conn).await;
        begin(&mut conn).await;
        add(&mut conn, "never").await;
        let left = Instant::now();
        assert!(leave(conn, LONG).await);
        let mut conn = pool.get().await.unwrap();
        assert_ne!(session(&mut conn).await, before);
        assert!(
            left.elapsed() < Duration::from_secs(5),
            "{:?}",
            left.elapsed()
        );
        assert_eq!(pool.metrics().closed.get(), 1);
        let none: [&str; 0] = [];
        assert_eq!(words(&mut conn).await, none);
    }));
}

/// Straight to Postgres; what a proxy's own session does is the proxy's part.
#[test]
fn what_nobody_waits_for_does_not_go_on() {
    run(async {
        let pool = pool(&postgres::database().await).await;
        let mut conn = pool.get().await.unwrap();
        let before = session(&mut conn).await;
        assert!(leave(conn, LONG).await);
        let left = Instant::now();
        let mut conn = pool.get().await.unwrap();
        let alive = format!("SELECT pid::text AS line FROM pg_stat_activity WHERE pid = {before}");
        while !lines(&mut conn, &alive).await.is_empty() {
            assert!(left.elapsed() < Duration::from_secs(8), "it still runs");
            sleep(Duration::from_millis(50)).await;
        }
    });
}

/// Each may have left a statement prepared.
#[test]
fn a_session_is_not_left_in_the_middle_for_ever() {
    run(async {
        let pool = pool(&postgres::database().await).await;
        let mut conn = pool.get().await.unwrap();
        let mut sessions = vec![session(&mut conn).await];
        for _ in 0..=TIMES {
            begin(&mut conn).await;
            drop(conn);
            conn = pool.get().await.unwrap();
            sessions.push(session(&mut conn).await);
        }
        // On a busy machine it may be earlier.
        sessions.dedup();
        assert!(sessions.len() > 1, "{sessions:?}");
        assert!(sessions.len() < TIMES / 10, "{sessions:?}");
    });
}
