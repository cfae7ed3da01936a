//! Where a stream of events ends: with what takes the chat from the viewer's sight, and only then.

use serde_json::json;

use crate::subscriptions::{add, change_role, from_start, remove};
use crate::support::log::{before_the_last, from_now};
use crate::support::socket::{Socket, bodies, kinds};
use crate::support::{Server, run};

#[test]
fn removal_and_leaving_are_the_last_event() {
    run(async {
        let server = Server::start().await;
        let [alice, bob, carol] = ["alice", "bob", "carol"].map(|id| server.user(id));
        let chat = alice.group("Team", &[&bob, &carol]).await;
        let (mut bobs, mut carols) = (from_now(&bob, &chat).await, from_now(&carol, &chat).await);
        let mut alices = from_now(&alice, &chat).await;
        remove(&alice, &chat, &bob).await;
        alice.sends(&chat, "he is gone").await;
        let last = bobs.next().await;
        assert_eq!(
            (&last["__typename"], &last["user"]["id"]),
            (&json!("ParticipantRemoved"), &json!("bob"))
        );
        bobs.ends().await;
        carol.does("leaveChat", "", json!({ "chatId": chat })).await;
        alice.sends(&chat, "she too").await;
        let last = carols.take(3).await;
        assert_eq!(
            kinds(&last),
            ["ParticipantRemoved", "MessageSent", "ParticipantRemoved"]
        );
        carols.ends().await;
        assert_eq!(
            bodies(&alices.take(4).await),
            ["", "he is gone", "", "she too"]
        );
    });
}

#[test]
fn deletion_ends_the_stream_of_who_cannot_restore_the_chat() {
    run(async {
        let server = Server::start().await;
        let [alice, bob, carol] = ["alice", "bob", "carol"].map(|id| server.user(id));
        let chat = alice.group("Team", &[&bob, &carol]).await;
        let (mut alices, mut bobs) = (from_now(&alice, &chat).await, from_now(&bob, &chat).await);
        let mut carols = from_now(&carol, &chat).await;
        // Who is an owner by the time of the deletion can restore the chat.
        change_role(&alice, &chat, &carol, "OWNER").await;
        alice
            .does("deleteChat", "", json!({ "chatId": chat }))
            .await;
        assert_eq!(
            kinds(&bobs.take(2).await),
            ["ParticipantRoleChanged", "ChatDeleted"]
        );
        bobs.ends().await;
        alice
            .does("restoreChat", "", json!({ "chatId": chat }))
            .await;
        for events in [&mut alices, &mut carols] {
            let told = kinds(&events.take(3).await);
            assert_eq!(
                told,
                ["ParticipantRoleChanged", "ChatDeleted", "ChatRestored"]
            );
        }
        let direct = bob.direct(&carol).await;
        let (mut bobs, mut carols) = (
            from_now(&bob, &direct).await,
            from_now(&carol, &direct).await,
        );
        bob.does("deleteChat", "", json!({ "chatId": direct }))
            .await;
        carol
            .does("restoreChat", "", json!({ "chatId": direct }))
            .await;
        for events in [&mut bobs, &mut carols] {
            assert_eq!(
                kinds(&events.take(2).await),
                ["ChatDeleted", "ChatRestored"]
            );
        }
    });
}

#[test]
fn what_was_reversed_since_does_not_end_a_replay() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.group("Team", &[&bob]).await;
        remove(&alice, &chat, &bob).await;
        alice.sends(&chat, "meanwhile").await;
        add(&alice, &chat, &bob).await;
        alice
            .does("deleteChat", "", json!({ "chatId": chat }))
            .await;
        alice
            .does("restoreChat", "", json!({ "chatId": chat }))
            .await;
        let mut events = from_start(&bob, &chat).await;
        let told = events.take(7).await;
        let expected = [
            "ParticipantRemoved",
            "MessageSent",
            "ParticipantAdded",
            "ChatDeleted",
            "ChatRestored",
        ];
        assert_eq!(kinds(&told[2..]), expected);
        remove(&alice, &chat, &bob).await;
        assert_eq!(kinds(&events.take(1).await), ["ParticipantRemoved"]);
        events.ends().await;
    });
}

#[test]
fn the_last_event_shows_the_chat_and_nothing_that_is_in_it() {
    run(async {
        let server = Server::start().await;
        let [alice, bob, carol] = ["alice", "bob", "carol"].map(|id| server.user(id));
        let chat = alice.group("Team", &[&bob, &carol]).await;
        alice.sends(&chat, "secret").await;
        let query = "subscription ($chat: ID!, $after: String) { \
                     chatEvents(chatId: $chat, after: $after) { __typename chat { id title unreadCount \
                     messages { nodes { id } } participants { nodes { id } } lastMessage { body } \
                     viewerParticipant { id } } } }";
        let expected = json!({
            "id": chat, "title": "Team", "unreadCount": 0, "messages": { "nodes": [] },
            "participants": { "nodes": [] }, "lastMessage": null, "viewerParticipant": null,
        });
        let ends = [
            ("removeParticipant", &bob, "ParticipantRemoved"),
            ("deleteChat", &carol, "ChatDeleted"),
        ];
        for (mutation, user, kind) in ends {
            let after = before_the_last(user, &chat).await;
            let mut socket = Socket::open(user).await;
            let variables = json!({ "chat": chat, "after": after });
            socket.subscribe("s", query, variables).await;
            assert_eq!(socket.hear().await["type"], "next");
            let mut input = json!({ "chatId": chat });
            if mutation == "removeParticipant" {
                input["userId"] = json!(user.id);
            }
            alice.does(mutation, "", input).await;
            let last = socket.hear().await["payload"].clone();
            assert_eq!(last.get("errors"), None, "{last}");
            let last = &last["data"]["chatEvents"];
            assert_eq!(
                (&last["__typename"], &last["chat"]),
                (&json!(kind), &expected)
            );
            assert_eq!(socket.hear().await["type"], "complete");
        }
    });
}
