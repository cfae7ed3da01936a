//! Sending, editing, deleting and restoring messages.

use serde_json::{Value, json};

use crate::support::socket::{bodies, kinds};
use crate::support::{Server, User, run};

#[test]
fn a_sent_message_arrives() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.direct(&bob).await;
        let mut events = bob
            .follows(&chat, Some(&bob.start_cursor(&chat).await))
            .await;
        assert_eq!(kinds(&events.take(2).await), ["ParticipantAdded"; 2]);
        alice.sends(&chat, "hello").await;
        assert_eq!(bodies(&events.take(1).await), ["hello"]);
        let page = bob
            .chat(&chat, "unreadCount lastMessage { body sender { id } }")
            .await;
        assert_eq!(
            page,
            json!({"unreadCount": 1, "lastMessage": {"body": "hello", "sender": {"id": "alice"}}})
        );
    });
}

/// A group that alice owns, bob administers, and carol and dan are members of.
async fn group() -> (Server, String, [User; 4]) {
    let server = Server::start().await;
    let people = ["alice", "bob", "carol", "dan"].map(|name| server.user(name));
    let [alice, bob, carol, dan] = &people;
    let chat = alice.group("Tea", &[bob, carol, dan]).await;
    alice.makes(&chat, bob, "ADMIN").await;
    (server, chat, people)
}

fn at(code: &str, field: &str) -> (String, Value) {
    (code.to_owned(), json!(["input", field]))
}

#[test]
fn a_body_is_kept_byte_for_byte() {
    run(async {
        let (_server, chat, [alice, bob, ..]) = group().await;
        let first = alice.sends(&chat, "first").await;
        for body in [
            "  leading and trailing \r\n",
            "e\u{301} is not \u{e9}",
            "👩\u{200d}👩\u{200d}👧\u{fe0f} 🏳\u{fe0f}\u{200d}🌈",
            "\u{202e}right to left\u{202c} שלום \u{200f}مرحبا",
            "tab\tbell\u{7}escape\u{1b}[31m",
            "\u{feff}with a mark, \u{fffd} and \u{10ffff}",
            "<b>&amp;</b> '\"\\ $1 %s {} -- ; DROP TABLE",
            "ﬁ Å K ǅ ß İ",
            "\u{2800}",
        ] {
            let message = alice.sends(&chat, body).await;
            assert_eq!(bob.message(&message, "body").await["body"], body);
            alice.edits(&first, body).await;
            assert_eq!(bob.message(&first, "body").await["body"], body);
        }
    });
}

#[test]
fn a_body_has_1_to_10_000_characters_and_is_not_blank() {
    let fine = ["x".repeat(10_000), "é".repeat(10_000), "😀".repeat(10_000)];
    let refused = [
        ("x".repeat(10_001), "TOO_LONG"),
        ("😀".repeat(10_001), "TOO_LONG"),
        // Two scalar values that a person sees as one character.
        ("e\u{301}".repeat(5_001), "TOO_LONG"),
        (String::new(), "INVALID"),
        (" \t\r\n\u{a0}\u{3000}".to_owned(), "INVALID"),
        ("\u{200b}\u{feff}\u{2060}\u{ad}".to_owned(), "INVALID"),
        ("\u{3164}\u{fe0f}\u{e0020}".to_owned(), "INVALID"),
        ("a\0b".to_owned(), "INVALID"),
        ("\0".to_owned(), "INVALID"),
    ];
    run(async move {
        let (server, chat, [alice, ..]) = group().await;
        let message = alice.sends(&chat, "first").await;
        for body in &fine {
            alice.sends(&chat, body).await;
            alice.edits(&message, body).await;
        }
        let log = server.log(&chat).await;
        for (body, code) in &refused {
            let input = json!({ "chatId": chat, "body": body });
            let send = alice.refused("sendMessage", input).await;
            assert_eq!(send, at(code, "body"), "{}", body.len());
            let input = json!({ "messageId": message, "body": body });
            let edit = alice.refused("editMessage", input).await;
            assert_eq!(edit, at(code, "body"), "{}", body.len());
        }
        assert_eq!(server.log(&chat).await, log);
    });
}

