//! A client of Socket.IO: of version 5, over Engine.IO 4 and a WebSocket, as far as tests need it.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::socket::PATIENCE;
use super::user::User;

/// A connection.
#[derive(Debug)]
pub(crate) struct SocketIo {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// What the server said first.
    pub(crate) open: Value,
    acks: u64,
    /// Events that came while something else was waited for.
    events: Vec<(String, Value)>,
}

/// A packet of the server's.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Packet {
    Ping,
    Connected(Value),
    Refused(Value),
    Event(String, Value),
    Ack(u64, Value),
    Other(String),
    Closed(u16),
}

impl SocketIo {
    /// Connects and says nothing yet.
    pub(crate) async fn connect(user: &User) -> Self {
        let url = format!("ws://{}/socket.io/?EIO=4&transport=websocket", user.address);
        let (mut socket, _) = connect_async(url).await.unwrap();
        let first = timeout(PATIENCE, socket.next()).await.unwrap();
        let text = first.unwrap().unwrap().into_text().unwrap();
        let open = text.strip_prefix('0').expect("a packet `open`");
        Self {
            open: serde_json::from_str(open).unwrap(),
            socket,
            acks: 0,
            events: Vec::new(),
        }
    }

    /// Says who it is, and returns what the server says to that.
    pub(crate) async fn introduce(&mut self, auth: Value) -> Packet {
        self.say(&format!("40{auth}")).await;
        self.packet().await
    }

    /// Connects as a user.
    pub(crate) async fn open(user: &User) -> Self {
        let mut client = Self::connect(user).await;
        let answer = client.introduce(json!({ "token": user.token })).await;
        assert!(matches!(answer, Packet::Connected(_)), "{answer:?}");
        client
    }

    pub(crate) async fn say(&mut self, text: &str) {
        // The server may have closed already, which is heard next.
        self.socket.send(Message::text(text)).await.ok();
    }

    pub(crate) async fn say_bytes(&mut self, bytes: &'static [u8]) {
        self.socket.send(Message::binary(bytes)).await.ok();
    }

    /// The next packet.
    pub(crate) async fn packet(&mut self) -> Packet {
        let next = async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Text(text))) => return read(&text),
                    Some(Ok(Message::Close(Some(frame)))) => {
                        return Packet::Closed(frame.code.into());
                    }
                    Some(Ok(Message::Close(None)) | Err(_)) | None => return Packet::Closed(1006),
                    Some(Ok(_)) => {}
                }
            }
        };
        timeout(PATIENCE, next).await.expect("a packet in time")
    }

    /// Emits an event, and returns its acknowledgement.
    #[expect(clippy::wildcard_enum_match_arm, reason = "nothing else is expected")]
    pub(crate) async fn emit(&mut self, name: &str, argument: Value) -> Value {
        let number = self.acks;
        self.acks += 1;
        self.say(&format!("42{number}{}", json!([name, argument])))
            .await;
        loop {
            match self.packet().await {
                Packet::Ack(other, value) if other == number => return value,
                Packet::Event(name, value) => self.events.push((name, value)),
                Packet::Ping => self.say("3").await,
                other => panic!("{name}: {other:?}"),
            }
        }
    }

    /// Emits an event that succeeds.
    pub(crate) async fn does(&mut self, name: &str, argument: Value) -> Value {
        let outcome = self.emit(name, argument).await;
        assert_eq!(outcome["ok"], true, "{name}: {outcome}");
        outcome
    }

    /// Emits an event that is refused, and returns the code.
    pub(crate) async fn refused(&mut self, name: &str, argument: Value) -> String {
        let outcome = self.emit(name, argument).await;
        assert_eq!(outcome["ok"], false, "{name}: {outcome}");
        outcome["error"]["code"].as_str().unwrap().to_owned()
    }

    /// The next event.
    #[expect(clippy::wildcard_enum_match_arm, reason = "nothing else is expected")]
    pub(crate) async fn event(&mut self) -> (String, Value) {
        if !self.events.is_empty() {
            return self.events.remove(0);
        }
        loop {
            match self.packet().await {
                Packet::Event(name, value) => return (name, value),
                Packet::Ping => self.say("3").await,
                other => panic!("{other:?}"),
            }
        }
    }

    /// The next events, all of one name.
    pub(crate) async fn take(&mut self, name: &str, count: usize) -> Vec<Value> {
        let mut taken = Vec::with_capacity(count);
        for _ in 0..count {
            let (other, value) = self.event().await;
            assert_eq!(other, name, "{value}");
            taken.push(value);
        }
        taken
    }

    /// Whether no event comes for a while.
    pub(crate) async fn is_quiet(&mut self, time: Duration) -> bool {
        self.events.is_empty() && timeout(time, self.event()).await.is_err()
    }

    /// The code with which the server closes, whatever it says before.
    pub(crate) async fn closed(&mut self) -> u16 {
        loop {
            if let Packet::Closed(code) = self.packet().await {
                return code;
            }
        }
    }
}

fn read(text: &str) -> Packet {
    let json = |text: &str| -> Value { serde_json::from_str(text).unwrap() };
    if text == "2" {
        return Packet::Ping;
    }
    if let Some(rest) = text.strip_prefix("40") {
        return Packet::Connected(json(rest));
    }
    if let Some(rest) = text.strip_prefix("44{") {
        return Packet::Refused(json(&format!("{{{rest}")));
    }
    if let Some(rest) = text.strip_prefix("42") {
        let event = json(rest);
        assert_eq!(event.as_array().map(Vec::len), Some(2), "{event}");
        return Packet::Event(event[0].as_str().unwrap().to_owned(), event[1].clone());
    }
    if let Some(rest) = text.strip_prefix("43") {
        let (number, rest) = rest.split_once('[').unwrap();
        let value = json(&format!("[{rest}"));
        return Packet::Ack(number.parse().unwrap(), value[0].clone());
    }
    Packet::Other(text.to_owned())
}
