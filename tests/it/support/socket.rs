//! A client of the WebSocket protocol.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::user::User;

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A WebSocket.
#[derive(Debug)]
pub(crate) struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    /// Connects with a subprotocol and says nothing yet.
    pub(crate) async fn connect(user: &User, protocol: Option<&str>) -> Self {
        let url = format!("ws://{}/graphql", user.address);
        let mut request = url.into_client_request().unwrap();
        if let Some(protocol) = protocol {
            let value = protocol.parse().unwrap();
            request
                .headers_mut()
                .insert("sec-websocket-protocol", value);
        }
        let (socket, _) = connect_async(request).await.unwrap();
        Self(socket)
    }

    /// Connects and makes the user known.
    pub(crate) async fn open(user: &User) -> Self {
        let mut socket = Self::connect(user, Some("graphql-transport-ws")).await;
        let payload = match &user.token {
            Some(token) => json!({ "Authorization": format!("Bearer {token}") }),
            None => json!({}),
        };
        socket
            .say(json!({ "type": "connection_init", "payload": payload }))
            .await;
        assert_eq!(socket.hear().await["type"], "connection_ack");
        socket
    }

    pub(crate) async fn say(&mut self, message: Value) {
        let text = message.to_string();
        self.0.send(Message::Text(text.into())).await.unwrap();
    }

    pub(crate) async fn say_text(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    pub(crate) async fn say_bytes(&mut self, bytes: &'static [u8]) {
        self.0.send(Message::binary(bytes)).await.unwrap();
    }

    pub(crate) async fn subscribe(&mut self, id: &str, query: &str, variables: Value) {
        let payload = json!({ "query": query, "variables": variables });
        self.say(json!({ "type": "subscribe", "id": id, "payload": payload }))
            .await;
    }

    /// The next message, or the code and reason of the close.
    pub(crate) async fn next(&mut self) -> Result<Value, (u16, String)> {
        let wait = async {
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Text(text))) => {
                        return Ok(serde_json::from_str(&text).unwrap());
                    }
                    Some(Ok(Message::Close(Some(frame)))) => {
                        return Err((frame.code.into(), frame.reason.to_string()));
                    }
                    Some(Ok(Message::Close(None)) | Err(_)) | None => {
                        return Err((1006, String::new()));
                    }
                    Some(Ok(_)) => {}
                }
            }
        };
        timeout(PATIENCE, wait).await.expect("a message in time")
    }

    /// The next message.
    pub(crate) async fn hear(&mut self) -> Value {
        self.next().await.expect("a message, not a close")
    }

    /// The code with which the server closes, whatever it says before.
    pub(crate) async fn closed(&mut self) -> u16 {
        loop {
            if let Err((code, _)) = self.next().await {
                return code;
            }
        }
    }

    /// Whether nothing comes for a while.
    pub(crate) async fn is_quiet(&mut self, time: Duration) -> bool {
        timeout(time, self.0.next()).await.is_err()
    }
}

/// One subscription on a socket of its own.
#[derive(Debug)]
pub(crate) struct Events {
    pub(crate) socket: Socket,
    field: &'static str,
}

/// What tests look at in an event.
const EVENT: &str = "__typename cursor occurredAt actor { id }
    ... on MessageSent { message { id body deletedAt editedAt } }
    ... on MessageEdited { message { id body } }
    ... on MessageDeleted { message { id body deletedAt } }
    ... on MessageRestored { message { id body } }
    ... on ParticipantAdded { user { id } role }
    ... on ParticipantRemoved { user { id } }
    ... on ParticipantRoleChanged { user { id } role }
    ... on ChatRenamed { title }
    ... on ChatHistoryChanged { history }
    ... on ChatMetadataChanged { metadata }
    ... on ChatExternalReferenceChanged { externalReference { channelType channelId } }";

