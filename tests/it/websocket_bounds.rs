//! The bounds of the WebSocket: frames, sizes, counts, turns.

use std::time::Duration;

use colloquy::http::SocketOptions;
use colloquy::store::PoolOptions;
use serde_json::json;

use crate::support::frames::{Frames, PING, PONG, TEXT};
use crate::support::server::Setup;
use crate::support::socket::Socket;
use crate::support::{Server, postgres, run, until};
use crate::websocket::{PROTOCOL, STREAM, a_chat, message, stream};

async fn with(sockets: SocketOptions) -> Server {
    let setup = Setup {
        sockets,
        ..Setup::default()
    };
    Server::with(postgres::database().await, setup).await
}

#[test]
fn a_message_that_is_too_large_closes_with_1009() {
    run(async {
        let sockets = SocketOptions {
            message_max: 2048,
            ..SocketOptions::default()
        };
        let server = with(sockets).await;
        let alice = server.user("alice");
        let text = |size| {
            format!(
                r#"{{"type":"pong","payload":{{"x":"{}"}}}}"#,
                "x".repeat(size)
            )
        };
        let mut at_once = Frames::open(&alice).await;
        at_once.send(true, TEXT, text(1500).as_bytes()).await;
        at_once.say(&json!({ "type": "ping" })).await;
        assert_eq!(at_once.hear().await, json!({ "type": "pong" }));
        // Much more than the kernel would hold for it, and the client still hears why.
        at_once.send(true, TEXT, text(3_000_000).as_bytes()).await;
        assert_eq!(at_once.rest().await, (Vec::new(), Some(1009)));
        let mut in_pieces = Frames::open(&alice).await;
        in_pieces.send(false, TEXT, text(1500).as_bytes()).await;
        in_pieces.send(false, 0, &[b' '; 500]).await;
        in_pieces.send(false, 0, &[b' '; 500]).await;
        assert_eq!(in_pieces.rest().await, (Vec::new(), Some(1009)));
    });
}

/// Connections of nobody are not counted, so each must be small: a token fits, and a query.
#[test]
fn who_is_not_known_sends_small_messages_only() {
    run(async {
        let server = Server::start().await;
        let ping = |size: usize| {
            let text = "x".repeat(size);
            json!({ "type": "ping", "payload": { "text": text } })
        };
        let silent = Socket::connect(&server.user("alice"), PROTOCOL).await;
        let anonymous = Socket::open(&server.anonymous()).await;
        for mut socket in [silent, anonymous] {
            socket.say(ping(16_000)).await;
            assert_eq!(socket.hear().await["type"], "pong");
            socket.say(ping(17_000)).await;
            assert_eq!(socket.closed().await, 1009);
        }
        let mut known = Socket::open(&server.user("alice")).await;
        known.say(ping(1_000_000)).await;
        assert_eq!(known.hear().await["type"], "pong");
    });
}

#[test]
fn frames_that_are_none_close_with_1002_and_texts_that_are_none_with_1007() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let mut unmasked = Frames::open(&alice).await;
        unmasked.raw(&[0x81, 2, b'{', b'}']).await;
        assert_eq!(unmasked.rest().await.1, Some(1002));
        let mut reserved = Frames::open(&alice).await;
        reserved.send(true, 3, b"{}").await;
        assert_eq!(reserved.rest().await.1, Some(1002));
        let mut no_text = Frames::open(&alice).await;
        no_text.send(true, TEXT, &[0xff, 0xfe]).await;
        assert_eq!(no_text.rest().await.1, Some(1007));
    });
}

#[test]
fn a_message_may_come_in_fragments_with_pings_between() {
    run(async {
        let server = Server::start().await;
        let mut frames = Frames::open(&server.user("alice")).await;
        let text = json!({ "type": "ping", "payload": { "text": "ü".repeat(100) } }).to_string();
        let (begin, rest) = text.as_bytes().split_at(51);
        frames.send(false, TEXT, begin).await;
        frames.send(true, PING, b"there?").await;
        assert_eq!(frames.next().await, Some((PONG, b"there?".to_vec())));
        for byte in &rest[..rest.len() - 1] {
            frames.send(false, 0, &[*byte]).await;
        }
        frames.send(true, 0, &rest[rest.len() - 1..]).await;
        assert_eq!(frames.hear().await["payload"]["text"], "ü".repeat(100));
    });
}

#[test]
fn an_operation_too_many_is_refused_and_disturbs_no_other() {
    run(async {
        let sockets = SocketOptions {
            operations_max: 2,
            ..SocketOptions::default()
        };
        let server = with(sockets).await;
        let (alice, chat) = a_chat(&server).await;
        let mut socket = alice.socket().await;
        for id in ["1", "2", "3"] {
            stream(&mut socket, id, &alice, &chat).await;
        }
        let refused = socket.hear().await;
        assert_eq!(
            (&refused["type"], &refused["id"]),
            (&json!("error"), &json!("3"))
        );
        assert_eq!(
            refused["payload"][0]["extensions"]["code"],
            "TOO_MANY_OPERATIONS"
        );
        socket.say(json!({ "type": "complete", "id": "1" })).await;
        stream(&mut socket, "3", &alice, &chat).await;
        alice.sends(&chat, "hi").await;
        let mut heard = vec![socket.hear().await, socket.hear().await];
        heard.sort_by_key(|message| message["id"].to_string());
        assert_eq!(heard, [message("2", "hi"), message("3", "hi")]);
    });
}

