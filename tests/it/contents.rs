//! What a message has besides its text: a subject, and what the application keeps with it.

use serde_json::{Value, json};

use crate::support::{Server, User, run};

impl User {
    async fn sends_with(&self, chat: &str, more: Value) -> Value {
        let mut input = json!({ "chatId": chat, "body": "text" });
        let fields = input.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        let payload = self.does("sendMessage", CONTENTS, input).await;
        payload["message"].clone()
    }
}

const CONTENTS: &str = "message { id body subject metadata editedAt }";

#[test]
fn a_message_has_a_subject_and_metadata() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.direct(&bob).await;
        let mut events = bob.follows(&chat, None).await;
        let metadata = json!({ "order": 42, "tags": ["a", "é"], "nested": { "yes": true, "no": null, "n": 1.5 } });
        let sent = alice
            .sends_with(
                &chat,
                json!({ "subject": "  Hello ", "metadata": metadata }),
            )
            .await;
        assert_eq!(sent["subject"], "Hello");
        assert_eq!(sent["metadata"], metadata);
        let plain = alice.sends_with(&chat, json!({})).await;
        assert_eq!(plain["subject"], Value::Null);
        assert_eq!(plain["metadata"], Value::Null);
        // From the database, as another sees it; the engine's way and the quick one.
        for fields in [
            "messages { nodes { subject metadata } }",
            "messages { nodes { subject metadata chat { id } } }",
        ] {
            let seen = bob.chat(&chat, fields).await;
            let first = &seen["messages"]["nodes"][0];
            assert_eq!(first["subject"], "Hello");
            assert_eq!(first["metadata"], metadata);
        }
        let event = events.next().await;
        assert_eq!(event["message"]["id"], sent["id"]);
        let query = "query ($id: ID!) { node(id: $id) { ... on Message { subject metadata } } }";
        alice.deletes(sent["id"].as_str().unwrap()).await;
        let gone = bob.ask(query, json!({ "id": sent["id"] })).await;
        assert_eq!(gone["node"], json!({ "subject": null, "metadata": null }));
    });
}

#[test]
fn literals_and_variables_are_the_same_metadata() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let chat = alice.group("Team", &[]).await;
        let query = format!(
            "mutation {{ sendMessage(input: {{ chatId: \"{chat}\", body: \"x\", metadata: {{ a: [1, 2.5, \"x\", null, true], b: {{ c: BLUE }} }} }}) {{ message {{ metadata }} }} }}"
        );
        let sent = alice.ask(&query, json!({})).await;
        let expected = json!({ "a": [1, 2.5, "x", null, true], "b": { "c": "BLUE" } });
        assert_eq!(sent["sendMessage"]["message"]["metadata"], expected);
        for wrong in ["1", "\"x\"", "[1]", "true"] {
            let query = format!(
                "mutation {{ sendMessage(input: {{ chatId: \"{chat}\", body: \"x\", metadata: {wrong} }}) {{ message {{ id }} }} }}"
            );
            let answer = alice.post(&query, json!({})).await.json();
            let code = &answer["errors"][0]["extensions"]["code"];
            assert_eq!(code, "BAD_USER_INPUT", "{answer}");
        }
    });
}

#[test]
fn what_is_out_of_bounds_is_refused_and_nothing_is_sent() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let chat = alice.group("Team", &[]).await;
        let head = alice.event_cursor(&chat).await;
        let deep = (0..16).fold(json!({}), |inner, _| json!({ "a": inner }));
        for (field, value, code) in [
            ("subject", json!(" "), "INVALID"),
            ("subject", json!("two\nlines"), "INVALID"),
            ("subject", json!("x".repeat(201)), "TOO_LONG"),
            ("metadata", json!({ "a": "x".repeat(4100) }), "TOO_LONG"),
            ("metadata", json!({ "a": "\0" }), "INVALID"),
            ("metadata", deep, "INVALID"),
        ] {
            let mut input = json!({ "chatId": chat, "body": "text" });
            input[field] = value;
            let refused = alice.refused("sendMessage", input).await;
            assert_eq!(refused, (code.to_owned(), json!(["input", field])));
        }
        assert_eq!(alice.event_cursor(&chat).await, head);
    });
}

#[test]
fn an_edit_changes_takes_off_or_leaves_each_part() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let chat = alice.group("Team", &[]).await;
        let sent = alice
            .sends_with(&chat, json!({ "subject": "One", "metadata": { "n": 1 } }))
            .await;
        let edit = async |more: Value| {
            let mut input = json!({ "messageId": sent["id"], "body": "text" });
            let fields = input.as_object_mut().unwrap();
            fields.extend(more.as_object().unwrap().clone());
            let payload = alice.does("editMessage", CONTENTS, input).await;
            payload["message"].clone()
        };
        let same = edit(json!({})).await;
        assert_eq!(same, sent);
        let same = edit(json!({ "subject": "One", "metadata": { "n": 1 } })).await;
        assert_eq!(same["editedAt"], Value::Null);
        let other = edit(json!({ "subject": "Two" })).await;
        assert_eq!(other["subject"], "Two");
        assert_eq!(other["metadata"], json!({ "n": 1 }));
        assert_ne!(other["editedAt"], Value::Null);
        let bare = edit(json!({ "subject": null, "metadata": null })).await;
        assert_eq!(
            (&bare["subject"], &bare["metadata"]),
            (&Value::Null, &Value::Null)
        );
        let query = "query ($id: ID!) { node(id: $id) { ... on Message { revisions { nodes { body subject } } } } }";
        let seen = alice.ask(query, json!({ "id": sent["id"] })).await;
        let before =
            json!([{ "body": "text", "subject": "One" }, { "body": "text", "subject": "Two" }]);
        assert_eq!(seen["node"]["revisions"]["nodes"], before);
        let input = json!({ "messageId": sent["id"], "body": "text", "metadata": { "a": "\0" } });
        let refused = alice.refused("editMessage", input).await;
        assert_eq!(
            refused,
            ("INVALID".to_owned(), json!(["input", "metadata"]))
        );
    });
}
