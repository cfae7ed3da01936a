//! The bounds of a connection, against clients that are slow, large, greedy or no clients at all.

use std::time::Duration;

use colloquy::http::SocketOptions;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::support::server::Setup;
use crate::support::socket::Socket;
use crate::support::socketio::{Packet, SocketIo};
use crate::support::{Server, User, postgres, run, until};

async fn with(sockets: SocketOptions) -> Server {
    let setup = Setup {
        sockets,
        ..Setup::default()
    };
    Server::with(postgres::database().await, setup).await
}

#[test]
fn what_is_no_packet_closes_with_4400() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        for text in [
            "",
            "hello",
            "2probe",
            "42",
            "42{}",
            "42[1]",
            r#"42["chats:follow""#,
            r#"451-["x",{"_placeholder":true,"num":0}]"#,
            "4299999999999999999999[\"x\"]",
        ] {
            let mut client = SocketIo::open(&alice).await;
            client.say(text).await;
            assert_eq!(client.packet().await, Packet::Closed(4400), "{text}");
        }
        let mut client = SocketIo::open(&alice).await;
        client.say_bytes(b"\x04x").await;
        assert_eq!(client.packet().await, Packet::Closed(4400));
        until("no place is held", || server.connections.open() == 0).await;
    });
}

#[test]
fn packets_have_a_size_and_who_is_not_known_a_small_one() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let mut unknown = SocketIo::connect(&alice).await;
        let auth = json!({ "token": "x".repeat(17_000) });
        assert_eq!(unknown.introduce(auth).await, Packet::Closed(1009));
        let mut known = SocketIo::open(&alice).await;
        let long = json!({ "chatId": "x".repeat(1_000_000) });
        assert_eq!(known.refused("chat:follow", long).await, "BAD_USER_INPUT");
        let longer = "x".repeat(1024 * 1024 + 1);
        known.say(&format!(r#"42["{longer}"]"#)).await;
        assert_eq!(known.closed().await, 1009);
    });
}

#[test]
fn connections_count_with_the_other_sockets() {
    run(async {
        let server = with(SocketOptions {
            connections_max: 2,
            ..SocketOptions::default()
        })
        .await;
        let alice = server.user("alice");
        let _socket = Socket::open(&alice).await;
        let _first = SocketIo::open(&alice).await;
        let mut second = SocketIo::connect(&alice).await;
        let answer = second.introduce(json!({ "token": alice.token })).await;
        let Packet::Refused(refusal) = answer else {
            panic!("{answer:?}");
        };
        assert_eq!(refusal["data"]["code"], "TOO_MANY_OPERATIONS");
        assert_eq!(second.closed().await, 4429);
        SocketIo::open(&server.user("bob")).await;
    });
}

#[test]
fn what_is_followed_has_a_bound_for_a_connection_and_for_a_user() {
    run(async {
        let server = with(SocketOptions {
            operations_max: 2,
            subscriptions_max: 3,
            ..SocketOptions::default()
        })
        .await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let mut chats = Vec::new();
        for n in 0..3 {
            chats.push(alice.group(&format!("{n}"), &[&bob]).await);
        }
        let follow = |n: usize| json!({ "chatId": chats[n] });
        let mut client = SocketIo::open(&alice).await;
        client.does("chat:follow", follow(0)).await;
        client.does("chat:follow", follow(1)).await;
        let code = client.refused("chat:follow", follow(2)).await;
        assert_eq!(code, "TOO_MANY_OPERATIONS");
        client.does("chat:unfollow", follow(1)).await;
        client.does("chat:follow", follow(2)).await;
        let mut other = SocketIo::open(&alice).await;
        other.does("chat:follow", follow(0)).await;
        let code = other.refused("chat:follow", follow(1)).await;
        assert_eq!(code, "TOO_MANY_OPERATIONS");
        bob.sends(&chats[0], "goes on").await;
        client.take("chat:event", 1).await;
        other.take("chat:event", 1).await;
    });
}

