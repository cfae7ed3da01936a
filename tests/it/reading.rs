//! Read marks, unread counts, and when a chat was last active.

use serde_json::{Value, json};

use crate::support::{Server, User, run};

/// The message up to which a user has read.
async fn mark(user: &User, chat: &str) -> Value {
    let fields = "viewerParticipant { lastReadMessage { id } }";
    let chat = user.chat(chat, fields).await;
    chat["viewerParticipant"]["lastReadMessage"]["id"].clone()
}

async fn pair() -> (Server, String, User, User) {
    let server = Server::start().await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let chat = alice.group("Tea", &[&bob]).await;
    (server, chat, alice, bob)
}

#[test]
fn a_read_mark_moves_forward_and_never_back() {
    run(async {
        let (_server, chat, alice, bob) = pair().await;
        assert_eq!(mark(&bob, &chat).await, json!(null));
        let one = alice.sends(&chat, "one").await;
        let two = alice.sends(&chat, "two").await;
        assert_eq!(bob.unread(&chat).await, 2);
        let input = json!({ "chatId": chat, "messageId": one });
        let payload = bob
            .does("markChatRead", "chat { unreadCount }", input)
            .await;
        assert_eq!(payload["chat"]["unreadCount"], 1);
        bob.reads(&chat, &two).await;
        assert_eq!(mark(&bob, &chat).await, json!(two));
        for message in [&one, &two] {
            bob.reads(&chat, message).await;
            assert_eq!(mark(&bob, &chat).await, json!(two));
            assert_eq!(bob.unread(&chat).await, 0);
        }
    });
}

#[test]
fn reading_is_no_event() {
    run(async {
        let (server, chat, alice, bob) = pair().await;
        let message = alice.sends(&chat, "one").await;
        let log = server.log(&chat).await;
        bob.reads(&chat, &message).await;
        bob.reads(&chat, &message).await;
        assert_eq!(server.log(&chat).await, log);
    });
}

#[test]
fn a_chat_is_read_up_to_a_message_of_its_own() {
    run(async {
        let (_server, chat, alice, bob) = pair().await;
        let unread = alice.sends(&chat, "unread").await;
        let other = alice.direct(&bob).await;
        let foreign = alice.sends(&other, "foreign").await;
        for id in [foreign.as_str(), "nonsense", "", &chat, "bob"] {
            let input = json!({ "chatId": chat, "messageId": id });
            let expected = ("NOT_FOUND".to_owned(), json!(["input", "messageId"]));
            assert_eq!(bob.refused("markChatRead", input).await, expected, "{id:?}");
        }
        assert_eq!(bob.unread(&chat).await, 1);
        bob.reads(&chat, &unread).await;
    });
}

#[test]
fn a_deleted_message_can_be_read_up_to() {
    run(async {
        let (_server, chat, alice, bob) = pair().await;
        alice.sends(&chat, "one").await;
        let gone = alice.sends(&chat, "two").await;
        alice.deletes(&gone).await;
        bob.reads(&chat, &gone).await;
        assert_eq!(bob.unread(&chat).await, 0);
        assert_eq!(mark(&bob, &chat).await, json!(gone));
    });
}

#[test]
fn a_mark_is_seen_by_the_others() {
    run(async {
        let (_server, chat, alice, bob) = pair().await;
        let message = alice.sends(&chat, "one").await;
        bob.reads(&chat, &message).await;
        let fields = "participants { nodes { user { id } lastReadMessage { id } } }";
        let chat = alice.chat(&chat, fields).await;
        let expected = json!({ "user": { "id": "bob" }, "lastReadMessage": { "id": message } });
        assert_eq!(chat["participants"]["nodes"][1], expected);
    });
}

#[test]
fn sending_moves_the_senders_own_mark() {
    run(async {
        let (_server, chat, alice, bob) = pair().await;
        alice.sends(&chat, "one").await;
        assert_eq!(alice.unread(&chat).await, 0);
        let answer = bob.sends(&chat, "two").await;
        assert_eq!(bob.unread(&chat).await, 0, "who answers has read");
        assert_eq!(mark(&bob, &chat).await, json!(answer));
        assert_eq!(alice.unread(&chat).await, 1);
    });
}

#[test]
fn unread_are_live_messages_of_others() {
    run(async {
        let (_server, chat, alice, bob) = pair().await;
        let message = alice.sends(&chat, "one").await;
        alice.sends(&chat, "two").await;
        assert_eq!(bob.unread(&chat).await, 2);
        alice.deletes(&message).await;
        assert_eq!(bob.unread(&chat).await, 1);
        alice.restores(&message).await;
        assert_eq!(bob.unread(&chat).await, 2);
        alice.edits(&message, "edited").await;
        alice.renames(&chat, "Coffee").await;
        assert_eq!(bob.unread(&chat).await, 2, "no other event counts");
    });
}

#[test]
fn the_unread_count_is_exact_up_to_a_hundred() {
    run(async {
        let (_server, chat, alice, bob) = pair().await;
        for number in 1..=102 {
            alice.sends(&chat, "hi").await;
            if number > 97 {
                assert_eq!(bob.unread(&chat).await, number.min(100));
            }
        }
    });
}

