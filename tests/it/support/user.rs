//! A user of the API.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use colloquy::app::{App, Claims};
use colloquy::model::UserId;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::server::Server;
use super::socket::{Events, Socket};

/// A user who speaks to one server.
#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) id: String,
    pub(crate) address: SocketAddr,
    pub(crate) token: Option<String>,
    app: Arc<App>,
}

/// An HTTP answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("no JSON: {}", String::from_utf8_lossy(&self.body)))
    }

    /// A header's value; the name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

impl User {
    pub(crate) fn new(server: &Server, id: &str, tenant: Option<&str>) -> Self {
        let app = Arc::clone(&server.app);
        let mut user = Self {
            id: id.to_owned(),
            address: server.address,
            token: None,
            app,
        };
        let mut claims = user.claims();
        claims.tenant = tenant.map(str::to_owned);
        user.token = Some(user.sign(&claims));
        user
    }

    pub(crate) fn anonymous(server: &Server) -> Self {
        Self {
            id: String::new(),
            address: server.address,
            token: None,
            app: Arc::clone(&server.app),
        }
    }

    /// The same user on another server of the same database.
    pub(crate) fn at(&self, server: &Server) -> Self {
        Self {
            address: server.address,
            app: Arc::clone(&server.app),
            ..self.clone()
        }
    }

    /// The same user at another address of the same server.
    pub(crate) fn on(&self, address: SocketAddr) -> Self {
        Self {
            address,
            ..self.clone()
        }
    }

    /// The same user with another token.
    pub(crate) fn with_token(&self, token: impl Into<String>) -> Self {
        Self {
            token: Some(token.into()),
            ..self.clone()
        }
    }

    /// The claims of this user's usual token.
    #[expect(clippy::disallowed_methods, reason = "tests are another issuer")]
    pub(crate) fn claims(&self) -> Claims {
        let subject = UserId::new("x").unwrap();
        let claims = Claims::new(&subject, Utc::now(), Duration::from_secs(600));
        Claims {
            sub: self.id.clone(),
            ..claims
        }
    }

    pub(crate) fn sign(&self, claims: &Claims) -> String {
        self.app.tokens.make(claims).unwrap()
    }

    /// Sends any HTTP request and reads the answer to its end.
    pub(crate) async fn http(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        request(self.address, method, path, headers, body).await
    }

    /// Executes a request and returns the whole answer.
    pub(crate) async fn post(&self, query: &str, variables: Value) -> Answer {
        self.send(&json!({ "query": query, "variables": variables }))
            .await
    }

    /// Sends a body as it is and returns the whole answer.
    pub(crate) async fn send(&self, body: &Value) -> Answer {
        let body = body.to_string();
        let token = self.token.as_ref().map(|token| format!("Bearer {token}"));
        let mut headers = vec![("content-type", "application/json")];
        if let Some(token) = &token {
            headers.push(("authorization", token));
        }
        self.http("POST", "/graphql", &headers, body.as_bytes())
            .await
    }

    /// Executes a request and returns `data`, of which there are no errors.
    pub(crate) async fn ask(&self, query: &str, variables: Value) -> Value {
        let json = self.post(query, variables).await.json();
        assert_eq!(json.get("errors"), None, "{query}: {json}");
        json["data"].clone()
    }

    /// Executes a request and returns its top-level errors' codes.
    pub(crate) async fn codes(&self, query: &str, variables: Value) -> Vec<String> {
        let json = self.post(query, variables).await.json();
        let errors = json["errors"].as_array().cloned().unwrap_or_default();
        let code = |error: &Value| error["extensions"]["code"].as_str().unwrap().to_owned();
        errors.iter().map(code).collect()
    }

    /// Runs a mutation with one input and returns its payload, whatever its user errors.
    pub(crate) async fn mutate(&self, mutation: &str, fields: &str, input: Value) -> Value {
        let mut name = mutation.to_owned();
        name[..1].make_ascii_uppercase();
        let query = format!(
            "mutation ($input: {name}Input!) {{ {mutation}(input: $input) {{ {fields} \
             userErrors {{ code message field }} }} }}"
        );
        self.ask(&query, json!({ "input": input })).await[mutation].clone()
    }

