//! The ends of WebSockets count by the codes that the server says, of which there are few.

use std::collections::BTreeMap;
use std::time::Duration;

use colloquy::http::SocketOptions;
use colloquy::store::PoolOptions;
use serde_json::{Value, json};

use super::{page, until_is};
use crate::support::frames::{CLOSE, Frames};
use crate::support::server::Setup;
use crate::support::socket::Socket;
use crate::support::{Server, User, postgres, run};

const PROTOCOL: Option<&str> = Some("graphql-transport-ws");

fn init(user: &User) -> Value {
    let line = format!("Bearer {}", user.token.as_ref().unwrap());
    json!({ "type": "connection_init", "payload": { "authorization": line } })
}

fn series(code: &str) -> String {
    format!("colloquy_websocket_closes_total{{code=\"{code}\"}}")
}

/// Waits until the ends so far are as expected, and asserts that there are no others.
async fn assert_closes(server: &Server, expected: &[(&str, f64)]) {
    for (code, count) in expected {
        until_is(server, &series(code), *count).await;
    }
    let found = page(server).await.into_iter();
    let found: BTreeMap<_, _> = found
        .filter(|(series, _)| series.starts_with("colloquy_websocket_closes_total"))
        .collect();
    let expected = expected.iter().map(|(code, count)| (series(code), *count));
    assert_eq!(found, expected.collect());
}

#[test]
fn what_the_server_closes_counts_by_its_code() {
    run(async {
        let sockets = SocketOptions {
            message_max: 2000,
            ..SocketOptions::default()
        };
        let setup = Setup {
            sockets,
            ..Setup::default()
        };
        let server = Server::with(postgres::database().await, setup).await;
        let alice = server.user("alice");
        let forger = alice.with_token("not.a.token");
        let long = json!({ "type": "ping", "payload": { "text": "x".repeat(3000) } });
        let updates = json!({ "query": "subscription { chatUpdates { kind } }" });
        let subscribe = json!({ "type": "subscribe", "id": "1", "payload": updates });
        let cases = [
            (4400, vec![json!({ "type": "nonsense" })]),
            (4401, vec![subscribe.clone()]),
            (4403, vec![init(&forger)]),
            (4409, vec![init(&alice), subscribe.clone(), subscribe]),
            (4429, vec![init(&alice), init(&alice)]),
            (1009, vec![long]),
        ];
        let mut expected = Vec::new();
        for (n, (code, said)) in cases.iter().enumerate() {
            // Each another number of times, so that no two can be taken for each other.
            for _ in 0..=n {
                let mut socket = Socket::connect(&alice, PROTOCOL).await;
                for message in said {
                    socket.say(message.clone()).await;
                    if message == &init(&alice) && said.len() == 3 {
                        assert_eq!(socket.hear().await["type"], "connection_ack");
                    }
                }
                assert_eq!(socket.closed().await, *code);
            }
            expected.push((code.to_string(), n as f64 + 1.0));
        }
        let expected: Vec<_> = expected.iter().map(|(code, n)| (&**code, *n)).collect();
        assert_closes(&server, &expected).await;
    });
}

#[test]
fn who_is_late_and_who_finds_no_database_count_too() {
    run(async {
        let usual = Setup::default();
        let setup = Setup {
            sockets: SocketOptions {
                init_within: Duration::from_millis(800),
                ..SocketOptions::default()
            },
            pool: PoolOptions {
                size: 1,
                wait: Duration::from_millis(100),
                ..usual.pool
            },
            ..usual
        };
        let server = Server::with(postgres::database().await, setup).await;
        let alice = server.user("alice");
        assert_eq!(Socket::connect(&alice, PROTOCOL).await.closed().await, 4408);
        let taken = server.app.pool.get().await.unwrap();
        let mut socket = Socket::connect(&alice, PROTOCOL).await;
        socket.say(init(&alice)).await;
        assert_eq!(socket.closed().await, 1013);
        drop(taken);
        assert_closes(&server, &[("4408", 1.0), ("1013", 1.0)]).await;
    });
}

/// A peer may close with any of thousands of codes. They are none of the server's.
#[test]
fn the_codes_of_peers_are_no_labels() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        for code in 4000..4010_u16 {
            let mut frames = Frames::open(&alice).await;
            frames.send(true, CLOSE, &code.to_be_bytes()).await;
        }
        alice.socket().await;
        assert_closes(&server, &[("peer", 11.0)]).await;
    });
}
