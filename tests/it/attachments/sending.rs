//! Attachments with messages: who sends them, and who sees them for how long.

use std::time::Duration;

use colloquy::app::AttachmentRules;
use serde_json::{Value, json};

use super::{files, server_with};
use crate::support::files::{PNG, get, intent};
use crate::support::rows::lines;
use crate::support::socket::Socket;
use crate::support::{Server, User, at_once, run};

impl User {
    /// Sends a message with attachments, and returns its id.
    pub(crate) async fn sends_files(&self, chat: &str, body: &str, attachments: &[&str]) -> String {
        let input = json!({ "chatId": chat, "body": body, "attachmentIds": attachments });
        let payload = self.does("sendMessage", "message { id }", input).await;
        payload["message"]["id"].as_str().unwrap().to_owned()
    }

    /// The names of a message's attachments.
    async fn attached(&self, message: &str) -> Vec<String> {
        let message = self.message(message, "attachments { name }").await;
        names(&message["attachments"])
    }
}

fn names(attachments: &Value) -> Vec<String> {
    let attachments = attachments.as_array().map_or(&[][..], Vec::as_slice);
    let name = |attachment: &Value| attachment["name"].as_str().unwrap().to_owned();
    attachments.iter().map(name).collect()
}

const NONE: [&str; 0] = [];

#[test]
fn what_is_sent_is_seen_by_who_sees_the_message_and_by_nobody_else() {
    run(async {
        let server = Server::start().await;
        let [alice, bob, eve] = ["alice", "bob", "eve"].map(|name| server.user(name));
        let chat = alice.group("Team", &[&bob]).await;
        let mut events = bob.follows(&chat, None).await;
        let (plan, photo) = (
            alice.uploads("plan.txt", "text/plain", b"plan").await,
            alice.uploads("photo.png", "image/png", PNG).await,
        );
        assert_eq!(bob.attachment(&photo, "id").await, Value::Null);
        let message = alice.sends_files(&chat, "look", &[&photo, &plan]).await;
        let fields = "body attachments { id name status width downloadUrl uploader { id } }";
        let seen = bob.message(&message, fields).await;
        assert_eq!(names(&seen["attachments"]), ["photo.png", "plan.txt"]);
        let first = &seen["attachments"][0];
        assert_eq!(
            (&first["width"], &first["status"]),
            (&json!(640), &json!("READY"))
        );
        assert_eq!(first["uploader"]["id"], "alice");
        let url = first["downloadUrl"].as_str().unwrap();
        assert_eq!(get(url, &[]).await.body, PNG);
        // The event comes without a look at the list, and by its message leads to it.
        let sent = events
            .until(|event| event["message"]["body"] == "look")
            .await;
        assert_eq!(sent.last().unwrap()["message"]["id"], json!(message));
        assert_eq!(bob.attachment(&photo, "name").await["name"], "photo.png");
        let stranger = server.user_of("elsewhere", "bob");
        for other in [&eve, &stranger] {
            assert_eq!(
                other.attachment(&photo, "id downloadUrl").await,
                Value::Null
            );
        }
    });
}

#[test]
fn attachments_need_no_words_and_words_need_no_attachments() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.direct(&bob).await;
        let photo = alice.uploads("photo.png", "image/png", PNG).await;
        let input = json!({ "chatId": chat, "attachmentIds": [photo] });
        let sent = alice
            .does("sendMessage", "message { id body }", input)
            .await;
        assert_eq!(sent["message"]["body"], "");
        assert_eq!(
            bob.attached(sent["message"]["id"].as_str().unwrap()).await,
            ["photo.png"]
        );
        let blank = alice.sends_files(&chat, " \n", &[&photo]).await;
        assert_eq!(bob.message(&blank, "body").await["body"], " \n");
        for input in [
            json!({ "chatId": chat }),
            json!({ "chatId": chat, "body": " ", "attachmentIds": [] }),
        ] {
            let refused = alice.refused("sendMessage", input).await;
            assert_eq!(refused, ("INVALID".to_owned(), json!(["input", "body"])));
        }
        let words = alice.sends(&chat, "words").await;
        assert_eq!(bob.attached(&words).await, NONE);
    });
}

