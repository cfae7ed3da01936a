//! The `graphql-transport-ws` protocol: its codes, and what one socket can do.

use std::time::{Duration, Instant};

use colloquy::http::SocketOptions;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::server::Setup;
use crate::support::socket::Socket;
use crate::support::{Server, User, postgres, run};

pub(crate) const PROTOCOL: Option<&str> = Some("graphql-transport-ws");

pub(crate) const STREAM: &str = "subscription ($chat: ID!, $after: String) { \
                      chatEvents(chatId: $chat, after: $after) { ... on MessageSent { message { body } } } }";

/// Starts a stream of a chat's messages from now on.
pub(crate) async fn stream(socket: &mut Socket, id: &str, user: &User, chat: &str) {
    let variables = json!({ "chat": chat, "after": user.event_cursor(chat).await });
    socket.subscribe(id, STREAM, variables).await;
}

/// What a stream says of a message.
pub(crate) fn message(id: &str, body: &str) -> Value {
    let data = json!({ "chatEvents": { "message": { "body": body } } });
    json!({ "type": "next", "id": id, "payload": { "data": data } })
}

pub(crate) async fn a_chat(server: &Server) -> (User, String) {
    let alice = server.user("alice");
    let chat = alice.direct(&server.user("bob")).await;
    (alice, chat)
}

#[test]
fn what_is_no_message_closes_with_4400() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let wrong = [
            "",
            "hello",
            "[]",
            "{}",
            r#"{"type": "start", "id": "1"}"#,
            r#"{"type": "subscribe", "id": "1"}"#,
            r#"{"type": "subscribe", "id": 1, "payload": {"query": "{ __typename }"}}"#,
            r#"{"type": "complete"}"#,
            r#"{"type": "connection_ack"}"#,
            r#"{"type": 3}"#,
            r#"["ping"]"#,
            r#"{"type": "ping", "payload": "text"}"#,
            r#"{"type": "pong", "payload": [1]}"#,
            r#"{"type": "connection_init", "payload": 3}"#,
            r#"{"type": "complete", "id": ""}"#,
            r#"{"type": "complete", "id": 7}"#,
            r#"{"type": "subscribe", "payload": {"query": "{ __typename }"}}"#,
            r#"{"type": "subscribe", "id": "", "payload": {"query": "{ __typename }"}}"#,
            r#"{"type": "subscribe", "id": "1", "payload": null}"#,
            r#"{"type": "subscribe", "id": "1", "payload": {}}"#,
            r#"{"type": "subscribe", "id": "1", "payload": "{ __typename }"}"#,
            r#"{"type": "subscribe", "id": "1", "payload": {"query": 3}}"#,
            r#"{"type": "subscribe", "id": "1", "payload": {"query": null}}"#,
            r#"{"type": "subscribe", "id": "1", "payload": {"query": "{ __typename }", "operationName": 1}}"#,
            r#"{"type": "subscribe", "id": "1", "payload": {"query": "{ __typename }", "variables": [1]}}"#,
            r#"{"type": "subscribe", "id": "1", "payload": {"query": "{ __typename }", "extensions": "x"}}"#,
        ];
        for text in wrong {
            let mut known = alice.socket().await;
            known.say_text(text).await;
            assert_eq!(known.closed().await, 4400, "{text}");
        }
        let mut known = alice.socket().await;
        known
            .subscribe(&"x".repeat(257), "{ __typename }", json!({}))
            .await;
        assert_eq!(known.closed().await, 4400);
        let mut unknown = Socket::connect(&alice, PROTOCOL).await;
        unknown.say_text("hello").await;
        assert_eq!(unknown.closed().await, 4400);
        for mut socket in [
            alice.socket().await,
            Socket::connect(&alice, PROTOCOL).await,
        ] {
            socket.say_bytes(br#"{"type": "ping"}"#).await;
            assert_eq!(socket.closed().await, 4400);
        }
    });
}

#[test]
fn subscribing_before_the_acknowledgement_closes_with_4401() {
    run(async {
        let server = Server::start().await;
        let mut socket = Socket::connect(&server.user("alice"), PROTOCOL).await;
        socket.subscribe("1", "{ __typename }", json!({})).await;
        assert_eq!(socket.closed().await, 4401);
    });
}

#[test]
fn a_bad_token_closes_with_4403() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let expired = alice.sign(&colloquy::app::Claims {
            exp: 1,
            ..alice.claims()
        });
        let token = alice.token.clone().unwrap();
        let lines = [
            json!(format!("Bearer {expired}")),
            json!(format!("Bearer {token}x")),
            json!("Bearer"),
            json!(format!("Basic {token}")),
            json!(token),
            json!(7),
        ];
        for line in lines {
            let mut socket = Socket::connect(&alice, PROTOCOL).await;
            let payload = json!({ "authorization": line });
            socket
                .say(json!({ "type": "connection_init", "payload": payload }))
                .await;
            assert_eq!(socket.closed().await, 4403, "{line}");
        }
    });
}