/// One step of a random life of a chat: `choice` says what, `pick` says of which message.
async fn step(
    chat: &str,
    users: [&User; 2],
    messages: &mut Vec<String>,
    (choice, pick): (u8, usize),
) {
    let [one, other] = users;
    let message = messages.get(pick % messages.len().max(1)).cloned();
    match (choice % 8, message) {
        (0..=2, _) | (_, None) => messages.push(one.sends(chat, "hi").await),
        (3..=4, Some(message)) => one.reads(chat, &message).await,
        (5, Some(message)) => one.deletes(&message).await,
        (6, Some(message)) => one.restores(&message).await,
        (_, Some(_)) => {
            one.removes(chat, other).await;
            one.adds(chat, &[other]).await;
            one.makes(chat, other, "OWNER").await;
        }
    }
}

#[test]
fn the_unread_count_equals_a_recount_whatever_happens() {
    run(async {
        let (server, chat, alice, bob) = pair().await;
        alice.makes(&chat, &bob, "OWNER").await;
        let mut messages = Vec::new();
        for seed in 0..4 {
            let mut random = fastrand::Rng::with_seed(seed);
            for turn in 0..30 {
                let users = if random.bool() {
                    [&alice, &bob]
                } else {
                    [&bob, &alice]
                };
                let what = (random.u8(..), random.usize(..));
                step(&chat, users, &mut messages, what).await;
                for user in users {
                    let recount = server.recounts_unread(&chat, &user.id).await;
                    let unread = user.unread(&chat).await;
                    assert_eq!(unread, recount, "seed {seed}, turn {turn}: {what:?}");
                    assert!(unread >= 0);
                }
            }
        }
        server.log(&chat).await;
    });
}

#[test]
fn a_chat_was_last_active_when_its_newest_message_was_sent() {
    run(async {
        let (_server, chat, alice, bob) = pair().await;
        let begun = alice.chat(&chat, "createdAt lastActivityAt").await;
        assert_eq!(begun["lastActivityAt"], begun["createdAt"]);
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        let message = alice.sends(&chat, "hi").await;
        let sent_at = alice.message(&message, "createdAt").await["createdAt"].clone();
        assert_ne!(sent_at, begun["createdAt"]);
        alice.edits(&message, "ho").await;
        alice.renames(&chat, "Coffee").await;
        alice.makes(&chat, &bob, "ADMIN").await;
        alice.deletes(&message).await;
        let seen = alice
            .chat(&chat, "lastActivityAt lastMessage { id deletedAt }")
            .await;
        assert_eq!(seen["lastActivityAt"], sent_at);
        assert_eq!(
            seen["lastMessage"]["id"],
            json!(message),
            "deleted, and still the last"
        );
        assert_ne!(seen["lastMessage"]["deletedAt"], json!(null));
    });
}

#[test]
fn a_chat_without_messages_has_no_last_one() {
    run(async {
        let (_server, chat, alice, _) = pair().await;
        let seen = alice.chat(&chat, "lastMessage { id } unreadCount").await;
        assert_eq!(seen, json!({ "lastMessage": null, "unreadCount": 0 }));
    });
}

#[test]
fn the_time_of_messages_never_runs_backwards() {
    run(async {
        let (server, chat, alice, bob) = pair().await;
        // As if another server's clock were an hour ahead.
        let mut conn = server.sql().await;
        let ahead = "UPDATE chats SET last_activity_at = date_trunc('milliseconds', now()) + interval '1 hour'";
        crate::support::postgres::sql(&mut conn, ahead).await;
        let before = alice.chat(&chat, "lastActivityAt").await["lastActivityAt"].clone();
        let mut times = vec![before.clone()];
        for user in [&alice, &bob, &alice] {
            let message = user.sends(&chat, "hi").await;
            times.push(user.message(&message, "createdAt").await["createdAt"].clone());
        }
        assert!(times.is_sorted_by_key(|time| time.as_str().unwrap().to_owned()));
        assert_eq!(times.last(), Some(&before), "the clock is still behind");
        let after = alice.chat(&chat, "lastActivityAt").await;
        assert_eq!(after["lastActivityAt"], before);
    });
}

#[test]
fn times_have_three_digits_of_a_second() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let chat = alice.group("Tea", &[]).await;
        let message = alice.sends(&chat, "hi").await;
        alice.edits(&message, "ho").await;
        alice.deletes(&message).await;
        alice.deletes_chat(&chat).await;
        let fields = "createdAt lastActivityAt deletedAt";
        let mut times = vec![
            alice.chat(&chat, fields).await,
            alice
                .message(&message, "createdAt editedAt deletedAt")
                .await,
        ];
        let participant = alice.chat(&chat, "viewerParticipant { joinedAt }").await;
        times.push(participant["viewerParticipant"].clone());
        for time in times
            .iter()
            .flat_map(|times| times.as_object().unwrap().values())
        {
            let digits = time.as_str().unwrap().split_once('.').unwrap().1;
            assert!(digits.len() == 4 && digits.ends_with('Z'), "{time}");
        }
    });
}
