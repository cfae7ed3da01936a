//! What a socket holds against a peer that is slow, gone, greedy or unlucky.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_graphql::extensions::{
    Extension, ExtensionContext, ExtensionFactory, NextResolve, ResolveInfo,
};
use async_graphql::{ServerResult, Value as GraphqlValue};
use colloquy::graphql::{self, SchemaOptions};
use colloquy::http::SocketOptions;
use colloquy::store::PoolOptions;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::frames::{CLOSE, Frames, PING, PONG, TEXT};
use crate::support::server::Setup;
use crate::support::streaming::Streaming;
use crate::support::{Server, User, at_once, postgres, run, until};

const STREAM: &str = "subscription ($chat: ID!, $after: String) { chatEvents(chatId: $chat, after: $after) \
                      { cursor ... on MessageSent { message { body } } } }";

async fn with(sockets: SocketOptions) -> Server {
    let setup = Setup {
        sockets,
        leeway: Duration::from_secs(1),
        ..Setup::default()
    };
    Server::with(postgres::database().await, setup).await
}

fn body(message: &Value) -> &str {
    let body = &message["payload"]["data"]["chatEvents"]["message"]["body"];
    body.as_str().unwrap_or_default()
}

/// Sends more than a client that does not read can hold, each message in time.
async fn flood(user: &User, chat: &str) {
    let text = "x".repeat(9_900);
    for n in 0..80 {
        user.sends(chat, &format!("{n} {text}")).await;
    }
}

/// A client that stops reading delays nobody, is closed by the deadline, and resumes whole.
#[test]
fn a_stalled_client_is_closed_with_4508_and_resumes() {
    run(async {
        let sockets = SocketOptions {
            write_within: Duration::from_secs(1),
            ..SocketOptions::default()
        };
        let server = with(sockets).await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.group("Team", &[&bob]).await;
        let start = bob.event_cursor(&chat).await;
        let mut stalled = Frames::open(&bob).await;
        let variables = json!({ "chat": chat, "after": start });
        stalled.subscribe("s", STREAM, variables).await;
        let mut other = alice.follows(&chat, Some(&start)).await;
        let sending = flood(&alice, &chat);
        let taking = async {
            let events = other.take(80).await;
            events.len()
        };
        let (taken, ()) = tokio::join!(taking, sending);
        assert_eq!(taken, 80);
        // Its user's place is free again once it is given up.
        until("the stalled one is closed", || {
            server.connections.open() == 1
        })
        .await;
        let (heard, code) = stalled.rest().await;
        assert_eq!(code, Some(4508));
        assert!(heard.len() < 80, "it did not take all: {}", heard.len());
        let last = heard.last().expect("something was under way");
        let cursor = &last["payload"]["data"]["chatEvents"]["cursor"];
        let mut resumed = bob.follows(&chat, cursor.as_str()).await;
        let rest = resumed.take(80 - heard.len()).await;
        let bodies = heard.iter().map(|message| body(message).to_owned());
        let bodies = bodies.chain(
            rest.iter()
                .map(|event| event["message"]["body"].as_str().unwrap().to_owned()),
        );
        for (n, body) in bodies.enumerate() {
            assert!(body.starts_with(&format!("{n} ")), "{n}");
        }
    });
}

/// A peer that takes what comes, be it slowly, has time for it.
#[test]
fn a_slow_client_is_not_taken_for_a_stalled_one() {
    run(async {
        let sockets = SocketOptions {
            write_within: Duration::from_millis(1500),
            ..SocketOptions::default()
        };
        let server = with(sockets).await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.group("Team", &[&bob]).await;
        flood(&alice, &chat).await;
        let mut slow = Frames::open(&bob).await;
        // One answer that the kernel does not take whole.
        let query = "query ($id: ID!) { chat(id: $id) { messages(last: 80) { nodes { body } } } }";
        slow.subscribe("q", query, json!({ "id": chat })).await;
        let answer = slow.hear_slowly(Duration::from_millis(60)).await;
        let nodes = &answer["payload"]["data"]["chat"]["messages"]["nodes"];
        assert_eq!(nodes.as_array().unwrap().len(), 80);
        let complete = json!({ "type": "complete", "id": "q" });
        assert_eq!(slow.hear().await, complete);
    });
}

