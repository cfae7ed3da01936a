//! Servers whose database is reached only through a `PgBouncer` that pools transactions, or that listen at
//! another address. The tests say so and do nothing where `PgBouncer` is not installed.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use colloquy::realtime::{Carrier, RealtimeOptions};
use colloquy::store::{Database, PoolOptions, migrations};
use diesel_async::SimpleAsyncConnection as _;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::log::{from_now, seqs, uuid};
use crate::support::pgbouncer::PgBouncer;
use crate::support::rows::lines;
use crate::support::server::Setup;
use crate::support::socket::bodies;
use crate::support::{Server, User, at_once, postgres, run};
use crate::updates::follow;

/// So rarely that whatever arrives was rung for.
const NEVER: Duration = Duration::from_secs(3600);

/// The sweep alone tells of the other servers.
fn by_sweep() -> Setup {
    Setup {
        realtime: RealtimeOptions {
            carrier: Carrier::Sweep,
            sweep: Duration::from_millis(100),
            ..RealtimeOptions::default()
        },
        ..Setup::default()
    }
}

/// Two servers behind a proxy with a few sessions, which their connections take turns in.
async fn two() -> Option<(PgBouncer, Database, Server, Server)> {
    let pooler = PgBouncer::start(3).await?;
    let direct = postgres::database().await;
    let behind = pooler.database(&direct);
    let here = Server::with(behind.clone(), by_sweep()).await;
    let there = Server::with(behind, by_sweep()).await;
    Some((pooler, direct, here, there))
}

async fn speaks(user: &User, chat: &str, count: usize) {
    for n in 0..count {
        user.sends(chat, &format!("{} {n}", user.id)).await;
    }
}

#[test]
fn servers_behind_a_pooler_of_transactions_are_one_service() {
    run(async {
        let Some((_pooler, direct, here, there)) = two().await else {
            return;
        };
        let people = ["alice", "bob", "carol", "dave"];
        let [alice, bob, carol, dave] = people.map(|id| here.user(id));
        let (bob, dave) = (bob.at(&there), dave.at(&there));
        let chat = alice.group("Team", &[&bob, &carol, &dave]).await;
        let start = alice.start_cursor(&chat).await;
        let mut streams = Vec::new();
        for user in [&alice, &bob, &carol, &dave] {
            streams.push(user.follows(&chat, Some(&start)).await);
        }
        let speak = [&alice, &bob, &carol, &dave].map(|user| speaks(user, &chat, 25));
        futures_util::future::join_all(speak).await;
        alice.renames(&chat, "Party").await;
        let told = streams[0].take(105).await;
        assert_eq!(seqs(&told), (1..=105).collect::<Vec<_>>());
        for stream in &mut streams[1..] {
            assert_eq!(stream.take(105).await, told);
        }
        for name in people {
            let spoken = bodies(&told).into_iter().filter(|b| b.starts_with(name));
            let expected: Vec<String> = (0..25).map(|n| format!("{name} {n}")).collect();
            assert_eq!(spoken.collect::<Vec<_>>(), expected);
        }
        // Nobody but the sweep tells a server at rest of what was written at the other.
        bob.sends(&chat, "good night").await;
        assert_eq!(bodies(&streams[0].take(1).await), ["good night"]);
        assert!(here.app.realtime.repairs() > 0 && there.app.realtime.repairs() > 0);
        // All of it went through the proxy's few sessions, and left nothing in any of them.
        let mut conn = direct.connect().await.unwrap();
        let sessions = "SELECT count(*)::text AS line FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()";
        let count: usize = lines(&mut conn, sessions).await[0].parse().unwrap();
        assert!((1..=3).contains(&count), "{count} sessions");
        let mut behind = here.sql().await;
        let prepared = "SELECT name AS line FROM pg_prepared_statements";
        assert_eq!(lines(&mut behind, prepared).await, [""; 0]);
    });
}