#[test]
fn only_what_is_ready_and_ones_own_is_sent() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let namesake = server.user_of("elsewhere", "alice");
        let chat = alice.direct(&bob).await;
        let mut ready = Vec::new();
        for n in 0..11 {
            ready.push(alice.uploads(&format!("{n}"), "text/plain", b"x").await);
        }
        let his = bob.uploads("his", "text/plain", b"x").await;
        let theirs = namesake.uploads("theirs", "text/plain", b"x").await;
        let announced = alice.announces(intent("a", "text/plain", b"x")).await;
        announced.put(b"x").await;
        let before = server.log(&chat).await;
        for (ids, code) in [
            (vec![&his], "NOT_FOUND"),
            (vec![&theirs], "NOT_FOUND"),
            (vec![&ready[0], &his], "NOT_FOUND"),
            (vec![&"att_nonsense".to_owned()], "NOT_FOUND"),
            (vec![&ready[0], &announced.id], "CONFLICT"),
            (ready.iter().collect(), "TOO_MANY"),
        ] {
            let input = json!({ "chatId": chat, "body": "hi", "attachmentIds": ids });
            let refused = alice.refused("sendMessage", input).await;
            assert_eq!(
                refused,
                (code.to_owned(), json!(["input", "attachmentIds"]))
            );
        }
        assert_eq!(server.log(&chat).await, before);
        let mut conn = server.sql().await;
        let sent = "SELECT id::text AS line FROM attachments WHERE sent_at IS NOT NULL";
        assert_eq!(lines(&mut conn, sent).await, NONE);
        // What was sent to one is not the other's to send.
        let twice: Vec<&str> = ready[..10]
            .iter()
            .chain(&ready[..3])
            .map(String::as_str)
            .collect();
        let message = alice.sends_files(&chat, "ten", &twice).await;
        assert_eq!(bob.attached(&message).await.len(), 10);
        let input = json!({ "chatId": chat, "body": "hi", "attachmentIds": [ready[0]] });
        assert_eq!(bob.refused("sendMessage", input).await.0, "NOT_FOUND");
    });
}

#[test]
fn one_file_is_sent_often_and_seen_as_long_as_one_message_is() {
    run(async {
        let server = Server::start().await;
        let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| server.user(name));
        let (with_bob, with_carol) = (alice.direct(&bob).await, alice.direct(&carol).await);
        let file = alice.uploads("a.txt", "text/plain", b"x").await;
        let for_bob = alice.sends_files(&with_bob, "", &[&file]).await;
        let for_carol = alice.sends_files(&with_carol, "", &[&file]).await;
        let again = alice.sends_files(&with_bob, "again", &[&file]).await;
        alice.deletes(&for_bob).await;
        assert_eq!(bob.attached(&for_bob).await, NONE);
        assert_eq!(bob.attached(&again).await, ["a.txt"]);
        assert!(bob.download_url(&file).await.is_some());
        alice.deletes(&again).await;
        assert_eq!(bob.attachment(&file, "id downloadUrl").await, Value::Null);
        assert!(carol.download_url(&file).await.is_some());
        alice.deletes(&for_carol).await;
        for user in [&alice, &bob, &carol] {
            assert_eq!(user.attachment(&file, "id downloadUrl").await, Value::Null);
        }
        // It is still hers to send.
        alice.restores(&for_bob).await;
        assert_eq!(bob.attached(&for_bob).await, ["a.txt"]);
        assert!(bob.download_url(&file).await.is_some());
        let once_more = alice.sends_files(&with_carol, "", &[&file]).await;
        assert_eq!(carol.attached(&once_more).await, ["a.txt"]);
    });
}

#[test]
fn who_comes_later_and_who_leaves_see_no_more_than_of_messages() {
    run(async {
        let server = Server::start().await;
        let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| server.user(name));
        let chat = alice.group("Team", &[&bob]).await;
        let input = json!({ "chatId": chat, "history": "SINCE_JOINING" });
        alice.does("changeChatHistory", "", input).await;
        let early = alice.uploads("early", "text/plain", b"x").await;
        alice.sends_files(&chat, "", &[&early]).await;
        alice.adds(&chat, &[&carol]).await;
        let late = alice.uploads("late", "text/plain", b"x").await;
        let message = alice.sends_files(&chat, "", &[&late]).await;
        assert_eq!(carol.attachment(&early, "id").await, Value::Null);
        assert!(carol.download_url(&late).await.is_some());
        assert!(bob.download_url(&early).await.is_some());
        // It is so for administrators, who see no such message either, but where it went to another chat.
        let root = server.user("root").permitted(&["colloquy:admin"]);
        assert!(root.download_url(&early).await.is_some());
        alice.adds(&chat, &[&root]).await;
        assert_eq!(root.attachment(&early, "id").await, Value::Null);
        carol.leaves(&chat).await;
        assert_eq!(carol.attachment(&late, "id downloadUrl").await, Value::Null);
        assert_eq!(carol.message(&message, "id").await, Value::Null);
        // A deleted chat is there for who can restore it.
        alice.deletes_chat(&chat).await;
        assert_eq!(bob.attachment(&late, "id").await, Value::Null);
        assert_eq!(alice.attached(&message).await, ["late"]);
        assert!(alice.download_url(&late).await.is_some());
    });
}

