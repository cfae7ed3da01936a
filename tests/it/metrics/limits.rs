//! Each limit counts whom it refuses, under its own name and under no other.

use std::collections::BTreeMap;
use std::time::Duration;

use colloquy::app::{Limits, Rate, RateLimits};
use colloquy::http::{HttpOptions, SocketOptions};
use colloquy::store::PoolOptions;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::page;
use crate::support::server::Setup;
use crate::support::socket::{PATIENCE, Socket};
use crate::support::user::Answer;
use crate::support::{Server, at_once, postgres, run, until};

const QUERY: &str = "{ viewer { id } }";
const UPDATES: &str = "subscription { chatUpdates { kind } }";

/// A rate that eight requests in a row meet, however slow the machine is: one a second is the slowest there is.
fn tight() -> Rate {
    Rate::new(1, 2)
}

async fn with(setup: Setup) -> Server {
    Server::with(postgres::database().await, setup).await
}

async fn with_rates(rates: RateLimits) -> Server {
    let limits = Limits {
        rates: Some(rates),
        ..Limits::default()
    };
    with(Setup {
        limits,
        ..Setup::default()
    })
    .await
}

async fn with_sockets(sockets: SocketOptions) -> Server {
    with(Setup {
        sockets,
        ..Setup::default()
    })
    .await
}

/// Asserts that one limit has refused so many, and that no other has refused anybody.
async fn assert_refused(server: &Server, limit: &str, count: usize) {
    assert!(count > 0, "nobody was refused");
    let found = page(server).await;
    let name = |series: &str| {
        let rest = series.strip_prefix("colloquy_refusals_total{limit=\"")?;
        rest.strip_suffix("\"}").map(str::to_owned)
    };
    let refused: BTreeMap<_, _> = found
        .iter()
        .filter_map(|(series, value)| Some((name(series)?, *value)))
        .collect();
    assert_eq!(refused.len(), 9, "{refused:?}");
    for (name, value) in &refused {
        let expected = if name == limit { count as f64 } else { 0.0 };
        assert_eq!(*value, expected, "{name} in {refused:?}");
    }
}

/// Asks eight times, and says how many were refused by a rate.
async fn refused_of_eight(mut ask: impl AsyncFnMut() -> Answer) -> usize {
    let mut refused = 0;
    for _ in 0..8 {
        let answer = ask().await.json();
        if answer["errors"][0]["extensions"]["code"] == "RATE_LIMITED" {
            refused += 1;
        }
    }
    refused
}

/// What a subscription or an operation too many hears.
async fn assert_too_many(socket: &mut Socket) {
    let refused: Value = socket.hear().await;
    assert_eq!(
        refused["payload"][0]["extensions"]["code"], "TOO_MANY_OPERATIONS",
        "{refused}"
    );
}

#[test]
fn the_rate_of_users_is_counted() {
    run(async {
        let server = with_rates(RateLimits {
            user: tight(),
            ..RateLimits::default()
        })
        .await;
        let alice = server.user("alice");
        let refused = refused_of_eight(async || alice.post(QUERY, json!({})).await).await;
        assert_refused(&server, "user", refused).await;
    });
}

#[test]
fn the_rate_of_sends_is_counted() {
    run(async {
        let server = with_rates(RateLimits {
            send: tight(),
            ..RateLimits::default()
        })
        .await;
        let alice = server.user("alice");
        let chat = alice.group("Team", &[]).await;
        let send = format!(
            "mutation {{ sendMessage(input: {{ chatId: \"{chat}\", body: \"hello\" }}) {{ message {{ id }} }} }}"
        );
        let refused = refused_of_eight(async || alice.post(&send, json!({})).await).await;
        assert_refused(&server, "send", refused).await;
    });
}

#[test]
fn the_rate_of_addresses_is_counted() {
    run(async {
        let server = with_rates(RateLimits {
            address: tight(),
            ..RateLimits::default()
        })
        .await;
        let nobody = server.anonymous();
        let refused = refused_of_eight(async || nobody.post(QUERY, json!({})).await).await;
        assert_refused(&server, "address", refused).await;
    });
}

