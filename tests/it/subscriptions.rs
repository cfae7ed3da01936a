//! `chatEvents`: what is delivered, in which order, from where, and up to where.

use std::time::Duration;

use colloquy::http::SocketOptions;
use colloquy::realtime::RealtimeOptions;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::log::{from_now, seqs, uuid, write};
use crate::support::server::Setup;
use crate::support::socket::{Events, bodies, kinds};
use crate::support::{Server, User, postgres, run};

/// Changes a group's title.
async fn rename(user: &User, chat: &str, title: &str) {
    let input = json!({ "chatId": chat, "title": title });
    user.does("renameChat", "", input).await;
}

pub(crate) async fn add(user: &User, chat: &str, other: &User) {
    let input = json!({ "chatId": chat, "userIds": [other.id] });
    user.does("addParticipants", "", input).await;
}

pub(crate) async fn remove(user: &User, chat: &str, other: &User) {
    let input = json!({ "chatId": chat, "userId": other.id });
    user.does("removeParticipant", "", input).await;
}

pub(crate) async fn change_role(user: &User, chat: &str, other: &User, role: &str) {
    let input = json!({ "chatId": chat, "userId": other.id, "role": role });
    user.does("changeParticipantRole", "", input).await;
}

pub(crate) async fn from_start(user: &User, chat: &str) -> Events {
    let start = user.start_cursor(chat).await;
    user.follows(chat, Some(&start)).await
}

/// Does each of the ten things an owner sees, in an order that ends as it began; twelve events.
async fn a_round(alice: &User, bob: &User, carol: &User, chat: &str) {
    let own = alice.sends(chat, "draft").await;
    let input = json!({ "messageId": own, "body": "final" });
    alice.does("editMessage", "", input).await;
    let others = bob.sends(chat, "noise").await;
    let input = json!({ "messageId": others });
    alice.does("deleteMessage", "", input.clone()).await;
    alice.does("restoreMessage", "", input.clone()).await;
    alice.does("deleteMessage", "", input).await;
    add(alice, chat, carol).await;
    change_role(alice, chat, carol, "ADMIN").await;
    remove(alice, chat, carol).await;
    rename(alice, chat, &format!("after {own}")).await;
    let input = json!({ "chatId": chat });
    alice.does("deleteChat", "", input.clone()).await;
    alice.does("restoreChat", "", input).await;
}

const ROUND: [&str; 12] = [
    "MessageSent",
    "MessageEdited",
    "MessageSent",
    "MessageDeleted",
    "MessageRestored",
    "MessageDeleted",
    "ParticipantAdded",
    "ParticipantRoleChanged",
    "ParticipantRemoved",
    "ChatRenamed",
    "ChatDeleted",
    "ChatRestored",
];

#[test]
fn without_a_cursor_it_starts_from_now() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.direct(&bob).await;
        alice.sends(&chat, "old").await;
        let mut events = bob.follows(&chat, None).await;
        // The protocol has no "subscribed": what is sent too early is not told, all that follows is.
        let first = loop {
            alice.sends(&chat, "new").await;
            if let Ok(event) = timeout(Duration::from_secs(2), events.next()).await {
                break event;
            }
        };
        assert_eq!(bodies(std::slice::from_ref(&first)), ["new"]);
        alice.sends(&chat, "newer").await;
        let newer = events
            .until(|event| event["message"]["body"] == "newer")
            .await;
        let behind = seqs(&[first])[0] + 1;
        assert_eq!(
            seqs(&newer),
            (behind..).take(newer.len()).collect::<Vec<_>>()
        );
    });
}

#[test]
fn a_new_chats_log_begins_with_its_participants_the_creator_first() {
    run(async {
        let server = Server::start().await;
        let [alice, bob, carol] = ["alice", "bob", "carol"].map(|id| server.user(id));
        let chat = alice.group("Team", &[&carol, &bob]).await;
        alice.sends(&chat, "welcome").await;
        let events = from_start(&bob, &chat).await.take(4).await;
        let added = |seq: usize| {
            (
                events[seq]["user"]["id"].clone(),
                events[seq]["role"].clone(),
            )
        };
        assert_eq!(kinds(&events[..3]), ["ParticipantAdded"; 3]);
        assert_eq!(added(0), (json!("alice"), json!("OWNER")));
        assert_eq!(added(1), (json!("carol"), json!("MEMBER")));
        assert_eq!(added(2), (json!("bob"), json!("MEMBER")));
        assert_eq!(
            (bodies(&events[3..]), seqs(&events)),
            (vec!["welcome".into()], vec![1, 2, 3, 4])
        );
    });
}