#[test]
fn a_retry_finds_its_message_with_its_attachments() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.direct(&bob).await;
        let file = alice.uploads("a.txt", "text/plain", b"x").await;
        let input = json!({ "chatId": chat, "attachmentIds": [file], "idempotencyKey": "k" });
        let tries = (0..8).map(|_| {
            let (alice, input) = (alice.clone(), input.clone());
            async move {
                let sent = alice.does("sendMessage", "message { id }", input).await;
                sent["message"]["id"].as_str().unwrap().to_owned()
            }
        });
        let mut ids = at_once(tries).await;
        let again = json!({ "chatId": chat, "body": "b", "attachmentIds": ["att_01h2xcejqtf2nbrexx3vqjhp41"], "idempotencyKey": "k" });
        let again = alice.does("sendMessage", "message { id }", again).await;
        ids.push(again["message"]["id"].as_str().unwrap().to_owned());
        ids.dedup();
        assert_eq!(ids.len(), 1, "{ids:?}");
        assert_eq!(bob.attached(&ids[0]).await, ["a.txt"]);
        let mut conn = server.sql().await;
        let links = "SELECT chat_id::text AS line FROM message_attachments";
        assert_eq!(lines(&mut conn, links).await.len(), 1);
    });
}

#[test]
fn editing_keeps_attachments_and_forwarding_takes_them_along() {
    run(async {
        let server = Server::start().await;
        let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| server.user(name));
        let chat = alice.direct(&bob).await;
        let file = alice.uploads("a.txt", "text/plain", b"x").await;
        let message = alice.sends_files(&chat, "", &[&file]).await;
        alice.edits(&message, "words").await;
        assert_eq!(bob.attached(&message).await, ["a.txt"]);
        let other = bob.direct(&carol).await;
        let input = json!({ "messageIds": [message], "chatIds": [other] });
        let fields = "messages { id attachments { name } }";
        let sent = bob.does("forwardMessages", fields, input).await;
        assert_eq!(names(&sent["messages"][0]["attachments"]), ["a.txt"]);
        assert!(carol.download_url(&file).await.is_some());
        // What went on is not ended by the end of where it came from.
        alice.deletes(&message).await;
        assert!(carol.download_url(&file).await.is_some());
    });
}

#[test]
fn what_was_sent_is_kept() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let rules = AttachmentRules {
            unsent_for: Duration::from_secs(2),
            ..AttachmentRules::default()
        };
        let server = server_with(folder.path(), rules).await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.direct(&bob).await;
        let sent = alice.uploads("sent", "text/plain", b"sent").await;
        let message = alice.sends_files(&chat, "", &[&sent]).await;
        alice.deletes(&message).await;
        let unsent = alice.uploads("unsent", "text/plain", b"unsent").await;
        crate::support::until("the other is gone", || files(folder.path()) == 1).await;
        assert_eq!(alice.attachment(&unsent, "id").await, Value::Null);
        alice.restores(&message).await;
        let url = bob.download_url(&sent).await.unwrap();
        assert_eq!(get(&url, &[]).await.body, b"sent");
    });
}

/// What is sent at the very moment at which it would be cleared away is either sent and kept, or refused and gone.
#[test]
fn nothing_is_sent_and_cleared_away() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let rules = AttachmentRules {
            unsent_for: Duration::from_secs(5),
            ..AttachmentRules::default()
        };
        let server = server_with(folder.path(), rules).await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.direct(&bob).await;
        let tries = (0..24).map(|n: u64| {
            let (alice, chat) = (alice.clone(), chat.clone());
            async move {
                let file = alice.uploads("a", "text/plain", b"x").await;
                tokio::time::sleep(Duration::from_millis(n * 250)).await;
                let input = json!({ "chatId": chat, "attachmentIds": [file] });
                let sent = alice.mutate("sendMessage", "message { id }", input).await;
                (file, sent["message"]["id"].as_str().map(str::to_owned))
            }
        });
        let tries = at_once(tries).await;
        let sent = tries
            .iter()
            .filter(|(_, message)| message.is_some())
            .count();
        assert!(sent > 0);
        crate::support::until("what was not sent is gone", || files(folder.path()) == sent).await;
        for (file, message) in tries {
            match message {
                Some(message) => {
                    assert_eq!(bob.attached(&message).await, ["a"]);
                    let url = bob.download_url(&file).await.unwrap();
                    assert_eq!(get(&url, &[]).await.body, b"x");
                }
                None => assert_eq!(alice.attachment(&file, "id").await, Value::Null),
            }
        }
    });
}