/// An operation holds a connection to the database until it has gone on, also where its client does not read.
#[test]
fn a_stalled_client_holds_nothing_that_others_wait_for() {
    run(async {
        let sockets = SocketOptions {
            write_within: Duration::from_secs(60),
            ..SocketOptions::default()
        };
        let usual = Setup::default();
        let pool = PoolOptions {
            size: 1,
            ..usual.pool
        };
        let setup = Setup {
            sockets,
            pool,
            ..usual
        };
        let server = Server::with(postgres::database().await, setup).await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.group("Team", &[&bob]).await;
        let mut stalled = Frames::open(&bob).await;
        let mut sql = server.sql().await;
        postgres::sql(&mut sql, "BEGIN; LOCK TABLE messages").await;
        let query = "query ($id: ID!) { chat(id: $id) { messages(last: 1) { nodes { body } } } }";
        stalled.subscribe("q", query, json!({ "id": chat })).await;
        sleep(Duration::from_millis(300)).await;
        assert!(only_asks(&mut stalled).await < 10_000);
        postgres::sql(&mut sql, "COMMIT").await;
        let began = Instant::now();
        alice.sends(&chat, "hello").await;
        let took = began.elapsed();
        assert!(took < Duration::from_secs(3), "{took:?}");
        // It was not lost either.
        let mut heard = stalled.hear().await;
        while heard["type"] == "pong" {
            heard = stalled.hear().await;
        }
        assert_eq!(
            (&heard["type"], &heard["id"]),
            (&json!("next"), &json!("q"))
        );
    });
}

/// Asks until nothing is taken any more, without taking an answer. Returns how many questions were taken.
async fn only_asks(frames: &mut Frames) -> usize {
    let ping = json!({ "type": "ping", "payload": { "text": "x".repeat(1000) } }).to_string();
    for n in 0..20_000 {
        let sent = frames.send(true, TEXT, ping.as_bytes());
        let sent = tokio::time::timeout(Duration::from_millis(300), sent);
        if sent.await.is_err() {
            return n;
        }
    }
    20_000
}

/// The token's time is not waited out by a client that does not read.
#[test]
fn a_token_expires_in_time_while_a_write_is_blocked() {
    run(async {
        let sockets = SocketOptions {
            write_within: Duration::from_secs(60),
            ..SocketOptions::default()
        };
        let server = with(sockets).await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.group("Team", &[&bob]).await;
        let claims = bob.claims();
        let exp = claims.iat.unwrap() + 9;
        let short = bob.with_token(bob.sign(&colloquy::app::Claims { exp, ..claims }));
        let mut stalled = Frames::open(&short).await;
        let variables = json!({ "chat": chat, "after": bob.event_cursor(&chat).await });
        stalled.subscribe("s", STREAM, variables).await;
        flood(&alice, &chat).await;
        let ends_at = Duration::from_secs(u64::try_from(exp).unwrap() + 1);
        let now = || std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        assert!(now() < ends_at, "the flood took too long for this test");
        assert_eq!(server.connections.open(), 1);
        until("it is closed", || server.connections.open() == 0).await;
        let late = now()
            .checked_sub(ends_at)
            .expect("it closes after the leeway");
        assert!(late < Duration::from_secs(1), "{late:?}");
        assert_eq!(stalled.rest().await.1, Some(4403));
    });
}

/// Who asks for answers and does not take them is not read any more: its questions wait in its own buffers.
#[test]
fn a_client_that_only_asks_is_held_back() {
    run(async {
        let sockets = SocketOptions {
            // What holds it back is not the deadline.
            write_within: Duration::from_secs(60),
            ..SocketOptions::default()
        };
        let server = with(sockets).await;
        let mut greedy = Frames::open(&server.user("alice")).await;
        let asked = only_asks(&mut greedy).await;
        assert!(asked < 10_000, "{asked} questions were taken");
        assert_eq!(server.connections.open(), 1);
        drop(greedy);
        until("it is closed", || server.connections.open() == 0).await;
    });
}

