//! What clients do, and what they are told: as the API has it, each event once, in order, on any server.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::files::{PNG, server_with_files};
use crate::support::socketio::SocketIo;
use crate::support::{Server, postgres, run};

const QUIET: Duration = Duration::from_millis(400);

/// Two servers on one database.
async fn two() -> (Server, Server) {
    let database = postgres::database().await;
    let here = Server::on(database.clone()).await;
    (here, Server::on(database).await)
}

fn bodies(events: &[Value]) -> Vec<&str> {
    let body = |event: &Value| event["message"]["body"].as_str().is_some();
    assert!(events.iter().all(body), "{events:?}");
    let bodies = events.iter().map(|event| event["message"]["body"].as_str());
    bodies.map(Option::unwrap).collect()
}

#[test]
fn what_is_sent_here_is_told_there() {
    run(async {
        let (here, there) = two().await;
        let (alice, bob) = (here.user("alice"), there.user("bob"));
        let chat = alice.group("Team", &[&bob]).await;
        let mut alices = SocketIo::open(&alice).await;
        let mut bobs = SocketIo::open(&bob).await;
        let followed = bobs.does("chat:follow", json!({ "chatId": chat })).await;
        assert_eq!(followed["cursor"], bob.event_cursor(&chat).await);
        let message = json!({
            "chatId": chat, "body": "Hello, \"Bob\" ü", "subject": "Greeting",
            "metadata": { "mood": "good" }, "idempotencyKey": "k1",
        });
        let sent = alices.does("message:send", message.clone()).await;
        assert_eq!(sent["message"]["body"], "Hello, \"Bob\" ü");
        assert!(sent.get("userErrors").is_none());
        // A retry is the same message, and no event.
        let again = alices.does("message:send", message).await;
        assert_eq!(again["message"]["id"], sent["message"]["id"]);
        let answer = json!({
            "chatId": chat, "body": "Hi", "replyToId": sent["message"]["id"],
        });
        bobs.does("message:send", answer).await;
        let told = bobs.take("chat:event", 2).await;
        assert_eq!(bodies(&told), ["Hello, \"Bob\" ü", "Hi"]);
        assert_eq!(told[0]["type"], "MessageSent");
        assert_eq!(told[0]["chatId"], chat.as_str());
        assert_eq!(told[0]["actor"]["id"], "alice");
        assert_eq!(told[0]["message"], sent["message"]);
        assert_eq!(told[0]["message"]["metadata"], json!({ "mood": "good" }));
        assert_eq!(told[1]["message"]["replyTo"]["id"], sent["message"]["id"]);
        assert!(told[0]["occurredAt"].is_string());
        assert!(bobs.is_quiet(QUIET).await);
        // By whatever way it was sent.
        alice.sends(&chat, "by GraphQL").await;
        assert_eq!(bodies(&bobs.take("chat:event", 1).await), ["by GraphQL"]);
    });
}

#[test]
fn files_are_sent_and_told_of() {
    run(async {
        let (server, _folder) = server_with_files().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.direct(&bob).await;
        let photo = alice.uploads("photo.png", "image/png", PNG).await;
        let (mut alices, mut bobs) = (SocketIo::open(&alice).await, SocketIo::open(&bob).await);
        bobs.does("chat:follow", json!({ "chatId": chat })).await;
        let message = json!({ "chatId": chat, "attachmentIds": [photo] });
        let sent = alices.does("message:send", message).await;
        let told = bobs.take("chat:event", 1).await;
        let file = json!({
            "id": photo, "name": "photo.png", "contentType": "image/png", "size": PNG.len(),
            "width": 640, "height": 480,
        });
        for message in [&sent["message"], &told[0]["message"]] {
            assert_eq!(message["body"], "");
            assert_eq!(message["attachments"], json!([file]));
        }
        let refused = alices
            .refused("message:send", json!({ "chatId": chat }))
            .await;
        assert_eq!(refused, "INVALID");
    });
}

#[test]
fn the_same_is_told_as_by_graphql() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.group("Team", &[&bob]).await;
        let start = alice.start_cursor(&chat).await;
        let id = alice.sends(&chat, "one").await;
        let input = json!({ "messageId": id, "body": "two" });
        alice.does("editMessage", "", input).await;
        let input = json!({ "chatId": chat, "title": "Crew" });
        alice.does("renameChat", "", input).await;
        alice
            .does("deleteMessage", "", json!({ "messageId": id }))
            .await;
        let mut graphql = alice.follows(&chat, Some(&start)).await;
        let mut client = SocketIo::open(&alice).await;
        let follow = json!({ "chatId": chat, "after": start });
        assert_eq!(client.does("chat:follow", follow).await["cursor"], start);
        let first = graphql
            .until(|event| event["__typename"] == "MessageDeleted")
            .await;
        let told = client.take("chat:event", first.len()).await;
        for (event, told) in first.iter().zip(&told) {
            assert_eq!(event["__typename"], told["type"]);
            for member in ["cursor", "occurredAt"] {
                assert_eq!(event[member], told[member]);
            }
            assert_eq!(event["title"], told["title"]);
            assert_eq!(event["message"]["id"], told["message"]["id"]);
        }
        assert!(client.is_quiet(QUIET).await);
    });
}

