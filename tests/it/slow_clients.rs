//! Clients that are slow on purpose, or too large, or too many: each bound of a connection of HTTP/1.1.

use std::time::{Duration, Instant};

use colloquy::http::{HttpOptions, SocketOptions};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::support::server::Setup;
use crate::support::socket::{PATIENCE, Socket};
use crate::support::{Server, postgres, run, until};

async fn with(http: HttpOptions) -> Server {
    let setup = Setup {
        http,
        ..Setup::default()
    };
    Server::with(postgres::database().await, setup).await
}

const HEALTH: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// Whether a request on an open connection is answered.
async fn is_healthy(stream: &mut TcpStream) -> bool {
    stream.write_all(HEALTH).await.ok();
    let mut heard = String::new();
    while !heard.contains(r#"{"status":"ok"}"#) {
        let mut piece = [0; 512];
        let read = timeout(PATIENCE, stream.read(&mut piece)).await.unwrap();
        match read {
            Ok(count) if count > 0 => heard.push_str(std::str::from_utf8(&piece[..count]).unwrap()),
            _ => return false,
        }
    }
    true
}

/// Says a head byte by byte, and how long the server listens to that.
async fn drips(stream: &mut TcpStream) -> Duration {
    let began = Instant::now();
    let (mut reading, mut writing) = stream.split();
    let mut byte = [0];
    let dripping = async {
        writing.write_all(b"GET / HTTP/1.1\r\nhost: ").await.ok();
        while writing.write_all(b"x").await.is_ok() {
            sleep(Duration::from_millis(50)).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = dripping => {}
        _ = timeout(PATIENCE, reading.read(&mut byte)) => {}
    }
    began.elapsed()
}

/// A head has little time, however it comes, and a connection at rest has much.
#[test]
fn a_slow_head_is_cut_off_and_a_rest_is_not() {
    run(async {
        let server = with(HttpOptions {
            head_within: Duration::from_millis(600),
            idle_within: Duration::from_secs(3),
            ..HttpOptions::default()
        })
        .await;
        let connect = async || TcpStream::connect(server.address).await.unwrap();
        let mut slow = connect().await;
        let mut later = connect().await;
        assert!(is_healthy(&mut later).await);
        let mut resting = connect().await;
        assert!(is_healthy(&mut resting).await);
        let rested = Instant::now();
        let (first, second) = tokio::join!(drips(&mut slow), drips(&mut later));
        for took in [first, second] {
            assert!(
                took > Duration::from_millis(500) && took < Duration::from_secs(2),
                "{took:?}"
            );
        }
        sleep(Duration::from_millis(1500).saturating_sub(rested.elapsed())).await;
        assert!(is_healthy(&mut resting).await, "it was cut off at rest");
        let rested = Instant::now();
        let read = timeout(PATIENCE, resting.read(&mut [0; 8])).await.unwrap();
        assert!(matches!(read, Ok(0) | Err(_)));
        let took = rested.elapsed();
        assert!(
            took > Duration::from_secs(2) && took < Duration::from_secs(6),
            "{took:?}"
        );
        until("nothing is left of them", || server.sockets.len() == 1).await;
    });
}

#[test]
fn a_body_has_a_size_and_a_time() {
    run(async {
        let setup = Setup {
            http: HttpOptions {
                body_max: 2048,
                ..HttpOptions::default()
            },
            sockets: SocketOptions {
                body_within: Duration::from_millis(500),
                ..SocketOptions::default()
            },
            ..Setup::default()
        };
        let server = Server::with(postgres::database().await, setup).await;
        let user = server.anonymous();
        for (size, status) in [(1500, 200), (2500, 413)] {
            let query = format!("{{ __typename }} #{}", "x".repeat(size));
            assert_eq!(user.post(&query, json!({})).await.status, status);
        }
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let head = "POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: 1000\r\n\r\n{";
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut heard = [0; 12];
        timeout(PATIENCE, stream.read_exact(&mut heard))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(&heard, b"HTTP/1.1 408");
    });
}

/// What is refused without being looked at.
#[test]
fn heads_have_a_size() {
    run(async {
        let server = Server::start().await;
        let user = server.anonymous();
        let get = async |path: &str, headers: &[(&str, &str)]| {
            user.http("GET", path, headers, b"").await.status
        };
        for (size, status) in [(10_000, 200), (20_000, 431), (60_000, 431), (300_000, 431)] {
            let value = "x".repeat(size);
            assert_eq!(
                get("/healthz", &[("x-large", &value)]).await,
                status,
                "{size}"
            );
        }
        assert_eq!(get("/healthz", &[("x-one-of-many", "1"); 120]).await, 431);
        for (size, status) in [(10_000, 200), (20_000, 414), (70_000, 414)] {
            let query = format!("/graphql?query=%7B__typename%7D%23{}", "x".repeat(size));
            assert_eq!(get(&query, &[]).await, status, "{size}");
        }
    });
}

#[test]
fn a_compressed_request_is_not_taken() {
    run(async {
        let server = Server::start().await;
        let user = server.anonymous();
        let body = br#"{"query":"{ __typename }"}"#;
        let json = ("content-type", "application/json");
        for (encoding, status) in [("identity", 200), ("gzip", 415), ("br", 415)] {
            let headers = [json, ("content-encoding", encoding)];
            let answer = user.http("POST", "/graphql", &headers, body).await;
            assert_eq!(answer.status, status, "{encoding}");
            if status == 415 {
                let code = &answer.json()["errors"][0]["extensions"]["code"];
                assert_eq!(code, "BAD_USER_INPUT");
                assert_eq!(answer.header("accept-encoding"), Some("identity"));
            }
        }
    });
}

/// Whatever a connection has become, it holds its place.
#[test]
fn there_are_only_so_many_connections() {
    run(async {
        let server = with(HttpOptions {
            open_max: 2,
            ..HttpOptions::default()
        })
        .await;
        let alice = server.user("alice");
        let socket = Socket::open(&alice).await;
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        assert!(is_healthy(&mut stream).await);
        let mut third = TcpStream::connect(server.address).await.unwrap();
        let mut heard = String::new();
        let read = third.read_to_string(&mut heard);
        timeout(PATIENCE, read).await.unwrap().unwrap();
        assert!(heard.starts_with("HTTP/1.1 503 "), "{heard}");
        let (head, body) = heard.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())));
        assert!(is_healthy(&mut stream).await);
        drop(socket);
        until("its place is free", || server.connections.open() == 0).await;
        sleep(Duration::from_millis(200)).await;
        let mut third = TcpStream::connect(server.address).await.unwrap();
        assert!(is_healthy(&mut third).await);
    });
}
