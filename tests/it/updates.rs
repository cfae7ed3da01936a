//! `chatUpdates`: what becomes of a person's chats.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::log::uuid;
use crate::support::socket::Events;
use crate::support::{Server, User, postgres, run};

/// Follows a user's chats, and returns once that is known to work: who is added to a chat hears of it. The
/// protocol has no "subscribed".
pub(crate) async fn follow(server: &Server, user: &User) -> Events {
    let host = server.user(&format!("host of {}", user.id));
    let mut updates = user.follows_chats().await;
    loop {
        let chat = host.group("Knock", &[user]).await;
        let heard = updates.until(|update| update["chatId"] == *chat);
        if let Ok(heard) = timeout(Duration::from_secs(2), heard).await {
            assert!(heard.iter().all(|update| update["kind"] == "JOINED"));
            return updates;
        }
    }
}

/// The next update is of this kind and this chat.
async fn expect(updates: &mut Events, kind: &str, chat: &str) -> Value {
    let update = updates.next().await;
    assert_eq!(
        (&update["kind"], &update["chatId"]),
        (&json!(kind), &json!(chat)),
        "{update}"
    );
    assert_eq!(update["chat"].is_null(), kind == "LEFT", "{update}");
    update["chat"].clone()
}

#[test]
fn joined_when_a_chat_becomes_visible() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let mut updates = follow(&server, &bob).await;
        let group = alice.group("Created", &[&bob]).await;
        assert_eq!(
            expect(&mut updates, "JOINED", &group).await["title"],
            "Created"
        );
        let direct = alice.direct(&bob).await;
        expect(&mut updates, "JOINED", &direct).await;
        let chat = alice.group("Added", &[]).await;
        let input = json!({ "chatId": chat, "userIds": ["bob"], "role": "ADMIN" });
        alice.does("addParticipants", "", input).await;
        let joined = expect(&mut updates, "JOINED", &chat).await;
        assert_eq!(joined["viewerParticipant"]["role"], "ADMIN");
        let own = bob.group("Own", &[]).await;
        expect(&mut updates, "JOINED", &own).await;
    });
}

#[test]
fn left_when_a_chat_is_not_visible_any_more_and_joined_again_when_it_is() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.group("Team", &[&bob]).await;
        let mut updates = follow(&server, &bob).await;
        let add = json!({ "chatId": chat, "userIds": ["bob"] });
        for (mutation, by) in [("removeParticipant", &alice), ("leaveChat", &bob)] {
            let mut input = json!({ "chatId": chat });
            if mutation == "removeParticipant" {
                input["userId"] = json!("bob");
            }
            by.does(mutation, "", input).await;
            expect(&mut updates, "LEFT", &chat).await;
            alice.sends(&chat, "not for bob").await;
            alice.does("addParticipants", "", add.clone()).await;
            expect(&mut updates, "JOINED", &chat).await;
        }
        alice
            .does("deleteChat", "", json!({ "chatId": chat }))
            .await;
        expect(&mut updates, "LEFT", &chat).await;
        alice
            .does("restoreChat", "", json!({ "chatId": chat }))
            .await;
        expect(&mut updates, "JOINED", &chat).await;
        alice.sends(&chat, "hello again").await;
        let changed = expect(&mut updates, "CHANGED", &chat).await;
        assert_eq!(changed["lastMessage"]["body"], "hello again");
    });
}

#[test]
fn changed_for_whatever_happens_in_a_chat() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.group("Team", &[&bob]).await;
        let mut updates = follow(&server, &bob).await;
        let message = alice.sends(&chat, "one").await;
        let changed = expect(&mut updates, "CHANGED", &chat).await;
        assert_eq!(
            (&changed["lastMessage"]["body"], &changed["unreadCount"]),
            (&json!("one"), &json!(1))
        );
        let id = json!({ "messageId": message });
        alice
            .does(
                "editMessage",
                "",
                json!({ "messageId": message, "body": "two" }),
            )
            .await;
        assert_eq!(
            expect(&mut updates, "CHANGED", &chat).await["lastMessage"]["body"],
            "two"
        );
        alice.does("deleteMessage", "", id.clone()).await;
        let changed = expect(&mut updates, "CHANGED", &chat).await;
        assert_eq!(
            (&changed["lastMessage"]["body"], &changed["unreadCount"]),
            (&Value::Null, &json!(0))
        );
        alice.does("restoreMessage", "", id).await;
        assert_eq!(
            expect(&mut updates, "CHANGED", &chat).await["unreadCount"],
            1
        );
        alice
            .does("renameChat", "", json!({ "chatId": chat, "title": "Crew" }))
            .await;
        assert_eq!(
            expect(&mut updates, "CHANGED", &chat).await["title"],
            "Crew"
        );
        let input = json!({ "chatId": chat, "userId": "bob", "role": "ADMIN" });
        alice.does("changeParticipantRole", "", input).await;
        assert_eq!(
            expect(&mut updates, "CHANGED", &chat).await["viewerParticipant"]["role"],
            "ADMIN"
        );
        alice
            .does(
                "addParticipants",
                "",
                json!({ "chatId": chat, "userIds": ["carol"] }),
            )
            .await;
        expect(&mut updates, "CHANGED", &chat).await;
    });
}

