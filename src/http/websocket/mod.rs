//! The WebSocket (RFC 6455) and the `graphql-transport-ws` protocol (graphql-ws, PROTOCOL.md).
//!
//! The framework's own loop does not keep to the protocol, starves quiet streams beside a busy one, and never
//! gives up on a peer that is gone: `docs/decisions/0002` has the list. `docs/realtime.md` has the rules of
//! the protocol with the test of each.

mod close;
mod connection;
mod dialect;
#[cfg(test)]
mod fuzz;
mod incoming;
mod operations;
mod outgoing;
mod protocol;
mod timers;

use std::future::poll_fn;
use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use tungstenite::handshake::derive_accept_key;

use super::HttpState;
use super::channel::Channel;
use super::layers::id_of;
use super::patient::Patient;
use super::rates::Origin;
use crate::app::Network;
pub(super) use close::Close;
use connection::Connection;
use dialect::Dialect;
use incoming::{End, Incoming};
pub(super) use operations::Said;
use outgoing::Outgoing;

/// How long a peer may take to answer a close.
const FAREWELL_WITHIN: Duration = Duration::from_secs(1);

/// How long a peer that was too slow may take to learn so, behind what it had not taken.
const SLOW_FAREWELL_WITHIN: Duration = Duration::from_secs(5);

/// Whether a request asks for a WebSocket. Upgrades to anything else are not offered, and so passed over.
pub(super) fn is_wanted(headers: &HeaderMap) -> bool {
    names(headers, &header::UPGRADE, "websocket")
}

/// Answers a request for the upgrade, to `graphql-transport-ws`.
pub(super) fn upgrade(state: HttpState, request: Request) -> Response {
    let speaks = names_protocol(request.headers());
    let mut response = upgrade_to(state, request, speaks.then_some(Dialect::GraphQl));
    if speaks && response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let name = HeaderValue::from_static(protocol::NAME);
        let headers = response.headers_mut();
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, name);
    }
    response
}

/// Answers a request for the upgrade, to Socket.IO.
pub(super) fn upgrade_to_socketio(state: HttpState, request: Request) -> Response {
    upgrade_to(state, request, Some(Dialect::socketio()))
}

/// Answers a request for the upgrade (RFC 6455, section 4.2). Without a dialect that both know, the connection is closed,
/// which says so.
fn upgrade_to(state: HttpState, mut request: Request, dialect: Option<Dialect>) -> Response {
    let secure = state.http.certificates.is_some();
    if !state.http.origins.may_connect(request.headers(), secure) {
        let why = "Pages of this origin may not open a WebSocket here: the server's --cors-origin names those that may.";
        return (StatusCode::FORBIDDEN, why).into_response();
    }
    let key = match key_of(&request) {
        Ok(key) => derive_accept_key(key.as_bytes()),
        Err(refusal) => return *refusal,
    };
    let Ok(key) = HeaderValue::from_str(&key) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let upgrade = hyper::upgrade::on(&mut request);
    let network = request.extensions().get::<Origin>();
    // Each connection keeps it, and a pointer is smaller.
    let network = network.map(|Origin(network)| Box::new(*network));
    let tasks = state.tasks.clone();
    let request_id = id_of(request.headers()).map(Box::from);
    let from = (network, request_id);
    tasks.spawn(serve(Box::new(state), upgrade, from, dialect));
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, key);
    response
}

/// The key of a proper request for the upgrade.
fn key_of(request: &Request) -> Result<HeaderValue, Box<Response>> {
    let headers = request.headers();
    if !names(headers, &header::CONNECTION, "upgrade") || request.method() != Method::GET {
        let why = "A WebSocket is asked for by GET, with `Connection: Upgrade`.";
        return Err(Box::new((StatusCode::BAD_REQUEST, why).into_response()));
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION) != Some(&HeaderValue::from_static("13")) {
        let version = [(header::SEC_WEBSOCKET_VERSION, "13")];
        return Err(Box::new(
            (StatusCode::UPGRADE_REQUIRED, version).into_response(),
        ));
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).cloned();
    let key = key.filter(is_key);
    let why = "The request lacks a `Sec-WebSocket-Key` of 16 bytes in Base64.";
    key.ok_or_else(|| Box::new((StatusCode::BAD_REQUEST, why).into_response()))
}