#[test]
fn a_client_that_was_away_misses_nothing_and_hears_nothing_twice() {
    run(async {
        let (here, there) = two().await;
        let (alice, bob) = (here.user("alice"), here.user("bob"));
        let chat = alice.group("Team", &[&bob]).await;
        let mut client = SocketIo::open(&bob).await;
        let followed = client.does("chat:follow", json!({ "chatId": chat })).await;
        let mut after = followed["cursor"].clone();
        let mut heard = Vec::new();
        for round in 0..4 {
            for n in 0..5 {
                alice.sends(&chat, &format!("{round} {n}")).await;
            }
            // It hears some of them, or none, and goes to the other server.
            for event in client.take("chat:event", round).await {
                after = event["cursor"].clone();
                heard.push(event["message"]["body"].as_str().unwrap().to_owned());
            }
            drop(client);
            alice.sends(&chat, &format!("{round} 5")).await;
            let server = if round % 2 == 0 { &there } else { &here };
            client = SocketIo::open(&bob.at(server)).await;
            let follow = json!({ "chatId": chat, "after": after });
            assert_eq!(client.does("chat:follow", follow).await["cursor"], after);
        }
        let rest = client.take("chat:event", 24 - heard.len()).await;
        heard.extend(bodies(&rest).into_iter().map(str::to_owned));
        let expected = (0..24).map(|n| format!("{} {}", n / 6, n % 6));
        assert_eq!(heard, expected.collect::<Vec<_>>());
        assert!(client.is_quiet(QUIET).await);
    });
}

#[test]
fn what_one_may_not_see_does_not_exist() {
    run(async {
        let server = Server::start().await;
        let (alice, bob, eve) = (server.user("alice"), server.user("bob"), server.user("eve"));
        let chat = alice.group("Team", &[&bob]).await;
        let id = alice.sends(&chat, "secret").await;
        let foreign = server.user_of("other", "alice");
        for stranger in [&eve, &foreign] {
            let mut client = SocketIo::open(stranger).await;
            for (event, argument) in [
                ("chat:follow", json!({ "chatId": chat })),
                ("signals:follow", json!({ "chatId": chat })),
                ("message:send", json!({ "chatId": chat, "body": "x" })),
                ("chat:read", json!({ "chatId": chat, "messageId": id })),
                ("chat:typing", json!({ "chatId": chat })),
            ] {
                let code = client.refused(event, argument).await;
                assert_eq!(code, "NOT_FOUND", "{event}");
            }
            // Nothing goes on of it.
            client
                .does("chat:unfollow", json!({ "chatId": chat }))
                .await;
            alice.sends(&chat, "more").await;
            assert!(client.is_quiet(QUIET).await);
        }
        let other = alice.direct(&bob).await;
        let mut client = SocketIo::open(&alice).await;
        for (after, code) in [
            (json!("nonsense"), "BAD_USER_INPUT"),
            (json!(7), "BAD_USER_INPUT"),
            (json!(alice.event_cursor(&other).await), "BAD_USER_INPUT"),
        ] {
            let follow = json!({ "chatId": chat, "after": after });
            assert_eq!(client.refused("chat:follow", follow).await, code);
        }
        // Which leaves the chat to be followed.
        client.does("chat:follow", json!({ "chatId": chat })).await;
    });
}

#[test]
fn who_loses_the_chat_is_told_the_end() {
    run(async {
        let (here, there) = two().await;
        let (alice, bob) = (here.user("alice"), there.user("bob"));
        let chat = alice.group("Team", &[&bob]).await;
        let other = alice.direct(&bob).await;
        let mut client = SocketIo::open(&bob).await;
        for id in [&chat, &other] {
            client.does("chat:follow", json!({ "chatId": id })).await;
        }
        let input = json!({ "chatId": chat, "userId": "bob" });
        alice.does("removeParticipant", "", input).await;
        alice.sends(&chat, "without bob").await;
        let removed = client.take("chat:event", 1).await;
        assert_eq!(removed[0]["type"], "ParticipantRemoved");
        assert_eq!(removed[0]["user"]["id"], "bob");
        let end = client.take("chat:end", 1).await;
        assert_eq!(end[0], json!({ "chatId": chat }));
        let again = client
            .refused("chat:follow", json!({ "chatId": chat }))
            .await;
        assert_eq!(again, "NOT_FOUND");
        // The other goes on.
        alice.sends(&other, "still here").await;
        let told = client.take("chat:event", 1).await;
        assert_eq!(told[0]["chatId"], other.as_str());
    });
}

