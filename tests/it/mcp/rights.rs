//! An agent may do what the user of its token may, and nothing else.

use std::time::Duration;

use colloquy::app::{Coarse, Permissions};
use serde_json::{Value, json};

use super::agent::{Agent, Way, each_way};
use crate::support::server::Setup;
use crate::support::{Server, run};

#[test]
fn what_its_user_may_not_see_does_not_exist() {
    each_way(async |way| {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.group("Plans", &[&bob]).await;
        let message = alice.sends(&chat, "a secret").await;
        let file = alice.uploads("secret.txt", "text/plain", b"x").await;
        alice.sends_files(&chat, "a secret, too", &[&file]).await;
        let cursor = alice.event_cursor(&chat).await;
        for outsider in [server.user("mallory"), server.user_of("other", "alice")] {
            let mut agent = Agent::of(&outsider, way).await;
            for (tool, arguments) in [
                ("get_chat", json!({ "chatId": chat })),
                ("read_messages", json!({ "chatId": chat })),
                (
                    "search_messages",
                    json!({ "chatId": chat, "textContains": "secret" }),
                ),
                ("list_participants", json!({ "chatId": chat })),
                ("get_message", json!({ "messageId": message })),
                ("get_attachment", json!({ "attachmentId": file })),
                (
                    "wait_for_messages",
                    json!({ "chatId": chat, "after": cursor }),
                ),
                ("wait_for_messages", json!({ "chatId": chat })),
                ("send_message", json!({ "chatId": chat, "body": "x" })),
                ("edit_message", json!({ "messageId": message, "body": "x" })),
                ("delete_message", json!({ "messageId": message })),
                ("restore_message", json!({ "messageId": message })),
                ("star_message", json!({ "messageId": message })),
                ("unstar_message", json!({ "messageId": message })),
                (
                    "mark_chat_read",
                    json!({ "chatId": chat, "messageId": message }),
                ),
                ("rename_chat", json!({ "chatId": chat, "title": "x" })),
                (
                    "add_participants",
                    json!({ "chatId": chat, "userIds": ["alice"] }),
                ),
                (
                    "change_participant_role",
                    json!({ "chatId": chat, "userId": "bob", "role": "ADMIN" }),
                ),
                (
                    "remove_participant",
                    json!({ "chatId": chat, "userId": "bob" }),
                ),
                ("leave_chat", json!({ "chatId": chat })),
            ] {
                let called = agent.call(tool, arguments).await;
                assert_eq!(called.code(), "NOT_FOUND", "{tool}");
            }
            let chats = agent.does("list_chats", json!({})).await;
            assert_eq!(chats["nodes"], json!([]));
        }
        let seen = bob.chat(&chat, "title messages { nodes { body } }").await;
        let untouched = json!({ "title": "Plans", "messages": { "nodes": [
                { "body": "a secret" }, { "body": "a secret, too" }] } });
        assert_eq!(seen, untouched);
    });
}

#[test]
fn a_token_that_does_not_permit_something_permits_it_to_no_agent() {
    each_way(async |way| {
        let open = Server::start().await;
        let bob = open.user("bob");
        let chat = open.user("alice").direct(&bob).await;
        let setup = Setup {
            permissions: Permissions {
                coarse: Coarse::Token,
                ..Permissions::default()
            },
            ..Setup::default()
        };
        let strict = Server::with(open.database.clone(), setup).await;
        let alice = strict.user("alice");
        let send = json!({ "chatId": chat, "body": "hello" });
        let mut reader = Agent::of(&alice.permitted(&["ViewMessage"]), way).await;
        reader
            .does("read_messages", json!({ "chatId": chat }))
            .await;
        let refused = reader.call("send_message", send.clone()).await;
        assert_eq!(refused.code(), "FORBIDDEN");
        // Who may write and not read has written, and is told so.
        let mut writer = Agent::of(&alice.permitted(&["CreateMessage"]), way).await;
        let sent = writer.does("send_message", send).await;
        assert_eq!(sent["message"], Value::Null);
        assert_eq!(sent["missing"][0]["code"], "FORBIDDEN");
        for (tool, arguments) in [
            ("read_messages", json!({ "chatId": chat })),
            ("list_chats", json!({})),
            ("wait_for_messages", json!({ "chatId": chat })),
            ("wait_for_messages", json!({ "chatId": chat, "after": "x" })),
        ] {
            let refused = writer.call(tool, arguments).await;
            assert_eq!(refused.code(), "FORBIDDEN", "{tool}");
        }
        let seen = bob.chat(&chat, "messages { nodes { body } }").await;
        assert_eq!(seen["messages"]["nodes"], json!([{ "body": "hello" }]));
    });
}

#[test]
fn a_token_that_is_not_accepted_opens_nothing() {
    run(async {
        let way = Way::Process;
        let server = Server::start().await;
        let alice = server.user("alice");
        let chat = alice.direct(&server.user("bob")).await;
        let mut claims = alice.claims();
        claims.exp -= 3600;
        claims.iat = claims.iat.map(|at| at - 3600);
        let expired = alice.with_token(alice.sign(&claims));
        for token in [
            expired,
            alice.with_token("forged"),
            alice.with_token("a\u{e9}b"),
        ] {
            let mut agent = Agent::of(&token, way).await;
            for (tool, arguments) in [
                ("who_am_i", json!({})),
                ("list_chats", json!({})),
                ("send_message", json!({ "chatId": chat, "body": "x" })),
                ("wait_for_messages", json!({ "chatId": chat, "after": "x" })),
            ] {
                let called = agent.call(tool, arguments).await;
                assert_eq!(called.code(), "UNAUTHENTICATED", "{tool}");
            }
        }
    });
}

#[test]
fn a_wait_ends_with_its_token() {
    each_way(async |way| {
        let server = Server::start().await;
        let alice = server.user("alice");
        let chat = alice.direct(&server.user("bob")).await;
        let cursor = alice.event_cursor(&chat).await;
        let mut claims = alice.claims();
        let issued = claims.iat.unwrap();
        // The server allows for clocks that differ by five seconds.
        claims.exp = issued - 3;
        claims.iat = Some(issued - 60);
        let brief = alice.with_token(alice.sign(&claims));
        let mut agent = Agent::of(&brief, way).await;
        let since = std::time::Instant::now();
        let arguments = json!({ "chatId": chat, "after": cursor, "timeoutSeconds": 30 });
        let waited = agent.call("wait_for_messages", arguments).await;
        assert!(since.elapsed() < Duration::from_secs(15));
        let code = waited.code();
        assert!(
            ["UNAUTHENTICATED", "SERVICE_UNAVAILABLE"].contains(&code.as_str()),
            "{code}"
        );
    });
}