/// Whether a value is a key (RFC 6455, section 4.1).
fn is_key(key: &HeaderValue) -> bool {
    let bytes = BASE64.decode(key.as_bytes());
    bytes.is_ok_and(|bytes| bytes.len() == 16)
}

/// Whether one of a header's listed values is this one, in any case of its letters.
fn names(headers: &HeaderMap, name: &header::HeaderName, value: &str) -> bool {
    listed(headers, name).any(|listed| listed.eq_ignore_ascii_case(value))
}

/// Names of subprotocols are told apart by the case of their letters.
fn names_protocol(headers: &HeaderMap) -> bool {
    listed(headers, &header::SEC_WEBSOCKET_PROTOCOL).any(|listed| listed == protocol::NAME)
}

fn listed<'a>(
    headers: &'a HeaderMap,
    name: &header::HeaderName,
) -> impl Iterator<Item = &'a str> + use<'a> {
    let values = headers.get_all(name).iter();
    let values = values.filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

/// Serves an upgraded connection to its end.
async fn serve(
    // In a box until the connection has it: the task has room for one only.
    state: Box<HttpState>,
    upgrade: OnUpgrade,
    (network, request_id): (Option<Box<Network>>, Option<Box<str>>),
    dialect: Option<Dialect>,
) {
    let Some((stream, begin)) = upgrade.await.ok().and_then(own) else {
        return;
    };
    let speaks = dialect.is_some();
    let dialect = dialect.unwrap_or(Dialect::GraphQl);
    let mut connection = Connection::new(*state, (stream, &begin), network, request_id, dialect);
    drop(begin);
    let end = if speaks {
        poll_fn(|cx| connection.poll_run(cx)).await
    } else {
        Some(Close::UnknownProtocol)
    };
    connection.count_end(end.as_ref());
    // Boxed, for it is short: the task would have room for the connection twice as long as it lasts.
    Box::pin(farewell(connection, end)).await;
}

/// The connection below an upgraded one, and what was read of it already.
fn own(upgraded: Upgraded) -> Option<(Channel, bytes::Bytes)> {
    let parts = upgraded.downcast::<TokioIo<Channel<Patient>>>().ok()?;
    Some((parts.io.into_inner().upgraded(), parts.read_buf))
}

/// Ends a connection: says why, where there is something to say, and waits for the peer to have heard it.
async fn farewell(connection: Connection, end: End) {
    // The operations end here, before anything else is waited for.
    let (mut stream, mut incoming, mut outgoing) = connection.into_rest();
    let within = if end == Some(Close::SlowConsumer) {
        SLOW_FAREWELL_WITHIN
    } else {
        FAREWELL_WITHIN
    };
    if let Some(close) = &end {
        tracing::debug!(?close, "closing a socket");
        poll_fn(|cx| {
            incoming.close(cx, &mut stream, &mut outgoing, close);
            std::task::Poll::Ready(())
        })
        .await;
    }
    let said = say_farewell(&mut stream, &mut incoming, &mut outgoing, end.as_ref());
    timeout(within, said).await.ok();
    if !outgoing.is_empty() {
        // Nobody takes what the kernel still holds: it goes with the connection.
        stream.forget();
    }
}

async fn say_farewell(
    stream: &mut Channel,
    incoming: &mut Incoming,
    outgoing: &mut Outgoing,
    end: Option<&Close>,
) {
    if poll_fn(|cx| outgoing.poll_write(cx, stream)).await.is_err() {
        return;
    }
    // The peer's own close frame, or its hanging up, ends the conversation in order.
    if end.is_some_and(Close::keeps_framing) {
        while poll_fn(|cx| incoming.poll_next(cx, stream, outgoing))
            .await
            .is_ok()
        {}
        return;
    }
    // A connection that is dropped with something unread is reset, and the peer may not hear why.
    stream.shutdown().await.ok();
    let mut unread = [0; 512];
    while end.is_some() && stream.read(&mut unread).await.is_ok_and(|count| count > 0) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<A, B, C, D, F>(_: fn(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }

    /// Each connection has one task of this size for all its life.
    #[test]
    fn a_connection_is_small() {
        let size = size_of_future(serve);
        assert!(size <= 768, "{size} bytes");
    }
}
