//! Opening, naming, deleting and restoring chats.

use serde_json::{Value, json};

use crate::support::{Server, User, at_once, run};

fn refusal(code: &str, field: &str) -> (String, Value) {
    (code.to_owned(), json!(["input", field]))
}

#[test]
fn a_direct_chat_is_one_from_both_sides() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.direct(&bob).await;
        assert_eq!(bob.direct(&alice).await, chat);
        assert_eq!(alice.direct(&bob).await, chat);
        assert_eq!(server.log(&chat).await, ["ParticipantAdded"; 2]);
        assert_eq!(bob.people(&chat).await, ["alice MEMBER", "bob MEMBER"]);
        let seen = bob.chat(&chat, "kind title createdBy { id }").await;
        let expected = json!({ "kind": "DIRECT", "title": null, "createdBy": { "id": "alice" } });
        assert_eq!(seen, expected);
    });
}

#[test]
fn a_direct_chat_opened_by_both_at_the_same_instant_is_one() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let opens = (0..50).map(|turn| {
            let (alice, bob) = (alice.clone(), bob.clone());
            async move {
                match turn % 2 {
                    0 => alice.direct(&bob).await,
                    _ => bob.direct(&alice).await,
                }
            }
        });
        let opened = at_once(opens).await;
        assert!(opened.iter().all(|chat| *chat == opened[0]), "{opened:?}");
        assert_eq!(server.log(&opened[0]).await, ["ParticipantAdded"; 2]);
        let chats = server.number("SELECT count(*) AS number FROM chats").await;
        assert_eq!(chats, 1);
    });
}

#[test]
fn a_direct_chat_is_with_somebody_else() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let input = json!({ "userId": "alice" });
        let refused = alice.refused("openDirectChat", input).await;
        assert_eq!(refused, refusal("INVALID", "userId"));
    });
}

#[test]
fn a_direct_chat_is_with_a_possible_user_id() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.direct(&bob).await;
        let longest = "é".repeat(255);
        alice.direct(&server.user(&longest)).await;
        for id in ["", "nul\0", &"é".repeat(256), &chat] {
            let refused = alice.refused("openDirectChat", json!({ "userId": id }));
            assert_eq!(refused.await, refusal("INVALID", "userId"), "{id:?}");
        }
    });
}

#[test]
fn opening_a_deleted_direct_chat_restores_it() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.direct(&bob).await;
        let message = alice.sends(&chat, "still here").await;
        alice.deletes_chat(&chat).await;
        assert_eq!(bob.direct(&alice).await, chat);
        let seen = alice.chat(&chat, "deletedAt lastMessage { id }").await;
        let expected = json!({ "deletedAt": null, "lastMessage": { "id": message } });
        assert_eq!(seen, expected);
        let log = server.log(&chat).await;
        assert_eq!(log[3..], ["ChatDeleted", "ChatRestored"]);
    });
}

#[test]
fn either_side_of_a_direct_chat_deletes_and_restores_it() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.direct(&bob).await;
        bob.deletes_chat(&chat).await;
        for user in [&alice, &bob] {
            assert_ne!(
                user.chat(&chat, "deletedAt").await["deletedAt"],
                json!(null)
            );
            assert!(user.lists(json!({})).await.is_empty());
        }
        alice.restores_chat(&chat).await;
        assert_eq!(bob.lists(json!({})).await, [chat]);
    });
}

#[test]
fn a_group_begins_with_its_owner() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("zoe"), server.user("bob"));
        let chat = alice.group("Tea", &[&bob, &alice, &bob]).await;
        assert_eq!(alice.people(&chat).await, ["bob MEMBER", "zoe OWNER"]);
        let start = bob.start_cursor(&chat).await;
        let events = bob.follows(&chat, Some(&start)).await.take(2).await;
        let added: Vec<&Value> = events.iter().map(|event| &event["user"]["id"]).collect();
        assert_eq!(added, ["zoe", "bob"], "the creator first");
        assert_eq!(server.log(&chat).await, ["ParticipantAdded"; 2]);
        let seen = bob.chat(&chat, "kind title createdBy { id }").await;
        let expected = json!({ "kind": "GROUP", "title": "Tea", "createdBy": { "id": "zoe" } });
        assert_eq!(seen, expected);
    });
}

