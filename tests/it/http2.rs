//! HTTP/2: the same API over many streams of one connection, and a bound on each thing that a peer could make
//! the server hold.

use std::time::{Duration, Instant};

use axum::http::Request;
use bytes::Bytes;
use colloquy::http::{HttpOptions, SocketOptions};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::support::http2::{Coming, Http2};
use crate::support::server::Setup;
use crate::support::socket::PATIENCE;
use crate::support::{Server, User, postgres, run, until};

const STREAM: &str = "subscription ($chat: ID!, $after: String) {
    chatEvents(chatId: $chat, after: $after) { ... on MessageSent { message { body } } } }";

const SSE: &str = "text/event-stream";
const MULTIPART: &str = "multipart/mixed;subscriptionSpec=1.0";

async fn with(sockets: SocketOptions, http: HttpOptions) -> Server {
    let setup = Setup {
        sockets,
        http,
        leeway: Duration::from_secs(1),
        ..Setup::default()
    };
    Server::with(postgres::database().await, setup).await
}

fn viewer() -> Value {
    json!({ "query": "{ viewer { id } }" })
}

async fn follow(connection: &mut Http2, user: &User, chat: &str, accept: &str) -> Coming {
    let variables = json!({ "chat": chat, "after": user.event_cursor(chat).await });
    let request = json!({ "query": STREAM, "variables": variables });
    let coming = connection.post(user, accept, &request).await;
    assert_eq!(coming.status, 200);
    coming
}

#[test]
fn requests_and_streams_share_a_connection() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.group("Team", &[&bob]).await;
        let mut connection = Http2::connect(&server).await;
        let mut events = follow(&mut connection, &bob, &chat, SSE).await;
        assert_eq!(events.content_type, "text/event-stream; charset=utf-8");
        let mut parts = follow(&mut connection, &bob, &chat, MULTIPART).await;
        for body in ["one", "two"] {
            alice.sends(&chat, body).await;
            events.until(body).await;
            parts.until(body).await;
        }
        let mut answer = connection.post(&bob, "*/*", &viewer()).await;
        answer.rest().await.unwrap();
        assert_eq!(answer.heard, r#"{"data":{"viewer":{"id":"bob"}}}"#);
        alice.removes(&chat, &bob).await;
        events.rest().await.unwrap();
        assert!(events.heard.ends_with("event: complete\ndata:\n\n"));
        parts.rest().await.unwrap();
        assert!(parts.heard.ends_with("--graphql--\r\n"));
    });
}

/// The connection is fine, and so are its other streams: only the one ends that nobody reads.
#[test]
fn a_stream_that_is_not_read_is_given_up() {
    run(async {
        let sockets = SocketOptions {
            write_within: Duration::from_millis(500),
            ..SocketOptions::default()
        };
        let server = with(sockets, HttpOptions::default()).await;
        let alice = server.user("alice");
        let chat = alice.group("Team", &[]).await;
        let mut connection = Http2::connect(&server).await;
        let mut stalled = follow(&mut connection, &alice, &chat, SSE).await;
        let mut read = follow(&mut connection, &alice, &chat, SSE).await;
        assert_eq!(server.connections.open(), 2);
        let flood = async {
            let body = "x".repeat(9_900);
            for _ in 0..10 {
                alice.sends(&chat, &body).await;
            }
            alice.sends(&chat, "the last").await;
        };
        tokio::join!(flood, read.until("the last"));
        until("one is given up", || server.connections.open() == 1).await;
        let error = stalled.rest().await.unwrap_err();
        assert_eq!(error.reason(), Some(h2::Reason::CANCEL));
        sleep(Duration::from_secs(1)).await;
        alice.sends(&chat, "still here").await;
        read.until("still here").await;
    });
}

#[test]
fn an_answer_that_is_not_read_is_given_up() {
    run(async {
        let sockets = SocketOptions {
            write_within: Duration::from_millis(500),
            ..SocketOptions::default()
        };
        let server = with(sockets, HttpOptions::default()).await;
        let alice = server.user("alice");
        let chat = alice.group("Team", &[]).await;
        for _ in 0..10 {
            alice.sends(&chat, &"x".repeat(9_900)).await;
        }
        until("the requests are over", || server.sockets.len() == 1).await;
        let query = "query ($id: ID!) { chat(id: $id) { messages { nodes { body } } } }";
        let request = json!({ "query": query, "variables": { "id": chat } });
        let mut connection = Http2::connect(&server).await;
        let mut read = connection.post(&alice, "*/*", &request).await;
        read.rest().await.unwrap();
        assert!(read.heard.len() > 99_000);
        let _stalled = connection.post(&alice, "*/*", &request).await;
        // The one that accepts, the connection, and the stream.
        assert_eq!(server.sockets.len(), 3);
        until("it is given up", || server.sockets.len() == 2).await;
        connection.post(&alice, "*/*", &viewer()).await;
    });
}

#[test]
fn expiry_and_shutdown_end_a_stream_without_completing_it() {
    run(async {
        let server = with(SocketOptions::default(), HttpOptions::default()).await;
        let alice = server.user("alice");
        let chat = alice.group("Team", &[]).await;
        let claims = alice.claims();
        let exp = claims.iat.unwrap() + 2;
        let short = alice.with_token(alice.sign(&colloquy::app::Claims { exp, ..claims }));
        let mut connection = Http2::connect(&server).await;
        let mut lasting = follow(&mut connection, &alice, &chat, SSE).await;
        let mut expiring = follow(&mut connection, &short, &chat, SSE).await;
        alice.sends(&chat, "hello").await;
        expiring.until("hello").await;
        expiring.rest().await.unwrap();
        assert!(!expiring.heard.contains("complete"), "{}", expiring.heard);
        lasting.until("hello").await;
        let began = Instant::now();
        let (rest, ()) = tokio::join!(lasting.rest(), server.stop());
        rest.unwrap();
        assert!(!lasting.heard.contains("complete"), "{}", lasting.heard);
        let took = began.elapsed();
        assert!(took < Duration::from_secs(5), "{took:?}");
        connection.connection.await.unwrap().unwrap();
    });
}

