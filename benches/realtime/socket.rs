//! A cheap WebSocket: `graphql-transport-ws` over frames of our own, one subscription a connection.

use std::net::SocketAddr;
use std::ops::Range;

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How much is read at once.
const READ: usize = 4 * 1024;

const UPGRADE: &[u8] = b"GET /graphql HTTP/1.1\r\nhost: bench\r\nconnection: Upgrade\r\n\
    upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    sec-websocket-protocol: graphql-transport-ws\r\n\r\n";

/// What a subscriber asks for: an event's cursor, and the message as a client shows it.
pub(crate) const FOR_ALL: &str = "subscription Follow($chat: ID!, $after: String) { \
    chatEvents(chatId: $chat, after: $after) { cursor ... on MessageSent { \
    message { body id createdAt sender { id displayName } } } } }";

/// The same with what is the viewer's own, so that each answer is one subscriber's alone.
pub(crate) const FOR_EACH: &str = "subscription Follow($chat: ID!, $after: String) { \
    chatEvents(chatId: $chat, after: $after) { cursor ... on MessageSent { \
    message { body id createdAt sender { id displayName } } chat { unreadCount } } } }";

const UPDATES: &str = "subscription { chatUpdates { kind chat { id title unreadCount } } }";

/// One connection.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    /// What was read and not heard yet.
    unheard: Vec<u8>,
}

impl Socket {
    /// Connects, upgrades, and is acknowledged.
    pub(crate) async fn open(address: SocketAddr, token: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut socket = Self {
            stream,
            unheard: Vec::with_capacity(READ),
        };
        socket.stream.write_all(UPGRADE).await?;
        let end = loop {
            socket.read().await?;
            let text = &socket.unheard;
            if let Some(at) = text.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
        };
        let upgraded = socket.unheard.starts_with(b"HTTP/1.1 101 ");
        ensure!(upgraded, "{}", String::from_utf8_lossy(&socket.unheard));
        socket.unheard.drain(..end);
        let payload = json!({ "authorization": format!("Bearer {token}") });
        socket
            .say(&json!({ "type": "connection_init", "payload": payload }))
            .await?;
        let mut acknowledged = false;
        while !acknowledged {
            let hear = |text: &[u8]| {
                acknowledged = text == br#"{"type":"connection_ack"}"#;
                ensure!(acknowledged, "{}", String::from_utf8_lossy(text));
                Ok(())
            };
            socket.hear(hear).await?;
        }
        Ok(socket)
    }

    /// Follows a chat from behind a cursor.
    pub(crate) async fn subscribe(&mut self, query: &str, chat: &str, after: &str) -> Result<()> {
        let variables = json!({ "chat": chat, "after": after });
        self.ask(query, &variables).await
    }

    /// Follows the state of all of a person's chats.
    pub(crate) async fn subscribe_to_all(&mut self) -> Result<()> {
        self.ask(UPDATES, &json!({})).await
    }

    /// Asks for something, in the place of what was asked before.
    pub(crate) async fn ask(&mut self, query: &str, variables: &Value) -> Result<()> {
        let payload = json!({ "query": query, "variables": variables });
        let message = json!({ "type": "subscribe", "id": "1", "payload": payload });
        self.say(&message).await
    }

    /// Waits until something comes, and hands the texts over, if it is some.
    pub(crate) async fn hear(&mut self, mut hear: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        if self.unheard.is_empty() {
            self.read().await?;
        }
        let (mut at, mut pings) = (0, 0);
        while let Some((opcode, payload)) = frame(self.unheard.get(at..).unwrap_or_default())? {
            let payload = at + payload.start..at + payload.end;
            at = payload.end;
            match opcode {
                0x81 => hear(self.unheard.get(payload).unwrap_or_default())?,
                0x89 => pings += 1,
                _ => bail!("{:?}", String::from_utf8_lossy(&self.unheard)),
            }
        }
        let whole = at > 0;
        self.unheard.drain(..at);
        for _ in 0..pings {
            self.stream.write_all(&[0x8A, 0x80, 0, 0, 0, 0]).await?;
        }
        if !whole {
            self.read().await?;
        }
        Ok(())
    }

    async fn say(&mut self, message: &Value) -> Result<()> {
        let text = message.to_string();
        // A mask of zeros changes nothing of the text (RFC 6455, section 5.3).
        let mut frame = vec![0x81];
        if let Some(short) = u8::try_from(text.len()).ok().filter(|length| *length < 126) {
            frame.push(0x80 | short);
        } else {
            frame.push(0xFE);
            frame.extend_from_slice(&u16::try_from(text.len())?.to_be_bytes());
        }
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(text.as_bytes());
        Ok(self.stream.write_all(&frame).await?)
    }

    async fn read(&mut self) -> Result<()> {
        self.unheard.reserve(READ);
        let count = self.stream.read_buf(&mut self.unheard).await?;
        ensure!(count > 0, "the server closed a socket");
        Ok(())
    }
}

/// The first byte of a frame and where its payload stands; `None` where it has not come whole.
fn frame(bytes: &[u8]) -> Result<Option<(u8, Range<usize>)>> {
    let (head, length) = match bytes {
        [_, 126, high, low, ..] => (4, u16::from_be_bytes([*high, *low]).into()),
        [_, 127, ..] => bail!("a frame of more than 64 KiB"),
        [_, length, ..] if *length < 126 => (2, usize::from(*length)),
        _ => return Ok(None),
    };
    let first = bytes.first().copied().unwrap_or_default();
    let whole = bytes.len() >= head + length;
    Ok(whole.then_some((first, head..head + length)))
}
