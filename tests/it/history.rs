//! How much of a chat those see who joined later: everything, or what stands behind their joining.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::log::{seq_of, seqs, uuid};
use crate::support::socket::{bodies, kinds};
use crate::support::{Server, User, run};

impl User {
    /// Makes a group whose later participants see what comes after they joined.
    async fn group_since_joining(&self, others: &[&User]) -> String {
        let ids: Vec<&str> = others.iter().map(|user| user.id.as_str()).collect();
        let input = json!({ "title": "Team", "participantIds": ids, "history": "SINCE_JOINING" });
        let payload = self.does("createGroupChat", "chat { id }", input).await;
        payload["chat"]["id"].as_str().unwrap().to_owned()
    }

    async fn changes_history(&self, chat: &str, history: &str) -> Value {
        let input = json!({ "chatId": chat, "history": history });
        let payload = self
            .does("changeChatHistory", "chat { history }", input)
            .await;
        payload["chat"]["history"].clone()
    }

    async fn answers(&self, chat: &str, to: &str, body: &str) -> String {
        let input = json!({ "chatId": chat, "body": body, "replyToId": to });
        let payload = self.does("sendMessage", "message { id }", input).await;
        payload["message"]["id"].as_str().unwrap().to_owned()
    }

    /// The bodies of a page, and whether there is more before and behind it.
    async fn page(&self, chat: &str, arguments: &str) -> (Vec<String>, bool, bool) {
        let fields = format!(
            "messages({arguments}) {{ nodes {{ body }} pageInfo {{ hasPreviousPage hasNextPage }} }}"
        );
        let page = self.chat(chat, &fields).await["messages"].clone();
        let nodes = page["nodes"].as_array().unwrap().iter();
        let bodies = nodes.map(|node| node["body"].as_str().unwrap_or("-").to_owned());
        let flag = |name: &str| page["pageInfo"][name].as_bool().unwrap();
        (
            bodies.collect(),
            flag("hasPreviousPage"),
            flag("hasNextPage"),
        )
    }
}

fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).into()
}

/// A group of alice and bob with two messages, to which carol is added.
struct Late {
    server: Server,
    alice: User,
    bob: User,
    carol: User,
    chat: String,
    /// The two messages from before.
    old: [String; 2],
    /// The number of the entry that added carol.
    joined: i64,
}

impl Late {
    async fn new() -> Self {
        let server = Server::start().await;
        let [alice, bob, carol] = ["alice", "bob", "carol"].map(|id| server.user(id));
        let chat = alice.group_since_joining(&[&bob]).await;
        let old = [
            alice.sends(&chat, "one").await,
            bob.sends(&chat, "two").await,
        ];
        alice.adds(&chat, &[&carol]).await;
        let joined = seq_of(&alice.event_cursor(&chat).await);
        Self {
            server,
            alice,
            bob,
            carol,
            chat,
            old,
            joined,
        }
    }
}

#[test]
fn a_chat_shows_its_whole_history_unless_told_otherwise() {
    run(async {
        let server = Server::start().await;
        let [alice, bob, carol] = ["alice", "bob", "carol"].map(|id| server.user(id));
        for chat in [alice.direct(&bob).await, alice.group("Team", &[&bob]).await] {
            assert_eq!(alice.chat(&chat, "history").await["history"], "WHOLE");
        }
        let chat = alice.group("Team", &[&bob]).await;
        alice.sends(&chat, "one").await;
        alice.adds(&chat, &[&carol]).await;
        assert_eq!(
            carol.page(&chat, "first: 10").await,
            (words(["one"]), false, false)
        );
        assert_eq!(seq_of(&carol.start_cursor(&chat).await), 0);
    });
}

