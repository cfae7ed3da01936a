//! What a send and a page cost, and that the tables' layout keeps it so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use colloquy::realtime::RealtimeOptions;
use colloquy::store::{Connection, Database, PoolOptions, RoleName};
use serde_json::{Value, json};

use crate::support::log::from_now;
use crate::support::proxy::{Counts, Text, counted};
use crate::support::rows::lines;
use crate::support::server::Setup;
use crate::support::socket::Events;
use crate::support::{Server, User, postgres, run};

/// A server behind a counting proxy, with one connection in its pool, whose engine keeps silent.
pub(crate) async fn quiet(database: &Database, role: Option<RoleName>) -> (Server, Arc<Counts>) {
    let (proxied, counts) = counted(database, postgres::socket_dir()).await;
    let hour = Duration::from_secs(3600);
    let usual = Setup::default();
    let setup = Setup {
        realtime: RealtimeOptions {
            tick: hour,
            sweep: hour,
            revocations: hour,
            probe: hour,
            ..usual.realtime
        },
        pool: PoolOptions {
            size: 1,
            ..usual.pool
        },
        row_security_role: role.or_else(|| usual.row_security_role.clone()),
        ..usual
    };
    (Server::with(proxied, setup).await, counts)
}

async fn pages(user: &User, chat: &str) -> Value {
    user.chat(
        chat,
        "messages(last: 50) { nodes { id body } pageInfo { hasPreviousPage } }",
    )
    .await
}

#[test]
fn a_send_is_one_round_trip_a_page_two_and_nothing_is_parsed_again() {
    run(async {
        let (server, counts) = quiet(&postgres::database().await, None).await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.direct(&bob).await;
        for user in [&alice, &bob] {
            user.sends(&chat, "warm").await;
            pages(user, &chat).await;
        }
        // The first ring goes at once; the next ones wait for the tick.
        tokio::time::sleep(Duration::from_millis(300)).await;
        counts.take();
        for n in 0..20 {
            [&alice, &bob][n % 2].sends(&chat, &format!("{n}")).await;
            let cost = counts.take();
            assert_eq!(cost.round_trips, 1, "{cost:?}");
            assert_eq!(cost.parsed, 0, "a send parses again");
            pages(&bob, &chat).await;
            let cost = counts.take();
            assert!(cost.round_trips <= 2, "{cost:?}");
            assert_eq!(cost.parsed, 0, "a page parses again");
        }
    });
}

/// Who sends and what they sent is known where it is sent: nothing is read for those who follow the chat there.
#[test]
fn a_send_that_is_followed_on_its_server_costs_no_more() {
    const QUERY: &str = "subscription ($chat: ID!, $after: String) { chatEvents(chatId: $chat, after: $after) \
        { ... on MessageSent { message { body sender { id displayName } } } } }";
    run(async {
        let (server, counts) = quiet(&postgres::database().await, None).await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.direct(&bob).await;
        alice.sends(&chat, "warm").await;
        let mut socket = bob.socket().await;
        let variables = json!({ "chat": chat, "after": bob.event_cursor(&chat).await });
        socket.subscribe("1", QUERY, variables).await;
        alice.sends(&chat, "first").await;
        socket.hear().await;
        for n in 0..3 {
            // Longer than people are remembered.
            tokio::time::sleep(Duration::from_millis(1200)).await;
            counts.take();
            alice.sends(&chat, &format!("{n}")).await;
            let said = socket.hear().await;
            let message = &said["payload"]["data"]["chatEvents"]["message"];
            assert_eq!(message["body"], format!("{n}"), "{said}");
            assert_eq!(message["sender"]["id"], "alice", "{said}");
            let cost = counts.take();
            assert_eq!(cost.round_trips, 1, "{cost:?}");
        }
    });
}

