//! Apollo's multipart protocol for subscriptions.

use std::time::{Duration, Instant};

use colloquy::http::SocketOptions;
use serde_json::{Value, json};

use crate::support::server::Setup;
use crate::support::streaming::Streaming;
use crate::support::{Server, User, postgres, run};

const ACCEPT: &str = "multipart/mixed;boundary=\"graphql\";subscriptionSpec=1.0, application/json";

const STREAM: &str = "subscription ($chat: ID!, $after: String) { chatEvents(chatId: $chat, after: $after) \
                      { __typename ... on MessageSent { message { body } } } }";

async fn follow(user: &User, chat: &str) -> Streaming {
    let variables = json!({ "chat": chat, "after": user.event_cursor(chat).await });
    let request = json!({ "query": STREAM, "variables": variables });
    let mut stream = Streaming::post(user, ACCEPT, &request).await;
    assert_eq!(stream.status, 200);
    assert_eq!(stream.until("\r\n--graphql").await.as_deref(), Some(""));
    stream
}

/// The next part: complete, so the delimiter behind it has come.
async fn part(stream: &mut Streaming) -> Value {
    let part = stream.until("\r\n--graphql").await.expect("a part");
    let (head, body) = part.split_once("\r\n\r\n").expect("a head and a body");
    assert_eq!(head, "\r\nContent-Type: application/json");
    serde_json::from_str(body).unwrap()
}

fn event(body: &str) -> Value {
    let event = json!({ "__typename": "MessageSent", "message": { "body": body } });
    json!({ "payload": { "data": { "chatEvents": event } } })
}

async fn with(sockets: SocketOptions) -> Server {
    let setup = Setup {
        sockets,
        leeway: Duration::from_secs(1),
        ..Setup::default()
    };
    Server::with(postgres::database().await, setup).await
}

#[test]
fn each_event_is_a_complete_part_when_it_happens() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.group("Team", &[&bob]).await;
        let mut stream = follow(&bob, &chat).await;
        let kind = "multipart/mixed;boundary=\"graphql\";subscriptionSpec=1.0";
        assert_eq!(stream.header("content-type"), Some(kind));
        for body in ["one", "two"] {
            alice.sends(&chat, body).await;
            let began = Instant::now();
            assert_eq!(part(&mut stream).await, event(body));
            assert!(
                began.elapsed() < Duration::from_secs(2),
                "before the next heartbeat"
            );
        }
        alice.removes(&chat, &bob).await;
        let last = part(&mut stream).await;
        assert_eq!(
            last["payload"]["data"]["chatEvents"]["__typename"],
            "ParticipantRemoved"
        );
        assert_eq!(stream.rest().await, "--\r\n");
    });
}

#[test]
fn heartbeats_are_empty_objects() {
    run(async {
        let sockets = SocketOptions {
            alive_every: Duration::from_millis(100),
            ..SocketOptions::default()
        };
        let server = with(sockets).await;
        let alice = server.user("alice");
        let chat = alice.group("Team", &[]).await;
        let mut stream = follow(&alice, &chat).await;
        for _ in 0..3 {
            assert_eq!(part(&mut stream).await, json!({}));
        }
    });
}

#[test]
fn errors_of_the_operation_are_a_payload_and_the_end() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let query = "subscription { chatEvents(chatId: \"chat_0\") { cursor } }";
        let mut stream = Streaming::post(&alice, ACCEPT, &json!({ "query": query })).await;
        assert_eq!(stream.until("\r\n--graphql").await.as_deref(), Some(""));
        let refused = part(&mut stream).await;
        let code = &refused["payload"]["errors"][0]["extensions"]["code"];
        assert_eq!(*code, "NOT_FOUND", "{refused}");
        assert_eq!(refused.get("errors"), None);
        assert_eq!(stream.rest().await, "--\r\n");
        // What may not be executed is no operation, and is answered as such.
        let token = format!("Bearer {}", alice.token.as_ref().unwrap());
        let headers = [
            ("accept", ACCEPT),
            ("authorization", token.as_str()),
            ("content-type", "application/json"),
        ];
        let query = json!({ "query": "subscription { nothing }" }).to_string();
        let refused = alice
            .http("POST", "/graphql", &headers, query.as_bytes())
            .await;
        assert_eq!(refused.status, 422);
        assert_eq!(
            refused.json()["errors"][0]["extensions"]["code"],
            "BAD_USER_INPUT"
        );
    });
}

#[test]
fn what_ends_the_stream_and_not_the_operation_is_an_error_of_the_transport() {
    run(async {
        let server = with(SocketOptions::default()).await;
        let alice = server.user("alice");
        let chat = alice.group("Team", &[]).await;
        let claims = alice.claims();
        let exp = claims.iat.unwrap() + 1;
        let short = alice.with_token(alice.sign(&colloquy::app::Claims { exp, ..claims }));
        let mut lasting = follow(&alice, &chat).await;
        let mut expiring = follow(&short, &chat).await;
        let fatal = async |stream: &mut Streaming, code: &str| {
            let told = part(stream).await;
            assert_eq!(told.get("payload"), Some(&Value::Null), "{told}");
            assert_eq!(told["errors"][0]["extensions"]["code"], code, "{told}");
            assert_eq!(stream.rest().await, "--\r\n");
        };
        fatal(&mut expiring, "UNAUTHENTICATED").await;
        tokio::join!(fatal(&mut lasting, "SERVICE_UNAVAILABLE"), server.stop());
    });
}

#[test]
fn queries_of_the_same_client_get_json() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let body = json!({ "query": "{ viewer { id } }" }).to_string();
        let bearer = format!("Bearer {}", alice.token.as_ref().unwrap());
        let headers = [
            ("accept", ACCEPT),
            ("content-type", "application/json"),
            ("authorization", &bearer),
        ];
        let answer = alice
            .http("POST", "/graphql", &headers, body.as_bytes())
            .await;
        assert_eq!(
            answer.header("content-type"),
            Some("application/json; charset=utf-8")
        );
        assert_eq!(
            answer.json(),
            json!({ "data": { "viewer": { "id": "alice" } } })
        );
    });
}