#[test]
fn a_lone_surrogate_makes_the_request_malformed() {
    run(async {
        let (server, chat, [alice, ..]) = group().await;
        let log = server.log(&chat).await;
        let token = format!("Bearer {}", alice.token.as_ref().unwrap());
        let headers = [
            ("content-type", "application/json"),
            ("authorization", token.as_str()),
        ];
        let send = "mutation ($chat: ID!, $body: String!) { sendMessage(input: { chatId: $chat, \
             body: $body }) { message { id } } }";
        let lone: [&[u8]; 4] = [b"\\ud800", b"\\udc00x", b"\\ude00\\ud83d", b"\xed\xa0\x80"];
        for body in lone {
            let mut request =
                format!("{{\"query\":\"{send}\",\"variables\":{{\"chat\":\"{chat}\",\"body\":\"")
                    .into_bytes();
            request.extend_from_slice(body);
            request.extend_from_slice(b"\"}}");
            let answer = alice.http("POST", "/graphql", &headers, &request).await;
            assert_eq!(answer.status, 400, "{}", body.escape_ascii());
            let code = &answer.json()["errors"][0]["extensions"]["code"];
            assert_eq!(code, "BAD_USER_INPUT");
        }
        assert_eq!(server.log(&chat).await, log);
    });
}

#[test]
fn an_author_edits_their_message() {
    run(async {
        let (server, chat, [_, _, carol, dan]) = group().await;
        let message = carol.sends(&chat, "first").await;
        let before = carol.message(&message, "createdAt editedAt").await;
        assert_eq!(before["editedAt"], json!(null));
        let log = server.log(&chat).await.len();
        let input = json!({ "messageId": message, "body": "second" });
        let fields = "message { id body editedAt createdAt sender { id } }";
        let edited = carol.does("editMessage", fields, input).await["message"].clone();
        assert_eq!(
            (&edited["id"], &edited["body"]),
            (&json!(message), &json!("second"))
        );
        assert_eq!(edited["createdAt"], before["createdAt"]);
        assert_ne!(edited["editedAt"], json!(null));
        let seen = dan
            .message(&message, "id body editedAt createdAt sender { id }")
            .await;
        assert_eq!(seen, edited);
        assert_eq!(server.log(&chat).await[log..], ["MessageEdited"]);
    });
}

#[test]
fn editing_to_the_same_body_is_no_event() {
    run(async {
        let (server, chat, [alice, ..]) = group().await;
        let message = alice.sends(&chat, "same").await;
        let log = server.log(&chat).await;
        alice.edits(&message, "same").await;
        assert_eq!(
            alice.message(&message, "editedAt").await["editedAt"],
            json!(null)
        );
        assert_eq!(server.log(&chat).await, log);
    });
}

#[test]
fn nobody_edits_anothers_message() {
    run(async {
        let (server, chat, [alice, bob, carol, dan]) = group().await;
        let message = carol.sends(&chat, "mine").await;
        let log = server.log(&chat).await;
        let input = json!({ "messageId": message, "body": "yours" });
        for user in [&alice, &bob, &dan] {
            let (code, _) = user.refused("editMessage", input.clone()).await;
            assert_eq!(code, "FORBIDDEN", "{}", user.id);
        }
        assert_eq!(carol.message(&message, "body").await["body"], "mine");
        assert_eq!(server.log(&chat).await, log);
    });
}

#[test]
fn a_deleted_message_cannot_be_edited() {
    run(async {
        let (server, chat, [_, bob, carol, _]) = group().await;
        let message = carol.sends(&chat, "mine").await;
        for deleter in [&carol, &bob] {
            deleter.deletes(&message).await;
            let log = server.log(&chat).await;
            for body in ["other", "mine"] {
                let input = json!({ "messageId": message, "body": body });
                let refused = carol.refused("editMessage", input).await;
                assert_eq!(refused, at("CONFLICT", "messageId"));
            }
            assert_eq!(server.log(&chat).await, log);
            deleter.restores(&message).await;
        }
    });
}