    /// Runs a mutation that succeeds, and returns its payload.
    pub(crate) async fn does(&self, mutation: &str, fields: &str, input: Value) -> Value {
        let payload = self.mutate(mutation, fields, input).await;
        assert_eq!(payload["userErrors"], json!([]), "{mutation}");
        payload
    }

    /// Runs a mutation that is refused, and returns the code and the field of the one user error.
    pub(crate) async fn refused(&self, mutation: &str, input: Value) -> (String, Value) {
        let payload = self.mutate(mutation, "", input).await;
        let errors = payload["userErrors"].as_array().unwrap();
        assert_eq!(errors.len(), 1, "{mutation}: {payload}");
        let code = errors[0]["code"].as_str().unwrap().to_owned();
        (code, errors[0]["field"].clone())
    }

    /// Makes a group with others, and returns its id.
    pub(crate) async fn group(&self, title: &str, others: &[&User]) -> String {
        let ids: Vec<&str> = others.iter().map(|user| user.id.as_str()).collect();
        let input = json!({ "title": title, "participantIds": ids });
        let payload = self.does("createGroupChat", "chat { id }", input).await;
        payload["chat"]["id"].as_str().unwrap().to_owned()
    }

    /// Opens the direct chat with another, and returns its id.
    pub(crate) async fn direct(&self, other: &User) -> String {
        let input = json!({ "userId": other.id });
        let payload = self.does("openDirectChat", "chat { id }", input).await;
        payload["chat"]["id"].as_str().unwrap().to_owned()
    }

    /// Sends a message, and returns its id.
    pub(crate) async fn sends(&self, chat: &str, body: &str) -> String {
        let input = json!({ "chatId": chat, "body": body });
        let payload = self.does("sendMessage", "message { id }", input).await;
        payload["message"]["id"].as_str().unwrap().to_owned()
    }

    /// One field of a chat, as this user sees it.
    pub(crate) async fn chat(&self, chat: &str, fields: &str) -> Value {
        let query = format!("query ($id: ID!) {{ chat(id: $id) {{ {fields} }} }}");
        self.ask(&query, json!({ "id": chat })).await["chat"].clone()
    }

    /// The cursor at which a chat's log stands.
    pub(crate) async fn event_cursor(&self, chat: &str) -> String {
        let chat = self.chat(chat, "eventCursor").await;
        chat["eventCursor"].as_str().unwrap().to_owned()
    }

    /// The cursor before a chat's first event.
    pub(crate) async fn start_cursor(&self, chat: &str) -> String {
        let chat = self.chat(chat, "eventStartCursor").await;
        chat["eventStartCursor"].as_str().unwrap().to_owned()
    }

    /// A socket on which this user is known.
    pub(crate) async fn socket(&self) -> Socket {
        Socket::open(self).await
    }

    /// Follows a chat's events on a socket of its own.
    pub(crate) async fn follows(&self, chat: &str, after: Option<&str>) -> Events {
        Events::of_chat(self, chat, after).await
    }

    /// Follows the updates of this user's chats on a socket of its own.
    pub(crate) async fn follows_chats(&self) -> Events {
        Events::of_updates(self).await
    }
}

/// Sends any HTTP request and reads the answer to its end.
pub(crate) async fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    request_of("test", address, method, path, headers, body).await
}

/// The same of a server that goes by this name.
pub(crate) async fn request_of(
    host: &str,
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // Else the body waits until the head is acknowledged.
    stream.set_nodelay(true).unwrap();
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if method != "GET" {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    // A server that refuses early may close before it took the whole body.
    stream.write_all(body).await.ok();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.ok();
    parse(&bytes)
}

fn parse(bytes: &[u8]) -> Answer {
    let end = bytes
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap_or_else(|| panic!("no HTTP: {}", String::from_utf8_lossy(bytes)));
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let mut body = bytes[end + 4..].to_vec();
    if head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked")
    {
        body = unchunk(&body);
    }
    Answer { status, head, body }
}

fn unchunk(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = bytes.windows(2).position(|window| window == b"\r\n") {
        let size = std::str::from_utf8(&bytes[..end]).unwrap();
        let size = usize::from_str_radix(size.trim(), 16).unwrap();
        if size == 0 {
            break;
        }
        body.extend_from_slice(&bytes[end + 2..end + 2 + size]);
        bytes = &bytes[end + 4 + size..];
    }
    body
}
