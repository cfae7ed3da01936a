//! Anything by its id.

use serde_json::{Value, json};

use crate::support::{Server, User, run};

async fn node(viewer: &User, id: &str) -> Value {
    let query = "query ($id: ID!) { node(id: $id) { __typename id } }";
    viewer.ask(query, json!({ "id": id })).await["node"].clone()
}

async fn nodes(viewer: &User, ids: &[&str]) -> Value {
    let query = "query ($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }";
    viewer.ask(query, json!({ "ids": ids })).await["nodes"].clone()
}

/// One id of each type that alice sees: an attachment, a chat, a message, a participant, a person.
async fn one_of_each(alice: &User, bob: &User) -> [(&'static str, String); 5] {
    let chat = alice.group("Tea", &[bob]).await;
    let message = alice.sends(&chat, "hi").await;
    let fields = "viewerParticipant { id }";
    let participant = bob.chat(&chat, fields).await["viewerParticipant"]["id"].clone();
    [
        (
            "Attachment",
            alice.uploads("a.txt", "text/plain", b"a").await,
        ),
        ("Chat", chat),
        ("Message", message),
        ("Participant", participant.as_str().unwrap().to_owned()),
        ("User", bob.id.clone()),
    ]
}

#[test]
fn every_type_is_found_by_its_id() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let things = one_of_each(&alice, &bob).await;
        for (kind, id) in &things {
            let expected = json!({ "__typename": kind, "id": id });
            assert_eq!(node(&alice, id).await, expected);
            assert_eq!(nodes(&alice, &[id]).await, json!([expected]));
        }
        let types = alice.ask(
            "{ __type(name: \"Node\") { possibleTypes { name } } }",
            json!({}),
        );
        let types = types.await["__type"]["possibleTypes"].clone();
        let mut names: Vec<_> = types
            .as_array()
            .unwrap()
            .iter()
            .map(|t| &t["name"])
            .collect();
        names.sort_by_key(|name| name.to_string());
        assert_eq!(names, things.map(|(kind, _)| kind), "each type has a case");
    });
}

#[test]
fn each_node_stands_in_its_place() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let [_, (_, chat), (_, message), (_, participant), _] = one_of_each(&alice, &bob).await;
        let foreign = bob.group("Private", &[]).await;
        let secret = bob.sends(&foreign, "secret").await;
        let ids = [
            "bob",
            &foreign,
            &message,
            "nobody",
            &chat,
            &secret,
            "",
            "chat_",
            &participant,
            &chat,
        ];
        let found = nodes(&alice, &ids).await;
        let found: Vec<&Value> = found.as_array().unwrap().iter().collect();
        let expected = [
            json!("bob"),
            json!(null),
            json!(message),
            json!(null),
            json!(chat),
            json!(null),
            json!(null),
            json!(null),
            json!(participant),
            json!(chat),
        ];
        let ids: Vec<Value> = found.iter().map(|node| node["id"].clone()).collect();
        assert_eq!(ids, expected);
    });
}

#[test]
fn a_malformed_id_is_the_id_of_nothing() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let [_, (_, chat), (_, message), (_, participant), _] = one_of_each(&alice, &bob).await;
        let malformed = [
            chat.to_uppercase(),
            format!("{chat}0"),
            format!("{message} "),
            message.replace("msg_", "chat_"),
            message.replace("msg_", "message_"),
            format!("{participant}="),
            participant.split_once('.').unwrap().0.to_owned(),
            format!("{}.", participant.split_once('.').unwrap().0),
            "participant_.".to_owned(),
            "\0".to_owned(),
        ];
        for id in &malformed {
            assert_eq!(node(&alice, id).await, json!(null), "{id:?}");
        }
    });
}

#[test]
fn a_participant_of_who_left_is_null() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let [_, (_, chat), _, (_, participant), _] = one_of_each(&alice, &bob).await;
        bob.leaves(&chat).await;
        for viewer in [&alice, &bob] {
            assert_eq!(node(viewer, &participant).await, json!(null));
        }
    });
}

#[test]
fn a_call_takes_at_most_a_hundred_ids() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        assert_eq!(nodes(&alice, &[]).await, json!([]));
        let found = nodes(&alice, &["alice"; 100]).await;
        assert!(
            found
                .as_array()
                .unwrap()
                .iter()
                .all(|node| node["id"] == "alice")
        );
        let query = "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }";
        let codes = alice
            .codes(query, json!({ "ids": vec!["alice"; 101] }))
            .await;
        assert_eq!(codes, ["BAD_USER_INPUT"]);
    });
}

#[test]
fn a_chat_under_what_is_seen_is_seen() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let [_, (_, chat), (_, message), (_, participant), _] = one_of_each(&alice, &bob).await;
        let query = "query ($ids: [ID!]!) { nodes(ids: $ids) {
            ... on Message { chat { id } } ... on Participant { chat { id } user { id } } } }";
        let ids = json!({ "ids": [message, participant] });
        let expected = json!([
            { "chat": { "id": chat } },
            { "chat": { "id": chat }, "user": { "id": "bob" } },
        ]);
        assert_eq!(alice.ask(query, ids).await["nodes"], expected);
    });
}