#[test]
fn an_idempotent_send_and_an_answer_cost_little_more() {
    run(async {
        let (server, counts) = quiet(&postgres::database().await, None).await;
        let alice = server.user("alice");
        let chat = alice.group("chat", &[]).await;
        let first = alice.sends(&chat, "first").await;
        let send = async |key: Option<String>, reply_to: Option<&str>| {
            let input = json!({ "chatId": chat, "body": "b", "idempotencyKey": key, "replyToId": reply_to });
            counts.take();
            alice.does("sendMessage", "message { id }", input).await;
            counts.take()
        };
        send(Some("warm".to_owned()), Some(&first)).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let keyed = send(Some("key".to_owned()), None).await;
        assert_eq!((keyed.round_trips, keyed.parsed), (1, 0));
        let answer = send(None, Some(&first)).await;
        assert_eq!((answer.round_trips, answer.parsed), (3, 0));
    });
}

/// Whatever is hot is prepared once a connection.
#[test]
fn nothing_hot_is_parsed_twice_on_a_connection() {
    run(async {
        let database = postgres::database().await;
        let (proxied, counts) = counted(&database, postgres::socket_dir()).await;
        let server = Server::on(proxied).await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.direct(&bob).await;
        for _ in 0..3 {
            alice.sends(&chat, "warm").await;
        }
        pages(&bob, &chat).await;
        counts.texts();
        let sends = (0..40).map(|n| {
            let (alice, bob, chat) = (&alice, &bob, &chat);
            async move {
                if n % 2 == 0 {
                    alice.sends(chat, "hot").await;
                } else {
                    pages(bob, chat).await;
                }
            }
        });
        futures_util::future::join_all(sends).await;
        let mut seen = BTreeSet::new();
        for Text {
            connection, sql, ..
        } in counts.texts()
        {
            // The doorbell and the listener are not what is measured here.
            let new = seen.insert((connection, sql.clone()));
            assert!(
                new || sql.starts_with("SELECT 1"),
                "{connection} parses again: {sql}"
            );
        }
    });
}

/// Everybody who connects is made known first, so when thousands do, this statement is hot.
#[test]
fn who_is_new_costs_a_statement_that_is_not_parsed_again() {
    run(async {
        let (server, counts) = quiet(&postgres::database().await, None).await;
        let ask = async |name: String| {
            let user = server.user(&name);
            user.ask("{ viewer { id } }", json!({})).await;
            counts.take()
        };
        ask("first".to_owned()).await;
        for n in 0..10 {
            let cost = ask(format!("new-{n}")).await;
            assert!(cost.statements <= 2, "{cost:?}");
            assert_eq!(cost.parsed, 0, "whoever is new has it parsed again");
        }
    });
}

/// More resume than may open at a time: all of them open, and the database hears of it a few times.
#[test]
fn many_who_missed_the_same_cost_few_statements() {
    const MANY: usize = 100;
    const MISSED: usize = 20;
    const QUERY: &str = "subscription ($chat: ID!, $after: String) { chatEvents(chatId: $chat, after: $after) \
        { ... on MessageSent { message { body sender { displayName } } } } }";
    run(async {
        let (server, counts) = quiet(&postgres::database().await, None).await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.group("chat", &[&bob]).await;
        let after = bob.event_cursor(&chat).await;
        let bodies: Vec<String> = (0..MISSED).map(|n| format!("{n}")).collect();
        for body in &bodies {
            alice.sends(&chat, body).await;
        }
        let mut socket = bob.socket().await;
        counts.take();
        for id in 0..MANY {
            let variables = json!({ "chat": chat, "after": after });
            socket.subscribe(&id.to_string(), QUERY, variables).await;
        }
        let mut heard: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for _ in 0..MANY * MISSED {
            let said = socket.hear().await;
            let text = |pointer: &str| said.pointer(pointer).and_then(Value::as_str);
            let body = text("/payload/data/chatEvents/message/body");
            let (id, body) = (
                text("/id").unwrap(),
                body.unwrap_or_else(|| panic!("{said}")),
            );
            heard
                .entry(id.to_owned())
                .or_default()
                .push(body.to_owned());
        }
        assert_eq!(heard.len(), MANY);
        assert!(heard.values().all(|heard| *heard == bodies));
        // Each event is executed for all of them at once: once, or a few times where that takes seconds.
        let cost = counts.take();
        assert!(cost.statements <= MANY * MISSED / 8, "{cost:?}");
    });
}

