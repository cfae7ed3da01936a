//! Connections that die and a Postgres that is away: nothing is lost, and the server recovers alone.

use std::time::{Duration, Instant};

use colloquy::embedded::Postgres;
use colloquy::realtime::RealtimeOptions;
use colloquy::store::Database;
use diesel_async::SimpleAsyncConnection as _;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::support::log::{from_now, seq_of, seqs, write};
use crate::support::server::Setup;
use crate::support::socket::bodies;
use crate::support::{Server, User, postgres, run};
use crate::updates::follow;

/// How long a refusal may take: far from the time that a pool or a connection is waited for.
const QUICKLY: Duration = Duration::from_secs(3);

/// Ends connections behind the server's back, once there are some.
async fn terminate(server: &Server, which: &str) {
    let statement = format!(
        "DO $$ BEGIN IF NOT coalesce((SELECT bool_or(pg_terminate_backend(pid)) FROM pg_stat_activity \
         WHERE datname = current_database() AND pid <> pg_backend_pid() AND {which}), false) \
         THEN RAISE 'nobody is there'; END IF; END $$"
    );
    let mut conn = server.sql().await;
    let ends = async || conn.batch_execute(&statement).await.is_ok();
    until("there are connections to end", ends).await;
}

/// So rarely that whatever arrives was rung for, or found when the listener came back.
const NEVER: Duration = Duration::from_secs(3600);

const LISTENER: &str = "query IN ('LISTEN colloquy', 'SELECT 1')";
const DOORBELL: &str = "query LIKE '%pg_notify%'";
const POOL: &str = "query NOT IN ('LISTEN colloquy', 'SELECT 1') AND query NOT LIKE '%pg_notify%'";

/// Waits until something holds.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(20), wait).await.expect(what);
}

/// Two servers, and a stream on the second of what is sent on the first, while connections of both die.
async fn connections_die(which: &str, sweep: Duration) {
    let realtime = RealtimeOptions {
        sweep,
        ..RealtimeOptions::default()
    };
    let setup = Setup {
        realtime,
        ..Setup::default()
    };
    let database = postgres::database().await;
    let here = Server::with(database.clone(), setup.clone()).await;
    let there = Server::with(database, setup).await;
    let (alice, bob) = (here.user("alice"), there.user("bob"));
    let chat = alice.direct(&bob).await;
    let mut updates = follow(&there, &bob).await;
    let mut events = from_now(&bob, &chat).await;
    for n in 0..60 {
        if n % 20 == 10 {
            terminate(&here, which).await;
        }
        send(&alice, &chat, &n.to_string()).await;
    }
    let told = events.take(60).await;
    assert_eq!(seqs(&told), (3..63).collect::<Vec<_>>());
    assert_eq!(
        bodies(&told),
        (0..60).map(|n| n.to_string()).collect::<Vec<_>>()
    );
    for server in [&here, &there] {
        until("the listener comes back", async || {
            server.app.realtime.is_live()
        })
        .await;
    }
    send(&alice, &chat, "again").await;
    assert_eq!(bodies(&[events.next().await]), ["again"]);
    // An update that was told while connections died may lack what it could not read: the next is whole.
    let mut state =
        async || updates.message().await["payload"]["data"]["chatUpdates"]["chat"].clone();
    until("the state is told", async || {
        state().await["lastMessage"]["body"] == "again"
    })
    .await;
}

/// Sends until it is acknowledged, always with the same key; says how often it was turned away.
async fn send(user: &User, chat: &str, body: &str) -> usize {
    let query = "mutation ($input: SendMessageInput!) { sendMessage(input: $input) { \
                 message { body } userErrors { code } } }";
    let key = format!("{} {body}", user.id);
    let input = json!({ "chatId": chat, "body": body, "idempotencyKey": key });
    let mut refusals = 0;
    loop {
        let began = Instant::now();
        let answer = user.post(query, json!({ "input": input })).await.json();
        if answer.get("errors").is_none() {
            assert_eq!(
                answer["data"]["sendMessage"]["message"]["body"], body,
                "{answer}"
            );
            return refusals;
        }
        assert_eq!(
            answer["errors"][0]["extensions"]["code"], "SERVICE_UNAVAILABLE",
            "{answer}"
        );
        assert!(
            began.elapsed() < QUICKLY,
            "a refusal took {:?}",
            began.elapsed()
        );
        refusals += 1;
        assert!(refusals < 2000, "{answer}");
        sleep(Duration::from_millis(10)).await;
    }
}

#[test]
fn the_listeners_connection_may_die() {
    run(connections_die(LISTENER, NEVER));
}

