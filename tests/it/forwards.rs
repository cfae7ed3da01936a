//! Forwarding: new messages that say where they come from.

use serde_json::{Value, json};

use crate::support::{Server, User, run};

const SENT: &str = "messages { id body subject metadata sender { id } chat { id }
    forwardedFrom { sentAt sender { id } message { id body } } }";

impl User {
    async fn forwards(&self, messages: &[&str], chats: &[&str]) -> Vec<Value> {
        let input = json!({ "messageIds": messages, "chatIds": chats });
        self.forwards_with(input).await
    }

    async fn forwards_with(&self, input: Value) -> Vec<Value> {
        let payload = self.does("forwardMessages", SENT, input).await;
        payload["messages"].as_array().unwrap().clone()
    }

    async fn bodies(&self, chat: &str) -> Vec<Value> {
        let chat = self.chat(chat, "messages { nodes { body } }").await;
        let nodes = chat["messages"]["nodes"].as_array().unwrap().iter();
        nodes.map(|node| node["body"].clone()).collect()
    }
}

#[test]
fn a_forward_carries_the_contents_and_the_first_original() {
    run(async {
        let server = Server::start().await;
        let [alice, bob, carol] = ["alice", "bob", "carol"].map(|id| server.user(id));
        let (source, target) = (alice.direct(&bob).await, bob.direct(&carol).await);
        let input =
            json!({ "chatId": source, "body": "news", "subject": "S", "metadata": { "a": 1 } });
        let payload = alice
            .does("sendMessage", "message { id createdAt }", input)
            .await;
        let original = payload["message"].clone();
        let id = original["id"].as_str().unwrap();
        let mut events = carol.follows(&target, None).await;
        let sent = bob.forwards(&[id], &[&target]).await;
        let first = &sent[0];
        assert_eq!(first["body"], "news");
        assert_eq!(first["subject"], "S");
        assert_eq!(first["metadata"], json!({ "a": 1 }));
        assert_eq!(first["sender"]["id"], "bob");
        assert_eq!(first["chat"]["id"], json!(target));
        let from = &first["forwardedFrom"];
        assert_eq!(from["sender"]["id"], "alice");
        assert_eq!(from["sentAt"], original["createdAt"]);
        assert_eq!(from["message"]["id"], json!(id));
        assert_eq!(events.next().await["message"]["id"], first["id"]);

        // Carol sees whose it was, and not where.
        let query = "query ($id: ID!) { node(id: $id) { ... on Message { forwardedFrom { sender { id } message { id } } } } }";
        let seen = carol.ask(query, json!({ "id": first["id"] })).await;
        let expected = json!({ "sender": { "id": "alice" }, "message": null });
        assert_eq!(seen["node"]["forwardedFrom"], expected);

        // Forwarded again, it is still alice's.
        let dora = server.user("dora");
        let last = carol.direct(&dora).await;
        let again = carol
            .forwards(&[first["id"].as_str().unwrap()], &[&last])
            .await;
        assert_eq!(again[0]["forwardedFrom"]["sender"]["id"], "alice");
        assert_eq!(again[0]["forwardedFrom"]["sentAt"], original["createdAt"]);
        assert_eq!(again[0]["forwardedFrom"]["message"], Value::Null);

        // What becomes of the original is nothing to the copy; its own deletion hides where it is from.
        alice.deletes(id).await;
        let seen = dora.chat(&last, "messages { nodes { body } }").await;
        assert_eq!(seen["messages"]["nodes"][0]["body"], "news");
        carol.deletes(again[0]["id"].as_str().unwrap()).await;
        let seen = dora.ask(query, json!({ "id": again[0]["id"] })).await;
        assert_eq!(seen["node"]["forwardedFrom"], Value::Null);
    });
}

#[test]
fn each_goes_to_each_in_order_once() {
    run(async {
        let server = Server::start().await;
        let [alice, bob] = ["alice", "bob"].map(|id| server.user(id));
        let source = alice.group("Source", &[]).await;
        let (one, two) = (
            alice.group("One", &[&bob]).await,
            alice.group("Two", &[&bob]).await,
        );
        let (a, b) = (
            alice.sends(&source, "a").await,
            alice.sends(&source, "b").await,
        );
        let input =
            json!({ "messageIds": [b, a, b], "chatIds": [two, one, two], "idempotencyKey": "k" });
        let sent = alice.forwards_with(input.clone()).await;
        let bodies: Vec<&Value> = sent.iter().map(|message| &message["body"]).collect();
        assert_eq!(bodies, ["b", "a", "b", "a"]);
        assert_eq!(sent[0]["chat"]["id"], json!(two));
        // A retry, also on another server, finds them.
        let ids = |sent: &[Value]| sent.iter().map(|m| m["id"].clone()).collect::<Vec<_>>();
        let other = Server::on(server.database.clone()).await;
        for alice in [&alice, &alice.at(&other)] {
            assert_eq!(ids(&alice.forwards_with(input.clone()).await), ids(&sent));
        }
        // With one more chat, only that one gets something.
        let three = alice.group("Three", &[]).await;
        let more = json!({ "messageIds": [b, a], "chatIds": [two, three], "idempotencyKey": "k" });
        assert_eq!(alice.forwards_with(more).await.len(), 4);
        for chat in [&one, &two, &three] {
            assert_eq!(alice.bodies(chat).await, ["b", "a"]);
        }
        // Whatever has become of the originals.
        alice.deletes(&a).await;
        let input =
            json!({ "messageIds": [b, a, b], "chatIds": [two, one, two], "idempotencyKey": "k" });
        assert_eq!(ids(&alice.forwards_with(input.clone()).await), ids(&sent));
        // The key is not that of a send.
        let input = json!({ "chatId": one, "body": "own", "idempotencyKey": "k" });
        alice.does("sendMessage", "", input).await;
        assert_eq!(alice.bodies(&one).await, ["b", "a", "own"]);
    });
}