#[test]
fn a_deleted_message_keeps_its_place_without_its_body() {
    run(async {
        let (server, chat, [alice, _, carol, _]) = group().await;
        let mut ids = Vec::new();
        for body in ["one", "two", "three"] {
            ids.push(alice.sends(&chat, body).await);
        }
        alice.edits(&ids[1], "two, edited").await;
        alice.deletes(&ids[1]).await;
        let fields = "messages { nodes { id body } }";
        let page = carol.chat(&chat, fields).await["messages"]["nodes"].clone();
        let expected = json!([
            { "id": ids[0], "body": "one" },
            { "id": ids[1], "body": null },
            { "id": ids[2], "body": "three" },
        ]);
        assert_eq!(page, expected);
        let tombstone = carol
            .message(&ids[1], "body deletedAt editedAt sender { id }")
            .await;
        assert_ne!(tombstone["deletedAt"], json!(null));
        assert_eq!(tombstone["body"], json!(null));
        assert_eq!(tombstone["sender"]["id"], "alice");
        let log = server.log(&chat).await;
        assert_eq!(log[log.len() - 2..], ["MessageEdited", "MessageDeleted"]);
        alice.restores(&ids[1]).await;
        let restored = carol.message(&ids[1], "body deletedAt").await;
        assert_eq!(
            restored,
            json!({ "body": "two, edited", "deletedAt": null })
        );
    });
}

#[test]
fn a_replayed_event_does_not_show_the_body_of_a_deleted_message() {
    run(async {
        let (_server, chat, [alice, bob, ..]) = group().await;
        let message = alice.sends(&chat, "secret").await;
        alice.edits(&message, "secret still").await;
        alice.deletes(&message).await;
        let start = bob.start_cursor(&chat).await;
        let events = bob.follows(&chat, Some(&start)).await.take(8).await;
        let of_message = kinds(&events[5..]);
        assert_eq!(
            of_message,
            ["MessageSent", "MessageEdited", "MessageDeleted"]
        );
        assert!(!json!(events).to_string().contains("secret"));
    });
}

#[test]
fn owners_and_admins_delete_others_messages() {
    run(async {
        let (server, chat, [alice, bob, carol, dan]) = group().await;
        for deleter in [&alice, &bob] {
            deleter.deletes(&carol.sends(&chat, "hers").await).await;
        }
        bob.deletes(&alice.sends(&chat, "the owner's").await).await;
        let message = carol.sends(&chat, "hers").await;
        let log = server.log(&chat).await;
        let input = json!({ "messageId": message });
        assert_eq!(dan.refused("deleteMessage", input).await.0, "FORBIDDEN");
        assert_eq!(dan.message(&message, "body").await["body"], "hers");
        assert_eq!(server.log(&chat).await, log);
    });
}

#[test]
fn an_author_cannot_undo_an_admins_deletion() {
    run(async {
        let (server, chat, [alice, bob, carol, dan]) = group().await;
        let message = carol.sends(&chat, "hers").await;
        bob.deletes(&message).await;
        // Deleting it once more does not make the deletion hers.
        carol.deletes(&message).await;
        let log = server.log(&chat).await;
        let input = json!({ "messageId": message });
        for user in [&carol, &dan] {
            let (code, _) = user.refused("restoreMessage", input.clone()).await;
            assert_eq!(code, "FORBIDDEN", "{}", user.id);
        }
        assert_eq!(server.log(&chat).await, log);
        alice.restores(&message).await;
        assert_eq!(carol.message(&message, "body").await["body"], "hers");
    });
}

#[test]
fn who_deleted_a_message_restores_it() {
    run(async {
        let (server, chat, [alice, bob, carol, _]) = group().await;
        let message = carol.sends(&chat, "hers").await;
        for (deleter, restorer) in [
            (&carol, &carol),
            (&bob, &bob),
            (&carol, &bob),
            (&bob, &alice),
        ] {
            deleter.deletes(&message).await;
            restorer.restores(&message).await;
        }
        // Whoever deleted it as an admin may undo it as a member, too.
        bob.deletes(&message).await;
        alice.makes(&chat, &bob, "MEMBER").await;
        bob.restores(&message).await;
        assert_eq!(carol.message(&message, "body").await["body"], "hers");
        let log = server.log(&chat).await;
        let restored = log.iter().filter(|kind| *kind == "MessageRestored");
        assert_eq!(restored.count(), 5);
    });
}

