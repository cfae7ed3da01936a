//! A client of RFC 6455 by hand: it can be wrong, and it can stop reading.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

use super::socket::PATIENCE;
use super::user::User;

/// Kinds of frames.
pub(crate) const TEXT: u8 = 1;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// A WebSocket, frame by frame.
#[derive(Debug)]
pub(crate) struct Frames(TcpStream);

impl Frames {
    /// Upgrades a connection whose receive buffer is small, so that it is soon full.
    pub(crate) async fn connect(user: &User) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4 * 1024).unwrap();
        let mut stream = socket.connect(user.address).await.unwrap();
        let request = "GET /graphql HTTP/1.1\r\nhost: test\r\nconnection: keep-alive, Upgrade\r\n\
             upgrade: WebSocket\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             sec-websocket-protocol: other, graphql-transport-ws\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 101"), "{head}");
        // The key of RFC 6455, section 1.3.
        assert!(head.contains("s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
        assert!(
            head.contains("sec-websocket-protocol: graphql-transport-ws"),
            "{head}"
        );
        Self(stream)
    }

    /// Connects and makes the user known.
    pub(crate) async fn open(user: &User) -> Self {
        let mut frames = Self::connect(user).await;
        let line = format!("Bearer {}", user.token.as_ref().unwrap());
        let init = json!({ "type": "connection_init", "payload": { "authorization": line } });
        frames.say(&init).await;
        assert_eq!(frames.hear().await, json!({ "type": "connection_ack" }));
        frames
    }

    /// Sends a frame with a mask, as a client does.
    pub(crate) async fn send(&mut self, last: bool, kind: u8, payload: &[u8]) {
        let mut frame = vec![if last { 0x80 | kind } else { kind }];
        match payload.len() {
            short @ 0..126 => frame.push(0x80 | u8::try_from(short).unwrap()),
            middle @ 126..65_536 => {
                frame.push(0x80 | 126);
                frame.extend(u16::try_from(middle).unwrap().to_be_bytes());
            }
            long => {
                frame.push(0x80 | 127);
                frame.extend(u64::try_from(long).unwrap().to_be_bytes());
            }
        }
        let mask = [1, 2, 3, 4];
        frame.extend(mask);
        frame.extend(
            payload
                .iter()
                .zip(mask.iter().cycle())
                .map(|(byte, mask)| byte ^ mask),
        );
        self.raw(&frame).await;
    }

    /// Sends bytes as they are. A server that closes early may not take them all.
    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.ok();
    }

    pub(crate) async fn say(&mut self, message: &Value) {
        self.send(true, TEXT, message.to_string().as_bytes()).await;
    }

    pub(crate) async fn subscribe(&mut self, id: &str, query: &str, variables: Value) {
        let payload = json!({ "query": query, "variables": variables });
        self.say(&json!({ "type": "subscribe", "id": id, "payload": payload }))
            .await;
    }

    /// The next frame: its kind and payload; `None` where the connection has ended.
    pub(crate) async fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        timeout(PATIENCE, self.frame())
            .await
            .expect("a frame in time")
    }

    /// The next message, read in pieces with pauses.
    pub(crate) async fn hear_slowly(&mut self, pause: Duration) -> Value {
        let (kind, payload) = self.paced_frame(pause).await.expect("a message");
        assert_eq!(kind, TEXT, "{payload:?}");
        serde_json::from_slice(&payload).unwrap()
    }

    async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        self.paced_frame(Duration::ZERO).await
    }

    async fn paced_frame(&mut self, pause: Duration) -> Option<(u8, Vec<u8>)> {
        let head = self.0.read_u8().await.ok()?;
        assert_eq!(head & 0xf0, 0x80, "a server's message is one frame");
        let length = match self.0.read_u8().await.ok()? {
            126 => u64::from(self.0.read_u16().await.ok()?),
            127 => self.0.read_u64().await.ok()?,
            short => u64::from(short),
        };
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        for piece in payload.chunks_mut(10_000) {
            self.0.read_exact(piece).await.ok()?;
            if !pause.is_zero() {
                sleep(pause).await;
            }
        }
        Some((head & 0x0f, payload))
    }

    /// The next message.
    pub(crate) async fn hear(&mut self) -> Value {
        loop {
            let (kind, payload) = self.next().await.expect("a message");
            if kind == TEXT {
                return serde_json::from_slice(&payload).unwrap();
            }
            assert_ne!(kind, CLOSE, "{payload:?}");
        }
    }

    /// The messages up to the end, and the code of the close, if there is one.
    pub(crate) async fn rest(&mut self) -> (Vec<Value>, Option<u16>) {
        let mut messages = Vec::new();
        while let Some((kind, payload)) = self.next().await {
            match kind {
                TEXT => messages.push(serde_json::from_slice(&payload).unwrap()),
                CLOSE => {
                    let code = u16::from_be_bytes([payload[0], payload[1]]);
                    return (messages, Some(code));
                }
                _ => {}
            }
        }
        (messages, None)
    }

    /// Whether the server ends the connection without a word within a time.
    pub(crate) async fn is_dropped(&mut self, within: Duration) -> bool {
        let ends = async { while self.frame().await.is_some_and(|(kind, _)| kind != CLOSE) {} };
        timeout(within, ends).await.is_ok()
    }
}