#[test]
fn who_is_there_from_the_start_sees_everything() {
    run(async {
        let late = Late::new().await;
        assert_eq!(late.joined, 5);
        for user in [&late.alice, &late.bob] {
            let page = user.page(&late.chat, "last: 10").await;
            assert_eq!(page, (words(["one", "two"]), false, false));
            let start = user.start_cursor(&late.chat).await;
            let told = user.follows(&late.chat, Some(&start)).await.take(5).await;
            assert_eq!(seqs(&told), [1, 2, 3, 4, 5]);
        }
    });
}

#[test]
fn what_stands_before_ones_joining_is_not_there() {
    run(async {
        let late = Late::new().await;
        let Late {
            alice,
            bob,
            carol,
            chat,
            old,
            ..
        } = &late;
        let fields =
            "lastMessage { id } unreadCount participants { nodes { lastReadMessage { id } } }";
        let seen = carol.chat(chat, fields).await;
        assert_eq!(
            (&seen["lastMessage"], &seen["unreadCount"]),
            (&Value::Null, &json!(0))
        );
        for participant in seen["participants"]["nodes"].as_array().unwrap() {
            assert_eq!(participant["lastReadMessage"], Value::Null);
        }
        let answer = alice.answers(chat, &old[0], "three").await;
        bob.sends(chat, "four").await;
        bob.reads(chat, &answer).await;
        for message in old {
            assert_eq!(carol.message(message, "body").await, Value::Null);
            assert_ne!(bob.message(message, "body").await, Value::Null);
        }
        let nodes = carol
            .ask(
                "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }",
                json!({ "ids": [old[0], answer, old[1]] }),
            )
            .await;
        assert_eq!(nodes["nodes"], json!([null, { "id": answer }, null]));
        assert_eq!(
            carol.message(&answer, "replyTo { body }").await,
            json!({ "replyTo": null })
        );
        assert_eq!(
            bob.message(&answer, "replyTo { body }").await,
            json!({ "replyTo": { "body": "one" } })
        );
        assert_eq!(carol.unread(chat).await, 2);
        let list = "{ chats { nodes { lastMessage { body } unreadCount } } }";
        let chats = carol.ask(list, json!({})).await;
        assert_eq!(
            chats["chats"]["nodes"],
            json!([{ "lastMessage": { "body": "four" }, "unreadCount": 2 }])
        );
    });
}

#[test]
fn pages_end_where_ones_history_begins() {
    run(async {
        let late = Late::new().await;
        let Late {
            alice, carol, chat, ..
        } = &late;
        assert_eq!(carol.page(chat, "first: 10").await, (vec![], false, false));
        alice.sends(chat, "three").await;
        alice.sends(chat, "four").await;
        let edges = alice.chat(chat, "messages { edges { cursor } }").await;
        let cursor = |n: usize| {
            edges["messages"]["edges"][n]["cursor"]
                .as_str()
                .unwrap()
                .to_owned()
        };
        let (one, three) = (cursor(0), cursor(2));
        for (arguments, expected) in [
            (
                "first: 10".to_owned(),
                (words(["three", "four"]), false, false),
            ),
            ("first: 1".to_owned(), (words(["three"]), false, true)),
            (
                "last: 2".to_owned(),
                (words(["three", "four"]), false, false),
            ),
            ("last: 1".to_owned(), (words(["four"]), true, false)),
            (
                format!("first: 9, after: {one:?}"),
                (words(["three", "four"]), false, false),
            ),
            (format!("last: 9, before: {one:?}"), (vec![], false, true)),
            (format!("last: 9, before: {three:?}"), (vec![], false, true)),
            (
                format!("last: 1, after: {three:?}"),
                (words(["four"]), true, false),
            ),
            (
                format!("first: 9, after: {three:?}, before: {three:?}"),
                (vec![], true, true),
            ),
            (format!("first: 0, after: {one:?}"), (vec![], false, true)),
        ] {
            assert_eq!(carol.page(chat, &arguments).await, expected, "{arguments}");
        }
    });
}

