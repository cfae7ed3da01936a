//! TLS to clients: everything that is served in the clear is served so too, with the same bounds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use colloquy::http::{Certificates, HttpOptions, SocketOptions};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::support::certificate::Certificate;
use crate::support::server::Setup;
use crate::support::socket::PATIENCE;
use crate::support::{Server, User, postgres, run, until};

const STREAM: &str = "subscription ($chat: ID!, $after: String) {
    chatEvents(chatId: $chat, after: $after) { ... on MessageSent { message { body } } } }";

/// A server in the clear and one with TLS, on one database.
async fn both(certificate: &Certificate, sockets: SocketOptions) -> (Server, Server) {
    let http = HttpOptions {
        head_within: Duration::from_secs(1),
        renew_every: Duration::from_millis(50),
        ..HttpOptions::default()
    };
    let database = postgres::database().await;
    let plain = Server::on(database.clone()).await;
    (plain, secure(database, certificate, http, sockets).await)
}

async fn secure(
    database: colloquy::store::Database,
    certificate: &Certificate,
    http: HttpOptions,
    sockets: SocketOptions,
) -> Server {
    let read = Certificates::read(certificate.file(), certificate.key());
    let http = HttpOptions {
        certificates: Some(Arc::new(read.unwrap())),
        ..http
    };
    let setup = Setup {
        http,
        sockets,
        ..Setup::default()
    };
    Server::with(database, setup).await
}

