//! The earlier texts of an edited message, and until when it can be edited.

use std::time::Duration;

use colloquy::app::Limits;
use serde_json::{Value, json};

use crate::support::server::Setup;
use crate::support::{Server, User, postgres, run};

const REVISIONS: &str = "query ($id: ID!, $first: Int, $after: String, $last: Int, $before: String) {
    node(id: $id) { ... on Message { body revisions(first: $first, after: $after, last: $last, before: $before) {
        nodes { body replacedAt replacedBy { id displayName } }
        pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } } }";

impl User {
    async fn revisions(&self, id: &str, args: Value) -> Value {
        let mut variables = args;
        variables["id"] = json!(id);
        self.ask(REVISIONS, variables).await["node"]["revisions"].clone()
    }
}

fn texts(page: &Value) -> Vec<String> {
    let nodes = page["nodes"].as_array().unwrap().iter();
    let text = |node: &Value| node["body"].as_str().unwrap().to_owned();
    nodes.map(text).collect()
}

#[test]
fn authors_and_moderators_see_what_a_message_said_before() {
    run(async {
        let server = Server::start().await;
        let [owner, author, other] = ["owner", "author", "other"].map(|id| server.user(id));
        let chat = owner.group("Team", &[&author, &other]).await;
        let message = author.sends(&chat, "first").await;
        assert_eq!(
            author.revisions(&message, json!({})).await["nodes"],
            json!([])
        );
        author.edits(&message, "second").await;
        author.edits(&message, "second").await;
        author.edits(&message, "third").await;
        let seen = author.revisions(&message, json!({})).await;
        assert_eq!(texts(&seen), ["first", "second"]);
        assert_eq!(seen["nodes"][0]["replacedBy"]["id"], "author");
        assert!(seen["nodes"][0]["replacedAt"].as_str() <= seen["nodes"][1]["replacedAt"].as_str());
        assert_eq!(
            texts(&owner.revisions(&message, json!({})).await),
            ["first", "second"]
        );
        assert_eq!(other.revisions(&message, json!({})).await, Value::Null);
        let input = json!({ "chatId": chat, "userId": "other", "role": "ADMIN" });
        owner.does("changeParticipantRole", "", input).await;
        assert_eq!(
            texts(&other.revisions(&message, json!({})).await),
            ["first", "second"]
        );

        // Nobody sees those of a deleted message, until it is restored.
        author.deletes(&message).await;
        for user in [&owner, &author, &other] {
            assert_eq!(user.revisions(&message, json!({})).await, Value::Null);
        }
        author
            .does("restoreMessage", "", json!({ "messageId": message }))
            .await;
        assert_eq!(
            texts(&author.revisions(&message, json!({})).await),
            ["first", "second"]
        );

        // In a direct chat nobody moderates.
        let direct = author.direct(&other).await;
        let message = author.sends(&direct, "first").await;
        author.edits(&message, "second").await;
        assert_eq!(other.revisions(&message, json!({})).await, Value::Null);
        assert_eq!(
            texts(&author.revisions(&message, json!({})).await),
            ["first"]
        );
        // Whoever deletes the chat does not see more of it then.
        other.deletes_chat(&direct).await;
        assert_eq!(other.revisions(&message, json!({})).await, Value::Null);
        assert_eq!(
            texts(&author.revisions(&message, json!({})).await),
            ["first"]
        );
        other.restores_chat(&direct).await;
        // Administrators of the tenant see them, and it is written down that they read.
        let root = server.user("root").permitted(&["colloquy:admin"]);
        assert_eq!(texts(&root.revisions(&message, json!({})).await), ["first"]);
        let trail =
            "SELECT count(*) AS number FROM audit_entries WHERE actor_id = 'root' AND act = 0";
        assert_eq!(server.number(trail).await, 1);
        // So it is where they are in the chat, and their role there does not allow it.
        let member = other.permitted(&["colloquy:admin"]);
        assert_eq!(
            texts(&member.revisions(&message, json!({})).await),
            ["first"]
        );
        let trail = trail.replace("root", "other");
        assert_eq!(server.number(&trail).await, 1);
    });
}

#[test]
fn pages_of_revisions_have_exact_flags() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let chat = alice.group("Team", &[]).await;
        let message = alice.sends(&chat, "0").await;
        let other = alice.sends(&chat, "other").await;
        for n in 1..=5 {
            alice.edits(&message, &n.to_string()).await;
            alice.edits(&other, &format!("other {n}")).await;
        }
        let first = alice.revisions(&message, json!({ "first": 2 })).await;
        assert_eq!(texts(&first), ["0", "1"]);
        let info = &first["pageInfo"];
        assert_eq!(
            (&info["hasNextPage"], &info["hasPreviousPage"]),
            (&json!(true), &json!(false))
        );
        let after = info["endCursor"].clone();
        let rest = alice.revisions(&message, json!({ "after": after })).await;
        assert_eq!(texts(&rest), ["2", "3", "4"]);
        let info = &rest["pageInfo"];
        assert_eq!(
            (&info["hasNextPage"], &info["hasPreviousPage"]),
            (&json!(false), &json!(true))
        );
        let behind = alice
            .revisions(&message, json!({ "after": info["endCursor"] }))
            .await;
        assert_eq!(behind["nodes"], json!([]));
        assert_eq!(behind["pageInfo"]["hasPreviousPage"], true);
        let last = alice.revisions(&message, json!({ "last": 2 })).await;
        assert_eq!(texts(&last), ["3", "4"]);
        let before = last["pageInfo"]["startCursor"].clone();
        let front = alice
            .revisions(&message, json!({ "last": 9, "before": before }))
            .await;
        assert_eq!(texts(&front), ["0", "1", "2"]);
        assert_eq!(front["pageInfo"]["hasNextPage"], true);
        assert_eq!(front["pageInfo"]["hasPreviousPage"], false);
        let variables = json!({ "id": other, "after": after });
        assert_eq!(alice.codes(REVISIONS, variables).await, ["BAD_USER_INPUT"]);
    });
}

#[test]
fn a_message_can_be_edited_for_so_long() {
    run(async {
        let limits = Limits {
            edit_window: Some(Duration::from_secs(900)),
            ..Setup::default().limits
        };
        let setup = Setup {
            limits,
            ..Setup::default()
        };
        let server = Server::with(postgres::database().await, setup).await;
        let alice = server.user("alice");
        let chat = alice.group("Team", &[]).await;
        let (new, old) = (
            alice.sends(&chat, "new").await,
            alice.sends(&chat, "old").await,
        );
        let age = "UPDATE messages SET created_at = created_at - interval '16 minutes' WHERE body = 'old'";
        postgres::sql(&mut server.sql().await, age).await;
        alice.edits(&new, "newer").await;
        let before = server.log(&chat).await;
        let input = json!({ "messageId": old, "body": "newer" });
        let refused = alice.refused("editMessage", input).await;
        assert_eq!(
            refused,
            ("CONFLICT".to_owned(), json!(["input", "messageId"]))
        );
        assert_eq!(server.log(&chat).await, before);
        // A retry of what was done in time is no edit.
        alice.edits(&old, "old").await;
    });
}