/// Upgrades by hand, with any subprotocol or none, and returns the code of the close that follows.
async fn close_of_protocol(user: &User, protocol: Option<&str>) -> u16 {
    let protocol = protocol.map(|name| format!("sec-websocket-protocol: {name}\r\n"));
    let request = format!(
        "GET /graphql HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{}\r\n",
        protocol.unwrap_or_default()
    );
    let mut stream = TcpStream::connect(user.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    assert!(
        bytes.starts_with(b"HTTP/1.1 101"),
        "{}",
        String::from_utf8_lossy(&bytes)
    );
    // RFC 6455: a frame of opcode 8 and its length, then the code.
    let head = bytes
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap();
    let frame = &bytes[head + 4..];
    assert_eq!(frame[0], 0x88);
    u16::from_be_bytes([frame[2], frame[3]])
}

#[test]
fn another_subprotocol_or_none_closes_with_4406() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        for protocol in [None, Some("graphql-ws"), Some("GRAPHQL-TRANSPORT-WS")] {
            assert_eq!(
                close_of_protocol(&alice, protocol).await,
                4406,
                "{protocol:?}"
            );
        }
    });
}

#[test]
fn a_socket_that_does_not_say_who_it_is_closes_with_4408() {
    run(async {
        let sockets = SocketOptions {
            init_within: Duration::from_millis(200),
            ..SocketOptions::default()
        };
        let setup = Setup {
            sockets,
            ..Setup::default()
        };
        let server = Server::with(postgres::database().await, setup).await;
        let alice = server.user("alice");
        let mut patient = alice.socket().await;
        let mut silent = Socket::connect(&alice, PROTOCOL).await;
        let mut chatty = Socket::connect(&alice, PROTOCOL).await;
        chatty.say(json!({ "type": "ping" })).await;
        assert_eq!(chatty.hear().await, json!({ "type": "pong" }));
        assert_eq!((silent.closed().await, chatty.closed().await), (4408, 4408));
        patient.say(json!({ "type": "ping" })).await;
        assert_eq!(patient.hear().await, json!({ "type": "pong" }));
    });
}

#[test]
fn an_id_that_is_in_use_closes_with_4409() {
    run(async {
        let server = Server::start().await;
        let (alice, chat) = a_chat(&server).await;
        let mut socket = alice.socket().await;
        stream(&mut socket, "1", &alice, &chat).await;
        stream(&mut socket, "1", &alice, &chat).await;
        let close = (4409, "Subscriber for 1 already exists".to_owned());
        assert_eq!(socket.next().await, Err(close));
        // Of whatever kind it is.
        let mut socket = alice.socket().await;
        stream(&mut socket, "2", &alice, &chat).await;
        socket.subscribe("2", "{ __typename }", json!({})).await;
        let close = (4409, "Subscriber for 2 already exists".to_owned());
        assert_eq!(socket.next().await, Err(close));
    });
}

#[test]
fn a_second_initialisation_closes_with_4429() {
    run(async {
        let server = Server::start().await;
        let mut socket = server.user("alice").socket().await;
        socket.say(json!({ "type": "connection_init" })).await;
        assert_eq!(socket.closed().await, 4429);
        // Also while the first is being looked at.
        let mut socket = Socket::connect(&server.user("bob"), PROTOCOL).await;
        socket.say(json!({ "type": "connection_init" })).await;
        socket.say(json!({ "type": "connection_init" })).await;
        assert_eq!(socket.closed().await, 4429);
    });
}

/// Optional members may be null, and members that nobody knows are passed over.
#[test]
fn null_is_as_good_as_absent() {
    run(async {
        let server = Server::start().await;
        let mut socket = Socket::connect(&server.anonymous(), PROTOCOL).await;
        socket
            .say(json!({ "type": "connection_init", "payload": null, "more": 1 }))
            .await;
        assert_eq!(socket.hear().await, json!({ "type": "connection_ack" }));
        let payload = json!({
            "query": "{ __typename }", "operationName": null, "variables": null, "extensions": null, "more": 1
        });
        socket
            .say(json!({ "type": "subscribe", "id": "q", "payload": payload }))
            .await;
        assert_eq!(
            socket.hear().await["payload"],
            json!({ "data": { "__typename": "Query" } })
        );
        assert_eq!(
            socket.hear().await,
            json!({ "type": "complete", "id": "q" })
        );
        socket.say(json!({ "type": "ping", "payload": null })).await;
        assert_eq!(socket.hear().await, json!({ "type": "pong" }));
    });
}

