//! Cursors of a chat's log: which are refused, and that none loses or repeats anything while others write.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use colloquy::model::EventCursor;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::support::log::{from_now, seq_of, seqs};
use crate::support::socket::Events;
use crate::support::{Server, User, postgres, run};

/// The code with which a subscription from a cursor fails.
async fn code(user: &User, chat: &str, after: &str) -> String {
    user.follows(chat, Some(after)).await.fails().await
}

#[test]
fn what_is_no_cursor_of_the_chat_is_bad_input() {
    run(async {
        let server = Server::start().await;
        let [alice, bob, carol] = ["alice", "bob", "carol"].map(|id| server.user(id));
        let (chat, other) = (alice.direct(&bob).await, alice.direct(&carol).await);
        alice.sends(&chat, "hello").await;
        let page = alice.chat(&chat, "messages { edges { cursor } }").await;
        let page = page["messages"]["edges"][0]["cursor"].as_str().unwrap();
        let negative = EventCursor {
            seq: -1,
            ..EventCursor::decode(&alice.event_cursor(&chat).await).unwrap()
        };
        let others = alice.event_cursor(&other).await;
        for after in ["", "!", "AAAA", page, &negative.encode(), &others] {
            assert_eq!(
                code(&alice, &chat, after).await,
                "BAD_USER_INPUT",
                "{after}"
            );
        }
    });
}

/// A cursor is refused with a reason that says what to do about it.
#[test]
fn why_a_cursor_is_refused_is_told() {
    run(async {
        let server = Server::start().await;
        let [alice, bob, carol] = ["alice", "bob", "carol"].map(|id| server.user(id));
        let (chat, other) = (alice.direct(&bob).await, alice.direct(&carol).await);
        let good = alice.event_cursor(&chat).await;
        let decoded = EventCursor::decode(&good).unwrap();
        let others = EventCursor::decode(&alice.event_cursor(&other).await).unwrap();
        let epoch = Uuid::from_u128(decoded.epoch.as_u128() ^ 1);
        let (not_one, of_another) = ("is not an event cursor", "is a cursor of another chat");
        let (bad, expired) = ("BAD_USER_INPUT", "CURSOR_EXPIRED");
        for (after, expected, words) in [
            (good[..good.len() - 1].to_owned(), bad, not_one),
            (format!("{good}A"), bad, not_one),
            (format!(" {good}"), bad, not_one),
            (good.replacen('A', "B", 1), bad, not_one),
            (others.encode(), bad, of_another),
            (
                EventCursor { epoch, ..decoded }.encode(),
                expired,
                "load the chat again",
            ),
            // A mistake of the client is one in every life of the database.
            (EventCursor { epoch, ..others }.encode(), bad, of_another),
        ] {
            let message = alice.follows(&chat, Some(&after)).await.message().await;
            let error = &message["payload"][0];
            assert_eq!(error["extensions"]["code"], expected, "{after}: {message}");
            let text = error["message"].as_str().unwrap();
            assert!(text.contains(words), "{after}: {text}");
        }
        // The one they were made from is good.
        alice.sends(&chat, "on").await;
        assert_eq!(
            seqs(&alice.follows(&chat, Some(&good)).await.take(1).await),
            [3]
        );
    });
}

/// An operator begins a new epoch while servers run: their streams end, and say why.
#[test]
fn a_new_epoch_ends_the_streams_of_running_servers() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.direct(&bob).await;
        let old = alice.event_cursor(&chat).await;
        let mut events = from_now(&alice, &chat).await;
        let statement = "UPDATE epoch SET value = gen_random_uuid()";
        postgres::sql(&mut server.sql().await, statement).await;
        let began = Instant::now();
        assert_eq!(events.fails().await, "CURSOR_EXPIRED");
        assert!(began.elapsed() < Duration::from_secs(4), "not by a sweep");
        // It does what it is told: loads the chat again, and goes on from there.
        let new = alice.event_cursor(&chat).await;
        let mut events = alice.follows(&chat, Some(&new)).await;
        bob.sends(&chat, "on").await;
        assert_eq!(events.next().await["message"]["body"], "on");
        assert_eq!(code(&alice, &chat, &old).await, "CURSOR_EXPIRED");
    });
}