fn request(user: &User, accept: &str, body: &Value) -> String {
    let (token, body) = (user.token.as_ref().unwrap(), body.to_string());
    format!(
        "POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\naccept: {accept}\r\n\
         authorization: Bearer {token}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Sends a request, and reads until a text has come.
async fn exchange(stream: &mut TlsStream<TcpStream>, request: &str, wanted: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    hear(stream, wanted).await
}

async fn hear(stream: &mut TlsStream<TcpStream>, wanted: &str) -> String {
    let mut heard = String::new();
    while !heard.contains(wanted) {
        let mut piece = [0; 1024];
        let read = timeout(PATIENCE, stream.read(&mut piece)).await;
        let count = read.expect("something in time").unwrap();
        assert!(count > 0, "it ends with {heard}");
        heard.push_str(std::str::from_utf8(&piece[..count]).unwrap());
    }
    heard
}

/// A subscription to what is said in a chat, as a request.
async fn follow(user: &User, chat: &str) -> Value {
    let variables = json!({ "chat": chat, "after": user.event_cursor(chat).await });
    json!({ "query": STREAM, "variables": variables })
}

/// A known WebSocket over TLS.
async fn socket(
    stream: TlsStream<TcpStream>,
    user: &User,
) -> WebSocketStream<TlsStream<TcpStream>> {
    let mut request = "wss://localhost/graphql".into_client_request().unwrap();
    let protocol = "graphql-transport-ws".parse().unwrap();
    let headers = request.headers_mut();
    headers.insert("sec-websocket-protocol", protocol);
    let (mut socket, _) = client_async(request, stream).await.unwrap();
    let line = format!("Bearer {}", user.token.as_ref().unwrap());
    let init = json!({ "type": "connection_init", "payload": { "authorization": line } });
    say(&mut socket, &init).await;
    assert_eq!(next(&mut socket).await["type"], "connection_ack");
    socket
}

async fn say(socket: &mut WebSocketStream<TlsStream<TcpStream>>, message: &Value) {
    let text = Message::text(message.to_string());
    socket.send(text).await.unwrap();
}

async fn next(socket: &mut WebSocketStream<TlsStream<TcpStream>>) -> Value {
    loop {
        let message = timeout(PATIENCE, socket.next()).await.expect("in time");
        if let Message::Text(text) = message.unwrap().unwrap() {
            return serde_json::from_str(&text).unwrap();
        }
    }
}

#[test]
fn requests_streams_and_sockets_are_served() {
    run(async {
        let certificate = Certificate::make();
        let (plain, server) = both(&certificate, SocketOptions::default()).await;
        let (alice, bob) = (plain.user("alice"), plain.user("bob"));
        let chat = alice.group("Team", &[&bob]).await;
        for alpn in [&[][..], &["http/1.1"], &["http/1.1", "h2"]] {
            let mut stream = certificate.connect(&server, alpn).await;
            if alpn.len() < 2 {
                let query = json!({ "query": "{ viewer { id } }" });
                let query = request(&bob, "application/json", &query);
                // Twice on one connection.
                for _ in 0..2 {
                    let answer = exchange(&mut stream, &query, "\"bob\"").await;
                    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
                }
                let health = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
                exchange(&mut stream, health, r#"{"status":"ok"}"#).await;
            } else {
                assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
            }
        }
        let follow = follow(&bob, &chat).await;
        let mut events = certificate.connect(&server, &[]).await;
        let post = request(&bob, "text/event-stream", &follow);
        exchange(&mut events, &post, "retry: 1000").await;
        let mut socket = socket(certificate.connect(&server, &["http/1.1"]).await, &bob).await;
        let subscribe = json!({ "type": "subscribe", "id": "s", "payload": follow });
        say(&mut socket, &subscribe).await;
        for body in ["one", "two"] {
            alice.sends(&chat, body).await;
            hear(&mut events, body).await;
            let message = next(&mut socket).await;
            let message = &message["payload"]["data"]["chatEvents"]["message"];
            assert_eq!(message["body"], body);
        }
        server.stop().await;
    });
}

/// What the kernel does not take waits below TLS as well, and is judged there.
#[test]
fn readers_who_stall_are_given_up() {
    run(async {
        let certificate = Certificate::make();
        let sockets = SocketOptions {
            write_within: Duration::from_millis(500),
            ..SocketOptions::default()
        };
        let (plain, server) = both(&certificate, sockets).await;
        let alice = plain.user("alice");
        let chat = alice.group("Team", &[]).await;
        let follow = follow(&alice, &chat).await;
        let mut events = certificate.connect(&server, &[]).await;
        let post = request(&alice, "text/event-stream", &follow);
        exchange(&mut events, &post, "retry: 1000").await;
        let mut socket = socket(certificate.connect(&server, &[]).await, &alice).await;
        let subscribe = json!({ "type": "subscribe", "id": "s", "payload": follow });
        say(&mut socket, &subscribe).await;
        assert_eq!(server.connections.open(), 2);
        let body = "x".repeat(9_900);
        for _ in 0..80 {
            alice.sends(&chat, &body).await;
        }
        until("both are given up", || server.connections.open() == 0).await;
        until("nothing is left of them", || server.sockets.len() == 1).await;
        drop((events, socket));
    });
}

#[test]
fn a_connection_that_does_not_begin_is_cut_off() {
    run(async {
        let certificate = Certificate::make();
        let (_, server) = both(&certificate, SocketOptions::default()).await;
        let began = Instant::now();
        // The first is silent, the second says a part of a handshake, the third does not ask after it.
        let silent = TcpStream::connect(server.address).await.unwrap();
        let mut partial = TcpStream::connect(server.address).await.unwrap();
        partial.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
        let mut shaken = certificate.connect(&server, &["http/1.1"]).await;
        shaken.write_all(b"POST /gra").await.unwrap();
        for mut stream in [silent, partial] {
            let read = timeout(PATIENCE, stream.read(&mut [0; 64])).await;
            assert!(matches!(read.unwrap(), Ok(0) | Err(_)));
        }
        let read = timeout(PATIENCE, shaken.read(&mut [0; 64])).await;
        assert!(matches!(read.unwrap(), Ok(0) | Err(_)));
        let took = began.elapsed();
        assert!(took < Duration::from_secs(4), "{took:?}");
        // Who speaks in the clear hears an alert of TLS, and no HTTP.
        let mut clear = TcpStream::connect(server.address).await.unwrap();
        clear.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let mut heard = Vec::new();
        timeout(PATIENCE, clear.read_to_end(&mut heard))
            .await
            .unwrap()
            .ok();
        assert!(!heard.starts_with(b"HTTP"), "{heard:?}");
    });
}

#[test]
fn a_new_certificate_is_served_and_a_bad_one_is_not() {
    run(async {
        let (first, second, third) = (
            Certificate::make(),
            Certificate::make(),
            Certificate::make(),
        );
        let served = first.der();
        let (certificate, key) = (first.file(), first.key());
        let (plain, server) = both(&first, SocketOptions::default()).await;
        let bob = plain.user("bob");
        let query = json!({ "query": "{ viewer { id } }" });
        let query = request(&bob, "application/json", &query);
        let mut open = first.connect(&server, &[]).await;
        exchange(&mut open, &query, "\"bob\"").await;
        // The certificate of one with the key of another.
        let trusting = Certificate::make();
        std::fs::copy(&certificate, trusting.file()).unwrap();
        std::fs::copy(third.file(), &certificate).unwrap();
        sleep(Duration::from_millis(300)).await;
        let stream = trusting.connect(&server, &[]).await;
        assert_eq!(stream.get_ref().1.peer_certificates().unwrap()[0], served);
        // A file that is gone.
        std::fs::remove_file(&certificate).unwrap();
        sleep(Duration::from_millis(300)).await;
        trusting.connect(&server, &[]).await;
        second.replaces(&certificate, &key);
        sleep(Duration::from_millis(300)).await;
        let stream = second.connect(&server, &[]).await;
        assert_eq!(
            stream.get_ref().1.peer_certificates().unwrap()[0],
            second.der()
        );
        // Who was connected goes on.
        exchange(&mut open, &query, "\"bob\"").await;
    });
}

#[test]
fn what_is_wrong_with_a_certificate_is_said() {
    let (one, other) = (Certificate::make(), Certificate::make());
    let said = |certificate, key| {
        Certificates::read(certificate, key)
            .unwrap_err()
            .to_string()
    };
    let mismatch = said(one.file(), other.key());
    assert!(
        mismatch.contains("does not fit the certificate"),
        "{mismatch}"
    );
    let swapped = said(one.key(), one.file());
    assert!(swapped.contains("has no certificate in PEM"), "{swapped}");
    let twice = said(one.file(), one.file());
    assert!(twice.contains("has no private key in PEM"), "{twice}");
    let gone = said(one.file().with_extension("gone"), one.key());
    assert!(gone.contains("cannot be read"), "{gone}");
}