/// Not even the one answer of a query comes once its client has completed it.
#[test]
fn a_query_that_is_completed_is_not_answered() {
    run(async {
        let server = Server::start().await;
        let (alice, chat) = a_chat(&server).await;
        let mut socket = alice.socket().await;
        let mut sql = server.sql().await;
        postgres::sql(&mut sql, "BEGIN; LOCK TABLE messages").await;
        let query = "query ($id: ID!) { chat(id: $id) { lastMessage { body } } }";
        socket.subscribe("q", query, json!({ "id": chat })).await;
        socket.say(json!({ "type": "complete", "id": "q" })).await;
        socket.subscribe("q", "{ __typename }", json!({})).await;
        assert_eq!(
            socket.hear().await["payload"]["data"]["__typename"],
            "Query"
        );
        assert_eq!(socket.hear().await["type"], "complete");
        postgres::sql(&mut sql, "COMMIT").await;
        assert!(socket.is_quiet(Duration::from_millis(300)).await);
    });
}

#[test]
fn the_tokens_key_may_be_written_in_any_case() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let token = alice.token.clone().unwrap();
        for (key, scheme) in [
            ("authorization", "bearer"),
            ("Authorization", "Bearer"),
            ("AUTHORIZATION", "BEARER"),
        ] {
            let mut socket = Socket::connect(&alice, PROTOCOL).await;
            let payload = json!({ key: format!("{scheme} {token}"), "other": [1, 2] });
            socket
                .say(json!({ "type": "connection_init", "payload": payload }))
                .await;
            assert_eq!(socket.hear().await, json!({ "type": "connection_ack" }));
            socket.subscribe("q", "{ viewer { id } }", json!({})).await;
            assert_eq!(
                socket.hear().await["payload"]["data"]["viewer"]["id"],
                "alice"
            );
        }
    });
}

#[test]
fn queries_and_mutations_run_over_the_socket() {
    run(async {
        let server = Server::start().await;
        let (alice, chat) = a_chat(&server).await;
        let mut socket = alice.socket().await;
        let mutation = "mutation ($id: ID!) { sendMessage(input: { chatId: $id, body: \"hi\" }) { message { body } } }";
        socket.subscribe("m", mutation, json!({ "id": chat })).await;
        let data = json!({ "sendMessage": { "message": { "body": "hi" } } });
        assert_eq!(
            socket.hear().await,
            json!({ "type": "next", "id": "m", "payload": { "data": data } })
        );
        assert_eq!(
            socket.hear().await,
            json!({ "type": "complete", "id": "m" })
        );
        // An id is free again after its operation.
        let query = "query ($id: ID!) { chat(id: $id) { lastMessage { body } } }";
        socket.subscribe("m", query, json!({ "id": chat })).await;
        let data = json!({ "chat": { "lastMessage": { "body": "hi" } } });
        assert_eq!(
            socket.hear().await,
            json!({ "type": "next", "id": "m", "payload": { "data": data } })
        );
        assert_eq!(
            socket.hear().await,
            json!({ "type": "complete", "id": "m" })
        );
    });
}

#[test]
fn a_ping_is_answered_with_its_payload() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        for mut socket in [
            alice.socket().await,
            Socket::connect(&alice, PROTOCOL).await,
        ] {
            socket
                .say(json!({ "type": "pong", "payload": { "unasked": true } }))
                .await;
            socket
                .say(json!({ "type": "ping", "payload": { "n": 1 } }))
                .await;
            assert_eq!(
                socket.hear().await,
                json!({ "type": "pong", "payload": { "n": 1 } })
            );
        }
    });
}