#[test]
fn a_cursor_of_another_life_of_the_log_has_expired() {
    run(async {
        let database = postgres::database().await;
        let before = Server::on(database.clone()).await;
        let (alice, bob) = (before.user("alice"), before.user("bob"));
        let chat = alice.direct(&bob).await;
        let old = alice.event_cursor(&chat).await;
        let statement = "UPDATE epoch SET value = gen_random_uuid()";
        postgres::sql(&mut before.sql().await, statement).await;
        let after = Server::on(database).await;
        let alice = alice.at(&after);
        assert_eq!(code(&alice, &chat, &old).await, "CURSOR_EXPIRED");
        let new = alice.event_cursor(&chat).await;
        alice.sends(&chat, "on").await;
        assert_eq!(
            seqs(&alice.follows(&chat, Some(&new)).await.take(1).await),
            [3]
        );
    });
}

#[test]
fn a_cursor_beyond_the_head_has_expired() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.direct(&bob).await;
        let head = EventCursor::decode(&alice.event_cursor(&chat).await).unwrap();
        for beyond in [1, 1_000_000, i64::MAX - head.seq] {
            let after = EventCursor {
                seq: head.seq + beyond,
                ..head
            };
            assert_eq!(code(&alice, &chat, &after.encode()).await, "CURSOR_EXPIRED");
        }
    });
}

#[test]
fn what_the_viewer_may_not_see_is_not_found() {
    run(async {
        let server = Server::start().await;
        let [alice, bob, eve] = ["alice", "bob", "eve"].map(|id| server.user(id));
        let mallory = server.user_of("elsewhere", "alice");
        let chat = alice.group("Team", &[&bob]).await;
        let start = alice.start_cursor(&chat).await;
        let nobodys = colloquy::model::ChatId(Uuid::nil()).to_string();
        for user in [&eve, &mallory] {
            assert_eq!(code(user, &chat, &start).await, "NOT_FOUND");
        }
        for chat in [nobodys.as_str(), "chat_1", "", "bob"] {
            let mut events = Events::of_chat(&alice, chat, None).await;
            assert_eq!(events.fails().await, "NOT_FOUND", "{chat}");
        }
        alice
            .does("deleteChat", "", json!({ "chatId": chat }))
            .await;
        assert_eq!(code(&bob, &chat, &start).await, "NOT_FOUND");
        assert_eq!(
            code(&server.anonymous(), &chat, &start).await,
            "UNAUTHENTICATED"
        );
    });
}

/// Users who send until told to stop, or much has been said.
struct Senders {
    stop: Arc<AtomicBool>,
    tasks: JoinSet<usize>,
}

impl Senders {
    fn start(users: &[User], chat: &str, most: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for user in users {
            let (user, chat, stop) = (user.clone(), chat.to_owned(), Arc::clone(&stop));
            tasks.spawn(async move {
                let mut sent = 0;
                while sent < most && !stop.load(Ordering::Relaxed) {
                    user.sends(&chat, &format!("{} {sent}", user.id)).await;
                    sent += 1;
                }
                sent
            });
        }
        Self { stop, tasks }
    }

    /// Stops them and says how many messages there are.
    async fn stop(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.tasks.join_all().await.into_iter().sum()
    }
}

async fn a_group(server: &Server, size: usize) -> (Vec<User>, String) {
    let users: Vec<User> = (0..size)
        .map(|n| server.user(&format!("user-{n}")))
        .collect();
    let others: Vec<&User> = users[1..].iter().collect();
    let chat = users[0].group("Busy", &others).await;
    (users, chat)
}

fn ids(nodes: &Value) -> Vec<String> {
    let nodes = nodes.as_array().unwrap().iter();
    nodes
        .map(|node| node["id"].as_str().unwrap().to_owned())
        .collect()
}

/// What a reader has: a page, and a stream that goes on behind it.
struct Reading {
    page: Vec<String>,
    head: i64,
    events: Events,
}

impl Reading {
    async fn begin(user: &User, chat: &str) -> Self {
        let fields = "messages(last: 50) { nodes { id } } eventCursor";
        let answer = user.chat(chat, fields).await;
        let cursor = answer["eventCursor"].as_str().unwrap();
        Self {
            page: ids(&answer["messages"]["nodes"]),
            head: seq_of(cursor),
            events: user.follows(chat, Some(cursor)).await,
        }
    }