#[test]
fn a_group_of_one_is_a_group() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let input = json!({ "title": "Notes" });
        let payload = alice.does("createGroupChat", "chat { id }", input).await;
        let chat = payload["chat"]["id"].as_str().unwrap();
        assert_eq!(alice.people(chat).await, ["alice OWNER"]);
    });
}

#[test]
fn a_group_begins_with_at_most_a_hundred_others() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let mut ids: Vec<String> = (0..100).map(|number| format!("user {number}")).collect();
        let input = json!({ "title": "Many", "participantIds": ids });
        let payload = alice.does("createGroupChat", "chat { id }", input).await;
        let chat = payload["chat"]["id"].as_str().unwrap();
        assert_eq!(server.log(chat).await.len(), 101);
        ids.push("one more".to_owned());
        let input = json!({ "title": "Many", "participantIds": ids });
        let refused = alice.refused("createGroupChat", input).await;
        assert_eq!(refused, refusal("TOO_MANY", "participantIds"));
    });
}

#[test]
fn a_group_begins_with_possible_user_ids() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        for id in ["", "nul\0", &"x".repeat(256)] {
            let input = json!({ "title": "Tea", "participantIds": ["bob", id] });
            let refused = alice.refused("createGroupChat", input).await;
            assert_eq!(refused, refusal("INVALID", "participantIds"), "{id:?}");
        }
        assert!(alice.lists(json!({})).await.is_empty());
    });
}

#[test]
fn a_title_is_trimmed_and_one_line_of_1_to_200_characters() {
    let (longest, too_long) = ("é".repeat(200), "é".repeat(201));
    let padded = format!("  {longest}\n");
    let fine = [
        ("  Tea \n", "Tea"),
        ("Tea  time", "Tea  time"),
        (&padded, &longest),
    ];
    let refused = [
        ("", "INVALID"),
        (" \t\n", "INVALID"),
        ("\u{200b}", "INVALID"),
        ("two\nlines", "INVALID"),
        ("two\u{2028}lines", "INVALID"),
        ("two\u{2029}lines", "INVALID"),
        ("nul\0", "INVALID"),
        ("bell\u{7}", "INVALID"),
        ("c1\u{85}control", "INVALID"),
        (&too_long, "TOO_LONG"),
    ];
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let chat = alice.group("First", &[]).await;
        for (title, kept) in fine {
            alice.renames(&chat, title).await;
            assert_eq!(alice.chat(&chat, "title").await["title"], kept);
            let made = alice.group(title, &[]).await;
            assert_eq!(alice.chat(&made, "title").await["title"], kept);
        }
        let log = server.log(&chat).await;
        for (title, code) in refused {
            let input = json!({ "chatId": chat, "title": title });
            let rename = alice.refused("renameChat", input).await;
            assert_eq!(rename, refusal(code, "title"), "{title:?}");
            let create = alice.refused("createGroupChat", json!({ "title": title }));
            assert_eq!(create.await, refusal(code, "title"), "{title:?}");
        }
        assert_eq!(server.log(&chat).await, log);
    });
}

#[test]
fn renaming_to_the_same_title_is_no_event() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let chat = alice.group("Tea", &[]).await;
        alice.renames(&chat, " Tea ").await;
        assert_eq!(server.log(&chat).await, ["ParticipantAdded"]);
        alice.renames(&chat, "Coffee").await;
        alice.renames(&chat, "Coffee").await;
        assert_eq!(server.log(&chat).await, ["ParticipantAdded", "ChatRenamed"]);
    });
}

/// What must be as before when a chat is restored.
const EVERYTHING: &str = "id kind title createdAt lastActivityAt deletedAt unreadCount \
     messages { nodes { id body editedAt deletedAt replyTo { id } sender { id } } } \
     participants { nodes { user { id } role joinedAt lastReadMessage { id } } }";

#[test]
fn a_restored_chat_has_everything_it_had() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.group("Tea", &[&bob]).await;
        let first = bob.sends(&chat, "first").await;
        let input = json!({ "chatId": chat, "body": "answer", "replyToId": first });
        bob.does("sendMessage", "", input).await;
        bob.edits(&first, "edited").await;
        bob.deletes(&bob.sends(&chat, "gone").await).await;
        alice.makes(&chat, &bob, "ADMIN").await;
        let before = [
            alice.chat(&chat, EVERYTHING).await,
            bob.chat(&chat, EVERYTHING).await,
        ];
        alice.deletes_chat(&chat).await;
        alice.restores_chat(&chat).await;
        let after = [
            alice.chat(&chat, EVERYTHING).await,
            bob.chat(&chat, EVERYTHING).await,
        ];
        assert_eq!(after, before);
        let log = server.log(&chat).await;
        assert_eq!(log[log.len() - 2..], ["ChatDeleted", "ChatRestored"]);
    });
}