#[test]
fn what_is_unfollowed_is_silent_and_can_be_followed_again() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.direct(&bob).await;
        let mut client = SocketIo::open(&bob).await;
        let follow = json!({ "chatId": chat });
        let cursor = client.does("chat:follow", follow.clone()).await["cursor"].clone();
        assert_eq!(
            client.refused("chat:follow", follow.clone()).await,
            "BAD_USER_INPUT"
        );
        client.does("chat:unfollow", follow.clone()).await;
        alice.sends(&chat, "one").await;
        assert!(client.is_quiet(QUIET).await);
        client.does("chat:unfollow", follow).await;
        let follow = json!({ "chatId": chat, "after": cursor });
        client.does("chat:follow", follow).await;
        assert_eq!(bodies(&client.take("chat:event", 1).await), ["one"]);
    });
}

#[test]
fn chats_are_followed_as_by_chat_updates() {
    run(async {
        let (here, there) = two().await;
        let (alice, bob) = (here.user("alice"), there.user("bob"));
        let mut client = SocketIo::open(&bob).await;
        let followed = client.does("chats:follow", json!({})).await;
        assert_eq!(followed, json!({ "ok": true }));
        let chat = alice.group("Team", &[&bob]).await;
        let (name, update) = client.event().await;
        assert_eq!(
            (name.as_str(), &update["chatId"]),
            ("chat:update", &json!(chat))
        );
        assert_eq!(update["chat"]["title"], "Team");
        let id = alice.sends(&chat, "news").await;
        loop {
            let update = client.take("chat:update", 1).await.remove(0);
            if update["chat"]["lastMessage"]["body"] == "news" {
                assert_eq!(update["chat"]["unreadCount"], 1);
                break;
            }
        }
        let read = json!({ "chatId": chat, "messageId": id });
        let read = client.does("chat:read", read).await;
        assert_eq!(read["chat"], json!({ "id": chat, "unreadCount": 0 }));
        client.does("chats:unfollow", json!({})).await;
    });
}

#[test]
fn typing_is_told_to_who_follows_signals() {
    run(async {
        let (here, there) = two().await;
        let (alice, bob) = (here.user("alice"), there.user("bob"));
        let chat = alice.direct(&bob).await;
        let mut alices = SocketIo::open(&alice).await;
        let mut bobs = SocketIo::open(&bob).await;
        let follow = json!({ "chatId": chat });
        assert_eq!(
            bobs.does("signals:follow", follow.clone()).await,
            json!({ "ok": true })
        );
        alices.does("chat:typing", follow.clone()).await;
        let mut signal = json!(null);
        while signal["type"] != "TypingStarted" {
            signal = bobs.take("chat:signal", 1).await.remove(0);
        }
        assert_eq!(signal["user"]["id"], "alice");
        assert_eq!(signal["chatId"], chat.as_str());
        let stop = json!({ "chatId": chat, "typing": false });
        alices.does("chat:typing", stop).await;
        while signal["type"] != "TypingStopped" {
            signal = bobs.take("chat:signal", 1).await.remove(0);
        }
        bobs.does("signals:unfollow", follow).await;
    });
}

#[test]
fn what_is_wrong_is_said_and_changes_nothing() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.direct(&bob).await;
        let mut client = SocketIo::open(&alice).await;
        for (event, argument) in [
            ("message:send", json!({ "body": "x" })),
            ("message:send", json!({ "chatId": chat, "body": 7 })),
            (
                "message:send",
                json!({ "chatId": chat, "attachmentIds": [{}] }),
            ),
            (
                "message:send",
                json!({ "chatId": chat, "body": "x", "text": "x" }),
            ),
            ("message:send", json!("x")),
            ("chat:follow", json!({})),
            ("chat:follow", json!({ "chatId": 7 })),
            ("chat:follow", json!({ "chatId": "x".repeat(300) })),
            ("chats:follow", json!({ "chatId": chat })),
            ("chat:explode", json!({})),
            ("disconnect", json!({})),
        ] {
            let code = client.refused(event, argument.clone()).await;
            assert_eq!(code, "BAD_USER_INPUT", "{event} {argument}");
        }
        let blank = json!({ "chatId": chat, "body": " " });
        let outcome = client.emit("message:send", blank).await;
        assert_eq!(outcome["error"]["code"], "INVALID");
        assert_eq!(outcome["error"]["field"], json!(["input", "body"]));
        // Nobody waits for these.
        client.say(r#"42["chat:explode",{}]"#).await;
        client.say(r#"42["message:send",{}]"#).await;
        let nodes = alice
            .chat(&chat, "messages(last: 5) { nodes { id } }")
            .await;
        assert_eq!(nodes["messages"]["nodes"], json!([]));
        let text = json!(["message:send", { "chatId": chat, "body": "unasked" }]);
        client.say(&format!("42{text}")).await;
        client.does("chats:follow", json!({})).await;
        let mut told = json!(null);
        while told["chat"]["lastMessage"]["body"] != "unasked" {
            client.does("chats:unfollow", json!({})).await;
            client.does("chats:follow", json!({})).await;
            let last = alice.chat(&chat, "lastMessage { body }").await;
            told = json!({ "chat": last });
        }
    });
}