    /// The page and the stream together are the end of the table.
    async fn check(mut self, all: &[String], last_seq: i64) {
        let behind = usize::try_from(last_seq - self.head).unwrap();
        let told = self.events.take(behind).await;
        assert_eq!(seqs(&told), (self.head + 1..=last_seq).collect::<Vec<_>>());
        let messages = told
            .iter()
            .map(|event| event["message"]["id"].as_str().unwrap().to_owned());
        let seen: Vec<String> = self.page.into_iter().chain(messages).collect();
        assert_eq!(seen, all[all.len() - seen.len()..]);
    }
}

/// The ids of all messages of a chat, by pages from the end.
async fn all_messages(user: &User, chat: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut before = Value::Null;
    loop {
        let query = "query ($id: ID!, $before: String) { chat(id: $id) { \
                     messages(last: 100, before: $before) { nodes { id } pageInfo { startCursor } } } }";
        let variables = json!({ "id": chat, "before": before });
        let page = user.ask(query, variables).await["chat"]["messages"].clone();
        if ids(&page["nodes"]).is_empty() {
            return all;
        }
        all.splice(0..0, ids(&page["nodes"]));
        before = page["pageInfo"]["startCursor"].clone();
    }
}

#[test]
fn a_page_and_the_stream_behind_it_are_everything_once() {
    run(async {
        let server = Server::start().await;
        let (users, chat) = a_group(&server, 5).await;
        let reader = &users[4];
        let senders = Senders::start(&users[..4], &chat, 80);
        let mut readings = Vec::new();
        for _ in 0..25 {
            readings.push(Reading::begin(reader, &chat).await);
        }
        let count = senders.stop().await;
        let all = all_messages(reader, &chat).await;
        assert_eq!(
            (all.len(), all.iter().collect::<HashSet<_>>().len()),
            (count, count)
        );
        let last_seq = seq_of(&reader.event_cursor(&chat).await);
        for reading in readings {
            reading.check(&all, last_seq).await;
        }
    });
}

#[test]
fn one_answer_stands_at_one_head() {
    run(async {
        let server = Server::start().await;
        let (users, chat) = a_group(&server, 4).await;
        let senders = Senders::start(&users[..3], &chat, 80);
        let query = "query ($id: ID!) { a: chat(id: $id) { ...Head } b: chat(id: $id) { ...Head } \
                     nodes(ids: [$id]) { ... on Chat { ...Head } } } \
                     fragment Head on Chat { eventCursor newest: messages(last: 1) { nodes { id } } \
                     lastMessage { id } oldest: messages(first: 100) { nodes { id } pageInfo { hasNextPage } } }";
        for _ in 0..40 {
            let answer = users[3].ask(query, json!({ "id": chat })).await;
            assert_eq!(
                (&answer["a"], &answer["a"]),
                (&answer["b"], &answer["nodes"][0])
            );
            let newest = &answer["a"]["newest"]["nodes"][0];
            assert_eq!(*newest, answer["a"]["lastMessage"]);
            if answer["a"]["oldest"]["pageInfo"]["hasNextPage"] == false {
                let oldest = ids(&answer["a"]["oldest"]["nodes"]);
                let entries = i64::try_from(oldest.len() + users.len()).unwrap();
                assert_eq!(
                    entries,
                    seq_of(answer["a"]["eventCursor"].as_str().unwrap())
                );
            }
        }
        senders.stop().await;
    });
}

#[test]
fn subscribers_who_join_at_any_time_see_what_follows_in_order() {
    run(async {
        let server = Server::start().await;
        let (users, chat) = a_group(&server, 8).await;
        let start = EventCursor::decode(&users[0].start_cursor(&chat).await).unwrap();
        let senders = Senders::start(&users, &chat, 40);
        let mut subscribers = Vec::new();
        for n in 0..20 {
            let user = &users[n % users.len()];
            let head = seq_of(&user.event_cursor(&chat).await);
            let after = EventCursor {
                seq: fastrand::i64(0..=head),
                ..start
            };
            subscribers.push((after.seq, user.follows(&chat, Some(&after.encode())).await));
            // They join at any time, which is what this is about.
            tokio::time::sleep(Duration::from_millis(fastrand::u64(0..60))).await;
        }
        let count = senders.stop().await;
        let last = i64::try_from(count + users.len()).unwrap();
        for (after, mut events) in subscribers {
            let told = events.take(usize::try_from(last - after).unwrap()).await;
            assert_eq!(seqs(&told), (after + 1..=last).collect::<Vec<_>>());
        }
        assert_eq!(seq_of(&users[0].event_cursor(&chat).await), last);
    });
}
