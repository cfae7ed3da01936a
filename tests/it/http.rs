//! The endpoint over HTTP, and what wraps it.

use std::time::{Duration, Instant};

use colloquy::http::SocketOptions;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::support::server::Setup;
use crate::support::user::Answer;
use crate::support::{Server, User, postgres, run};

const JSON: (&str, &str) = ("content-type", "application/json");
const NEW: &str = "application/graphql-response+json";

fn code(answer: &Answer) -> Value {
    answer.json()["errors"][0]["extensions"]["code"].clone()
}

/// Writes bytes as they are, and reads the first line's start.
async fn raw(user: &User, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(user.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    String::from_utf8(answer.to_vec()).unwrap()
}

#[test]
fn a_post_is_json() {
    run(async {
        let server = Server::start().await;
        let user = server.anonymous();
        let body = br#"{"query":"{ __typename }"}"#;
        let charset = [("content-type", "Application/JSON; charset=utf-8")];
        let answer = user.http("POST", "/graphql", &charset, body).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json(), json!({"data": {"__typename": "Query"}}));
        for headers in [
            &[("content-type", "text/plain")][..],
            &[("content-type", "application/json; charset=iso-8859-1")],
            &[("content-type", "application/graphql")],
            &[],
        ] {
            let answer = user.http("POST", "/graphql", headers, body).await;
            assert_eq!(
                (answer.status, code(&answer)),
                (415, json!("BAD_USER_INPUT"))
            );
        }
        let refused = [
            ("{", 400),
            ("", 400),
            ("{}x", 400),
            ("3", 422),
            ("\"\"", 422),
            ("[]", 422),
            (r#"[{"query":"{ __typename }"}]"#, 422),
            ("{}", 422),
            (r#"{"query":3}"#, 422),
            (r#"{"query":null}"#, 422),
            (r#"{"query":""}"#, 400),
            (r##"{"query":" # nothing "}"##, 400),
            (r#"{"qeury":"{ __typename }"}"#, 422),
            (r#"{"query":"{ viewer { id } }","variables":3}"#, 422),
            (r#"{"query":"{ viewer { id } }","variables":[7]}"#, 422),
            (r#"{"query":"{ viewer { id } }","operationName":{}}"#, 422),
            (r#"{"query":"{ viewer { id } }","extensions":"x"}"#, 422),
        ];
        for (body, status) in refused {
            let answer = user
                .http("POST", "/graphql", &[JSON], body.as_bytes())
                .await;
            assert_eq!(
                (answer.status, code(&answer)),
                (status, json!("BAD_USER_INPUT")),
                "{body}"
            );
            assert_eq!(answer.json().get("data"), None, "{body}");
        }
        let more = br#"{"query":"{ __typename }","operationName":null,"variables":null,
            "extensions":null,"more":[1]}"#;
        let answer = user.http("POST", "/graphql", &[JSON], more).await;
        assert_eq!(answer.status, 200);
    });
}

#[test]
fn a_get_queries() {
    run(async {
        let server = Server::start().await;
        let user = server.anonymous();
        let path = "/graphql?query=query%20A%20%7B%20a:__typename%20%7D%20\
            query%20B(%24x:Boolean!)%20%7B%20viewer%20%40include(if:%24x)%20%7Bid%7D%20%7D\
            &operationName=B&variables=%7B%22x%22:true%7D";
        let answer = user.http("GET", path, &[], b"").await;
        assert_eq!(
            (answer.status, answer.json()),
            (200, json!({"data": {"viewer": null}}))
        );
        for (path, status) in [
            ("/graphql", 422),
            ("/graphql?query=", 400),
            ("/graphql?query=%7Bviewer%7Bid%7D%7D&variables=x", 400),
            ("/graphql?query=%7Bviewer%7Bid%7D%7D&variables=%5B%5D", 422),
            ("/graphql?query=%7Bviewer%7Bid%7D%7D&extensions=7", 422),
            ("/graphql?query=%FF", 400),
        ] {
            let answer = user.http("GET", path, &[], b"").await;
            assert_eq!(
                (answer.status, code(&answer)),
                (status, json!("BAD_USER_INPUT")),
                "{path}"
            );
        }
    });
}

#[test]
fn a_get_changes_nothing() {
    run(async {
        let server = Server::start().await;
        let user = server.anonymous();
        let path =
            "/graphql?query=mutation%7BleaveChat(input:%7BchatId:%22x%22%7D)%7Bchat%7Bid%7D%7D%7D";
        let answer = user.http("GET", path, &[], b"").await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
        assert_eq!(code(&answer), "BAD_USER_INPUT");
    });
}

#[test]
fn a_subscription_is_refused() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let answer = alice
            .post("subscription { chatUpdates { kind } }", json!({}))
            .await;
        assert_eq!(
            (answer.status, code(&answer)),
            (406, json!("BAD_USER_INPUT"))
        );
        let why = answer.json()["errors"][0]["message"].clone();
        assert!(why.as_str().unwrap().contains("WebSocket"), "{why}");
    });
}

/// GraphQL over HTTP, "Body": a client that knows only plain JSON gets it for success, and the same status.
#[test]
fn both_media_types_are_spoken() {
    run(async {
        let server = Server::start().await;
        let user = server.anonymous();
        let ask = async |accept: &str, query: &str| {
            let body = json!({ "query": query }).to_string();
            let headers = [JSON, ("accept", accept)];
            let answer = user
                .http("POST", "/graphql", &headers, body.as_bytes())
                .await;
            let kind = answer.header("content-type").unwrap().to_owned();
            (answer.status, kind, answer.json().get("data").is_some())
        };
        let plain = "application/json; charset=utf-8".to_owned();
        let new = format!("{NEW}; charset=utf-8");
        assert_eq!(
            ask("*/*", "{ __typename }").await,
            (200, plain.clone(), true)
        );
        assert_eq!(ask(NEW, "{ __typename }").await, (200, new.clone(), true));
        for (refused, status) in [
            ("{", 400),
            ("{ nothing }", 422),
            ("query ($x: Int!) { __typename @skip(if: $x) }", 422),
            ("query ($x: ID!) { user(id: $x) { id } }", 422),
            ("query A { __typename } query B { __typename }", 422),
        ] {
            for accept in [NEW, "application/json", "*/*", "text/html, */*;q=0.1"] {
                let answer = ask(accept, refused).await;
                assert_eq!(answer, (status, new.clone(), false), "{accept} {refused}");
            }
        }
        // Executed, with an error in its place.
        let partial = "{ user(id: \"x\") { id } }";
        assert_eq!(ask(NEW, partial).await, (294, new.clone(), true));
        assert_eq!(ask("application/json", partial).await, (294, plain, true));
        let answer = ask("text/html", partial).await;
        assert_eq!(answer, (406, new, false));
    });
}

#[test]
fn a_large_body_is_refused() {
    run(async {
        let server = Server::start().await;
        let user = server.anonymous();
        let head = "POST /graphql HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n";
        let announced = format!("{head}content-length: 1048577\r\n\r\n");
        assert_eq!(raw(&user, announced.as_bytes()).await, "HTTP/1.1 413");
        // In chunks, nothing is announced: one byte over is enough.
        let mut chunked = format!("{head}transfer-encoding: chunked\r\n\r\n").into_bytes();
        for size in [1024 * 1024, 1] {
            chunked.extend(format!("{size:x}\r\n").bytes());
            chunked.extend(std::iter::repeat_n(b' ', size));
            chunked.extend(b"\r\n");
        }
        assert_eq!(raw(&user, &chunked).await, "HTTP/1.1 413");
        let mut largest = br#"{"query":"{ __typename }"}"#.to_vec();
        largest.resize(1024 * 1024, b' ');
        let answer = user.http("POST", "/graphql", &[JSON], &largest).await;
        assert_eq!(answer.status, 200);
    });
}

/// A client that hears nothing before it has sent all learns why it was refused, and is not just reset.
#[test]
fn who_sends_five_mebibytes_hears_why_they_are_refused() {
    run(async {
        let server = Server::start().await;
        let user = server.anonymous();
        let size = 5 * 1024 * 1024;
        let announced = format!("content-length: {size}\r\n\r\n");
        let chunked = format!("transfer-encoding: chunked\r\n\r\n{size:x}\r\n");
        for (kind, length, status) in [
            ("application/json", &announced, "413"),
            ("application/json", &chunked, "413"),
            ("text/plain", &announced, "415"),
        ] {
            let head =
                format!("POST /graphql HTTP/1.1\r\nhost: test\r\ncontent-type: {kind}\r\n{length}");
            let mut stream = TcpStream::connect(user.address).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            for _ in 0..size / 65_536 {
                stream.write_all(&[b' '; 65_536]).await.expect(status);
                sleep(Duration::from_millis(2)).await;
            }
            if *length == chunked {
                stream.write_all(b"\r\n0\r\n\r\n").await.expect(status);
            }
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).await.expect(status);
            assert_eq!(answer, *format!("HTTP/1.1 {status}").as_bytes());
            // The connection is whole.
            let next = "GET /healthz HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n";
            stream.write_all(next.as_bytes()).await.unwrap();
            let mut rest = String::new();
            stream.read_to_string(&mut rest).await.unwrap();
            assert!(rest.contains("HTTP/1.1 200"), "{rest}");
        }
    });
}

/// Nobody is known while a body comes, so it must not take long.
#[test]
fn a_body_that_does_not_come_in_time_is_not_waited_for() {
    run(async {
        let sockets = SocketOptions {
            body_within: Duration::from_millis(500),
            ..SocketOptions::default()
        };
        let setup = Setup {
            sockets,
            ..Setup::default()
        };
        let server = Server::with(postgres::database().await, setup).await;
        let user = server.anonymous();
        let head = "POST /graphql HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n";
        for length in ["content-length: 1000", "transfer-encoding: chunked"] {
            let began = Instant::now();
            let silent = format!("{head}{length}\r\n\r\n");
            assert_eq!(raw(&user, silent.as_bytes()).await, "HTTP/1.1 408");
            assert!(began.elapsed() < Duration::from_secs(3));
        }
        // Whoever always sends a little is no better.
        let stream = TcpStream::connect(user.address).await.unwrap();
        let (mut reading, mut writing) = stream.into_split();
        let slow = async {
            let head = format!("{head}transfer-encoding: chunked\r\n\r\n");
            writing.write_all(head.as_bytes()).await.unwrap();
            while writing.write_all(b"1\r\n \r\n").await.is_ok() {
                sleep(Duration::from_millis(50)).await;
            }
        };
        let mut answer = [0; 12];
        tokio::select! {
            () = slow => panic!("it is told before the connection ends"),
            read = reading.read_exact(&mut answer) => assert_eq!(read.unwrap(), 12),
            () = sleep(Duration::from_secs(3)) => panic!("it is waited for"),
        }
        assert_eq!(&answer, b"HTTP/1.1 408");
    });
}

#[test]
fn a_body_may_come_in_pieces_of_one_byte() {
    run(async {
        let server = Server::start().await;
        let head = "POST /graphql HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n";
        let mut chunked = format!("{head}transfer-encoding: chunked\r\n\r\n");
        let body = format!("{{\"query\":\"{{ __typename }}\"{}}}", " ".repeat(50_000));
        for byte in body.chars() {
            chunked.push_str(&format!("1\r\n{byte}\r\n"));
        }
        chunked.push_str("0\r\n\r\n");
        let status = raw(&server.anonymous(), chunked.as_bytes()).await;
        assert_eq!(status, "HTTP/1.1 200");
    });
}

#[test]
fn a_request_has_an_id() {
    run(async {
        let server = Server::start().await;
        let user = server.anonymous();
        let answer = user
            .http("GET", "/healthz", &[("x-request-id", "mine-1")], b"")
            .await;
        assert_eq!(answer.header("x-request-id"), Some("mine-1"));
        let first = user.http("GET", "/healthz", &[], b"").await;
        let second = user.http("GET", "/healthz", &[], b"").await;
        assert_eq!(first.header("x-request-id").unwrap().len(), 36);
        assert_ne!(first.header("x-request-id"), second.header("x-request-id"));
    });
}

const PREFLIGHT: [(&str, &str); 2] = [
    ("access-control-request-method", "POST"),
    (
        "access-control-request-headers",
        "authorization,content-type",
    ),
];

/// The origin that a preflight and a query of `origin` are allowed.
async fn allowed(user: &User, origin: &str) -> (Option<String>, Option<String>) {
    let header = |answer: &Answer| {
        answer
            .header("access-control-allow-origin")
            .map(str::to_owned)
    };
    let origin = ("origin", origin);
    let preflight = [PREFLIGHT[0], PREFLIGHT[1], origin];
    let preflight = user.http("OPTIONS", "/graphql", &preflight, b"").await;
    let body = br#"{"query":"{ __typename }"}"#;
    let query = user.http("POST", "/graphql", &[JSON, origin], body).await;
    (header(&preflight), header(&query))
}

#[test]
fn other_origins_are_not_allowed() {
    run(async {
        let server = Server::start().await;
        let user = server.anonymous();
        assert_eq!(allowed(&user, "http://localhost:5173").await, (None, None));
    });
}

#[test]
fn named_origins_are_allowed() {
    run(async {
        let origins = vec!["http://localhost:5173", "https://chat.example.org"];
        let setup = Setup {
            origins,
            ..Setup::default()
        };
        let server = Server::with(postgres::database().await, setup).await;
        let user = server.anonymous();
        for origin in ["http://localhost:5173", "https://chat.example.org"] {
            let both = Some(origin.to_owned());
            assert_eq!(allowed(&user, origin).await, (both.clone(), both));
        }
        for origin in ["http://localhost", "null", "https://evil.example.org"] {
            assert_eq!(allowed(&user, origin).await, (None, None));
        }
    });
}

#[test]
fn the_other_routes() {
    run(async {
        let server = Server::start().await;
        let user = server.anonymous();
        let get = async |path: &str| user.http("GET", path, &[], b"").await;
        assert_eq!(get("/healthz").await.json(), json!({ "status": "ok" }));
        let ready = get("/readyz").await;
        assert_eq!((ready.status, &ready.json()["status"]), (200, &json!("ok")));
        let page = get("/").await;
        assert_eq!(page.status, 200);
        assert!(
            page.header("content-type")
                .unwrap()
                .starts_with("text/html")
        );
        assert!(page.header("content-security-policy").is_some());
        assert!(String::from_utf8_lossy(&page.body).contains("GraphiQL"));
        for path in [
            "/nothing",
            "/graphql/",
            "/graphiql/nothing",
            "/graphiql/../Cargo.toml",
        ] {
            assert_eq!(get(path).await.status, 404, "{path}");
        }
        assert_eq!(user.http("DELETE", "/graphql", &[], b"").await.status, 405);
    });
}

#[test]
fn a_token_that_is_none_is_refused() {
    run(async {
        let server = Server::start().await;
        let user = server.anonymous();
        let body = br#"{"query":"{ __typename }"}"#;
        for line in ["Bearer x.y.z", "Basic YTpi", "Bearer", ""] {
            let headers = [JSON, ("authorization", line)];
            let answer = user.http("POST", "/graphql", &headers, body).await;
            assert_eq!(
                (answer.status, code(&answer)),
                (401, json!("UNAUTHENTICATED")),
                "{line}"
            );
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
    });
}

/// A fault of ours is a fixed sentence and the request's id, and no word of its cause.
#[test]
fn internal_errors_do_not_leak() {
    run(async {
        let server = Server::start().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.direct(&bob).await;
        let break_it = "ALTER TABLE messages RENAME COLUMN body TO secret_column";
        postgres::sql(&mut server.sql().await, break_it).await;
        let query = "query ($id: ID!) { chat(id: $id) { messages { nodes { id } } } }";
        let body = json!({ "query": query, "variables": { "id": chat } }).to_string();
        let bearer = format!("Bearer {}", alice.token.as_ref().unwrap());
        let headers = [
            JSON,
            ("authorization", &*bearer),
            ("x-request-id", "look-me-up"),
        ];
        let answer = alice
            .http("POST", "/graphql", &headers, body.as_bytes())
            .await;
        let error = answer.json()["errors"][0].clone();
        assert_eq!(error["message"], "Something went wrong on the server.");
        let extensions = json!({ "code": "INTERNAL_SERVER_ERROR", "requestId": "look-me-up" });
        assert_eq!(error["extensions"], extensions);
        let text = String::from_utf8_lossy(&answer.body).to_lowercase();
        for word in ["secret", "select", "body", "does not exist"] {
            assert!(!text.contains(word), "{text}");
        }
    });
}