#[test]
fn a_listener_that_comes_back_finds_what_it_missed() {
    run(async {
        let realtime = RealtimeOptions {
            sweep: NEVER,
            ..RealtimeOptions::default()
        };
        let setup = Setup {
            realtime,
            ..Setup::default()
        };
        let server = Server::with(postgres::database().await, setup).await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.direct(&bob).await;
        let mut updates = follow(&server, &bob).await;
        let mut events = from_now(&bob, &chat).await;
        // Nobody rings for it, before or after.
        write(&server, &chat, "alice", 3, 0).await;
        terminate(&server, LISTENER).await;
        assert_eq!(bodies(&events.take(3).await), ["1", "2", "3"]);
        updates
            .until(|update| update["chat"]["lastMessage"]["body"] == "3")
            .await;
        until("it is live", async || server.app.realtime.is_live()).await;
    });
}

#[test]
fn the_doorbells_connection_may_die() {
    run(connections_die(DOORBELL, NEVER));
}

#[test]
fn the_pools_connections_may_die() {
    run(connections_die(POOL, NEVER));
}

#[test]
fn every_connection_may_die() {
    run(connections_die("true", RealtimeOptions::default().sweep));
}

/// A Postgres of its own, with the tables, and a server on it.
async fn own(name: &str) -> (Postgres, Server) {
    let postgres = postgres::start(name).await;
    postgres::prepare_template(&postgres.url("postgres")).await;
    let database = Database::new(&postgres.url("template_colloquy")).unwrap();
    (postgres, Server::with(database, Setup::default()).await)
}

#[test]
fn a_crash_of_postgres_loses_and_doubles_nothing() {
    run(async {
        let (mut postgres, server) = own("crash").await;
        let users = ["a", "b", "c", "d"].map(|id| server.user(id));
        let chat = users[0]
            .group("Team", &[&users[1], &users[2], &users[3]])
            .await;
        let start = users[0].start_cursor(&chat).await;
        let mut events = users[0].follows(&chat, Some(&start)).await;
        let mut senders = JoinSet::new();
        for user in users.clone() {
            let chat = chat.clone();
            senders.spawn(async move {
                let mut refusals = 0;
                for n in 0..40 {
                    refusals += send(&user, &chat, &format!("{} {n}", user.id)).await;
                }
                refusals
            });
        }
        let mut told = Vec::new();
        for _ in 0..2 {
            told.extend(events.take(40).await);
            postgres.restart_immediate().await.unwrap();
        }
        let refusals: usize = senders.join_all().await.into_iter().sum();
        assert!(refusals > 0, "nobody noticed the crash");
        told.extend(events.take(4 + 160 - 80).await);
        assert_eq!(seqs(&told), (1..=164).collect::<Vec<_>>());
        for user in &users {
            let own = bodies(&told)
                .into_iter()
                .filter(|body| body.starts_with(&user.id));
            let expected: Vec<String> = (0..40).map(|n| format!("{} {n}", user.id)).collect();
            assert_eq!(own.collect::<Vec<_>>(), expected);
        }
        postgres.stop().await.unwrap();
    });
}