#[test]
fn administrators_see_what_was_sent_and_that_is_written_down() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let root = server.user("root").permitted(&["colloquy:admin"]);
        let chat = alice.direct(&bob).await;
        let file = alice.uploads("a.txt", "text/plain", b"x").await;
        let unsent = alice.uploads("b.txt", "text/plain", b"x").await;
        let message = alice.sends_files(&chat, "", &[&file]).await;
        let mut conn = server.sql().await;
        let trail = "SELECT actor_id || ' ' || act AS line FROM audit_entries";
        assert_eq!(root.attachment(&unsent, "id").await, Value::Null);
        assert_eq!(lines(&mut conn, trail).await, NONE);
        assert_eq!(root.attachment(&file, "name").await["name"], "a.txt");
        assert_eq!(lines(&mut conn, trail).await, ["root 0"]);
        assert!(root.download_url(&file).await.is_some());
        assert_eq!(root.attached(&message).await, ["a.txt"]);
        alice.deletes(&message).await;
        assert_eq!(root.attachment(&file, "id").await, Value::Null);
    });
}

#[test]
fn the_words_beside_files_can_be_taken_off() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.direct(&bob).await;
        let file = alice.uploads("a.txt", "text/plain", b"x").await;
        let message = alice.sends_files(&chat, "look", &[&file]).await;
        let edit = json!({ "messageId": message, "body": "", "subject": "Plan" });
        let edited = alice
            .does("editMessage", "message { body subject }", edit.clone())
            .await;
        assert_eq!(edited["message"], json!({ "body": "", "subject": "Plan" }));
        assert_eq!(bob.attached(&message).await, ["a.txt"]);
        // What has none has to say something, and who may not edit it is told so and no more.
        let words = alice.sends(&chat, "words").await;
        let edit_words = json!({ "messageId": words, "body": " " });
        let refused = alice.refused("editMessage", edit_words).await;
        assert_eq!(refused, ("INVALID".to_owned(), json!(["input", "body"])));
        assert_eq!(
            bob.refused("editMessage", edit.clone()).await.0,
            "FORBIDDEN"
        );
        let stranger = server.user("stranger");
        assert_eq!(stranger.refused("editMessage", edit).await.0, "NOT_FOUND");
    });
}

/// The files are there again where the message is, for who hears of it and for who reads of it later.
#[test]
fn a_restored_message_has_its_files_in_every_event() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.group("Team", &[&bob]).await;
        let start = alice.event_cursor(&chat).await;
        let file = alice.uploads("a.txt", "text/plain", b"x").await;
        let message = alice.sends_files(&chat, "look", &[&file]).await;
        let query = "subscription ($chat: ID!, $after: String) { chatEvents(chatId: $chat, after: $after) { \
            ... on MessageSent { message { attachments { name } } } \
            ... on MessageDeleted { message { attachments { name } } } \
            ... on MessageRestored { message { attachments { name } } } } }";
        let variables = json!({ "chat": chat, "after": start });
        let mut live = Socket::open(&bob).await;
        live.subscribe("s", query, variables.clone()).await;
        let files = async |socket: &mut Socket| {
            let said = socket.hear().await;
            let event = said["payload"]["data"]["chatEvents"].clone();
            event["message"]["attachments"].as_array().unwrap().len()
        };
        assert_eq!(files(&mut live).await, 1);
        alice.deletes(&message).await;
        assert_eq!(files(&mut live).await, 0);
        alice
            .does("restoreMessage", "", json!({ "messageId": message }))
            .await;
        assert_eq!(files(&mut live).await, 1);
        for user in [&alice, &bob] {
            let mut later = Socket::open(user).await;
            later.subscribe("s", query, variables.clone()).await;
            for _ in 0..3 {
                assert_eq!(files(&mut later).await, 1);
            }
        }
    });
}
