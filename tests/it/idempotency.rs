//! Sends that are tried again.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::support::{Server, User, at_once, run};

const MESSAGE: &str = "message { id body createdAt editedAt deletedAt replyTo { id } }";

fn send(chat: &str, body: &str, key: &str) -> Value {
    json!({ "chatId": chat, "body": body, "idempotencyKey": key })
}

async fn sends(user: &User, chat: &str, body: &str, key: &str) -> Value {
    let payload = user.does("sendMessage", MESSAGE, send(chat, body, key));
    payload.await["message"].clone()
}

#[test]
fn two_hundred_retries_at_once_are_one_message() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.direct(&bob).await;
        let retries = (0..200).map(|_| {
            let (alice, chat) = (alice.clone(), chat.clone());
            async move { sends(&alice, &chat, "once", "key").await }
        });
        let answers = at_once(retries).await;
        assert!(answers.iter().all(|answer| *answer == answers[0]));
        assert_eq!(answers[0]["body"], "once");
        let expected = ["ParticipantAdded", "ParticipantAdded", "MessageSent"];
        assert_eq!(server.log(&chat).await, expected);
        assert_eq!(bob.unread(&chat).await, 1);
    });
}

#[test]
fn a_retry_returns_the_first_message_whatever_its_body() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let chat = alice.group("Tea", &[]).await;
        let first = sends(&alice, &chat, "first", "key").await;
        let earlier = alice.sends(&chat, "between").await;
        assert_eq!(sends(&alice, &chat, "second", "key").await, first);
        let mut answer = send(&chat, "answer", "key");
        answer["replyToId"] = json!(earlier);
        let payload = alice.does("sendMessage", MESSAGE, answer).await;
        assert_eq!(payload["message"], first);
        let log = server.log(&chat).await;
        assert_eq!(log[1..], ["MessageSent"; 2]);
    });
}

#[test]
fn a_retry_returns_the_first_message_also_after_edit_and_deletion() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let chat = alice.group("Tea", &[]).await;
        let first = sends(&alice, &chat, "first", "key").await;
        let id = first["id"].as_str().unwrap();
        alice.edits(id, "edited").await;
        let retry = sends(&alice, &chat, "first", "key").await;
        assert_eq!(
            (&retry["id"], &retry["body"]),
            (&first["id"], &json!("edited"))
        );
        alice.deletes(id).await;
        let retry = sends(&alice, &chat, "first", "key").await;
        assert_eq!((&retry["id"], &retry["body"]), (&first["id"], &json!(null)));
        assert_ne!(retry["deletedAt"], json!(null));
        assert_eq!(server.log(&chat).await.len(), 4);
    });
}

#[test]
fn a_key_is_of_one_chat_and_one_sender() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let (one, two) = (alice.direct(&bob).await, alice.group("Tea", &[&bob]).await);
        let mut ids = HashSet::new();
        for (user, chat) in [(&alice, &one), (&alice, &two), (&bob, &one), (&bob, &two)] {
            let message = sends(user, chat, "hi", "key").await;
            assert!(ids.insert(message["id"].to_string()));
            assert_eq!(sends(user, chat, "hi", "key").await, message);
        }
    });
}

#[test]
fn a_send_without_a_key_is_a_message_each_time() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let chat = alice.group("Tea", &[]).await;
        let first = alice.sends(&chat, "hi").await;
        assert_ne!(alice.sends(&chat, "hi").await, first);
        let input = json!({ "chatId": chat, "body": "hi", "idempotencyKey": null });
        alice.does("sendMessage", "", input).await;
        assert_eq!(server.log(&chat).await[1..], ["MessageSent"; 3]);
    });
}

#[test]
fn a_key_has_1_to_128_characters() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let chat = alice.group("Tea", &[]).await;
        let (longest, too_long) = ("é".repeat(128), "é".repeat(129));
        sends(&alice, &chat, "hi", &longest).await;
        sends(&alice, &chat, "hi", " ").await;
        for (key, code) in [
            ("", "INVALID"),
            ("nul\0", "INVALID"),
            (&too_long, "TOO_LONG"),
        ] {
            let refused = alice.refused("sendMessage", send(&chat, "hi", key)).await;
            let expected = (code.to_owned(), json!(["input", "idempotencyKey"]));
            assert_eq!(refused, expected, "{key:?}");
        }
        assert_eq!(server.log(&chat).await.len(), 3);
    });
}

