//! A client that expects nothing of the network: every call may fail, and says so.

use std::net::SocketAddr;
use std::time::Duration;

use chrono::Utc;
use colloquy::app::{Claims, Tokens};
use colloquy::model::UserId;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::history::Millis;
use crate::process::SECRET;

/// How long a request may take before the client gives it up.
const PATIENCE: Duration = Duration::from_millis(1500);

/// The time.
pub(crate) fn now() -> Millis {
    Utc::now().timestamp_millis()
}

/// A token that outlives every run.
pub(crate) fn token(user: &str) -> String {
    let tokens = Tokens::new(&SecretString::from(SECRET), Duration::ZERO);
    let user = UserId::new(user).unwrap();
    let claims = Claims::new(&user, Utc::now(), Duration::from_secs(7 * 24 * 3600));
    tokens.make(&claims).unwrap()
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    /// It was done, or refused for a reason of the user's own (then there are user errors in it).
    Data(Value),
    /// It may or may not have been done: ask again.
    Again,
    /// What no client should ever get.
    Fault(String),
}

/// A user.
#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) id: String,
    pub(crate) token: String,
}

impl User {
    pub(crate) fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            token: token(id),
        }
    }

    /// Executes a request once.
    pub(crate) async fn ask(&self, server: SocketAddr, query: &str, variables: &Value) -> Answer {
        let body = json!({ "query": query, "variables": variables }).to_string();
        let request = format!(
            "POST /graphql HTTP/1.1\r\nhost: faults\r\nconnection: close\r\n\
             content-type: application/json\r\nauthorization: Bearer {}\r\n\
             content-length: {}\r\n\r\n{body}",
            self.token,
            body.len()
        );
        let Some((status, body)) = exchange(server, request.as_bytes()).await else {
            return Answer::Again;
        };
        let Ok(json) = serde_json::from_slice::<Value>(&body) else {
            // A body that was cut off, or a refusal without one.
            return Answer::Again;
        };
        let Some(errors) = json["errors"].as_array() else {
            return Answer::Data(json["data"].clone());
        };
        let away = |error: &Value| error["extensions"]["code"] == "SERVICE_UNAVAILABLE";
        if errors.iter().all(away) {
            return Answer::Again;
        }
        Answer::Fault(format!("{} asked {query}: {status} {json}", self.id))
    }

    /// Executes a request on one server or another until something comes of it.
    pub(crate) async fn insists(
        &self,
        servers: &[SocketAddr],
        query: &str,
        variables: &Value,
    ) -> Result<Value, String> {
        for attempt in 0.. {
            match self
                .ask(servers[attempt % servers.len()], query, variables)
                .await
            {
                Answer::Data(data) => return Ok(data),
                Answer::Fault(fault) => return Err(fault),
                Answer::Again => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
        unreachable!("the attempts do not end")
    }
}

/// The status of a page; `None` where there is no answer.
pub(crate) async fn status(server: SocketAddr, path: &str) -> Option<u16> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: faults\r\nconnection: close\r\n\r\n");
    let (status, _) = exchange(server, request.as_bytes()).await?;
    Some(status)
}

async fn exchange(server: SocketAddr, request: &[u8]) -> Option<(u16, Vec<u8>)> {
    let exchange = async {
        let mut stream = TcpStream::connect(server).await.ok()?;
        stream.set_nodelay(true).ok()?;
        stream.write_all(request).await.ok()?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.ok()?;
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, bytes.split_off(end + 4)))
    };
    timeout(PATIENCE, exchange).await.ok()?
}
