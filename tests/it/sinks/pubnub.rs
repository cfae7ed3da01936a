//! `PubNub`, played by a strict double of its documented REST interface: what it would refuse, the double refuses.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use colloquy::app::DeliveryOptions;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use super::{DEAD, rows, until_empty};
use crate::support::server::Setup;
use crate::support::{Server, postgres, run};

const KEYS: (&str, &str) = ("pub-c-1", "sub-c-1");
const TOKEN: &str = "p0F2A/+=&?";

/// A message as a subscriber gets it.
#[derive(Debug, Clone)]
struct Published {
    channel: String,
    meta: Value,
    message: Value,
}

#[derive(Default)]
struct Shared {
    published: Mutex<Vec<Published>>,
    /// Answers that stand before the usual one.
    next: Mutex<Vec<(u16, &'static str)>>,
}

struct PubNub {
    address: SocketAddr,
    shared: Arc<Shared>,
    _serve: AbortOnDropHandle<()>,
}

impl PubNub {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::<Shared>::default();
        let route = "/publish/{publish_key}/{subscribe_key}/0/{channel}/0";
        let router = Router::new().route(route, post(publish));
        let router = router.with_state(Arc::clone(&shared));
        let serve = async move { axum::serve(listener, router).await.unwrap() };
        Self {
            address,
            shared,
            _serve: AbortOnDropHandle::new(tokio::task::spawn(serve)),
        }
    }

    fn published(&self) -> Vec<Published> {
        self.shared.published.lock().unwrap().clone()
    }

