//! Socket.IO 5 over Engine.IO 4, beside GraphQL, by WebSocket alone.
//!
//! It is another language for the connections of [`websocket`]: their bounds, times and queues hold here
//! too. Each event of a client is a document of the API, run by the way that `graphql-transport-ws` takes. Long polling
//! is not offered: its requests would have to find one server each time. `docs/decisions/0031` says why the protocol
//! is spoken by hand.

mod conversation;
mod events;
mod packet;
mod written;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};

pub(super) use conversation::{Asked, Conversation};
pub(super) use written::{PING, turned_away};

use super::{HttpState, websocket};

/// The version of Engine.IO that is spoken.
const EIO: &str = "4";

/// `GET /socket.io/`.
pub(super) async fn connect(State(state): State<HttpState>, request: Request) -> Response {
    match wrong_with(&request) {
        None => websocket::upgrade_to_socketio(state, request),
        Some((code, why)) => refuse(code, why),
    }
}

/// What keeps a request from being one for a connection, by the codes of Engine.IO.
fn wrong_with(request: &Request) -> Option<(u8, &'static str)> {
    let query = request.uri().query().unwrap_or_default();
    let value = |name: &str| {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs
            .filter(|(key, _)| *key == name)
            .map(|(_, value)| value)
            .next()
    };
    if value("EIO") != Some(EIO) {
        return Some((5, "Unsupported protocol version"));
    }
    if value("transport") != Some("websocket") {
        return Some((0, "Transport unknown: connect with the transport websocket"));
    }
    if value("sid").is_some() {
        return Some((1, "Session ID unknown"));
    }
    if !websocket::is_wanted(request.headers()) {
        return Some((3, "Bad request"));
    }
    None
}

fn refuse(code: u8, why: &str) -> Response {
    let json = serde_json::json!({ "code": code, "message": why }).to_string();
    let content_type = [(header::CONTENT_TYPE, "application/json")];
    (StatusCode::BAD_REQUEST, content_type, json).into_response()
}