/// NOTIFY takes a lock of the whole cluster to the end of its transaction: no writing connection ever says
/// it, and no trigger does so for it.
#[test]
fn only_the_doorbell_notifies() {
    run(async {
        let database = postgres::database().await;
        let (proxied, counts) = counted(&database, postgres::socket_dir()).await;
        let server = Server::on(proxied).await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.group("chat", &[&bob]).await;
        let mut events = bob.follows(&chat, None).await;
        let id = alice.sends(&chat, "hello").await;
        alice
            .does("editMessage", "", json!({ "messageId": id, "body": "hi" }))
            .await;
        alice
            .does("deleteMessage", "", json!({ "messageId": id }))
            .await;
        bob.does("leaveChat", "", json!({ "chatId": chat })).await;
        events.take(4).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        let texts = counts.texts();
        let who = |words: &[&str]| -> BTreeSet<usize> {
            let said = |text: &&Text| {
                let sql = text.sql.to_uppercase();
                words.iter().any(|word| sql.contains(word))
            };
            texts
                .iter()
                .filter(said)
                .map(|text| text.connection)
                .collect()
        };
        let notify = who(&["NOTIFY"]);
        let write = who(&["INSERT ", "UPDATE ", "DELETE ", "BEGIN", "COMMIT"]);
        assert_eq!(notify.len(), 1, "the doorbell has one connection");
        assert!(!write.is_empty());
        assert!(notify.is_disjoint(&write), "{notify:?} {write:?}");
        let mut conn = database.connect().await.unwrap();
        let triggers = "SELECT tgname::text AS line FROM pg_trigger WHERE NOT tgisinternal
                AND tgrelid <> 'audit_entries'::regclass
            UNION ALL SELECT rulename FROM pg_rules WHERE schemaname = 'public'";
        assert_eq!(lines(&mut conn, triggers).await, [""; 0]);
    });
}

/// The first hint goes at once, and what gathers in a tick goes in one transaction.
#[test]
fn the_doorbell_rings_once_a_tick() {
    const TICK: Duration = Duration::from_millis(500);
    run(async {
        let database = postgres::database().await;
        let (proxied, counts) = counted(&database, postgres::socket_dir()).await;
        let usual = Setup::default();
        let hour = Duration::from_secs(3600);
        let realtime = |tick| RealtimeOptions {
            tick,
            sweep: hour,
            revocations: hour,
            probe: hour,
            ..usual.realtime
        };
        let setup = |tick| Setup {
            realtime: realtime(tick),
            ..usual.clone()
        };
        let here = Server::with(proxied, setup(TICK)).await;
        let there = Server::with(database, setup(usual.realtime.tick)).await;
        let (alice, bob) = (here.user("alice"), there.user("bob"));
        let chats = [alice.group("one", &[&bob]).await, alice.direct(&bob).await];
        let mut streams = [
            from_now(&bob, &chats[0]).await,
            from_now(&bob, &chats[1]).await,
        ];
        tokio::time::sleep(2 * TICK).await;
        counts.runs("");
        let began = std::time::Instant::now();
        let sends = (0..100).map(|n| alice.sends(&chats[n % 2], "hello"));
        futures_util::future::join_all(sends).await;
        for events in &mut streams {
            events.take(50).await;
        }
        let ticks = began.elapsed().as_millis() / TICK.as_millis();
        let rings = counts.runs("pg_notify") as u128;
        assert!(
            (1..=ticks + 2).contains(&rings),
            "{rings} rings in {ticks} ticks"
        );
    });
}

/// The updates of a table so far, and how many of them were heap-only.
async fn updates(conn: &mut Connection, table: &str) -> (u32, u32) {
    let statement = format!(
        "SELECT n_tup_upd || ' ' || n_tup_hot_upd AS line FROM pg_stat_user_tables WHERE relname = '{table}'"
    );
    let line = lines(conn, &statement).await.remove(0);
    let (all, hot) = line.split_once(' ').unwrap();
    (all.parse().unwrap(), hot.parse().unwrap())
}