#[test]
fn every_kind_of_event_arrives_live_with_its_fields() {
    run(async {
        let server = Server::start().await;
        let [alice, bob, carol] = ["alice", "bob", "carol"].map(|id| server.user(id));
        let chat = alice.group("Team", &[&bob]).await;
        let mut events = from_now(&alice, &chat).await;
        let mut told: Vec<Value> = Vec::new();
        // Each is awaited before the next thing is done, so that messages show their state of then.
        let own = alice.sends(&chat, "draft").await;
        told.push(events.next().await);
        let input = json!({ "messageId": own, "body": "final" });
        alice.does("editMessage", "", input).await;
        told.push(events.next().await);
        alice
            .does("deleteMessage", "", json!({ "messageId": own }))
            .await;
        told.push(events.next().await);
        alice
            .does("restoreMessage", "", json!({ "messageId": own }))
            .await;
        told.push(events.next().await);
        assert_eq!(
            kinds(&told),
            [
                "MessageSent",
                "MessageEdited",
                "MessageDeleted",
                "MessageRestored"
            ]
        );
        assert_eq!(bodies(&told), ["draft", "final", "", "final"]);
        assert!(told[2]["message"]["deletedAt"].is_string(), "{}", told[2]);
        assert!(told.iter().all(|event| event["message"]["id"] == *own));
        add(&alice, &chat, &carol).await;
        change_role(&alice, &chat, &carol, "ADMIN").await;
        rename(&carol, &chat, "Crew").await;
        remove(&alice, &chat, &carol).await;
        alice
            .does("deleteChat", "", json!({ "chatId": chat }))
            .await;
        alice
            .does("restoreChat", "", json!({ "chatId": chat }))
            .await;
        let rest = events.take(6).await;
        assert_eq!(
            (&rest[0]["user"]["id"], &rest[0]["role"]),
            (&json!("carol"), &json!("MEMBER"))
        );
        assert_eq!(
            (&rest[1]["user"]["id"], &rest[1]["role"]),
            (&json!("carol"), &json!("ADMIN"))
        );
        assert_eq!(
            (&rest[2]["title"], &rest[2]["actor"]["id"]),
            (&json!("Crew"), &json!("carol"))
        );
        assert_eq!(rest[3]["user"]["id"], "carol");
        told.extend(rest);
        let kinds = kinds(&told);
        assert_eq!(kinds[4..6], ["ParticipantAdded", "ParticipantRoleChanged"]);
        assert_eq!(
            kinds[6..],
            [
                "ChatRenamed",
                "ParticipantRemoved",
                "ChatDeleted",
                "ChatRestored"
            ]
        );
        assert_eq!(seqs(&told), (3..13).collect::<Vec<_>>());
        assert!(told.iter().all(|event| event["occurredAt"].is_string()));
    });
}

#[test]
fn from_every_cursor_exactly_the_rest_comes() {
    run(async {
        let server = Server::start().await;
        let [alice, bob, carol] = ["alice", "bob", "carol"].map(|id| server.user(id));
        let chat = alice.group("Team", &[&bob]).await;
        let start = alice.start_cursor(&chat).await;
        let mut live = alice.follows(&chat, Some(&start)).await;
        for _ in 0..5 {
            a_round(&alice, &bob, &carol, &chat).await;
        }
        let live = live.take(62).await;
        assert_eq!(seqs(&live), (1..=62).collect::<Vec<_>>());
        assert_eq!(kinds(&live[2..14]), ROUND);
        let replay = alice.follows(&chat, Some(&start)).await.take(62).await;
        for (live, replayed) in live.iter().zip(&replay) {
            for field in [
                "__typename",
                "cursor",
                "occurredAt",
                "actor",
                "user",
                "role",
                "title",
            ] {
                assert_eq!(live[field], replayed[field], "{field}: {live} {replayed}");
            }
        }
        let cursors = std::iter::once(start.as_str())
            .chain(replay.iter().map(|event| event["cursor"].as_str().unwrap()));
        let mut streams = Vec::new();
        for (after, cursor) in cursors.enumerate() {
            let mut events = alice.follows(&chat, Some(cursor)).await;
            assert_eq!(
                events.take(62 - after).await,
                replay[after..],
                "after {after}"
            );
            streams.push(events);
        }
        alice.sends(&chat, "the end").await;
        for mut events in streams {
            assert_eq!(bodies(&[events.next().await]), ["the end"]);
        }
    });
}

