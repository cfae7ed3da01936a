//! Answers are compressed for those who ask for it, and streams never are.

use std::io::Read as _;

use colloquy::http::HttpOptions;
use flate2::read::GzDecoder;
use serde_json::json;

use crate::support::server::Setup;
use crate::support::streaming::Streaming;
use crate::support::user::Answer;
use crate::support::{Server, User, postgres, run};

const PAGE: &str =
    "query ($id: ID!) { chat(id: $id) { messages(first: 50) { nodes { id body } } } }";

/// A chat with a page of messages.
async fn page(user: &User) -> String {
    let chat = user.group("Team", &[]).await;
    for n in 0..50 {
        user.sends(&chat, &format!("message {n} of a page that repeats itself"))
            .await;
    }
    json!({ "query": PAGE, "variables": { "id": chat } }).to_string()
}

async fn ask(user: &User, encoding: &str, body: &str) -> Answer {
    let bearer = format!("Bearer {}", user.token.as_ref().unwrap());
    let headers = [
        ("content-type", "application/json"),
        ("authorization", &*bearer),
        ("accept-encoding", encoding),
    ];
    user.http("POST", "/graphql", &headers, body.as_bytes())
        .await
}

#[test]
fn an_answer_is_compressed_as_its_client_likes_it_best() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let body = page(&alice).await;
        let plain = ask(&alice, "identity", &body).await;
        assert_eq!(plain.header("content-encoding"), None);
        assert_eq!(plain.header("vary"), Some("accept-encoding"));
        for (accepted, encoding) in [
            ("gzip, deflate, br, zstd", Some("zstd")),
            ("gzip, br", Some("br")),
            ("gzip", Some("gzip")),
            ("br;q=0.5, gzip;q=0.8, zstd;q=0", Some("gzip")),
            ("gzip;q=0", None),
            ("deflate", None),
            ("", None),
        ] {
            let answer = ask(&alice, accepted, &body).await;
            assert_eq!(answer.status, 200);
            assert_eq!(answer.header("content-encoding"), encoding, "{accepted}");
            assert_eq!(answer.header("vary"), Some("accept-encoding"));
            match encoding {
                None => assert_eq!(answer.body, plain.body),
                Some(_) => assert!(answer.body.len() < plain.body.len() / 3),
            }
            if encoding == Some("gzip") {
                let mut text = Vec::new();
                let mut decoder = GzDecoder::new(answer.body.as_slice());
                decoder.read_to_end(&mut text).unwrap();
                assert_eq!(text, plain.body);
            }
        }
        // What is small is left alone, as is what does not say its type.
        let small = ask(&alice, "gzip", r#"{"query":"{ viewer { id } }"}"#).await;
        assert_eq!(small.header("content-encoding"), None);
    });
}

#[test]
fn compression_can_be_switched_off() {
    run(async {
        let setup = Setup {
            http: HttpOptions {
                compress_from: None,
                ..HttpOptions::default()
            },
            ..Setup::default()
        };
        let server = Server::with(postgres::database().await, setup).await;
        let alice = server.user("alice");
        let answer = ask(&alice, "gzip, br, zstd", &page(&alice).await).await;
        assert_eq!(answer.header("content-encoding"), None);
        assert_eq!(answer.header("vary"), None);
    });
}

#[test]
fn a_page_is_compressed_and_its_head_says_the_same() {
    run(async {
        let server = Server::start().await;
        let user = server.anonymous();
        let gzip = [("accept-encoding", "gzip")];
        // The page that npm builds is small; its script is not.
        let page = user.http("GET", "/", &[], b"").await;
        let page = String::from_utf8(page.body).unwrap();
        assert!(page.contains("GraphiQL"));
        let (path, text) = if page.len() > 2_000 {
            ("/", page.clone())
        } else {
            let (_, script) = page.split_once(" src=\"").unwrap();
            let (path, _) = script.split_once('"').unwrap();
            let script = user.http("GET", path, &[], b"").await;
            (path, String::from_utf8(script.body).unwrap())
        };
        let got = user.http("GET", path, &gzip, b"").await;
        assert_eq!(got.header("content-encoding"), Some("gzip"), "{path}");
        let mut told = String::new();
        let mut decoder = GzDecoder::new(got.body.as_slice());
        decoder.read_to_string(&mut told).unwrap();
        assert_eq!(told, text);
        let head = user.http("HEAD", path, &gzip, b"").await;
        assert!(head.body.is_empty());
        for name in ["content-encoding", "vary", "etag", "content-type"] {
            assert_eq!(head.header(name), got.header(name), "{name}");
        }
    });
}

#[test]
fn a_stream_is_told_as_it_happens() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let chat = alice.group("Team", &[]).await;
        let query = "subscription ($chat: ID!, $after: String) {
            chatEvents(chatId: $chat, after: $after) { ... on MessageSent { message { body } } } }";
        let variables = json!({ "chat": chat, "after": alice.event_cursor(&chat).await });
        let body = json!({ "query": query, "variables": variables }).to_string();
        for accept in ["text/event-stream", "multipart/mixed;subscriptionSpec=1.0"] {
            let headers = [
                ("accept", accept),
                ("accept-encoding", "gzip, br, zstd"),
                ("content-type", "application/json"),
            ];
            let mut stream = Streaming::send(&alice, "POST", "/graphql", &headers, &body).await;
            assert_eq!(stream.header("content-encoding"), None, "{accept}");
            alice.sends(&chat, "hello").await;
            stream.until("hello").await.unwrap();
        }
    });
}