#[test]
fn sends_update_heap_only() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.direct(&bob).await;
        for n in 0..200 {
            [&alice, &bob][n % 2].sends(&chat, "hello").await;
        }
        // A connection that ends hands its statistics in.
        let mut conn = server.sql().await;
        server.app.pool.close();
        for table in ["chats", "participants"] {
            let mut counted = (0, 0);
            for _ in 0..200 {
                counted = updates(&mut conn, table).await;
                if counted.0 >= 200 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            let (all, hot) = counted;
            println!("{table}: {hot} of {all} updates are heap-only");
            assert!(all >= 200, "{table}: only {all} updates are counted");
            assert!(
                hot * 100 >= all * 95,
                "{table}: {hot} of {all} are heap-only"
            );
        }
    });
}

/// 2 000 chats of 10 people and 10 messages each, and one chat with 20 000 messages of two people.
const CROWD: &str = "
    INSERT INTO users (tenant_id, id, created_at)
        SELECT 'default', 'u' || n, now() FROM generate_series(1, 2000) AS n ON CONFLICT DO NOTHING;
    INSERT INTO servers VALUES (1, now(), now() + interval '1 hour');
    INSERT INTO presences SELECT 'default', 'u' || n, 1, now() FROM generate_series(1, 2000) AS n;
    INSERT INTO chats (id, tenant_id, kind, title, created_at, last_seq, last_activity_at)
        SELECT lpad(to_hex(n), 32, '0')::uuid, 'default', 1, 'chat', now(), 20, now() - n * interval '1 second'
        FROM generate_series(1, 2000) AS n;
    INSERT INTO participants (chat_id, user_id, tenant_id, role, joined_at, joined_seq, read_seq)
        SELECT lpad(to_hex(n), 32, '0')::uuid, 'u' || 1 + (n * 7 + m * 31) % 2000, 'default', 0, now(), m, 5
        FROM generate_series(1, 2000) AS n, generate_series(1, 10) AS m;
    INSERT INTO messages (chat_id, seq, id, tenant_id, sender_id, body, created_at)
        SELECT lpad(to_hex(n), 32, '0')::uuid, 10 + m, gen_random_uuid(), 'default', 'u' || m, 'hello', now()
        FROM generate_series(1, 2000) AS n, generate_series(1, 10) AS m;
    INSERT INTO attachments (id, tenant_id, uploader_id, name, content_type, size, checksum, status, created_at, sent_at)
        SELECT lpad(to_hex(n), 32, '0')::uuid, 'default', 'u1', 'a', 'text/plain', 1, sha256(''), 1, now(), now()
        FROM generate_series(1, 2000) AS n;
    INSERT INTO message_attachments (chat_id, seq, position, attachment_id, tenant_id)
        SELECT lpad(to_hex(n), 32, '0')::uuid, 10 + m, 0, lpad(to_hex(n), 32, '0')::uuid, 'default'
        FROM generate_series(1, 2000) AS n, generate_series(1, 10) AS m;
    INSERT INTO chat_events (chat_id, seq, tenant_id, kind, occurred_at, data)
        SELECT lpad(to_hex(n), 32, '0')::uuid, m, 'default', 4, now(), '{}'
        FROM generate_series(1, 2000) AS n, generate_series(1, 10) AS m;";

fn long(chat: &str) -> String {
    format!(
        "INSERT INTO messages (chat_id, seq, id, tenant_id, sender_id, body, created_at)
            SELECT c.id, 2 + n, gen_random_uuid(), c.tenant_id, 'bob', 'hello', now()
            FROM chats AS c, generate_series(1, 20000) AS n WHERE c.title = '{chat}';
        UPDATE chats SET last_seq = 20002 WHERE title = '{chat}';"
    )
}

/// The plan of a statement in a format of EXPLAIN, as it is for any parameters.
pub(crate) async fn plan(conn: &mut Connection, text: &Text, format: &str) -> String {
    let types = text
        .parameters
        .iter()
        .map(|oid| format!("'{oid}'::oid::regtype::text"));
    let types: Vec<_> = types.collect();
    let names = if types.is_empty() {
        String::new()
    } else {
        let names = format!("SELECT concat_ws(', ', {}) AS line", types.join(", "));
        format!("({})", lines(conn, &names).await.remove(0))
    };
    postgres::sql(conn, &format!("PREPARE planned {names} AS {}", text.sql)).await;
    let nulls = vec!["NULL"; types.len()].join(", ");
    let nulls = if types.is_empty() {
        nulls
    } else {
        format!("({nulls})")
    };
    let explain = format!("EXPLAIN (COSTS OFF, FORMAT {format}) EXECUTE planned{nulls}");
    let plan = explained(conn, &explain).await;
    postgres::sql(conn, "DEALLOCATE planned").await;
    plan
}