/// A reader who is behind does not keep its stream beyond the token's time.
#[test]
fn a_token_expires_in_time_while_a_stream_is_blocked() {
    run(async {
        let sockets = SocketOptions {
            write_within: Duration::from_secs(60),
            ..SocketOptions::default()
        };
        let server = with(sockets, HttpOptions::default()).await;
        let alice = server.user("alice");
        let chat = alice.group("Team", &[]).await;
        let claims = alice.claims();
        let exp = claims.iat.unwrap() + 4;
        let short = alice.with_token(alice.sign(&colloquy::app::Claims { exp, ..claims }));
        let mut connection = Http2::connect(&server).await;
        let mut stalled = follow(&mut connection, &short, &chat, SSE).await;
        for _ in 0..10 {
            alice.sends(&chat, &"x".repeat(9_900)).await;
        }
        assert_eq!(server.connections.open(), 1);
        until("it ends", || server.connections.open() == 0).await;
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        let ends_at = Duration::from_secs(u64::try_from(exp).unwrap() + 1);
        let late = now.checked_sub(ends_at).expect("it ends after the leeway");
        assert!(late < Duration::from_secs(2), "{late:?}");
        assert_eq!(
            stalled.rest().await.unwrap_err().reason(),
            Some(h2::Reason::CANCEL)
        );
    });
}

#[test]
fn a_connection_has_a_hundred_streams() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let mut connection = Http2::connect(&server).await;
        connection.post(&alice, "*/*", &viewer()).await;
        assert_eq!(connection.send.current_max_send_streams(), 100);
    });
}

/// "Rapid reset" (CVE-2023-44487): requests that are taken back at once are work for nothing.
#[test]
fn who_takes_requests_back_at_once_is_disconnected() {
    run(async {
        let server = Server::start().await;
        let mut connection = Http2::connect(&server).await;
        for _ in 0..400 {
            let request = Request::get("http://localhost/healthz").body(()).unwrap();
            let Ok(mut send) = connection.send.clone().ready().await else {
                break;
            };
            let Ok((_, mut stream)) = send.send_request(request, false) else {
                break;
            };
            stream.send_data(Bytes::from_static(b"x"), false).ok();
            stream.send_reset(h2::Reason::CANCEL);
            connection.send = send;
        }
        let ended = timeout(PATIENCE, connection.connection).await.unwrap();
        let error = ended.unwrap().unwrap_err();
        // What still was on its way to a closed connection has it reset, and the reason may be lost with that.
        let calm = error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM);
        assert!(calm || error.is_io(), "{error}");
    });
}

#[test]
fn an_idle_connection_is_closed_and_a_stream_is_not_idle() {
    run(async {
        let http = HttpOptions {
            head_within: Duration::from_millis(400),
            idle_within: Duration::from_millis(800),
            ..HttpOptions::default()
        };
        let server = with(SocketOptions::default(), http).await;
        let alice = server.user("alice");
        let chat = alice.group("Team", &[]).await;
        let mut streaming = Http2::connect(&server).await;
        let mut events = follow(&mut streaming, &alice, &chat, SSE).await;
        let began = Instant::now();
        let unused = Http2::connect(&server).await;
        unused.connection.await.unwrap().ok();
        assert!(began.elapsed() < Duration::from_secs(2));
        let mut used = Http2::connect(&server).await;
        used.post(&alice, "*/*", &viewer()).await;
        let rested = Instant::now();
        used.connection.await.unwrap().ok();
        let took = rested.elapsed();
        assert!(
            took > Duration::from_millis(700) && took < Duration::from_secs(3),
            "{took:?}"
        );
        sleep(Duration::from_secs(1)).await;
        alice.sends(&chat, "hello").await;
        events.until("hello").await;
    });
}

/// One that has no more to say than how it begins: neither the preface nor its settings are a request.
#[test]
fn a_peer_that_does_not_answer_pings_is_gone() {
    run(async {
        let sockets = SocketOptions {
            ping_after: Duration::from_millis(200),
            pong_within: Duration::from_millis(200),
            ..SocketOptions::default()
        };
        let server = with(sockets, HttpOptions::default()).await;
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
        stream.write_all(preface).await.unwrap();
        let began = Instant::now();
        let mut heard = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut heard))
            .await
            .unwrap()
            .ok();
        let took = began.elapsed();
        assert!(took < Duration::from_secs(3), "{took:?}");
    });
}

#[test]
fn headers_have_a_bound() {
    run(async {
        let server = Server::start().await;
        let user = server.anonymous();
        let mut connection = Http2::connect(&server).await;
        for (size, status) in [(10_000, 200), (20_000, 431), (60_000, 431)] {
            let value = "x".repeat(size);
            let headers = [("x-large", value.as_str())];
            let answer = connection.request(&user, "GET", "/healthz", &headers, String::new());
            assert_eq!(answer.await.status.as_u16(), status, "{size}");
        }
    });
}