#[test]
fn a_silent_peer_is_pinged_and_dropped_when_it_does_not_answer() {
    run(async {
        let sockets = SocketOptions {
            ping_after: Duration::from_millis(200),
            pong_within: Duration::from_millis(200),
            ..SocketOptions::default()
        };
        let server = with(sockets).await;
        let alice = server.user("alice");
        let mut lively = Frames::open(&alice).await;
        for answer in [PONG, PING, TEXT] {
            let (kind, payload) = lively.next().await.unwrap();
            assert_eq!((kind, payload.as_slice()), (PING, [].as_slice()));
            // Whatever comes says that the peer is there.
            let text: &[u8] = if answer == TEXT {
                br#"{"type":"pong"}"#
            } else {
                b""
            };
            lively.send(true, answer, text).await;
            if answer == PING {
                assert_eq!(lively.next().await.unwrap().0, PONG);
            }
        }
        assert_eq!(lively.next().await.unwrap().0, PING);
        assert!(lively.is_dropped(Duration::from_secs(2)).await);
        until("its place is free", || server.connections.open() == 0).await;
    });
}

#[test]
fn a_stopping_server_ends_mutations_in_order_and_subscriptions_at_once() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let chat = alice.group("Team", &[]).await;
        let (mut writing, mut following) = (alice.socket().await, alice.socket().await);
        following
            .subscribe("s", STREAM, json!({ "chat": chat }))
            .await;
        let mut sql = server.sql().await;
        postgres::sql(&mut sql, "BEGIN; LOCK TABLE messages").await;
        let mutation = "mutation ($id: ID!) { sendMessage(input: { chatId: $id, body: \"hi\" }) { message { body } } }";
        writing
            .subscribe("m", mutation, json!({ "id": chat }))
            .await;
        sleep(Duration::from_millis(200)).await;
        let began = Instant::now();
        let client = async {
            assert_eq!(following.closed().await, 1001);
            assert!(
                began.elapsed() < Duration::from_millis(400),
                "{:?}",
                began.elapsed()
            );
            sleep(Duration::from_millis(500)).await;
            writing.subscribe("late", "{ __typename }", json!({})).await;
            let late = writing.hear().await;
            assert_eq!(
                late["payload"][0]["extensions"]["code"], "SERVICE_UNAVAILABLE",
                "{late}"
            );
            postgres::sql(&mut sql, "COMMIT").await;
            let answer = writing.hear().await;
            assert_eq!(
                answer["payload"]["data"]["sendMessage"]["message"]["body"], "hi",
                "{answer}"
            );
            assert_eq!(
                writing.hear().await,
                json!({ "type": "complete", "id": "m" })
            );
            assert_eq!(writing.closed().await, 1001);
        };
        tokio::join!(client, server.stop());
    });
}

#[test]
fn operations_that_do_not_end_are_waited_for_only_so_long() {
    run(async {
        let sockets = SocketOptions {
            drain_within: Duration::from_millis(300),
            ..SocketOptions::default()
        };
        let server = with(sockets).await;
        let alice = server.user("alice");
        let chat = alice.group("Team", &[]).await;
        let mut asking = alice.socket().await;
        let mut sql = server.sql().await;
        postgres::sql(&mut sql, "BEGIN; LOCK TABLE messages").await;
        let query = "query ($id: ID!) { chat(id: $id) { lastMessage { body } } }";
        asking.subscribe("q", query, json!({ "id": chat })).await;
        sleep(Duration::from_millis(100)).await;
        let began = Instant::now();
        let (code, ()) = tokio::join!(asking.closed(), server.stop());
        assert_eq!(code, 1001);
        let took = began.elapsed();
        assert!(
            took >= Duration::from_millis(300) && took < Duration::from_secs(3),
            "{took:?}"
        );
    });
}

/// A resolver that panics wherever a field is called `panics`.
struct Panics;

impl ExtensionFactory for Panics {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Self)
    }
}

#[async_graphql::async_trait::async_trait]
impl Extension for Panics {
    async fn resolve(
        &self,
        ctx: &ExtensionContext<'_>,
        info: ResolveInfo<'_>,
        next: NextResolve<'_>,
    ) -> ServerResult<Option<GraphqlValue>> {
        assert_ne!(info.alias, Some("panics"), "a secret of the panic");
        next.run(ctx, info).await
    }
}

async fn with_panics() -> Server {
    let schema = graphql::schema_builder(SchemaOptions::default())
        .extension(Panics)
        .finish();
    let setup = Setup {
        schema,
        ..Setup::default()
    };
    Server::with(postgres::database().await, setup).await
}