#[test]
fn the_rate_of_forged_tokens_is_counted() {
    run(async {
        let server = with_rates(RateLimits {
            failure: tight(),
            ..RateLimits::default()
        })
        .await;
        let forger = server.user("alice").with_token("not.a.token");
        let refused = refused_of_eight(async || forger.post(QUERY, json!({})).await).await;
        assert_refused(&server, "failure", refused).await;
    });
}

#[test]
fn the_connections_of_a_user_are_counted() {
    run(async {
        let server = with_sockets(SocketOptions {
            connections_max: 1,
            ..SocketOptions::default()
        })
        .await;
        let alice = server.user("alice");
        let _open = alice.socket().await;
        for _ in 0..2 {
            let mut more = Socket::connect(&alice, Some("graphql-transport-ws")).await;
            let line = format!("Bearer {}", alice.token.as_ref().unwrap());
            let init = json!({ "type": "connection_init", "payload": { "authorization": line } });
            more.say(init).await;
            assert_eq!(more.closed().await, 4429);
        }
        assert_refused(&server, "connections", 2).await;
    });
}

#[test]
fn the_subscriptions_of_a_user_are_counted() {
    run(async {
        let server = with_sockets(SocketOptions {
            subscriptions_max: 1,
            ..SocketOptions::default()
        })
        .await;
        let mut socket = server.user("alice").socket().await;
        socket.subscribe("a", UPDATES, json!({})).await;
        until("it runs", || server.connections.subscriptions() == 1).await;
        for id in ["b", "c", "d"] {
            socket.subscribe(id, UPDATES, json!({})).await;
            assert_too_many(&mut socket).await;
        }
        assert_refused(&server, "subscriptions", 3).await;
    });
}

#[test]
fn the_operations_of_a_websocket_are_counted() {
    run(async {
        let server = with_sockets(SocketOptions {
            operations_max: 1,
            ..SocketOptions::default()
        })
        .await;
        let mut socket = server.user("alice").socket().await;
        socket.subscribe("a", UPDATES, json!({})).await;
        until("it runs", || server.connections.subscriptions() == 1).await;
        for id in ["b", "c"] {
            socket.subscribe(id, QUERY, json!({})).await;
            assert_too_many(&mut socket).await;
        }
        assert_refused(&server, "operations", 2).await;
    });
}

#[test]
fn the_connections_of_everybody_are_counted() {
    run(async {
        let server = with(Setup {
            http: HttpOptions {
                open_max: 1,
                ..HttpOptions::default()
            },
            ..Setup::default()
        })
        .await;
        let _open = server.user("alice").socket().await;
        for _ in 0..2 {
            let mut more = TcpStream::connect(server.address).await.unwrap();
            let mut heard = String::new();
            let read = more.read_to_string(&mut heard);
            timeout(PATIENCE, read).await.unwrap().unwrap();
            assert!(heard.starts_with("HTTP/1.1 503 "), "{heard}");
        }
        assert_refused(&server, "open", 2).await;
    });
}

/// Both those who find the queue full and those who wait in vain.
#[test]
fn the_queue_for_the_database_is_counted() {
    run(async {
        let usual = Setup::default();
        let server = with(Setup {
            pool: PoolOptions {
                size: 1,
                queue: 1,
                wait: Duration::from_millis(500),
                ..usual.pool
            },
            ..usual
        })
        .await;
        let alice = server.user("alice");
        alice.ask(QUERY, json!({})).await;
        let taken = server.app.pool.get().await.unwrap();
        let asked = (0..4).map(|_| {
            let alice = alice.clone();
            async move { alice.post("{ chats { nodes { id } } }", json!({})).await }
        });
        for answer in at_once(asked).await {
            let code = &answer.json()["errors"][0]["extensions"]["code"];
            assert_eq!(code, "SERVICE_UNAVAILABLE");
        }
        drop(taken);
        assert_refused(&server, "pool", 4).await;
    });
}