/// Clients count on pings, also while they speak all the time themselves.
#[test]
fn pings_come_steadily_and_who_does_not_answer_is_gone() {
    run(async {
        let server = with(SocketOptions {
            ping_after: Duration::from_millis(300),
            pong_within: Duration::from_millis(300),
            ..SocketOptions::default()
        })
        .await;
        let alice = server.user("alice");
        let mut client = SocketIo::open(&alice).await;
        let (start, mut pings) = (Instant::now(), 0);
        while pings < 4 {
            assert!(start.elapsed() < Duration::from_secs(4), "{pings} pings");
            client.say(r#"42["nothing"]"#).await;
            let packet = tokio::time::timeout(Duration::from_millis(50), client.packet()).await;
            if packet == Ok(Packet::Ping) {
                pings += 1;
                client.say("3").await;
            }
        }
        assert!(start.elapsed() > Duration::from_millis(900));
        // From here on it is silent.
        let start = Instant::now();
        while client.packet().await == Packet::Ping {}
        assert!(start.elapsed() < Duration::from_secs(3));
        until("its place is free", || server.connections.open() == 0).await;
    });
}

async fn flood(user: &User, chat: &str) {
    let text = "x".repeat(9_900);
    for n in 0..80 {
        user.sends(chat, &format!("{n} {text}")).await;
    }
}

/// A client that stops reading delays nobody, is closed by the deadline, and resumes whole.
#[test]
#[expect(clippy::wildcard_enum_match_arm, reason = "nothing else is expected")]
fn a_stalled_client_is_closed_with_4508_and_resumes() {
    run(async {
        let server = with(SocketOptions {
            write_within: Duration::from_secs(1),
            ..SocketOptions::default()
        })
        .await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.group("Team", &[&bob]).await;
        let mut stalled = SocketIo::open(&bob).await;
        let followed = stalled.does("chat:follow", json!({ "chatId": chat })).await;
        let mut other = SocketIo::open(&alice).await;
        other.does("chat:follow", json!({ "chatId": chat })).await;
        let (taken, ()) = tokio::join!(other.take("chat:event", 80), flood(&alice, &chat));
        assert_eq!(taken.len(), 80);
        until("the stalled one is closed", || {
            server.connections.open() == 1
        })
        .await;
        let mut after = followed["cursor"].clone();
        let mut heard: Vec<Value> = Vec::new();
        let code = loop {
            match stalled.packet().await {
                Packet::Event(_, event) => {
                    after = event["cursor"].clone();
                    heard.push(event);
                }
                Packet::Closed(code) => break code,
                Packet::Ping => {}
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(code, 4508);
        assert!(heard.len() < 80, "{}", heard.len());
        let mut resumed = SocketIo::open(&bob).await;
        let follow = json!({ "chatId": chat, "after": after });
        resumed.does("chat:follow", follow).await;
        heard.extend(resumed.take("chat:event", 80 - heard.len()).await);
        for (n, event) in heard.iter().enumerate() {
            let body = event["message"]["body"].as_str().unwrap();
            assert!(body.starts_with(&format!("{n} ")), "{n}");
        }
    });
}

#[test]
fn a_server_that_stops_says_so_and_another_goes_on() {
    run(async {
        let database = postgres::database().await;
        let (here, there) = (
            Server::on(database.clone()).await,
            Server::on(database).await,
        );
        let (alice, bob) = (here.user("alice"), here.user("bob"));
        let chat = alice.direct(&bob).await;
        let mut client = SocketIo::open(&bob).await;
        let followed = client.does("chat:follow", json!({ "chatId": chat })).await;
        let (code, ()) = tokio::join!(client.closed(), here.stop());
        assert_eq!(code, 1001);
        alice.at(&there).sends(&chat, "meanwhile").await;
        let mut client = SocketIo::open(&bob.at(&there)).await;
        let follow = json!({ "chatId": chat, "after": followed["cursor"] });
        client.does("chat:follow", follow).await;
        let told = client.take("chat:event", 1).await;
        assert_eq!(told[0]["message"]["body"], "meanwhile");
    });
}

#[test]
fn operations_are_counted_as_of_this_transport() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.direct(&bob).await;
        let mut client = SocketIo::open(&alice).await;
        let message = json!({ "chatId": chat, "body": "x" });
        client.does("message:send", message).await;
        sleep(Duration::from_millis(50)).await;
        let apart = server.anonymous().on(server.metrics);
        let answer = apart.http("GET", "/metrics", &[], b"").await;
        let text = String::from_utf8(answer.body).unwrap();
        let line = r#"colloquy_operations_total{operation="SendMessage",code="OK",transport="socketio"} 1"#;
        assert!(text.contains(line), "{text}");
    });
}
