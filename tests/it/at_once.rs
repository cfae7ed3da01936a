//! What is resolved without the engine is what the engine resolves.

use serde_json::{Value, json};

use crate::support::{Server, User, run};

/// Asks twice: with the selection, and with `id` in it once more, which leaves it to the engine.
async fn both(user: &User, query: &str) -> Value {
    let twice = query.replace("id #", "id id #");
    assert_ne!(query, twice);
    let (quick, engine) = (
        user.post(query, json!({ "yes": true, "no": false })).await,
        user.post(&twice, json!({ "yes": true, "no": false })).await,
    );
    assert_eq!(quick.body, engine.body, "{query}");
    quick.json()["data"].clone()
}

#[test]
fn a_selection_at_hand_is_what_the_engine_makes_of_it() {
    run(async {
        let server = Server::start().await;
        let [alice, bob, carol] = ["alice", "bob", "carol"].map(|id| server.user(id));
        let mut claims = bob.claims();
        claims.name = Some("Bob B.".to_owned());
        let bob = bob.with_token(bob.sign(&claims));
        let chat = alice.group("Tea", &[&bob, &carol]).await;
        let first = alice.sends(&chat, "first \" \\ \u{1F375}").await;
        let edited = bob.sends(&chat, "to be edited").await;
        bob.edits(&edited, "edited").await;
        let deleted = carol.sends(&chat, "to be deleted").await;
        carol.deletes(&deleted).await;
        let answer = json!({ "chatId": chat, "body": "answer", "replyToId": first });
        bob.does("sendMessage", "message { id }", answer).await;
        alice.group("Empty", &[&bob]).await;
        bob.direct(&carol).await;

        let all = "id # \n body createdAt editedAt deletedAt sender { id displayName avatarUrl __typename } \
             again: body __typename";
        let variables = "query Q($yes: Boolean!, $no: Boolean!)";
        let of = |selection: &str, more: &str| {
            format!(
                "{variables} {{ chat(id: \"{chat}\") {{ {selection} a: title @include(if: $yes) \
                 b: title @skip(if: $no) }} }} {more}"
            )
        };
        let nodes = both(&bob, &of(&format!("messages {{ nodes {{ {all} }} }}"), "")).await;
        let nodes = nodes["chat"]["messages"]["nodes"]
            .as_array()
            .unwrap()
            .clone();
        assert_eq!(nodes.len(), 4);
        assert_eq!(nodes[1]["sender"]["displayName"], "Bob B.");
        assert_eq!(nodes[2]["body"], Value::Null);
        for selection in [
            format!("messages(last: 2) {{ edges {{ cursor node {{ {all} }} __typename }} }}"),
            "messages { nodes { id # \n body @skip(if: $yes) sender @include(if: $no) { id } } }".to_owned(),
            "messages { nodes { ...M ... on Message { createdAt } ... { editedAt } ... on Node { other: id } } }"
                .to_owned(),
            "messages { nodes { id # \n replyTo { id body } chat { id } } }".to_owned(),
            "participants { edges { cursor node { id # \n role joinedAt user { id displayName } __typename } } }"
                .to_owned(),
        ] {
            let more = if selection.contains("...M") {
                "fragment M on Message { id # \n sender { ...U } } fragment U on User { id displayName }"
            } else {
                ""
            };
            both(&bob, &of(&selection, more)).await;
        }
        let inbox = "id # \n kind history title createdAt lastActivityAt deletedAt unreadCount \
             lastMessage { id body sender { displayName } } __typename";
        for connection in [
            format!("edges {{ cursor node {{ {inbox} }} }}"),
            format!("nodes {{ {inbox} }}"),
            "nodes { id # \n participants { nodes { id } } }".to_owned(),
        ] {
            let query = format!(
                "{variables} {{ chats {{ {connection} }} a: viewer @include(if: $yes) {{ id }} b: viewer @skip(if: $no) {{ id }} }}"
            );
            both(&bob, &query).await;
        }
    });
}