#[test]
fn complete_stops_a_stream_and_frees_its_id() {
    run(async {
        let server = Server::start().await;
        let (alice, chat) = a_chat(&server).await;
        let mut socket = alice.socket().await;
        stream(&mut socket, "1", &alice, &chat).await;
        alice.sends(&chat, "one").await;
        assert_eq!(socket.hear().await, message("1", "one"));
        socket.say(json!({ "type": "complete", "id": "1" })).await;
        // Nobody knows this one; that is no mistake, for it may have ended just now.
        socket.say(json!({ "type": "complete", "id": "2" })).await;
        socket.say(json!({ "type": "ping" })).await;
        assert_eq!(socket.hear().await, json!({ "type": "pong" }));
        alice.sends(&chat, "two").await;
        stream(&mut socket, "1", &alice, &chat).await;
        alice.sends(&chat, "three").await;
        assert_eq!(socket.hear().await, message("1", "three"));
        drop(socket);
        for _ in 0..500 {
            if server.app.realtime.watched_chats() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("a stream outlives its socket");
    });
}

#[test]
fn one_bad_operation_does_not_disturb_its_neighbours() {
    run(async {
        let server = Server::start().await;
        let (alice, chat) = a_chat(&server).await;
        let mut socket = alice.socket().await;
        stream(&mut socket, "good", &alice, &chat).await;
        let nowhere = json!({ "chat": "chat_0" });
        let bad = [
            ("syntax", "subscription {", json!({}), "BAD_USER_INPUT"),
            (
                "field",
                "subscription { nothing }",
                json!({}),
                "BAD_USER_INPUT",
            ),
            ("chat", STREAM, nowhere, "NOT_FOUND"),
        ];
        for (id, query, variables, code) in bad {
            socket.subscribe(id, query, variables).await;
            let answer = socket.hear().await;
            assert_eq!(
                (&answer["type"], &answer["id"]),
                (&json!("error"), &json!(id)),
                "{answer}"
            );
            assert_eq!(answer["payload"][0]["extensions"]["code"], code, "{answer}");
            alice.sends(&chat, id).await;
            assert_eq!(socket.hear().await, message("good", id));
            // An id is free again after an error.
            socket.subscribe(id, "{ __typename }", json!({})).await;
            assert_eq!(socket.hear().await["type"], "next");
            let complete = json!({ "type": "complete", "id": id });
            assert_eq!(socket.hear().await, complete);
        }
    });
}

#[test]
fn streams_of_one_socket_run_beside_each_other() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let mut socket = alice.socket().await;
        let mut chats = Vec::new();
        for n in 0..10 {
            let chat = alice.group("Team", &[]).await;
            stream(&mut socket, &n.to_string(), &alice, &chat).await;
            chats.push(chat);
        }
        for (n, chat) in chats.iter().enumerate().rev() {
            alice.sends(chat, "hello").await;
            assert_eq!(socket.hear().await, message(&n.to_string(), "hello"));
        }
    });
}

#[test]
fn the_tokens_expiry_closes_with_4403_in_time() {
    run(async {
        let leeway = Duration::from_secs(1);
        let setup = Setup {
            leeway,
            ..Setup::default()
        };
        let server = Server::with(postgres::database().await, setup).await;
        let (alice, chat) = a_chat(&server).await;
        let claims = alice.claims();
        let exp = claims.iat.unwrap() + 2;
        let short = alice.with_token(alice.sign(&colloquy::app::Claims { exp, ..claims }));
        let (mut socket, mut lasting) = (short.socket().await, alice.socket().await);
        stream(&mut socket, "1", &alice, &chat).await;
        assert_eq!(socket.closed().await, 4403);
        let ends_at = u64::try_from(exp).unwrap() + leeway.as_secs();
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        let late = now
            .checked_sub(Duration::from_secs(ends_at))
            .expect("it closes after the leeway");
        assert!(late < Duration::from_secs(1), "{late:?}");
        lasting.say(json!({ "type": "ping" })).await;
        assert_eq!(lasting.hear().await, json!({ "type": "pong" }));
    });
}

#[test]
fn a_server_that_stops_closes_with_1001() {
    run(async {
        let server = Server::start().await;
        let (alice, chat) = a_chat(&server).await;
        let (mut streaming, mut idle) = (alice.socket().await, alice.socket().await);
        let mut unknown = Socket::connect(&alice, PROTOCOL).await;
        stream(&mut streaming, "1", &alice, &chat).await;
        let began = Instant::now();
        let codes = async {
            [
                streaming.closed().await,
                idle.closed().await,
                unknown.closed().await,
            ]
        };
        let (codes, ()) = tokio::join!(codes, server.stop());
        assert_eq!(codes, [1001; 3]);
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{:?}",
            began.elapsed()
        );
    });
}

#[test]
fn an_anonymous_socket_sees_what_needs_no_user() {
    run(async {
        let server = Server::start().await;
        let (_, chat) = a_chat(&server).await;
        for payload in [json!({}), json!(null), json!({ "authorization": null })] {
            let mut socket = Socket::connect(&server.anonymous(), PROTOCOL).await;
            socket
                .say(json!({ "type": "connection_init", "payload": payload }))
                .await;
            assert_eq!(socket.hear().await, json!({ "type": "connection_ack" }));
            socket.subscribe("v", "{ viewer { id } }", json!({})).await;
            assert_eq!(
                socket.hear().await["payload"],
                json!({ "data": { "viewer": null } })
            );
            assert_eq!(socket.hear().await["type"], "complete");
            for query in [STREAM, "subscription { chatUpdates { kind } }"] {
                socket.subscribe("s", query, json!({ "chat": chat })).await;
                let answer = socket.hear().await;
                assert_eq!(answer["type"], "error", "{answer}");
                assert_eq!(
                    answer["payload"][0]["extensions"]["code"], "UNAUTHENTICATED",
                    "{answer}"
                );
            }
        }
    });
}