#[test]
fn ones_own_read_mark_is_told_and_anothers_is_not() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.direct(&bob).await;
        let first = alice.sends(&chat, "first").await;
        let second = bob.sends(&chat, "second").await;
        let mut updates = follow(&server, &bob).await;
        alice
            .does(
                "markChatRead",
                "",
                json!({ "chatId": chat, "messageId": second }),
            )
            .await;
        let third = alice.sends(&chat, "third").await;
        let changed = expect(&mut updates, "CHANGED", &chat).await;
        assert_eq!(
            (&changed["lastMessage"]["body"], &changed["unreadCount"]),
            (&json!("third"), &json!(1))
        );
        // Bob's phone, whose mark his desk sees.
        bob.does(
            "markChatRead",
            "",
            json!({ "chatId": chat, "messageId": third }),
        )
        .await;
        let changed = expect(&mut updates, "CHANGED", &chat).await;
        assert_eq!(changed["unreadCount"], 0);
        assert_eq!(
            changed["viewerParticipant"]["lastReadMessage"]["id"],
            *third
        );
        // What is read already changes nothing.
        bob.does(
            "markChatRead",
            "",
            json!({ "chatId": chat, "messageId": first }),
        )
        .await;
        alice.sends(&chat, "fourth").await;
        let changed = expect(&mut updates, "CHANGED", &chat).await;
        assert_eq!(changed["lastMessage"]["body"], "fourth");
    });
}

#[test]
fn bursts_collapse_and_the_last_shows_the_latest_state() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.direct(&bob).await;
        let mut updates = follow(&server, &bob).await;
        let sends = (0..50).map(|n| {
            let id = serde_json::to_string(&chat).unwrap();
            format!(
                "m{n}: sendMessage(input: {{ chatId: {id}, body: \"{n}\" }}) {{ message {{ id }} }}"
            )
        });
        let mutation = format!("mutation {{ {} }}", sends.collect::<Vec<_>>().join(" "));
        alice.ask(&mutation, json!({})).await;
        let told = updates
            .until(|update| update["chat"]["lastMessage"]["body"] == "49")
            .await;
        assert!(told.len() <= 50, "{} updates", told.len());
        assert!(told.iter().all(|update| update["kind"] == "CHANGED"));
        let unread = |update: &Value| update["chat"]["unreadCount"].as_i64().unwrap();
        assert!(
            told.windows(2).all(|two| unread(&two[0]) < unread(&two[1])),
            "state runs forward"
        );
        assert_eq!(unread(told.last().unwrap()), 50);
    });
}

#[test]
fn whoever_was_in_no_chat_hears_of_the_first() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let inbox = bob.ask("{ chats { nodes { id } } }", json!({})).await;
        assert_eq!(inbox["chats"]["nodes"], json!([]));
        let mut updates = follow(&server, &bob).await;
        let chat = alice.direct(&bob).await;
        expect(&mut updates, "JOINED", &chat).await;
        alice.sends(&chat, "hello").await;
        expect(&mut updates, "CHANGED", &chat).await;
    });
}

#[test]
fn who_can_restore_a_chat_sees_its_deletion_as_a_change() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let chat = alice.group("Team", &[]).await;
        let mut updates = follow(&server, &alice).await;
        alice
            .does("deleteChat", "", json!({ "chatId": chat }))
            .await;
        assert!(expect(&mut updates, "CHANGED", &chat).await["deletedAt"].is_string());
        alice
            .does("restoreChat", "", json!({ "chatId": chat }))
            .await;
        assert_eq!(
            expect(&mut updates, "CHANGED", &chat).await["deletedAt"],
            Value::Null
        );
    });
}

#[test]
fn what_nobody_rang_for_the_sweep_finds() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let (old, new) = (
            alice.group("Old", &[&bob]).await,
            alice.group("New", &[]).await,
        );
        let message = alice.sends(&old, "read me").await;
        let mut updates = follow(&server, &bob).await;
        let mut conn = server.sql().await;
        // Another server adds bob, marks his chat read, and takes him out again: none of its hints arrives.
        let statement = format!(
            "INSERT INTO participants SELECT id, 'bob', tenant_id, 0, now(), last_seq, last_seq \
             FROM chats WHERE id = '{}'",
            uuid(&new)
        );
        postgres::sql(&mut conn, &statement).await;
        expect(&mut updates, "JOINED", &new).await;
        let of_bob = |chat| format!("WHERE user_id = 'bob' AND chat_id = '{}'", uuid(chat));
        let statement = format!(
            "UPDATE participants SET read_seq = read_seq + 1 {}",
            of_bob(&old)
        );
        postgres::sql(&mut conn, &statement).await;
        let changed = expect(&mut updates, "CHANGED", &old).await;
        assert_eq!(
            changed["viewerParticipant"]["lastReadMessage"]["id"],
            *message
        );
        let statement = format!("DELETE FROM participants {}", of_bob(&new));
        postgres::sql(&mut conn, &statement).await;
        expect(&mut updates, "LEFT", &new).await;
        assert!(server.app.realtime.repairs() >= 3);
    });
}