/// EXPLAIN has a column name of its own.
async fn explained(conn: &mut Connection, explain: &str) -> String {
    use diesel::QueryableByName;
    use diesel::sql_types::Text;
    use diesel_async::RunQueryDsl as _;

    #[derive(Debug, QueryableByName)]
    struct Line {
        #[diesel(sql_type = Text, column_name = "QUERY PLAN")]
        line: String,
    }
    let rows: Vec<Line> = diesel::sql_query(explain).load(conn).await.unwrap();
    let lines: Vec<_> = rows.into_iter().map(|row| row.line).collect();
    lines.join("\n")
}

const EVERYTHING: &str = "query ($chat: ID!, $message: ID!, $participant: ID!, $before: String) {
    node(id: $message) { id }
    nodes(ids: [$participant]) { id ... on Participant { user { displayName } } }
    chats(filter: { includeDeleted: true }) { nodes { id } }
    chat(id: $chat) {
        unreadCount lastMessage { body } viewerParticipant { lastReadMessage { body } }
        newest: messages(last: 50) { nodes { id replyTo { body } } }
        deep: messages(last: 50, before: $before) { nodes { id } }
        oldest: messages(first: 50) { nodes { id } }
        participants { nodes { id lastDeliveredMessage { body } presence { status } } }
    }
}";

/// Every statement that the API takes to read and to send is planned with indexes alone, on large tables.
#[test]
fn what_is_read_often_is_read_by_index() {
    run(async {
        let database = postgres::database().await;
        let mut conn = database.connect().await.unwrap();
        let (server, counts) = quiet(&database, None).await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.group("long", &[&bob]).await;
        postgres::sql(&mut conn, CROWD).await;
        postgres::sql(&mut conn, &long("long")).await;
        postgres::sql(&mut conn, "ANALYZE").await;
        counts.texts();
        let page = alice.chat(&chat, "messages(first: 100) { edges { cursor node { id } } } participants { nodes { id } }").await;
        let edge = &page["messages"]["edges"][99];
        let variables = json!({
            "chat": chat, "message": edge["node"]["id"], "before": edge["cursor"],
            "participant": page["participants"]["nodes"][0]["id"],
        });
        alice.ask(EVERYTHING, variables).await;
        let input = json!({ "chatId": chat, "body": "b", "replyToId": edge["node"]["id"], "idempotencyKey": "k" });
        for _ in 0..2 {
            alice
                .does("sendMessage", "message { id }", input.clone())
                .await;
        }
        let input = json!({ "chatId": chat, "messageId": edge["node"]["id"] });
        bob.does("markChatRead", "", input.clone()).await;
        bob.does("markChatDelivered", "", json!({ "marks": [input] }))
            .await;
        let _signals = Events::of_signals(&bob, &chat).await;
        bob.follows(&chat, Some(&bob.start_cursor(&chat).await))
            .await
            .take(3)
            .await;
        let texts = counts.texts();
        postgres::sql(&mut conn, "SET plan_cache_mode = force_generic_plan").await;
        let mut planned = BTreeSet::new();
        for text in &texts {
            let first = text.sql.split_whitespace().next().unwrap();
            let plannable = ["SELECT", "WITH", "UPDATE", "INSERT", "DELETE"].contains(&first);
            let tiny = text.sql.contains("\"epoch\"") || text.sql.contains("pg_");
            if !plannable || tiny || !planned.insert(text.sql.clone()) {
                continue;
            }
            let plan = plan(&mut conn, text, "TEXT").await;
            println!("{}\n{plan}\n", text.sql);
            // There are as many rows of servers as there are servers, and few sinks.
            let few = ["on servers", "on sinks"];
            let scans = |line: &str| {
                line.contains("Seq Scan") && !few.iter().any(|table| line.contains(table))
            };
            assert!(!plan.lines().any(scans), "{}\n{plan}", text.sql);
        }
        assert!(
            planned.len() >= 12,
            "only {} statements: {planned:#?}",
            planned.len()
        );
    });
}
