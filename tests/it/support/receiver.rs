//! A receiver of webhooks: a real HTTP server that keeps what it gets, checks the signatures, and answers as it is told.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::hmac;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::Utc;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

/// Secrets of webhooks, as receivers know them.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
pub(crate) const OTHER_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// What came.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Received {
    pub(crate) id: String,
    pub(crate) path: String,
    pub(crate) signatures: Vec<String>,
    pub(crate) timestamp: i64,
    pub(crate) raw: Vec<u8>,
    pub(crate) body: Value,
    /// What was answered.
    pub(crate) status: u16,
}

impl Received {
    pub(crate) fn kind(&self) -> &str {
        self.body["type"].as_str().unwrap()
    }

    pub(crate) fn chat(&self) -> &str {
        self.body["data"]["chatId"].as_str().unwrap()
    }

    pub(crate) fn seq(&self) -> i64 {
        self.body["data"]["seq"].as_i64().unwrap()
    }

    /// The text of the message that it tells of.
    pub(crate) fn text(&self) -> &str {
        self.body["data"]["message"]["body"].as_str().unwrap_or("")
    }

    /// Whether one of the signatures is by this secret (Standard Webhooks 1.0).
    pub(crate) fn is_signed_by(&self, secret: &str) -> bool {
        let secret = STANDARD.decode(secret.strip_prefix("whsec_").unwrap());
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret.unwrap());
        let head = format!("{}.{}.", self.id, self.timestamp);
        let signed = [head.as_bytes(), &self.raw].concat();
        self.signatures.iter().any(|signature| {
            let signature = STANDARD.decode(signature.strip_prefix("v1,").unwrap());
            hmac::verify(&key, &signed, &signature.unwrap()).is_ok()
        })
    }
}

/// How to answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) after: Duration,
}

impl From<u16> for Reply {
    fn from(status: u16) -> Self {
        let after = Duration::ZERO;
        Self { status, after }
    }
}

type Answer = Box<dyn Fn(&Received) -> Reply + Send + Sync>;

struct Shared {
    received: Mutex<Vec<Received>>,
    answer: Mutex<Answer>,
}

/// A receiver, until it is dropped.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    _serve: AbortOnDropHandle<()>,
}

impl Receiver {
    /// A receiver that takes everything.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            received: Mutex::default(),
            answer: Mutex::new(Box::new(|_| 204.into())),
        });
        let router = Router::new().fallback(take).with_state(Arc::clone(&shared));
        let serve = async move { axum::serve(listener, router).await.unwrap() };
        Self {
            address,
            shared,
            _serve: AbortOnDropHandle::new(tokio::task::spawn(serve)),
        }
    }

    /// Answers like this from now on.
    pub(crate) fn answers(&self, answer: impl Fn(&Received) -> Reply + Send + Sync + 'static) {
        *self.shared.answer.lock().unwrap() = Box::new(answer);
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap().clone()
    }

    /// What it has taken.
    pub(crate) fn taken(&self) -> Vec<Received> {
        let received = self.received().into_iter();
        received.filter(|one| one.status / 100 == 2).collect()
    }

    /// Waits until it has taken so many.
    pub(crate) async fn until_taken(&self, count: usize) -> Vec<Received> {
        for _ in 0..6000 {
            let taken = self.taken();
            if taken.len() >= count {
                return taken;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("{} of {count}: {:?}", self.taken().len(), self.received());
    }

    /// What the file says of a webhook that leads here.
    pub(crate) fn webhook(&self, name: &str) -> Value {
        json!({
            "name": name,
            "kind": "webhook",
            "url": format!("http://{}/{name}", self.address),
            "secrets": [SECRET],
            "allow_private_addresses": true,
        })
    }
}

/// Writes a file of sinks.
pub(crate) fn write_sinks(folder: &Path, sinks: &[Value]) -> String {
    let path = folder.join("sinks.json");
    std::fs::write(&path, json!({ "sinks": sinks }).to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

async fn take(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
    raw: Bytes,
) -> Response {
    let header = |name: &str| {
        let value = headers.get(name).unwrap_or_else(|| panic!("no {name}"));
        value.to_str().unwrap().to_owned()
    };
    assert_eq!(header("content-type"), "application/json");
    let mut received = Received {
        id: header("webhook-id"),
        path: uri.path().to_owned(),
        signatures: header("webhook-signature")
            .split(' ')
            .map(str::to_owned)
            .collect(),
        timestamp: header("webhook-timestamp").parse().unwrap(),
        body: serde_json::from_slice(&raw).unwrap(),
        raw: raw.to_vec(),
        status: 0,
    };
    let reply = (shared.answer.lock().unwrap())(&received);
    received.status = reply.status;
    #[expect(clippy::disallowed_methods, reason = "it is another machine")]
    let age = (Utc::now().timestamp() - received.timestamp).abs();
    assert!(age < 60, "it is dated {age} seconds away");
    sleep(reply.after).await;
    shared.received.lock().unwrap().push(received);
    let status = StatusCode::from_u16(reply.status).unwrap();
    (status, [(header::LOCATION, "/elsewhere")]).into_response()
}