#[test]
fn while_postgres_is_away_requests_are_turned_away_quickly() {
    run(async {
        let (mut postgres, server) = own("away").await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.group("Team", &[&bob]).await;
        let message = alice.sends(&chat, "before").await;
        let mut updates = follow(&server, &bob).await;
        let mut events = from_now(&bob, &chat).await;
        let after = bob.event_cursor(&chat).await;
        let ready = async || alice.http("GET", "/readyz", &[], b"").await.status;
        assert_eq!(ready().await, 200);

        let pid = postgres.postmaster_pid().to_string();
        let killed = std::process::Command::new("kill")
            .args(["-s", "QUIT", &pid])
            .status();
        assert!(killed.unwrap().success());
        postgres.exited().await;
        until("the listener notices", async || {
            !server.app.realtime.is_live()
        })
        .await;
        assert_eq!(ready().await, 503);
        assert_eq!(alice.http("GET", "/healthz", &[], b"").await.status, 200);
        let calls: [(&str, Value); 6] = [
            (
                "query ($id: ID!) { chat(id: $id) { title } }",
                json!({ "id": chat }),
            ),
            (
                "{ chats { nodes { id messages { nodes { id } } } } }",
                json!({}),
            ),
            (
                "mutation ($id: ID!) { sendMessage(input: { chatId: $id, body: \"x\" }) { userErrors { code } } }",
                json!({ "id": chat }),
            ),
            (
                "mutation ($id: ID!) { renameChat(input: { chatId: $id, title: \"x\" }) { userErrors { code } } }",
                json!({ "id": chat }),
            ),
            (
                "mutation ($id: ID!) { deleteMessage(input: { messageId: $id }) { userErrors { code } } }",
                json!({ "id": message }),
            ),
            (
                "mutation { openDirectChat(input: { userId: \"carol\" }) { userErrors { code } } }",
                json!({}),
            ),
        ];
        for (query, variables) in calls {
            let began = Instant::now();
            assert_eq!(
                alice.codes(query, variables).await,
                ["SERVICE_UNAVAILABLE"],
                "{query}"
            );
            assert!(began.elapsed() < QUICKLY, "{query}: {:?}", began.elapsed());
        }
        // Whom the server has not seen yet cannot be let in; a new stream fails as a request does.
        assert_eq!(
            server
                .user("dave")
                .post("{ viewer { id } }", json!({}))
                .await
                .status,
            503
        );
        assert_eq!(
            bob.follows(&chat, Some(&after)).await.fails().await,
            "SERVICE_UNAVAILABLE"
        );

        postgres.restart_immediate().await.unwrap();
        until("the server is ready again", async || ready().await == 200).await;
        alice.sends(&chat, "after").await;
        assert_eq!(bodies(&[events.next().await]), ["after"]);
        updates
            .until(|update| update["chat"]["lastMessage"]["body"] == "after")
            .await;
        postgres.stop().await.unwrap();
    });
}

#[test]
fn connections_that_die_amid_requests_are_an_outage_and_no_fault() {
    run(async {
        let server = Server::start().await;
        let users = ["a", "b", "c", "d"].map(|id| server.user(id));
        let chat = users[0]
            .group("Team", &[&users[1], &users[2], &users[3]])
            .await;
        let mut writers = JoinSet::new();
        for user in users.clone() {
            let chat = chat.clone();
            writers.spawn(async move {
                for n in 0..10 {
                    send(&user, &chat, &format!("{} {n}", user.id)).await;
                    // A transaction, too: what it says when its connection dies is another thing.
                    let query = "mutation ($id: ID!) { renameChat(input: { chatId: $id, title: \"x\" }) \
                                 { userErrors { code } } }";
                    // Under another's lock, or cut off after its commit: again is always right.
                    loop {
                        let codes = user.codes(query, json!({ "id": chat })).await;
                        assert!(codes.iter().all(|code| code == "SERVICE_UNAVAILABLE"), "{codes:?}");
                        if codes.is_empty() {
                            break;
                        }
                    }
                }
            });
        }
        let mut killer = server.sql().await;
        let statement = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                         WHERE datname = current_database() AND pid <> pg_backend_pid()";
        while !writers.is_empty() {
            postgres::sql(&mut killer, statement).await;
            // Often, and at moments that have nothing to do with what is under way.
            let joined = timeout(
                Duration::from_millis(fastrand::u64(40..120)),
                writers.join_next(),
            );
            if let Ok(Some(writer)) = joined.await {
                writer.unwrap();
            }
        }
        // What was ended last may still be in the pool.
        let query = "query ($id: ID!) { chat(id: $id) { id } }";
        let answers = async || {
            users[0]
                .codes(query, json!({ "id": chat }))
                .await
                .is_empty()
        };
        until("the pool has recovered", answers).await;
        // Four people, 40 messages, and one new title.
        assert_eq!(seq_of(&users[0].event_cursor(&chat).await), 4 + 40 + 1);
    });
}

#[test]
fn what_fails_at_its_commit_was_never_said_to_be_done() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.direct(&bob).await;
        let before = seq_of(&alice.event_cursor(&chat).await);
        // A deferred constraint is checked by the commit: behind the row that the statement returns.
        let mut conn = server.sql().await;
        let statements = "CREATE FUNCTION no_more() RETURNS trigger LANGUAGE plpgsql AS \
                          $$ BEGIN RAISE 'no more'; END $$; \
                          CREATE CONSTRAINT TRIGGER no_more AFTER INSERT ON messages \
                          DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION no_more()";
        conn.batch_execute(statements).await.unwrap();
        let query = "mutation ($id: ID!) { sendMessage(input: { chatId: $id, body: \"hi\" }) \
                     { message { id } userErrors { code } } }";
        let codes = alice.codes(query, json!({ "id": chat })).await;
        assert_eq!(codes, ["INTERNAL_SERVER_ERROR"]);
        assert_eq!(seq_of(&alice.event_cursor(&chat).await), before);
    });
}