#[test]
fn updates_cross_by_the_sweep_alone() {
    run(async {
        let Some((_pooler, _, here, there)) = two().await else {
            return;
        };
        let (alice, bob) = (here.user("alice"), there.user("bob"));
        let mut updates = follow(&there, &bob).await;
        let chat = alice.group("Team", &[&bob]).await;
        let update = updates.next().await;
        assert_eq!(
            (&update["kind"], &update["chatId"]),
            (&json!("JOINED"), &json!(chat))
        );
        alice.sends(&chat, "hello").await;
        assert_eq!(updates.next().await["chat"]["lastMessage"]["body"], "hello");
        alice.removes(&chat, &bob).await;
        assert_eq!(updates.next().await["kind"], "LEFT");
        let ready = alice.http("GET", "/readyz", &[], b"").await;
        assert_eq!(
            (ready.status, &ready.json()["listener"]),
            (200, &Value::Null)
        );
    });
}

/// A unique violation is an outcome there too: it is known by its constraint's name.
#[test]
fn an_idempotency_key_holds_behind_a_pooler() {
    run(async {
        let Some((_pooler, _, here, there)) = two().await else {
            return;
        };
        let (alice, bob) = (here.user("alice"), there.user("bob"));
        let chat = alice.direct(&bob).await;
        let input = json!({ "chatId": chat, "body": "once", "idempotencyKey": "k" });
        let sends = (0..12).map(|n| {
            let user = if n % 2 == 0 {
                alice.clone()
            } else {
                alice.at(&there)
            };
            let input = input.clone();
            async move { user.does("sendMessage", "message { id }", input).await }
        });
        let payloads = at_once(sends).await;
        assert!(payloads.iter().all(|payload| *payload == payloads[0]));
        let fields = "messages { nodes { body } } eventCursor";
        let all = bob.chat(&chat, fields).await;
        assert_eq!(all["messages"]["nodes"], json!([{ "body": "once" }]));
        assert_eq!(here.log(&chat).await.len(), 3);
    });
}

/// The session cannot be told a limit, so each transaction is, and each statement is watched.
#[test]
fn a_statement_that_takes_too_long_is_ended_behind_a_pooler() {
    run(async {
        let Some(pooler) = PgBouncer::start(5).await else {
            return;
        };
        let direct = postgres::database().await;
        let usual = by_sweep();
        let setup = Setup {
            pool: PoolOptions {
                statement: Duration::from_secs(3),
                ..usual.pool
            },
            ..usual
        };
        let server = Server::with(pooler.database(&direct), setup).await;
        let alice = server.user("alice");
        let chat = alice.group("Team", &[]).await;
        let message = alice.sends(&chat, "first").await;
        let mut hog = direct.connect().await.unwrap();
        let lock = format!(
            "BEGIN; SELECT FROM chats WHERE id = '{}' FOR UPDATE",
            uuid(&chat)
        );
        postgres::sql(&mut hog, &lock).await;
        let send = "mutation ($chat: ID!) { sendMessage(input: { chatId: $chat, body: \"x\" }) { message { id } } }";
        let edit = "mutation ($id: ID!) { editMessage(input: { messageId: $id, body: \"y\" }) { message { id } } }";
        let began = Instant::now();
        for (query, variables) in [
            (send, json!({ "chat": chat })),
            (edit, json!({ "id": message })),
        ] {
            assert_eq!(alice.codes(query, variables).await, ["SERVICE_UNAVAILABLE"]);
        }
        assert!(
            began.elapsed() < Duration::from_secs(15),
            "{:?}",
            began.elapsed()
        );
        // Nobody is left who waits for the lock.
        let waiting = "SELECT count(*)::text AS line FROM pg_stat_activity \
             WHERE datname = current_database() AND wait_event_type = 'Lock'";
        for _ in 0..100 {
            if lines(&mut hog, waiting).await == ["0"] {
                break;
            }
            sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(lines(&mut hog, waiting).await, ["0"]);
        hog.batch_execute("COMMIT").await.unwrap();
        alice.sends(&chat, "second").await;
        let chat = alice.chat(&chat, "messages { nodes { body } }").await;
        let expected = json!([{ "body": "first" }, { "body": "second" }]);
        assert_eq!(chat["messages"]["nodes"], expected);
    });
}

#[test]
fn migrations_behind_a_pooler_take_turns_and_leave_no_lock() {
    run(async {
        let Some(pooler) = PgBouncer::start(8).await else {
            return;
        };
        let direct = postgres::empty_database().await;
        let behind = pooler.database(&direct);
        let connect = || async { behind.connect().await.unwrap() };
        let expected = migrations::pending(connect().await).await.unwrap().len();
        let runs =
            (0..3).map(|_| async { migrations::run(connect().await, connect().await).await });
        let ran = futures_util::future::join_all(runs).await;
        let mut counts: Vec<_> = ran.into_iter().map(|names| names.unwrap().len()).collect();
        counts.sort_unstable();
        assert_eq!(counts, [0, 0, expected]);
        let locks = "SELECT pid::text AS line FROM pg_locks WHERE locktype = 'advisory' \
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        assert_eq!(
            lines(&mut direct.connect().await.unwrap(), locks).await,
            [""; 0]
        );
    });
}