/// A mutation runs on when its client ends it. Its place is taken until it is done.
#[test]
fn mutations_that_their_client_has_ended_count_until_they_are_done() {
    run(async {
        let sockets = SocketOptions {
            operations_max: 3,
            ..SocketOptions::default()
        };
        let server = with(sockets).await;
        let (alice, chat) = a_chat(&server).await;
        let mut socket = alice.socket().await;
        let mut sql = server.sql().await;
        postgres::sql(&mut sql, "BEGIN; LOCK TABLE messages").await;
        let mutation = "mutation ($id: ID!) { sendMessage(input: { chatId: $id, body: \"hi\" }) { message { body } } }";
        for _ in 0..4 {
            let variables = json!({ "id": chat });
            socket.subscribe("m", mutation, variables).await;
            socket.say(json!({ "type": "complete", "id": "m" })).await;
        }
        let refused = socket.hear().await;
        assert_eq!(
            refused["payload"][0]["extensions"]["code"],
            "TOO_MANY_OPERATIONS"
        );
        assert!(socket.is_quiet(Duration::from_millis(200)).await);
        postgres::sql(&mut sql, "COMMIT").await;
        for _ in 0..100 {
            socket.subscribe("q", "{ __typename }", json!({})).await;
            let answer = socket.hear().await;
            if answer["type"] == "next" {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("their places are not free again");
    });
}

#[test]
fn a_connection_too_many_closes_with_4429() {
    run(async {
        let sockets = SocketOptions {
            connections_max: 2,
            ..SocketOptions::default()
        };
        let server = with(sockets).await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let (first, _second) = (alice.socket().await, alice.socket().await);
        let mut third = Socket::connect(&alice, PROTOCOL).await;
        let line = format!("Bearer {}", alice.token.as_ref().unwrap());
        let init = json!({ "type": "connection_init", "payload": { "authorization": line } });
        third.say(init).await;
        let close = (4429, "Too many connections".to_owned());
        assert_eq!(third.next().await, Err(close));
        bob.socket().await;
        drop(first);
        until("it has left", || server.connections.open() == 1).await;
        alice.socket().await;
    });
}

/// It says that trying again helps, which it does.
#[test]
fn a_database_that_is_away_closes_with_1013() {
    run(async {
        let setup = Setup::default();
        let pool = PoolOptions {
            size: 1,
            wait: Duration::from_millis(200),
            ..setup.pool
        };
        let server = Server::with(postgres::database().await, Setup { pool, ..setup }).await;
        let alice = server.user("alice");
        let taken = server.app.pool.get().await.unwrap();
        let mut socket = Socket::connect(&alice, PROTOCOL).await;
        let line = format!("Bearer {}", alice.token.as_ref().unwrap());
        let init = json!({ "type": "connection_init", "payload": { "authorization": line } });
        socket.say(init.clone()).await;
        // Nothing else waits for it.
        socket.say(json!({ "type": "ping" })).await;
        assert_eq!(socket.hear().await, json!({ "type": "pong" }));
        assert_eq!(socket.closed().await, 1013);
        drop(taken);
        alice.socket().await;
    });
}

/// A stream with a long past to tell leaves room for a query beside it.
#[test]
fn a_busy_stream_leaves_turns_to_its_neighbours() {
    run(async {
        let server = Server::start().await;
        let (alice, chat) = a_chat(&server).await;
        let start = alice.start_cursor(&chat).await;
        let text = "x".repeat(5_000);
        for _ in 0..300 {
            alice.sends(&chat, &text).await;
        }
        let mut socket = alice.socket().await;
        let variables = json!({ "chat": chat, "after": start });
        socket.subscribe("busy", STREAM, variables).await;
        assert_eq!(socket.hear().await["id"], "busy");
        socket.subscribe("q", "{ viewer { id } }", json!({})).await;
        let mut before = 1;
        while socket.hear().await["id"] == "busy" {
            before += 1;
        }
        assert!(before < 250, "{before} answers came before");
    });
}

/// RFC 6455, section 4.2.2, and RFC 9110, section 7.8: an upgrade that is not offered is passed over.
#[test]
fn only_a_proper_request_is_upgraded() {
    run(async {
        let server = Server::start().await;
        let user = server.anonymous();
        let path = "/graphql?query=%7B__typename%7D";
        let ask = async |headers: &[(&str, &str)]| user.http("GET", path, headers, b"").await;
        let other = ask(&[("upgrade", "h2c")]).await;
        assert_eq!(other.json(), json!({ "data": { "__typename": "Query" } }));
        let (upgrade, connection) = (("upgrade", "websocket"), ("connection", "upgrade"));
        let (version, key) = (
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        );
        assert_eq!(ask(&[upgrade, version, key]).await.status, 400);
        assert_eq!(ask(&[upgrade, connection, version]).await.status, 400);
        for key in ["", "x", "dGhlIHNhbXBsZQ==", "dGhlIHNhbXBsZSBub25jZSE="] {
            let key = ("sec-websocket-key", key);
            let answer = ask(&[upgrade, connection, version, key]).await;
            assert_eq!(answer.status, 400, "{key:?}");
        }
        let old = ask(&[upgrade, connection, key, ("sec-websocket-version", "8")]).await;
        assert_eq!(
            (old.status, old.header("sec-websocket-version")),
            (426, Some("13"))
        );
    });
}

#[test]
fn a_socket_without_a_user_is_not_kept_for_long() {
    run(async {
        let server = with(SocketOptions {
            anonymous_within: Duration::from_millis(300),
            ..SocketOptions::default()
        })
        .await;
        let mut nobody = Socket::open(&server.anonymous()).await;
        let mut alice = server.user("alice").socket().await;
        assert_eq!(nobody.closed().await, 4403);
        alice.subscribe("1", "{ viewer { id } }", json!({})).await;
        assert_eq!(alice.hear().await["type"], "next");
    });
}
