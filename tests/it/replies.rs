//! What answers a message: how many, the newest, and all of them.

use std::time::Duration;

use colloquy::realtime::{Carrier, RealtimeOptions};
use serde_json::{Value, json};

use crate::support::server::Setup;
use crate::support::{Server, User, postgres, run};

const THREAD: &str = "query ($id: ID!, $first: Int, $after: String, $last: Int, $before: String) {
    node(id: $id) { ... on Message { body replyCount lastReply { body sender { id } }
        replies(first: $first, after: $after, last: $last, before: $before) {
            nodes { body replyTo { body } }
            pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } } }";

impl User {
    pub(crate) async fn replies(&self, chat: &str, to: &str, body: &str) -> String {
        let input = json!({ "chatId": chat, "body": body, "replyToId": to });
        let payload = self.does("sendMessage", "message { id }", input).await;
        payload["message"]["id"].as_str().unwrap().to_owned()
    }

    async fn thread(&self, id: &str, args: Value) -> Value {
        let mut variables = args;
        variables["id"] = json!(id);
        self.ask(THREAD, variables).await["node"].clone()
    }
}

fn texts(thread: &Value) -> Vec<String> {
    let nodes = thread["replies"]["nodes"].as_array().unwrap().iter();
    let text = |node: &Value| node["body"].as_str().unwrap_or("null").to_owned();
    nodes.map(text).collect()
}

#[test]
fn a_thread_is_counted_and_keeps_its_tombstones() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.group("Team", &[&bob]).await;
        let root = alice.sends(&chat, "root").await;
        let alone = alice.thread(&root, json!({})).await;
        assert_eq!(
            (&alone["replyCount"], &alone["lastReply"]),
            (&json!(0), &Value::Null)
        );
        assert_eq!(alone["replies"]["nodes"], json!([]));
        let one = bob.replies(&chat, &root, "one").await;
        alice.sends(&chat, "beside it").await;
        // An answer to an answer is that one's.
        alice.replies(&chat, &one, "to one").await;
        let two = alice.replies(&chat, &root, "two").await;
        let thread = alice.thread(&root, json!({})).await;
        assert_eq!(thread["replyCount"], 2);
        assert_eq!(
            thread["lastReply"],
            json!({ "body": "two", "sender": { "id": "alice" } })
        );
        assert_eq!(texts(&thread), ["one", "two"]);
        assert_eq!(thread["replies"]["nodes"][0]["replyTo"]["body"], "root");
        assert_eq!(texts(&alice.thread(&one, json!({})).await), ["to one"]);

        alice.deletes(&two).await;
        let thread = bob.thread(&root, json!({})).await;
        assert_eq!(thread["replyCount"], 1);
        assert_eq!(thread["lastReply"]["body"], "one");
        assert_eq!(texts(&thread), ["one", "null"]);
        alice.deletes(&root).await;
        let thread = bob.thread(&root, json!({})).await;
        assert_eq!(
            (&thread["body"], &thread["replyCount"]),
            (&Value::Null, &json!(1))
        );
        assert_eq!(texts(&thread), ["one", "null"]);
    });
}

#[test]
fn pages_of_a_thread_are_its_own_and_have_exact_flags() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let chat = alice.group("Team", &[]).await;
        let roots = [alice.sends(&chat, "a").await, alice.sends(&chat, "b").await];
        let mut all = Vec::new();
        for n in 0..8 {
            alice.replies(&chat, &roots[n % 2], &format!("r{n}")).await;
            if n % 2 == 0 {
                all.push(format!("r{n}"));
            }
        }
        let first = alice.thread(&roots[0], json!({ "first": 3 })).await;
        assert_eq!(texts(&first), all[..3]);
        let info = &first["replies"]["pageInfo"];
        assert_eq!(
            (&info["hasNextPage"], &info["hasPreviousPage"]),
            (&json!(true), &json!(false))
        );
        let end = info["endCursor"].clone();
        let rest = alice.thread(&roots[0], json!({ "after": end })).await;
        assert_eq!(texts(&rest), all[3..]);
        let info = &rest["replies"]["pageInfo"];
        assert_eq!(
            (&info["hasNextPage"], &info["hasPreviousPage"]),
            (&json!(false), &json!(true))
        );
        let behind = alice
            .thread(&roots[0], json!({ "after": info["endCursor"] }))
            .await;
        assert_eq!(behind["replies"]["nodes"], json!([]));
        assert_eq!(behind["replies"]["pageInfo"]["hasPreviousPage"], true);
        let last = alice.thread(&roots[0], json!({ "last": 3 })).await;
        assert_eq!(texts(&last), all[1..]);
        let start = last["replies"]["pageInfo"]["startCursor"].clone();
        let front = alice
            .thread(&roots[0], json!({ "last": 3, "before": start }))
            .await;
        assert_eq!(texts(&front), all[..1]);
        let info = &front["replies"]["pageInfo"];
        assert_eq!(
            (&info["hasNextPage"], &info["hasPreviousPage"]),
            (&json!(true), &json!(false))
        );
        // A cursor works for its own thread only.
        let mut variables = json!({ "after": end });
        variables["id"] = json!(roots[1]);
        assert_eq!(alice.codes(THREAD, variables).await, ["BAD_USER_INPUT"]);
        let too_many = json!({ "id": roots[0], "first": 101 });
        assert_eq!(alice.codes(THREAD, too_many).await, ["BAD_USER_INPUT"]);
    });
}

