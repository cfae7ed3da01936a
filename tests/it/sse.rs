//! Server-sent events, by the protocol of graphql-sse in its distinct connections mode.

use std::time::{Duration, Instant};

use colloquy::http::SocketOptions;
use serde_json::{Value, json};

use crate::support::server::Setup;
use crate::support::streaming::Streaming;
use crate::support::{Server, User, postgres, run, until};

const ACCEPT: &str = "text/event-stream";

const STREAM: &str = "subscription ($chat: ID!, $after: String) { chatEvents(chatId: $chat, after: $after) \
                      { __typename cursor ... on MessageSent { message { body } } } }";

/// One event as a browser understands it.
#[derive(Debug, PartialEq)]
struct Event {
    name: String,
    id: Option<String>,
    data: String,
}

impl Event {
    fn json(&self) -> Value {
        assert_eq!(self.name, "next", "{self:?}");
        serde_json::from_str(&self.data).unwrap()
    }

    fn body(&self) -> String {
        let body = &self.json()["data"]["chatEvents"]["message"]["body"];
        body.as_str().unwrap_or_default().to_owned()
    }
}

/// The next event; what has no data, as comments, is none.
async fn next(stream: &mut Streaming) -> Option<Event> {
    loop {
        let block = stream.until("\n\n").await?;
        let (mut name, mut id, mut data) = (String::new(), None, None);
        for line in block.lines() {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
            match field {
                "event" => name = value,
                "id" => id = Some(value),
                "data" => assert_eq!(data.replace(value), None, "one line of data"),
                "" | "retry" => {}
                _ => panic!("{line}"),
            }
        }
        if let Some(data) = data {
            return Some(Event { name, id, data });
        }
    }
}

async fn completes(stream: &mut Streaming) {
    let event = next(stream).await.expect("an event");
    assert_eq!((event.name.as_str(), event.data.as_str()), ("complete", ""));
    assert_eq!(next(stream).await, None);
}

async fn follow(user: &User, chat: &str) -> Streaming {
    let variables = json!({ "chat": chat, "after": user.event_cursor(chat).await });
    let request = json!({ "query": STREAM, "variables": variables });
    let stream = Streaming::post(user, ACCEPT, &request).await;
    assert_eq!(stream.status, 200);
    stream
}

async fn with(sockets: SocketOptions) -> Server {
    let setup = Setup {
        sockets,
        leeway: Duration::from_secs(1),
        ..Setup::default()
    };
    Server::with(postgres::database().await, setup).await
}

/// A path of a GET.
fn path(query: &str, variables: &Value) -> String {
    let encode = |text: &str| {
        let bytes = text.bytes().map(|byte| format!("%{byte:02x}"));
        bytes.collect::<String>()
    };
    format!(
        "/graphql?query={}&variables={}",
        encode(query),
        encode(&variables.to_string())
    )
}

#[test]
fn a_subscription_is_told_as_it_happens() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.group("Team", &[&bob]).await;
        let mut stream = follow(&bob, &chat).await;
        assert_eq!(
            stream.header("content-type"),
            Some("text/event-stream; charset=utf-8")
        );
        assert_eq!(stream.header("cache-control"), Some("no-store"));
        for body in ["one", "two\nlines", "three"] {
            alice.sends(&chat, body).await;
            let event = next(&mut stream).await.unwrap();
            assert_eq!(event.body(), body);
            let cursor = &event.json()["data"]["chatEvents"]["cursor"];
            assert_eq!(event.id.as_deref(), cursor.as_str());
        }
        alice.removes(&chat, &bob).await;
        let last = next(&mut stream).await.unwrap();
        assert_eq!(
            last.json()["data"]["chatEvents"]["__typename"],
            "ParticipantRemoved"
        );
        completes(&mut stream).await;
    });
}

/// A browser's `EventSource` comes back to the same URL with the last id it has seen.
#[test]
fn a_reconnect_with_the_last_id_goes_on_behind_it() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let chat = alice.group("Team", &[]).await;
        let variables = json!({ "chat": chat, "after": alice.event_cursor(&chat).await });
        let path = path(STREAM, &variables);
        let open = async |last: Option<&str>| {
            let mut headers = vec![("accept", ACCEPT)];
            headers.extend(last.map(|id| ("last-event-id", id)));
            Streaming::send(&alice, "GET", &path, &headers, "").await
        };
        let mut last = None;
        for n in 0..20 {
            let mut stream = open(last.as_deref()).await;
            if n % 2 == 0 {
                alice.sends(&chat, &n.to_string()).await;
            }
            if n % 3 == 0 {
                alice.sends(&chat, &format!("{n} again")).await;
            }
            let expected = [
                (n % 2 == 0).then(|| n.to_string()),
                (n % 3 == 0).then(|| format!("{n} again")),
            ];
            for body in expected.into_iter().flatten() {
                let event = next(&mut stream).await.unwrap();
                assert_eq!(event.body(), body);
                last = event.id;
            }
        }
        let mut wrong = open(Some("not a cursor")).await;
        let refused = next(&mut wrong).await.unwrap().json();
        assert_eq!(refused["errors"][0]["extensions"]["code"], "BAD_USER_INPUT");
        completes(&mut wrong).await;
    });
}