#[test]
fn a_deleted_group_is_there_for_its_owner_alone() {
    run(async {
        let server = Server::start().await;
        let (alice, bob, carol) = (
            server.user("alice"),
            server.user("bob"),
            server.user("carol"),
        );
        let chat = alice.group("Tea", &[&bob, &carol]).await;
        let message = bob.sends(&chat, "hi").await;
        alice.makes(&chat, &bob, "ADMIN").await;
        alice.deletes_chat(&chat).await;

        assert_ne!(
            alice.chat(&chat, "deletedAt").await["deletedAt"],
            json!(null)
        );
        assert_eq!(alice.message(&message, "body").await["body"], "hi");
        assert!(alice.lists(json!({})).await.is_empty());
        let all = json!({ "includeDeleted": true });
        assert_eq!(alice.lists(all.clone()).await, [chat.clone()]);
        for user in [&bob, &carol] {
            assert_eq!(user.chat(&chat, "id").await, json!(null));
            assert_eq!(user.message(&message, "id").await, json!(null));
            assert!(user.lists(all.clone()).await.is_empty());
        }
    });
}

#[test]
fn the_list_of_chats_takes_a_kind() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let direct = alice.direct(&bob).await;
        let group = alice.group("Tea", &[]).await;
        assert_eq!(
            alice.lists(json!({ "kind": "DIRECT" })).await,
            [direct.clone()]
        );
        assert_eq!(
            alice.lists(json!({ "kind": "GROUP" })).await,
            [group.clone()]
        );
        let both = [group, direct];
        assert_eq!(alice.lists(json!(null)).await, both);
        let all = json!({ "kind": null, "includeDeleted": null });
        assert_eq!(alice.lists(all).await, both);
    });
}

#[test]
fn the_most_recently_active_chat_is_first() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let quiet = alice.group("Quiet", &[]).await;
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        let busy = alice.group("Busy", &[]).await;
        assert_eq!(alice.lists(json!({})).await, [busy.clone(), quiet.clone()]);
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        alice.sends(&quiet, "not any more").await;
        assert_eq!(alice.lists(json!({})).await, [quiet, busy]);
    });
}

/// Every mutation that writes to a chat that exists, but restoring and deleting it.
async fn writes(chat: &str, message: &str, person: &User) -> Vec<(&'static str, Value)> {
    let user = &person.id;
    vec![
        ("renameChat", json!({ "chatId": chat, "title": "New" })),
        (
            "changeChatHistory",
            json!({ "chatId": chat, "history": "SINCE_JOINING" }),
        ),
        (
            "changeChatMetadata",
            json!({ "chatId": chat, "metadata": { "a": 1 } }),
        ),
        (
            "changeChatExternalReference",
            json!({ "chatId": chat, "externalReference": { "channelType": "order", "channelId": "9" } }),
        ),
        (
            "forwardMessages",
            json!({ "messageIds": [message], "chatIds": [chat] }),
        ),
        (
            "setChatNotificationLevel",
            json!({ "chatId": chat, "level": "NONE" }),
        ),
        ("muteChat", json!({ "chatId": chat })),
        ("unmuteChat", json!({ "chatId": chat })),
        (
            "addParticipants",
            json!({ "chatId": chat, "userIds": ["dora"] }),
        ),
        (
            "removeParticipant",
            json!({ "chatId": chat, "userId": user }),
        ),
        (
            "changeParticipantRole",
            json!({ "chatId": chat, "userId": user, "role": "ADMIN" }),
        ),
        ("leaveChat", json!({ "chatId": chat })),
        ("sendMessage", json!({ "chatId": chat, "body": "hi" })),
        (
            "editMessage",
            json!({ "messageId": message, "body": "other" }),
        ),
        ("deleteMessage", json!({ "messageId": message })),
        ("restoreMessage", json!({ "messageId": message })),
        ("starMessage", json!({ "messageId": message })),
        ("unstarMessage", json!({ "messageId": message })),
        (
            "markChatRead",
            json!({ "chatId": chat, "messageId": message }),
        ),
        ("setTyping", json!({ "chatId": chat, "typing": true })),
        (
            "markChatDelivered",
            json!({ "marks": [{ "chatId": chat, "messageId": message }] }),
        ),
    ]
}