#[test]
fn deleting_the_deleted_and_restoring_the_live_are_no_events() {
    run(async {
        let (server, chat, [_, bob, carol, _]) = group().await;
        let message = carol.sends(&chat, "hers").await;
        let log = server.log(&chat).await;
        carol.restores(&message).await;
        bob.restores(&message).await;
        assert_eq!(server.log(&chat).await, log);
        carol.deletes(&message).await;
        let deleted = carol.message(&message, "deletedAt").await;
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        carol.deletes(&message).await;
        bob.deletes(&message).await;
        assert_eq!(carol.message(&message, "deletedAt").await, deleted);
        assert_eq!(server.log(&chat).await.len(), log.len() + 1);
    });
}

#[test]
fn a_message_answers_one_of_its_chat() {
    run(async {
        let (server, chat, [alice, bob, carol, _]) = group().await;
        let first = alice.sends(&chat, "question").await;
        alice.sends(&chat, "between").await;
        let reply = |id: &str| json!({ "chatId": chat, "body": "answer", "replyToId": id });
        let fields = "message { id replyTo { id body } }";
        let payload = bob.does("sendMessage", fields, reply(&first)).await;
        let expected = json!({ "id": first, "body": "question" });
        assert_eq!(payload["message"]["replyTo"], expected);

        alice.deletes(&first).await;
        let payload = bob.does("sendMessage", fields, reply(&first)).await;
        let expected = json!({ "id": first, "body": null });
        assert_eq!(payload["message"]["replyTo"], expected);

        let elsewhere = bob.sends(&bob.direct(&carol).await, "elsewhere").await;
        let log = server.log(&chat).await;
        for id in [elsewhere.as_str(), "nonsense", "", &chat, "alice"] {
            let refused = bob.refused("sendMessage", reply(id)).await;
            assert_eq!(refused, at("NOT_FOUND", "replyToId"), "{id:?}");
        }
        assert_eq!(server.log(&chat).await, log);
    });
}

#[test]
fn a_message_that_answers_none_says_so() {
    run(async {
        let (_server, chat, [alice, ..]) = group().await;
        let input = json!({ "chatId": chat, "body": "hi", "replyToId": null });
        let fields = "message { replyTo { id } editedAt deletedAt sender { id } chat { id } }";
        let payload = alice.does("sendMessage", fields, input).await;
        let expected = json!({
            "replyTo": null, "editedAt": null, "deletedAt": null,
            "sender": { "id": "alice" }, "chat": { "id": chat },
        });
        assert_eq!(payload["message"], expected);
    });
}

#[test]
fn a_malformed_message_id_is_the_id_of_nothing() {
    run(async {
        let (_server, chat, [alice, ..]) = group().await;
        let message = alice.sends(&chat, "hi").await;
        let upper = message.to_uppercase();
        let other_type = message.replace("msg_", "chat_");
        for id in ["", "msg_", "nonsense", "nul\0", &upper, &other_type, &chat] {
            let edit = alice.refused("editMessage", json!({ "messageId": id, "body": "x" }));
            assert_eq!(edit.await, at("NOT_FOUND", "messageId"), "{id:?}");
            for mutation in ["deleteMessage", "restoreMessage"] {
                let refused = alice.refused(mutation, json!({ "messageId": id })).await;
                assert_eq!(refused, at("NOT_FOUND", "messageId"), "{mutation} {id:?}");
            }
        }
    });
}

#[test]
fn messages_of_who_left_stay() {
    run(async {
        let (_server, chat, [alice, _, carol, _]) = group().await;
        let message = carol.sends(&chat, "I was here").await;
        carol.leaves(&chat).await;
        let seen = alice.message(&message, "body sender { id }").await;
        let expected = json!({ "body": "I was here", "sender": { "id": "carol" } });
        assert_eq!(seen, expected);
        let input = json!({ "messageId": message, "body": "not any more" });
        let refused = carol.refused("editMessage", input).await;
        assert_eq!(refused, at("NOT_FOUND", "messageId"));
    });
}