/// The pool behind the proxy, listener and doorbell past it: hints cross at once.
#[test]
fn servers_listen_at_an_address_of_its_own() {
    run(async {
        let Some(pooler) = PgBouncer::start(3).await else {
            return;
        };
        let direct = postgres::database().await;
        let behind = pooler.database(&direct);
        let setup = Setup {
            realtime: RealtimeOptions {
                sweep: NEVER,
                ..RealtimeOptions::default()
            },
            listen: Some(direct.clone()),
            ..Setup::default()
        };
        let here = Server::with(behind.clone(), setup.clone()).await;
        let there = Server::with(behind, setup).await;
        let (alice, bob) = (here.user("alice"), there.user("bob"));
        let chat = alice.direct(&bob).await;
        let mut events = from_now(&bob, &chat).await;
        speaks(&alice, &chat, 20).await;
        assert_eq!(seqs(&events.take(20).await), (3..23).collect::<Vec<_>>());
        let mut names = names(&direct).await;
        // The proxy opens a session before it is anybody's.
        names.remove("");
        let expected = ["colloquy", "colloquy doorbell", "colloquy listener"];
        assert_eq!(names, expected.map(str::to_owned).into());
        let through = "SELECT DISTINCT application_name AS line FROM pg_stat_activity WHERE datname = current_database() \
             AND (query LIKE '%pg_notify%' OR query LIKE 'LISTEN%') AND pid <> pg_backend_pid() ORDER BY 1";
        let mut conn = direct.connect().await.unwrap();
        assert_eq!(
            lines(&mut conn, through).await,
            ["colloquy doorbell", "colloquy listener"]
        );
    });
}

/// The names of all connections to a database but our own.
async fn names(database: &Database) -> BTreeSet<String> {
    let mut conn = database.connect().await.unwrap();
    let names = "SELECT DISTINCT application_name AS line FROM pg_stat_activity \
         WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
    lines(&mut conn, names).await.into_iter().collect()
}

#[test]
fn connections_say_what_they_are_for() {
    run(async {
        let direct = postgres::database().await;
        let server = Server::on(direct.clone()).await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.direct(&bob).await;
        alice.sends(&chat, "hello").await;
        for _ in 0..200 {
            if names(&direct).await.len() == 3 {
                break;
            }
            sleep(Duration::from_millis(20)).await;
        }
        let expected = ["colloquy", "colloquy doorbell", "colloquy listener"];
        assert_eq!(names(&direct).await, expected.map(str::to_owned).into());
    });
}