#[test]
fn nothing_can_be_done_to_what_is_not_there() {
    run(async {
        let late = Late::new().await;
        let Late {
            server,
            alice,
            carol,
            chat,
            old,
            ..
        } = &late;
        alice.deletes(&old[1]).await;
        // Not even an owner sees further back than they are in the chat.
        for role in ["MEMBER", "ADMIN", "OWNER"] {
            alice.makes(chat, carol, role).await;
            let before = server.log(chat).await;
            for (mutation, input) in [
                (
                    "sendMessage",
                    json!({ "chatId": chat, "body": "x", "replyToId": old[0] }),
                ),
                (
                    "markChatRead",
                    json!({ "chatId": chat, "messageId": old[0] }),
                ),
                ("editMessage", json!({ "messageId": old[0], "body": "x" })),
                ("deleteMessage", json!({ "messageId": old[0] })),
                ("restoreMessage", json!({ "messageId": old[1] })),
            ] {
                let (code, _) = carol.refused(mutation, input).await;
                assert_eq!(code, "NOT_FOUND", "{mutation} by {role}");
            }
            assert_eq!(server.log(chat).await, before);
        }
    });
}

#[test]
fn the_log_begins_with_ones_joining_and_hides_what_is_about_older_messages() {
    run(async {
        let late = Late::new().await;
        let Late {
            alice,
            bob,
            carol,
            chat,
            old,
            joined,
            ..
        } = &late;
        let (all, own) = (
            alice.start_cursor(chat).await,
            carol.start_cursor(chat).await,
        );
        assert_eq!((seq_of(&all), seq_of(&own)), (0, joined - 1));
        let mut streams = [
            carol.follows(chat, Some(&all)).await,
            carol.follows(chat, Some(&own)).await,
        ];
        let mut bobs = bob.follows(chat, Some(&own)).await;
        alice
            .edits(&old[0], "one, and what carol must not read")
            .await;
        bob.deletes(&old[1]).await;
        let new = alice.sends(chat, "three").await;
        bob.restores(&old[1]).await;
        alice.edits(&new, "3").await;
        for carols in &mut streams {
            let told = carols.take(3).await;
            assert_eq!(
                kinds(&told),
                ["ParticipantAdded", "MessageSent", "MessageEdited"]
            );
            assert_eq!(seqs(&told), [*joined, joined + 3, joined + 5]);
            assert_eq!(told[0]["user"]["id"], "carol");
            let cursor = told[0]["cursor"].as_str().unwrap();
            let again = carol.follows(chat, Some(cursor)).await.take(2).await;
            assert_eq!(seqs(&again), [joined + 3, joined + 5]);
        }
        assert_eq!(
            seqs(&bobs.take(6).await),
            (*joined..joined + 6).collect::<Vec<_>>()
        );
    });
}

#[test]
fn who_comes_back_sees_from_the_last_joining_on() {
    run(async {
        let late = Late::new().await;
        let Late {
            alice, carol, chat, ..
        } = &late;
        let key = json!({ "chatId": chat, "body": "mine", "idempotencyKey": "k" });
        let sent = carol
            .does("sendMessage", "message { id body }", key.clone())
            .await;
        let mine = sent["message"]["id"].as_str().unwrap();
        alice.removes(chat, carol).await;
        alice.sends(chat, "while carol is away").await;
        alice.adds(chat, &[carol]).await;
        assert_eq!(carol.page(chat, "first: 10").await, (vec![], false, false));
        assert_eq!(carol.message(mine, "body").await, Value::Null);
        assert_eq!(
            carol
                .refused("deleteMessage", json!({ "messageId": mine }))
                .await
                .0,
            "NOT_FOUND"
        );
        // A key is for ever: a retry makes no second message.
        assert_eq!(
            carol.does("sendMessage", "message { id body }", key).await,
            sent
        );
        alice.sends(chat, "back").await;
        assert_eq!(
            carol.page(chat, "last: 10").await,
            (words(["back"]), false, false)
        );
        let start = carol.start_cursor(chat).await;
        let told = carol.follows(chat, Some(&start)).await.take(2).await;
        assert_eq!(kinds(&told), ["ParticipantAdded", "MessageSent"]);
    });
}