#[test]
fn what_is_wrong_in_itself_is_refused_before_the_key_is_looked_up() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let chat = alice.group("Tea", &[]).await;
        sends(&alice, &chat, "hi", "key").await;
        for (body, code) in [
            ("", "INVALID"),
            (" \u{200b}", "INVALID"),
            ("nul\0", "INVALID"),
            (&"x".repeat(10_001), "TOO_LONG"),
        ] {
            let refused = alice.refused("sendMessage", send(&chat, body, "key")).await;
            assert_eq!(refused, (code.to_owned(), json!(["input", "body"])));
        }
        let mut malformed = send(&chat, "hi", "key");
        malformed["replyToId"] = json!("nonsense");
        let refused = alice.refused("sendMessage", malformed).await;
        let expected = ("NOT_FOUND".to_owned(), json!(["input", "replyToId"]));
        assert_eq!(refused, expected);
    });
}

#[test]
fn a_key_opens_nothing_to_who_was_removed() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.group("Tea", &[&bob]).await;
        let first = sends(&bob, &chat, "hi", "key").await;
        alice.removes(&chat, &bob).await;
        let input = send(&chat, "hi", "key");
        assert_eq!(bob.refused("sendMessage", input).await.0, "NOT_FOUND");
        alice.adds(&chat, &[&bob]).await;
        assert_eq!(sends(&bob, &chat, "hi", "key").await, first);
    });
}

/// Whether a send is among those that were answered before the sender was out.
async fn try_to_send(user: &User, chat: &str, body: &str) -> bool {
    let input = json!({ "chatId": chat, "body": body });
    let payload = user.mutate("sendMessage", "", input).await;
    let errors = payload["userErrors"].as_array().unwrap();
    assert!(
        errors.iter().all(|error| error["code"] == "NOT_FOUND"),
        "{payload}"
    );
    errors.is_empty()
}

#[test]
fn no_message_of_the_removed_comes_after_their_removal() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.group("Tea", &[]).await;
        let mut rounds = Vec::new();
        for round in 0..25 {
            alice.adds(&chat, &[&bob]).await;
            let sender = (0..3).map(|turn| {
                let (bob, chat) = (bob.clone(), chat.clone());
                async move {
                    let mut sent = 0;
                    while try_to_send(&bob, &chat, &format!("{round} {turn}")).await {
                        sent += 1;
                    }
                    sent
                }
            });
            let sender = tokio::task::spawn(at_once(sender.collect::<Vec<_>>()));
            tokio::time::sleep(std::time::Duration::from_millis(round)).await;
            alice.removes(&chat, &bob).await;
            let head = server.log(&chat).await.len();
            let sent: usize = sender.await.unwrap().into_iter().sum();
            let log = server.log(&chat).await;
            assert_eq!(log.len(), head, "something was written after the removal");
            assert_eq!(log.last().unwrap(), "ParticipantRemoved");
            rounds.push(sent);
        }
        let log = server.log(&chat).await;
        let written = log.iter().filter(|kind| *kind == "MessageSent").count();
        assert_eq!(
            written,
            rounds.iter().sum::<usize>(),
            "what was answered is there"
        );
    });
}

#[test]
fn sends_at_once_leave_no_gap() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.group("Tea", &[&bob]).await;
        let sends = (0..100).map(|turn| {
            let (user, chat) = ([&alice, &bob][turn % 2].clone(), chat.clone());
            async move {
                match turn % 10 {
                    9 => user.adds(&chat, &[&user]).await,
                    _ => drop(user.sends(&chat, &turn.to_string()).await),
                }
            }
        });
        // Adding who is in is an admin's; bob would be refused.
        alice.makes(&chat, &bob, "ADMIN").await;
        at_once(sends.collect::<Vec<_>>()).await;
        let log = server.log(&chat).await;
        assert_eq!(log[3..], ["MessageSent"; 90]);
    });
}