#[test]
fn queries_and_mutations_are_answered_and_complete() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let chat = alice.group("Team", &[]).await;
        let mutation = "mutation ($id: ID!) { sendMessage(input: { chatId: $id, body: \"hi\" }) { message { body } } }";
        let query = "query ($id: ID!) { chat(id: $id) { lastMessage { body } } }";
        let variables = json!({ "id": chat });
        for (query, data) in [
            (
                mutation,
                json!({ "sendMessage": { "message": { "body": "hi" } } }),
            ),
            (
                query,
                json!({ "chat": { "lastMessage": { "body": "hi" } } }),
            ),
        ] {
            let request = json!({ "query": query, "variables": variables });
            let mut stream = Streaming::post(&alice, ACCEPT, &request).await;
            let event = next(&mut stream).await.unwrap();
            assert_eq!(event.json(), json!({ "data": data }));
            completes(&mut stream).await;
        }
        let get = async |query| {
            Streaming::send(
                &alice,
                "GET",
                &path(query, &variables),
                &[("accept", ACCEPT)],
                "",
            )
            .await
        };
        let mut stream = get(query).await;
        assert_eq!(
            next(&mut stream).await.unwrap().json()["data"]["chat"]["lastMessage"]["body"],
            "hi"
        );
        completes(&mut stream).await;
        assert_eq!(get(mutation).await.status, 405);
        assert_eq!(
            alice
                .chat(&chat, "messages(last: 5) { nodes { id } }")
                .await["messages"]["nodes"]
                .as_array()
                .unwrap()
                .len(),
            1
        );
    });
}

/// The protocol wants them in the stream: a browser could not read the body of a refusal.
#[test]
fn errors_of_the_operation_are_told_in_the_stream() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let cases = [
            ("{", json!({}), "BAD_USER_INPUT"),
            ("{ nothing }", json!({}), "BAD_USER_INPUT"),
            ("subscription { nothing }", json!({}), "BAD_USER_INPUT"),
            (STREAM, json!({ "chat": "chat_0" }), "NOT_FOUND"),
        ];
        for (query, variables, code) in cases {
            let request = json!({ "query": query, "variables": variables });
            let mut stream = Streaming::post(&alice, ACCEPT, &request).await;
            assert_eq!(stream.status, 200, "{query}");
            let refused = next(&mut stream).await.unwrap().json();
            assert_eq!(refused.get("data"), None, "{refused}");
            assert_eq!(
                refused["errors"][0]["extensions"]["code"], code,
                "{refused}"
            );
            completes(&mut stream).await;
        }
    });
}

#[test]
fn what_is_no_request_or_of_nobody_is_refused_by_its_status() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let wrong = alice.with_token("x.y.z");
        let request = json!({ "query": "subscription { chatUpdates { kind } }" });
        assert_eq!(Streaming::post(&wrong, ACCEPT, &request).await.status, 401);
        assert_eq!(
            Streaming::post(&alice, ACCEPT, &json!([])).await.status,
            422
        );
        let plain = [("accept", ACCEPT), ("content-type", "text/plain")];
        let answer =
            Streaming::send(&alice, "POST", "/graphql", &plain, &request.to_string()).await;
        assert_eq!(answer.status, 415);
    });
}

#[test]
fn a_quiet_stream_says_that_it_is_alive() {
    run(async {
        let sockets = SocketOptions {
            alive_every: Duration::from_millis(100),
            ..SocketOptions::default()
        };
        let server = with(sockets).await;
        let alice = server.user("alice");
        let chat = alice.group("Team", &[]).await;
        let mut stream = follow(&alice, &chat).await;
        assert_eq!(stream.until("\n\n").await.unwrap(), "retry: 1000");
        for _ in 0..5 {
            assert_eq!(stream.until("\n\n").await.unwrap(), ":");
        }
        alice.sends(&chat, "hello").await;
        assert_eq!(next(&mut stream).await.unwrap().body(), "hello");
    });
}