#[test]
fn nothing_is_sent_unless_all_may_be() {
    run(async {
        let server = Server::start().await;
        let [alice, bob, eve] = ["alice", "bob", "eve"].map(|id| server.user(id));
        let source = alice.group("Source", &[&bob]).await;
        let theirs = eve.group("Theirs", &[]).await;
        let secret = eve.sends(&theirs, "secret").await;
        let own = alice.group("Own", &[]).await;
        let gone = alice.group("Gone", &[]).await;
        let text = alice.sends(&source, "text").await;
        let deleted = alice.sends(&source, "deleted").await;
        alice.deletes(&deleted).await;
        alice.deletes_chat(&gone).await;
        let ids = |count: usize| (0..count).map(|n| format!("msg_{n}")).collect::<Vec<_>>();
        for (messages, chats, code, path) in [
            (
                json!([text, secret]),
                json!([own]),
                "NOT_FOUND",
                json!(["input", "messageIds", "1"]),
            ),
            (
                json!([text, "nonsense"]),
                json!([own]),
                "NOT_FOUND",
                json!(["input", "messageIds", "1"]),
            ),
            (
                json!([text]),
                json!([own, theirs]),
                "NOT_FOUND",
                json!(["input", "chatIds", "1"]),
            ),
            (
                json!([text]),
                json!([own, "nonsense"]),
                "NOT_FOUND",
                json!(["input", "chatIds", "1"]),
            ),
            (
                json!([text]),
                json!([own, gone]),
                "CONFLICT",
                json!(["input", "chatIds", "1"]),
            ),
            (
                json!([text, deleted]),
                json!([own]),
                "CONFLICT",
                json!(["input", "messageIds", "1"]),
            ),
            (
                json!([]),
                json!([own]),
                "INVALID",
                json!(["input", "messageIds"]),
            ),
            (
                json!([text]),
                json!([]),
                "INVALID",
                json!(["input", "chatIds"]),
            ),
            (
                json!([text]),
                json!(vec![&own; 21]),
                "TOO_MANY",
                json!(["input", "chatIds"]),
            ),
            (
                json!(ids(1)),
                json!([own]),
                "NOT_FOUND",
                json!(["input", "messageIds", "0"]),
            ),
        ] {
            let input = json!({ "messageIds": messages, "chatIds": chats });
            let refused = alice.refused("forwardMessages", input.clone()).await;
            assert_eq!(refused, (code.to_owned(), path), "{input}");
        }
        assert_eq!(alice.bodies(&own).await, Vec::<Value>::new());
    });
}

#[test]
fn one_call_sends_at_most_fifty() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let source = alice.group("Source", &[]).await;
        let mut chats = Vec::new();
        for n in 0..6 {
            chats.push(alice.group(&format!("{n}"), &[]).await);
        }
        let mut messages = Vec::new();
        for n in 0..10 {
            messages.push(alice.sends(&source, &format!("{n}")).await);
        }
        let input = json!({ "messageIds": messages, "chatIds": chats });
        let refused = alice.refused("forwardMessages", input).await;
        assert_eq!(
            refused,
            ("TOO_MANY".to_owned(), json!(["input", "chatIds"]))
        );
        let input = json!({ "messageIds": messages, "chatIds": chats[..5] });
        assert_eq!(alice.forwards_with(input).await.len(), 50);
    });
}

#[test]
fn what_stands_before_ones_joining_is_not_forwarded() {
    run(async {
        let server = Server::start().await;
        let [alice, bob] = ["alice", "bob"].map(|id| server.user(id));
        let input = json!({ "title": "Team", "history": "SINCE_JOINING" });
        let payload = alice.does("createGroupChat", "chat { id }", input).await;
        let chat = payload["chat"]["id"].as_str().unwrap().to_owned();
        let before = alice.sends(&chat, "before").await;
        alice.adds(&chat, &[&bob]).await;
        let since = alice.sends(&chat, "since").await;
        let own = bob.group("Own", &[]).await;
        let input = json!({ "messageIds": [before], "chatIds": [own] });
        assert_eq!(bob.refused("forwardMessages", input).await.0, "NOT_FOUND");
        assert_eq!(bob.forwards(&[&since], &[&own]).await.len(), 1);
    });
}