#[test]
fn a_deleted_chat_refuses_every_write() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.group("Tea", &[&bob]).await;
        // One message of each: editing another's is forbidden in any case.
        let (hers, his) = (alice.sends(&chat, "hi").await, bob.sends(&chat, "hi").await);
        alice.deletes_chat(&chat).await;
        let before = server.log(&chat).await;
        for (mutation, input) in writes(&chat, &hers, &bob).await {
            let (code, _) = alice.refused(mutation, input).await;
            assert_eq!(code, "CONFLICT", "{mutation} by the owner");
        }
        for (mutation, input) in writes(&chat, &his, &alice).await {
            let (code, _) = bob.refused(mutation, input).await;
            assert_eq!(code, "NOT_FOUND", "{mutation} by the member");
        }
        for mutation in ["deleteChat", "restoreChat"] {
            let (code, _) = bob.refused(mutation, json!({ "chatId": chat })).await;
            assert_eq!(code, "NOT_FOUND", "{mutation} by the member");
        }
        assert_eq!(server.log(&chat).await, before);
        assert_eq!(alice.people(&chat).await, ["alice OWNER", "bob MEMBER"]);
    });
}

#[test]
fn every_write_to_a_chat_is_among_those_a_deleted_one_refuses() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let query = "{ __type(name: \"Mutation\") { fields { name } } }";
        let schema = alice.ask(query, json!({})).await;
        let writes = writes("", "", &alice).await;
        let covered: Vec<&str> = writes.iter().map(|(mutation, _)| *mutation).collect();
        let elsewhere = [
            "openDirectChat",
            "createGroupChat",
            "deleteChat",
            "restoreChat",
            "createUpload",
            "finalizeUpload",
            "setPresenceVisibility",
            "setReceiptVisibility",
            "revokeTokens",
            "updateNotificationSettings",
            "replayDeadLetters",
        ];
        for field in schema["__type"]["fields"].as_array().unwrap() {
            let name = field["name"].as_str().unwrap();
            assert!(
                covered.contains(&name) || elsewhere.contains(&name),
                "{name} needs a case for a deleted chat"
            );
        }
    });
}

#[test]
fn deleting_the_deleted_and_restoring_the_live_are_no_events() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let chat = alice.group("Tea", &[]).await;
        alice.restores_chat(&chat).await;
        assert_eq!(server.log(&chat).await, ["ParticipantAdded"]);
        alice.deletes_chat(&chat).await;
        let deleted_at = alice.chat(&chat, "deletedAt").await;
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        alice.deletes_chat(&chat).await;
        assert_eq!(alice.chat(&chat, "deletedAt").await, deleted_at);
        alice.restores_chat(&chat).await;
        alice.restores_chat(&chat).await;
        let expected = ["ParticipantAdded", "ChatDeleted", "ChatRestored"];
        assert_eq!(server.log(&chat).await, expected);
    });
}

#[test]
fn deletions_at_the_same_instant_are_one_event() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let chat = alice.group("Tea", &[]).await;
        let deletions = (0..20).map(|_| {
            let (alice, chat) = (alice.clone(), chat.clone());
            async move { alice.deletes_chat(&chat).await }
        });
        at_once(deletions).await;
        assert_eq!(server.log(&chat).await, ["ParticipantAdded", "ChatDeleted"]);
    });
}

#[test]
fn a_malformed_chat_id_is_the_id_of_nothing() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let chat = alice.group("Tea", &[]).await;
        let message = alice.sends(&chat, "hi").await;
        let upper = chat.to_uppercase();
        for id in ["", "chat_", "nonsense", "1", "nul\0", &message, &upper] {
            assert_eq!(alice.chat(id, "id").await, json!(null), "{id}");
            for (mutation, mut input) in writes(id, &message, &alice).await {
                if input.get("chatId").is_some() {
                    input["chatId"] = json!(id);
                    let refused = alice.refused(mutation, input).await;
                    assert_eq!(refused, refusal("NOT_FOUND", "chatId"), "{mutation} {id}");
                }
            }
            for mutation in ["deleteChat", "restoreChat"] {
                let refused = alice.refused(mutation, json!({ "chatId": id })).await;
                assert_eq!(refused, refusal("NOT_FOUND", "chatId"), "{mutation} {id}");
            }
        }
    });
}