#[test]
fn each_event_shows_the_chat_as_it_is_then() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let chat = alice.group("First", &[]).await;
        let query = "subscription ($chat: ID!, $after: String) { \
                     chatEvents(chatId: $chat, after: $after) { chat { title } } }";
        let start = alice.start_cursor(&chat).await;
        let mut socket = alice.socket().await;
        let variables = json!({ "chat": chat, "after": start });
        socket.subscribe("s", query, variables).await;
        for title in ["First", "Second", "Third"] {
            rename(&alice, &chat, title).await;
            let event = &socket.hear().await["payload"]["data"]["chatEvents"];
            assert_eq!(event["chat"]["title"], title);
        }
    });
}

#[test]
fn a_replay_shows_messages_as_they_are_now() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.direct(&bob).await;
        let (edited, deleted) = (alice.sends(&chat, "a").await, alice.sends(&chat, "b").await);
        let input = json!({ "messageId": edited, "body": "A" });
        alice.does("editMessage", "", input).await;
        alice
            .does("deleteMessage", "", json!({ "messageId": deleted }))
            .await;
        let events = from_start(&bob, &chat).await.take(6).await;
        assert_eq!(
            kinds(&events[2..]),
            [
                "MessageSent",
                "MessageSent",
                "MessageEdited",
                "MessageDeleted"
            ]
        );
        assert_eq!(events[2]["message"]["body"], "A");
        assert!(events[2]["message"]["editedAt"].is_string());
        assert_eq!(events[3]["message"]["body"], Value::Null);
        assert!(events[3]["message"]["deletedAt"].is_string());
    });
}

/// A server that keeps little in memory.
async fn forgetful() -> Server {
    let realtime = RealtimeOptions {
        ring: 16,
        batch: 100,
        ..RealtimeOptions::default()
    };
    // A slow reader is to be slow here for as long as the machine takes.
    let sockets = SocketOptions {
        write_within: Duration::from_secs(120),
        ..SocketOptions::default()
    };
    let setup = Setup {
        realtime,
        sockets,
        ..Setup::default()
    };
    Server::with(postgres::database().await, setup).await
}

#[test]
fn a_replay_may_be_longer_than_what_is_in_memory() {
    run(async {
        let server = forgetful().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.direct(&bob).await;
        let mut live = from_start(&alice, &chat).await;
        live.take(2).await;
        write(&server, &chat, "alice", 700, 10).await;
        alice.sends(&chat, "last").await;
        let mut replay = from_start(&bob, &chat).await;
        alice.sends(&chat, "live").await;
        assert_eq!(seqs(&replay.take(704).await), (1..=704).collect::<Vec<_>>());
        assert_eq!(seqs(&live.take(702).await), (3..=704).collect::<Vec<_>>());
    });
}

#[test]
fn a_slow_reader_misses_nothing_and_delays_nobody() {
    run(async {
        let server = forgetful().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.direct(&bob).await;
        let mut slow = from_start(&bob, &chat).await;
        let mut quick = from_start(&alice, &chat).await;
        quick.take(2).await;
        // 10 MB, which no socket buffers: the slow one stops in the middle.
        for round in 0..10 {
            write(&server, &chat, "alice", 100, 9_990).await;
            alice.sends(&chat, &format!("round {round}")).await;
            quick.take(101).await;
        }
        let events = slow.take(2 + 10 * 101).await;
        assert_eq!(seqs(&events), (1..=2 + 10 * 101).collect::<Vec<_>>());
    });
}

#[test]
fn a_log_that_cannot_be_read_holds_up_no_other() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let (broken, whole) = (
            alice.group("Broken", &[&bob]).await,
            alice.direct(&bob).await,
        );
        let _stuck = from_now(&alice, &broken).await;
        let mut events = from_now(&alice, &whole).await;
        // An entry of a later version: its data are not understood here.
        let statement = format!(
            "WITH chat AS (UPDATE chats SET last_seq = last_seq + 1 WHERE id = '{}' RETURNING *) \
             INSERT INTO chat_events (chat_id, seq, tenant_id, kind, occurred_at, data) \
             SELECT id, last_seq, tenant_id, 6, now(), '{{\"user\": \"bob\", \"role\": 99}}' FROM chat",
            uuid(&broken)
        );
        postgres::sql(&mut server.sql().await, &statement).await;
        alice.sends(&broken, "behind it").await;
        for n in 0..20 {
            alice.sends(&whole, &n.to_string()).await;
            assert_eq!(bodies(&[events.next().await]), [n.to_string()]);
        }
    });
}
