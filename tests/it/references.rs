//! What ties a chat to the application: metadata, and the one thing that it belongs to.

use serde_json::{Value, json};

use crate::support::{Server, User, run};

impl User {
    async fn finds(&self, channel_type: &str, channel_id: &str) -> Value {
        let query = "query ($type: String!, $id: String!) { \
            chatByExternalReference(channelType: $type, channelId: $id) { id externalReference { channelType channelId } } }";
        let variables = json!({ "type": channel_type, "id": channel_id });
        self.ask(query, variables).await["chatByExternalReference"].clone()
    }

    async fn refers(&self, chat: &str, reference: Value) -> Value {
        let input = json!({ "chatId": chat, "externalReference": reference });
        let fields = "chat { externalReference { channelType channelId } }";
        let mutation = "changeChatExternalReference";
        self.does(mutation, fields, input).await["chat"]["externalReference"].clone()
    }
}

fn order(id: &str) -> Value {
    json!({ "channelType": "order", "channelId": id })
}

#[test]
fn a_group_is_found_by_what_it_belongs_to() {
    run(async {
        let server = Server::start().await;
        let [alice, bob, eve] = ["alice", "bob", "eve"].map(|id| server.user(id));
        let input = json!({ "title": "Order 42", "participantIds": ["bob"], "externalReference": order("42"),
            "metadata": { "priority": "high" } });
        let fields = "chat { id metadata externalReference { channelType channelId } }";
        let made = alice.does("createGroupChat", fields, input.clone()).await["chat"].clone();
        assert_eq!(made["metadata"], json!({ "priority": "high" }));
        assert_eq!(made["externalReference"], order("42"));
        for user in [&alice, &bob] {
            assert_eq!(user.finds("order", "42").await["id"], made["id"]);
        }
        // For everybody else there is none: of the tenant, and of another that has its own.
        assert_eq!(eve.finds("order", "42").await, Value::Null);
        let stranger = server.user_of("elsewhere", "alice");
        assert_eq!(stranger.finds("order", "42").await, Value::Null);
        stranger.does("createGroupChat", "", input.clone()).await;
        let (code, path) = bob.refused("createGroupChat", input).await;
        let place = json!(["input", "externalReference"]);
        assert_eq!((code.as_str(), path), ("CONFLICT", place));
        assert_eq!(bob.lists(json!({})).await.len(), 1, "nothing was made");
        assert_eq!(alice.finds("order", "43").await, Value::Null);
        assert_eq!(alice.finds("orders", "42").await, Value::Null);
        assert_eq!(alice.finds("", "\0").await, Value::Null);
    });
}

#[test]
fn a_reference_moves_and_each_change_is_an_event() {
    run(async {
        let server = Server::start().await;
        let [alice, bob] = ["alice", "bob"].map(|id| server.user(id));
        let (one, two) = (alice.group("One", &[&bob]).await, alice.direct(&bob).await);
        let mut events = bob.follows(&one, None).await;
        assert_eq!(alice.refers(&one, order("1")).await, order("1"));
        assert_eq!(alice.refers(&one, order("1")).await, order("1"));
        let input = json!({ "chatId": two, "externalReference": order("1") });
        let (code, _) = bob.refused("changeChatExternalReference", input).await;
        assert_eq!(code, "CONFLICT");
        assert_eq!(alice.refers(&one, Value::Null).await, Value::Null);
        // Either side of a direct chat may.
        assert_eq!(bob.refers(&two, order("1")).await, order("1"));
        assert_eq!(bob.finds("order", "1").await["id"], json!(two));
        let metadata = json!({ "chatId": one, "metadata": { "a": 1 } });
        for _ in 0..2 {
            let fields = "chat { metadata }";
            let changed = alice
                .does("changeChatMetadata", fields, metadata.clone())
                .await;
            assert_eq!(changed["chat"]["metadata"], json!({ "a": 1 }));
        }
        alice
            .does("changeChatMetadata", "", json!({ "chatId": one }))
            .await;
        alice.sends(&one, "end").await;
        for (kind, field, value) in [
            (
                "ChatExternalReferenceChanged",
                "externalReference",
                order("1"),
            ),
            (
                "ChatExternalReferenceChanged",
                "externalReference",
                Value::Null,
            ),
            ("ChatMetadataChanged", "metadata", json!({ "a": 1 })),
            ("ChatMetadataChanged", "metadata", Value::Null),
            ("MessageSent", "absent", Value::Null),
        ] {
            let event = events.next().await;
            assert_eq!(
                (&event["__typename"], &event[field]),
                (&json!(kind), &value)
            );
        }
    });
}

#[test]
fn a_deleted_chat_keeps_its_reference() {
    run(async {
        let server = Server::start().await;
        let [alice, bob] = ["alice", "bob"].map(|id| server.user(id));
        let chat = alice.group("One", &[&bob]).await;
        alice.refers(&chat, order("1")).await;
        alice.deletes_chat(&chat).await;
        assert_eq!(alice.finds("order", "1").await["id"], json!(chat));
        assert_eq!(bob.finds("order", "1").await, Value::Null);
        let input = json!({ "title": "Two", "externalReference": order("1") });
        assert_eq!(bob.refused("createGroupChat", input).await.0, "CONFLICT");
        alice.restores_chat(&chat).await;
        assert_eq!(bob.finds("order", "1").await["id"], json!(chat));
    });
}

#[test]
fn a_reference_is_checked() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        for (channel_type, channel_id, code) in [
            ("", "1", "INVALID"),
            ("order", "", "INVALID"),
            ("order", "a\0", "INVALID"),
            ("x", &"y".repeat(256), "TOO_LONG"),
            (&"x".repeat(65), "1", "TOO_LONG"),
        ] {
            let reference = json!({ "channelType": channel_type, "channelId": channel_id });
            let input = json!({ "title": "T", "externalReference": reference });
            let (found, path) = alice.refused("createGroupChat", input).await;
            assert_eq!(
                (found.as_str(), path),
                (code, json!(["input", "externalReference"]))
            );
        }
    });
}