#[test]
fn owners_change_it_for_everybody_at_once() {
    run(async {
        let late = Late::new().await;
        let Late {
            server,
            alice,
            bob,
            carol,
            chat,
            old,
            ..
        } = &late;
        let mut events = carol
            .follows(chat, Some(&carol.start_cursor(chat).await))
            .await;
        events.next().await;
        let acl = format!(
            "SELECT acl_version AS number FROM chats WHERE id = '{}'",
            uuid(chat)
        );
        let version = server.number(&acl).await;
        assert_eq!(alice.changes_history(chat, "WHOLE").await, "WHOLE");
        // What a participant may answer depends on it, so no send that was decided before it goes through.
        assert_eq!(server.number(&acl).await, version + 1);
        let changed = events.next().await;
        assert_eq!(
            (&changed["__typename"], &changed["history"]),
            (&json!("ChatHistoryChanged"), &json!("WHOLE"))
        );
        assert_eq!(
            carol.page(chat, "first: 10").await,
            (words(["one", "two"]), false, false)
        );
        assert_eq!(carol.message(&old[0], "body").await["body"], "one");
        // What the stream tells follows the setting as it goes.
        alice.edits(&old[0], "1").await;
        assert_eq!(bodies(&[events.next().await]), ["1"]);
        assert_eq!(
            alice.changes_history(chat, "SINCE_JOINING").await,
            "SINCE_JOINING"
        );
        alice.edits(&old[0], "I").await;
        alice.sends(chat, "three").await;
        let told = events.take(2).await;
        assert_eq!(kinds(&told), ["ChatHistoryChanged", "MessageSent"]);
        assert_eq!(
            carol.page(chat, "first: 10").await,
            (words(["three"]), false, false)
        );
        // What is so already is no event.
        let before = server.log(chat).await;
        assert_eq!(
            alice.changes_history(chat, "SINCE_JOINING").await,
            "SINCE_JOINING"
        );
        assert_eq!(server.log(chat).await, before);
        assert!(events.socket.is_quiet(Duration::from_millis(200)).await);
        let input = json!({ "chatId": chat, "history": "WHOLE" });
        assert_eq!(bob.refused("changeChatHistory", input).await.0, "FORBIDDEN");
        let direct = alice.direct(bob).await;
        for history in ["WHOLE", "SINCE_JOINING"] {
            let input = json!({ "chatId": direct, "history": history });
            assert_eq!(
                alice.refused("changeChatHistory", input).await.0,
                "CONFLICT"
            );
        }
    });
}

/// The model's rule decides on pages and single messages, SQL's on what is looked up by place: they agree.
#[test]
fn every_way_to_a_message_begins_at_the_same_entry() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let chats = [
            alice.group("Whole", &[]).await,
            alice.group_since_joining(&[]).await,
        ];
        let people: Vec<User> = (0..4).map(|n| server.user(&format!("user-{n}"))).collect();
        for chat in &chats {
            let (mut messages, mut answers) = (Vec::new(), Vec::new());
            for user in &people {
                messages.push(alice.sends(chat, &format!("before {}", user.id)).await);
                alice.adds(chat, &[user]).await;
            }
            for message in &messages {
                answers.push(alice.answers(chat, message, "answer").await);
            }
            for user in &people {
                let page = user
                    .chat(chat, "messages(first: 100) { nodes { id } }")
                    .await;
                for (message, answer) in messages.iter().zip(&answers) {
                    let in_page = page["messages"]["nodes"]
                        .as_array()
                        .unwrap()
                        .contains(&json!({ "id": message }));
                    let single = user.message(message, "id").await;
                    let by_place = user.message(answer, "replyTo { id }").await;
                    assert_eq!(!single.is_null(), in_page);
                    assert_eq!(
                        !by_place["replyTo"].is_null(),
                        in_page,
                        "{message} for {}",
                        user.id
                    );
                }
            }
        }
    });
}