    async fn until(&self, count: usize) -> Vec<Published> {
        for _ in 0..3000 {
            if self.published().len() >= count {
                return self.published();
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("{:?}", self.published());
    }

    fn sink(&self) -> Value {
        json!({
            "name": "live", "kind": "pubnub", "publish_key": KEYS.0, "subscribe_key": KEYS.1, "auth": TOKEN,
            "origin": format!("http://{}", self.address), "allow_private_addresses": true,
        })
    }
}

/// What the documentation says of a publish by POST.
async fn publish(
    State(shared): State<Arc<Shared>>,
    Path((publish_key, subscribe_key, channel)): Path<(String, String, String)>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some((status, text)) = shared.next.lock().unwrap().pop() {
        return (StatusCode::from_u16(status).unwrap(), text).into_response();
    }
    let refuse =
        |status: StatusCode, why: &str| (status, json!([0, why]).to_string()).into_response();
    if (publish_key.as_str(), subscribe_key.as_str()) != KEYS {
        return refuse(StatusCode::BAD_REQUEST, "Invalid Key");
    }
    if query.get("auth").map(String::as_str) != Some(TOKEN) {
        return refuse(StatusCode::FORBIDDEN, "Forbidden");
    }
    let known = [
        "uuid",
        "auth",
        "meta",
        "store",
        "ttl",
        "pnsdk",
        "custom_message_type",
    ];
    let uuid = query
        .get("uuid")
        .is_some_and(|uuid| (1..=92).contains(&uuid.len()));
    let is_json = headers
        .get("content-type")
        .is_some_and(|value| value == "application/json; charset=UTF-8");
    if !uuid || !is_json || query.keys().any(|name| !known.contains(&name.as_str())) {
        return refuse(StatusCode::BAD_REQUEST, "Invalid Arguments");
    }
    if channel.is_empty() || channel.len() > 92 || channel.contains([',', '/', '\\', '*', ':', '.'])
    {
        return refuse(StatusCode::BAD_REQUEST, "Invalid Channel");
    }
    if body.len() + channel.len() > 32 * 1024 {
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, "Message Too Large");
    }
    let meta = query
        .get("meta")
        .and_then(|meta| serde_json::from_str(meta).ok());
    let (Some(meta), Ok(message)) = (meta, serde_json::from_slice(&body)) else {
        return refuse(StatusCode::BAD_REQUEST, "Invalid JSON");
    };
    let mut published = shared.published.lock().unwrap();
    published.push(Published {
        channel,
        meta,
        message,
    });
    json!([1, "Sent", "17643210987654321"])
        .to_string()
        .into_response()
}

async fn server(sink: Value, attempts: i32) -> Server {
    let setup = Setup {
        sinks: Some(vec![sink]),
        deliveries: DeliveryOptions {
            notify_after: Duration::from_millis(300),
            attempts,
            ..DeliveryOptions::default()
        },
        ..Setup::default()
    };
    Server::with(postgres::database().await, setup).await
}

#[test]
fn events_are_published_on_the_chats_channel_with_their_ids() {
    run(async {
        let pubnub = PubNub::start().await;
        let server = server(pubnub.sink(), 12).await;
        let [alice, bob] = ["alice", "bob"].map(|id| server.user(id));
        let chat = alice.direct(&bob).await;
        alice.sends(&chat, "hello, \"world\" & more?").await;
        // 10 000 characters of four bytes do not fit.
        alice.sends(&chat, &"😀".repeat(10_000)).await;
        let published = pubnub.until(4).await;
        until_empty(&server).await;
        assert_eq!(pubnub.published().len(), 4);
        for (seq, one) in (1..).zip(&published) {
            assert_eq!(one.channel, chat);
            assert_eq!(one.message["data"]["seq"], seq);
            assert_eq!(one.meta["id"], one.message["data"]["id"]);
            assert_eq!(one.meta["type"], one.message["type"]);
        }
        let body = |place: usize| &published[place].message["data"]["message"]["body"];
        assert_eq!(*body(2), "hello, \"world\" & more?");
        assert_eq!(*body(3), Value::Null);
        assert_eq!(
            published[3].message["data"]["message"]["bodyIsLeftOut"],
            true
        );
    });
}

#[test]
fn notifications_are_published_on_the_persons_channel() {
    run(async {
        let pubnub = PubNub::start().await;
        let mut sink = pubnub.sink();
        sink["feeds"] = json!(["notifications"]);
        let inbox = "{tenantId}-inbox-{recipientId}";
        for (template, before) in [(None, "default~"), (Some(inbox), "default-inbox-")] {
            sink["notification_channel"] = json!(template);
            let server = server(sink.clone(), 12).await;
            let long = "l".repeat(92);
            let [alice, bob, odd, long] =
                ["alice", "bob", "odd,one/two.three", &long].map(|id| server.user(id));
            let chat = alice.group("Team", &[&bob, &odd, &long]).await;
            alice.sends(&chat, "hello").await;
            pubnub.until(2).await;
            until_empty(&server).await;
            let mut published = std::mem::take(&mut *pubnub.shared.published.lock().unwrap());
            published.sort_unstable_by(|one, other| one.channel.cmp(&other.channel));
            let channels: Vec<&str> = published.iter().map(|one| one.channel.as_str()).collect();
            let odd = format!("{before}odd=2Cone=2Ftwo=2Ethree");
            assert_eq!(channels, [&format!("{before}bob"), &odd]);
            assert_eq!(published[0].message["type"], "notification.created");
            assert_eq!(published[0].message["data"]["recipientId"], "bob");
            // What is too long for a channel is none.
            assert_eq!(rows(&server, DEAD).await, ["live 5 1 7 -"]);
        }
    });
}

/// A status alone does not say that a message was taken.
#[test]
fn what_is_not_taken_is_tried_again_under_the_same_id() {
    run(async {
        let pubnub = PubNub::start().await;
        *pubnub.shared.next.lock().unwrap() =
            vec![(200, "[0,\"Account quota exceeded\"]"), (503, "")];
        let server = server(pubnub.sink(), 12).await;
        let chat = server.user("alice").group("Team", &[]).await;
        let published = pubnub.until(1).await;
        assert_eq!(published[0].channel, chat);
        until_empty(&server).await;
        assert_eq!(pubnub.published().len(), 1);
    });
}

#[test]
fn a_wrong_key_is_a_dead_letter() {
    run(async {
        let pubnub = PubNub::start().await;
        let mut sink = pubnub.sink();
        sink["subscribe_key"] = json!("sub-c-2");
        let server = server(sink, 1).await;
        server.user("alice").group("Team", &[]).await;
        for _ in 0..500 {
            if !rows(&server, DEAD).await.is_empty() {
                break;
            }
            sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(rows(&server, DEAD).await, ["live 1 1 6 400"]);
    });
}