/// What tests look at in a signal.
const SIGNAL: &str = "__typename chat { id } user { id }
    ... on TypingStarted { expiresAt }
    ... on ReadMarkMoved { message { body } participant { lastReadMessage { body } } }
    ... on DeliveryMarkMoved { message { body } participant { lastDeliveredMessage { body } } }
    ... on PresenceChanged { presence { status lastSeenAt } }";

impl Events {
    pub(crate) async fn of_chat(user: &User, chat: &str, after: Option<&str>) -> Self {
        let query = format!(
            "subscription ($chat: ID!, $after: String) {{ chatEvents(chatId: $chat, after: $after) {{ {EVENT} }} }}"
        );
        let variables = json!({ "chat": chat, "after": after });
        let mut socket = Socket::open(user).await;
        socket.subscribe("s", &query, variables).await;
        // The protocol has no "subscribed": a pong behind the subscription is as near as one gets.
        socket.say(json!({ "type": "ping" })).await;
        let field = "chatEvents";
        let mut events = Self { socket, field };
        if after.is_none() {
            events.settle().await;
        }
        events
    }

    pub(crate) async fn of_updates(user: &User) -> Self {
        let query = "subscription { chatUpdates { kind chatId chat { id title deletedAt unreadCount lastMessage { body } viewerParticipant { role lastReadMessage { id } } } } }";
        let mut socket = Socket::open(user).await;
        socket.subscribe("s", query, json!({})).await;
        let field = "chatUpdates";
        let mut events = Self { socket, field };
        events.settle().await;
        events
    }

    pub(crate) async fn of_signals(user: &User, chat: &str) -> Self {
        let query =
            format!("subscription ($chat: ID!) {{ chatSignals(chatId: $chat) {{ {SIGNAL} }} }}");
        let mut socket = Socket::open(user).await;
        socket.subscribe("s", &query, json!({ "chat": chat })).await;
        let field = "chatSignals";
        let mut events = Self { socket, field };
        events.settle().await;
        events
    }

    /// Lets the server take up a subscription that starts "now".
    async fn settle(&mut self) {
        tokio::time::sleep(Duration::from_millis(300)).await;
    }

    /// The next item.
    pub(crate) async fn next(&mut self) -> Value {
        let message = self.message().await;
        assert_eq!(message["type"], "next", "{message}");
        assert_eq!(message["payload"].get("errors"), None, "{message}");
        message["payload"]["data"][self.field].clone()
    }

    /// The next items.
    pub(crate) async fn take(&mut self, count: usize) -> Vec<Value> {
        let mut items = Vec::with_capacity(count);
        while items.len() < count {
            items.push(self.next().await);
        }
        items
    }

    /// The items up to the first that is as wanted, which is the last of them.
    pub(crate) async fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut items = Vec::new();
        while !items.last().is_some_and(&wanted) {
            items.push(self.next().await);
        }
        items
    }

    /// The next message about the subscription.
    pub(crate) async fn message(&mut self) -> Value {
        loop {
            let message = self.socket.hear().await;
            if message["type"] != "pong" {
                return message;
            }
        }
    }

    /// Waits for the stream's end.
    pub(crate) async fn ends(&mut self) {
        assert_eq!(self.message().await["type"], "complete");
    }

    /// The code of the error that ends the stream.
    pub(crate) async fn fails(&mut self) -> String {
        let message = self.message().await;
        assert_eq!(message["type"], "error", "{message}");
        message["payload"][0]["extensions"]["code"]
            .as_str()
            .unwrap()
            .to_owned()
    }
}

/// The bodies of sent messages.
pub(crate) fn bodies(events: &[Value]) -> Vec<String> {
    let body = |event: &Value| {
        event["message"]["body"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    events.iter().map(body).collect()
}

/// The types of events.
pub(crate) fn kinds(events: &[Value]) -> Vec<String> {
    let kind = |event: &Value| event["__typename"].as_str().unwrap().to_owned();
    events.iter().map(kind).collect()
}