#[test]
fn an_event_shows_the_thread_as_it_is() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.group("Team", &[&bob]).await;
        let root = alice.sends(&chat, "root").await;
        let after = alice.event_cursor(&chat).await;
        alice.replies(&chat, &root, "one").await;
        let query = "subscription ($chat: ID!, $after: String) { chatEvents(chatId: $chat, after: $after) {
            cursor ... on MessageSent { message { body replyTo { replyCount lastReply { body } } } } } }";
        let mut socket = bob.socket().await;
        let variables = json!({ "chat": chat, "after": after });
        socket.subscribe("s", query, variables).await;
        let heard = socket.hear().await;
        let message = &heard["payload"]["data"]["chatEvents"]["message"];
        let root = json!({ "replyCount": 1, "lastReply": { "body": "one" } });
        assert_eq!(message["replyTo"], root, "{heard}");
    });
}

/// A server that looks rarely reads the message and the removal together: the message is told of when the chat is lost.
#[test]
fn a_thread_of_a_chat_that_was_lost_does_not_end_the_stream() {
    run(async {
        let database = postgres::database().await;
        let rarely = Setup {
            realtime: RealtimeOptions {
                carrier: Carrier::Sweep,
                sweep: Duration::from_secs(2),
                ..RealtimeOptions::default()
            },
            ..Setup::default()
        };
        let here = Server::with(database.clone(), rarely).await;
        let there = Server::on(database).await;
        let (alice, bob) = (there.user("alice"), here.user("bob"));
        let chat = alice.group("Team", &[&bob]).await;
        let query = "subscription ($chat: ID!, $after: String) { chatEvents(chatId: $chat, after: $after) { __typename
            ... on MessageSent { message { body replyCount replies { nodes { body } } lastReply { body } } } } }";
        let variables = json!({ "chat": chat, "after": bob.event_cursor(&chat).await });
        let mut socket = bob.socket().await;
        socket.subscribe("s", query, variables).await;
        let message = alice.sends(&chat, "root").await;
        alice.replies(&chat, &message, "reply").await;
        let input = json!({ "chatId": chat, "userId": "bob" });
        alice.does("removeParticipant", "", input).await;
        let mut heard = Vec::new();
        while heard
            .last()
            .is_none_or(|event: &Value| event["__typename"] != "ParticipantRemoved")
        {
            let said = socket.hear().await;
            assert_eq!(said["type"], "next", "{said}");
            heard.push(said["payload"]["data"]["chatEvents"].clone());
        }
        let bodies: Vec<_> = heard
            .iter()
            .map(|event| event["message"]["body"].as_str())
            .collect();
        assert_eq!(bodies, [Some("root"), Some("reply"), None]);
    });
}

#[test]
fn so_much_is_not_read_at_once() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let chat = alice.group("Team", &[]).await;
        for n in 0..21 {
            alice.sends(&chat, &n.to_string()).await;
        }
        for list in ["replies", "revisions"] {
            let query = format!(
                "query ($chat: ID!, $first: Int!) {{ chat(id: $chat) {{ messages {{ nodes {{ {list}(first: $first) {{ nodes {{ body }} }} }} }} }} }}"
            );
            let ask = |first: i32| json!({ "chat": chat, "first": first });
            alice.ask(&query, ask(95)).await;
            // Nor in several lists beside each other.
            let twice = format!(
                "query ($chat: ID!, $first: Int!) {{ chat(id: $chat) {{ messages {{ nodes {{ {list}(first: $first) {{ nodes {{ body }} }} \
                 more: {list}(first: 49) {{ nodes {{ body }} }} }} }} }} }}"
            );
            let codes = alice.codes(&twice, ask(48)).await;
            assert!(
                !codes.is_empty() && codes.iter().all(|code| code == "BAD_USER_INPUT"),
                "{codes:?}"
            );
            let codes = alice.codes(&query, ask(100)).await;
            assert!(
                !codes.is_empty() && codes.iter().all(|code| code == "BAD_USER_INPUT"),
                "{codes:?}"
            );
        }
    });
}