/// A stream that is cut off for the token or the server is not complete, so its client comes back.
#[test]
fn expiry_and_shutdown_end_a_stream_without_completing_it() {
    run(async {
        let server = with(SocketOptions::default()).await;
        let alice = server.user("alice");
        let chat = alice.group("Team", &[]).await;
        let claims = alice.claims();
        let exp = claims.iat.unwrap() + 2;
        let short = alice.with_token(alice.sign(&colloquy::app::Claims { exp, ..claims }));
        let mut lasting = follow(&alice, &chat).await;
        let mut expiring = follow(&short, &chat).await;
        alice.sends(&chat, "hello").await;
        assert_eq!(next(&mut expiring).await.unwrap().body(), "hello");
        assert_eq!(expiring.rest().await, "");
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        let ends_at = Duration::from_secs(u64::try_from(exp).unwrap() + 1);
        let late = now.checked_sub(ends_at).expect("it ends after the leeway");
        assert!(late < Duration::from_secs(1), "{late:?}");
        assert_eq!(next(&mut lasting).await.unwrap().body(), "hello");
        let began = Instant::now();
        let (rest, ()) = tokio::join!(lasting.rest(), server.stop());
        assert_eq!(rest, "");
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{:?}",
            began.elapsed()
        );
    });
}

#[test]
fn a_reader_who_leaves_or_stalls_leaves_nothing_behind() {
    run(async {
        let sockets = SocketOptions {
            write_within: Duration::from_millis(500),
            ..SocketOptions::default()
        };
        let server = with(sockets).await;
        let alice = server.user("alice");
        let chat = alice.group("Team", &[]).await;
        let gone = follow(&alice, &chat).await;
        let stalled = follow(&alice, &chat).await;
        assert_eq!(
            (
                server.connections.open(),
                server.app.realtime.watched_chats()
            ),
            (2, 1)
        );
        drop(gone);
        until("one has left", || server.connections.open() == 1).await;
        let body = "x".repeat(10_000);
        for _ in 0..80 {
            alice.sends(&chat, &body).await;
        }
        until("the other is given up", || server.connections.open() == 0).await;
        until("nobody watches", || {
            server.app.realtime.watched_chats() == 0
        })
        .await;
        drop(stalled);
    });
}

/// Opens a stream whose reader stalls, and has more told than its buffers hold.
async fn stalled(server: &Server, reader: &User) -> Streaming {
    let alice = server.user("alice");
    let chat = alice.group("Team", &[reader]).await;
    let stream = follow(reader, &chat).await;
    let body = "x".repeat(9_900);
    for _ in 0..80 {
        alice.sends(&chat, &body).await;
    }
    stream
}

/// The token's time is not waited out by a reader who is behind.
#[test]
fn a_token_expires_in_time_while_a_write_is_blocked() {
    run(async {
        let sockets = SocketOptions {
            write_within: Duration::from_secs(60),
            ..SocketOptions::default()
        };
        let server = with(sockets).await;
        let bob = server.user("bob");
        let claims = bob.claims();
        let exp = claims.iat.unwrap() + 5;
        let short = bob.with_token(bob.sign(&colloquy::app::Claims { exp, ..claims }));
        let mut stream = stalled(&server, &short).await;
        let ends_at = Duration::from_secs(u64::try_from(exp).unwrap() + 1);
        let now = || std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        assert!(now() < ends_at, "the flood took too long for this test");
        assert_eq!(server.connections.open(), 1);
        until("it is closed", || server.connections.open() == 0).await;
        let late = now()
            .checked_sub(ends_at)
            .expect("it ends after the leeway");
        assert!(late < Duration::from_secs(1), "{late:?}");
        let mut heard = 0;
        while next(&mut stream).await.is_some() {
            heard += 1;
        }
        assert!(heard < 80, "it had not fallen behind");
    });
}

#[test]
fn a_server_that_stops_does_not_wait_for_a_reader_who_is_behind() {
    run(async {
        let sockets = SocketOptions {
            write_within: Duration::from_secs(60),
            ..SocketOptions::default()
        };
        let server = with(sockets).await;
        let bob = server.user("bob");
        let _stream = stalled(&server, &bob).await;
        let began = Instant::now();
        server.stop().await;
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{:?}",
            began.elapsed()
        );
    });
}

#[test]
fn streams_count_among_a_users_connections() {
    run(async {
        let sockets = SocketOptions {
            connections_max: 2,
            ..SocketOptions::default()
        };
        let server = with(sockets).await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.group("Team", &[&bob]).await;
        let _socket = alice.socket().await;
        let stream = follow(&alice, &chat).await;
        let request = json!({ "query": STREAM, "variables": { "chat": chat } });
        let token = format!("Bearer {}", alice.token.as_deref().unwrap());
        let headers = [
            ("content-type", "application/json"),
            ("accept", ACCEPT),
            ("authorization", token.as_str()),
        ];
        let body = request.to_string();
        let refused = alice
            .http("POST", "/graphql", &headers, body.as_bytes())
            .await;
        assert_eq!(refused.status, 429);
        let code = &refused.json()["errors"][0]["extensions"]["code"];
        assert_eq!(code, "TOO_MANY_OPERATIONS");
        assert_eq!(Streaming::post(&bob, ACCEPT, &request).await.status, 200);
        drop(stream);
        until("it has left", || server.connections.open() == 1).await;
        assert_eq!(Streaming::post(&alice, ACCEPT, &request).await.status, 200);
    });
}