fn is_internal(errors: &Value) {
    let error = &errors[0];
    assert_eq!(
        error["extensions"]["code"], "INTERNAL_SERVER_ERROR",
        "{errors}"
    );
    assert!(!errors.to_string().contains("secret"), "{errors}");
}

const PANICS: [&str; 3] = [
    "query ($chat: ID!) { chat(id: $chat) { panics: id } }",
    "mutation ($chat: ID!) { sendMessage(input: { chatId: $chat, body: \"!\" }) { message { panics: id } } }",
    "subscription ($chat: ID!, $after: String) { chatEvents(chatId: $chat, after: $after) { panics: cursor } }",
];

#[test]
fn a_panic_is_the_end_of_its_operation_only() {
    run(async {
        let server = with_panics().await;
        let alice = server.user("alice");
        let chat = alice.group("Team", &[]).await;
        let start = alice.start_cursor(&chat).await;
        let variables = json!({ "chat": chat, "after": start });
        let mut socket = alice.socket().await;
        let now = json!({ "chat": chat, "after": alice.event_cursor(&chat).await });
        socket.subscribe("good", STREAM, now).await;
        for query in PANICS {
            socket.subscribe("bad", query, variables.clone()).await;
            let mut answer = socket.hear().await;
            while answer["id"] == "good" {
                answer = socket.hear().await;
            }
            assert_eq!(
                (&answer["type"], &answer["id"]),
                (&json!("error"), &json!("bad"))
            );
            is_internal(&answer["payload"]);
            alice.sends(&chat, "still here").await;
            while body(&answer) != "still here" {
                answer = socket.hear().await;
                assert_eq!(answer["id"], "good");
            }
        }
        for query in PANICS {
            let request = json!({ "query": query, "variables": variables });
            let mut stream = Streaming::post(&alice, "text/event-stream", &request).await;
            assert_eq!(stream.until("\n\n").await.unwrap(), "retry: 1000");
            let event = stream.until("\n\n").await.unwrap();
            let data = event.split_once("data: ").unwrap().1;
            is_internal(&serde_json::from_str::<Value>(data).unwrap()["errors"]);
        }
        for query in &PANICS[..2] {
            let answer = alice.post(query, variables.clone()).await;
            assert_eq!(answer.status, 500);
            is_internal(&answer.json()["errors"]);
        }
    });
}

/// Thousands of operations and hundreds of connections, ended in all ways, leave nothing behind.
#[test]
fn nothing_is_left_after_churn() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let chat = alice.group("Team", &[]).await;
        until("nothing else runs", || server.sockets.len() <= 1).await;
        let churn = (0..16).map(|n| {
            let (alice, chat) = (alice.clone(), chat.clone());
            async move { churn(&alice, &chat, n).await }
        });
        at_once(churn).await;
        until("no connections", || server.connections.open() == 0).await;
        until("nobody watches", || {
            server.app.realtime.watched_chats() == 0
        })
        .await;
        // Only the one that accepts.
        until("no tasks", || server.sockets.len() == 1).await;
    });
}

async fn churn(user: &User, chat: &str, n: usize) {
    let after = user.start_cursor(chat).await;
    let variables = json!({ "chat": chat, "after": after });
    for round in 0..6 {
        let mut socket = user.socket().await;
        for operation in 0..40 {
            let id = format!("{operation}");
            socket.subscribe(&id, STREAM, variables.clone()).await;
            if operation % 3 > 0 {
                socket.say(json!({ "type": "complete", "id": id })).await;
            }
        }
        let request = json!({ "query": STREAM, "variables": variables });
        let stream = Streaming::post(user, "text/event-stream", &request).await;
        if (n + round).is_multiple_of(2) {
            socket.say(json!({ "type": "nonsense" })).await;
            assert_eq!(socket.closed().await, 4400);
        }
        drop((socket, stream));
    }
}

/// The frames of a closing handshake, in order.
#[test]
fn a_close_of_the_client_is_answered_with_its_code() {
    run(async {
        let server = Server::start().await;
        let mut frames = Frames::open(&server.user("alice")).await;
        frames.send(true, CLOSE, &1000_u16.to_be_bytes()).await;
        assert_eq!(
            frames.next().await,
            Some((CLOSE, 1000_u16.to_be_bytes().to_vec()))
        );
        assert_eq!(frames.next().await, None);
    });
}
