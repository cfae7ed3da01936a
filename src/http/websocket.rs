//! The WebSocket: the `graphql-transport-ws` protocol (graphql-ws, PROTOCOL.md).

use std::collections::HashMap;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::parser::types::OperationType;
use async_graphql::{Request, Response, Value};
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::response::IntoResponse;
use futures_util::stream::{self, AbortHandle, Abortable, BoxStream, SelectAll};
use futures_util::{FutureExt as _, StreamExt as _};
use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout};

use super::layers::BODY_MAX_BYTES;
use super::{HttpState, auth, execute_to_end};
use crate::app::{Error, Session};
use crate::graphql::{self, RequestContext, classify, operation_type};
use crate::realtime::Arrival;

/// The subprotocol.
const PROTOCOL: &str = "graphql-transport-ws";

/// How long a client may take to take a message.
const WRITE_WITHIN: Duration = Duration::from_secs(10);

/// The most operations on one connection at a time.
const OPERATIONS_MAX: usize = 100;

/// Why a connection ends: the codes of the protocol and of RFC 6455.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Close {
    /// The server stops; reconnecting finds another or the next one.
    GoingAway,
    BadMessage,
    Unauthorized,
    Forbidden,
    UnknownProtocol,
    InitTimeout,
    DuplicateId,
    TooManyInits,
    SlowConsumer,
    TooManyOperations,
    Unavailable,
}

impl Close {
    fn frame(self) -> CloseFrame {
        let (code, reason) = match self {
            Self::GoingAway => (1001, "Going away"),
            Self::Unavailable => (1013, "Try again later"),
            Self::BadMessage => (4400, "Invalid message"),
            Self::Unauthorized => (4401, "Unauthorized"),
            Self::Forbidden => (4403, "Forbidden"),
            Self::UnknownProtocol => (4406, "Subprotocol not acceptable"),
            Self::InitTimeout => (4408, "Connection initialisation timeout"),
            Self::DuplicateId => (4409, "Subscriber already exists"),
            Self::TooManyInits => (4429, "Too many initialisation requests"),
            Self::TooManyOperations => (4429, "Too many operations"),
            Self::SlowConsumer => (4508, "Slow consumer: resume"),
        };
        CloseFrame {
            code,
            reason: reason.into(),
        }
    }
}

/// What a client says.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ClientMessage {
    ConnectionInit {
        #[serde(default)]
        payload: Option<serde_json::Value>,
    },
    Subscribe {
        id: String,
        payload: Box<Request>,
    },
    Complete {
        id: String,
    },
    Ping {
        #[serde(default)]
        payload: Option<serde_json::Value>,
    },
    Pong {},
}

/// What we say.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ServerMessage<'a> {
    ConnectionAck,
    Next {
        id: &'a str,
        payload: &'a Response,
    },
    Error {
        id: &'a str,
        payload: &'a [async_graphql::ServerError],
    },
    Complete {
        id: &'a str,
    },
    Pong {
        #[serde(skip_serializing_if = "Option::is_none")]
        payload: Option<serde_json::Value>,
    },
}

/// What an operation brings forth: its id, the number of its run, and a response, or its end.
type Output = (Arc<str>, u64, Option<Response>);

/// Answers the upgrade.
pub(super) fn upgrade(state: HttpState, upgrade: WebSocketUpgrade) -> axum::response::Response {
    upgrade
        .protocols([PROTOCOL])
        .max_message_size(BODY_MAX_BYTES)
        .max_frame_size(BODY_MAX_BYTES)
        .read_buffer_size(4 * 1024)
        .write_buffer_size(4 * 1024)
        .on_upgrade(move |socket| {
            let tasks = state.tasks.clone();
            tasks.track_future(serve(state, socket))
        })
        .into_response()
}

async fn serve(state: HttpState, mut socket: WebSocket) {
    let known = socket
        .protocol()
        .is_some_and(|protocol| protocol.as_bytes() == PROTOCOL.as_bytes());
    let close = if known {
        match initialise(&state, &mut socket).await {
            Ok(session) => {
                let connection = Connection::new(state, session);
                connection.run(&mut socket).await
            }
            Err(close) => close,
        }
    } else {
        Some(Close::UnknownProtocol)
    };
    if let Some(close) = close {
        tracing::debug!(?close, "closing a socket");
        let farewell = async {
            socket.send(Message::Close(Some(close.frame()))).await?;
            // The peer's own close frame, or its hanging up, ends the conversation in order.
            while let Some(Ok(_)) = socket.recv().await {}
            Ok::<_, axum::Error>(())
        };
        // A peer that does not take the farewell is hung up on: there is nobody to tell.
        timeout(Duration::from_secs(1), farewell).await.ok();
    }
}

/// Waits for `connection_init` and answers it. An error says how to close; `None` that the peer is gone.
async fn initialise(
    state: &HttpState,
    socket: &mut WebSocket,
) -> Result<Option<Session>, Option<Close>> {
    let init = timeout(state.init_within, next_init(socket));
    let payload = tokio::select! {
        () = state.shutdown.cancelled() => return Err(Some(Close::GoingAway)),
        init = init => init.or(Err(Some(Close::InitTimeout)))??,
    };
    let session = auth::session_of_init(&state.app, payload.as_ref()).await;
    let session = session.map_err(|error| {
        let ours = matches!(error, Error::Unavailable(_) | Error::Internal(_));
        Some(if ours {
            Close::Unavailable
        } else {
            Close::Forbidden
        })
    })?;
    send(socket, &ServerMessage::ConnectionAck).await?;
    Ok(session)
}

/// Waits for `connection_init`. Pings may come before it.
async fn next_init(socket: &mut WebSocket) -> Result<Option<serde_json::Value>, Option<Close>> {
    loop {
        match next_message(socket).await? {
            ClientMessage::ConnectionInit { payload } => return Ok(payload),
            ClientMessage::Subscribe { .. } => return Err(Some(Close::Unauthorized)),
            ClientMessage::Ping { payload } => {
                send(socket, &ServerMessage::Pong { payload }).await?;
            }
            ClientMessage::Pong {} | ClientMessage::Complete { .. } => {}
        }
    }
}

/// The next message of the protocol.
async fn next_message(socket: &mut WebSocket) -> Result<ClientMessage, Option<Close>> {
    loop {
        match socket.recv().await {
            Some(Ok(Message::Text(text))) => return parse(&text),
            Some(Ok(Message::Binary(_))) => return Err(Some(Close::BadMessage)),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(None),
        }
    }
}

fn parse(text: &str) -> Result<ClientMessage, Option<Close>> {
    serde_json::from_str(text).or(Err(Some(Close::BadMessage)))
}

async fn send(socket: &mut WebSocket, message: &ServerMessage<'_>) -> Result<(), Option<Close>> {
    let Ok(text) = serde_json::to_string(message) else {
        return Err(Some(Close::Unavailable));
    };
    match timeout(WRITE_WITHIN, socket.send(Message::Text(text.into()))).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(None),
        Err(_) => Err(Some(Close::SlowConsumer)),
    }
}

/// An initialised connection with its operations.
struct Connection {
    state: HttpState,
    session: Option<Session>,
    /// The person is online while this is held.
    _arrival: Option<Arrival>,
    outputs: SelectAll<BoxStream<'static, Output>>,
    running: HashMap<Arc<str>, (u64, AbortHandle)>,
    runs: u64,
}

impl Connection {
    fn new(state: HttpState, session: Option<Session>) -> Self {
        let mut outputs = SelectAll::new();
        // Without it an idle connection's selection would end instead of waiting.
        outputs.push(stream::pending().boxed());
        let actor = session.as_ref().map(|session| &session.actor);
        let arrival = actor.map(|who| state.app.realtime.arrive(&who.tenant, &who.user));
        Self {
            _arrival: arrival,
            state,
            session,
            outputs,
            running: HashMap::new(),
            runs: 0,
        }
    }

    /// Runs until the end, and says how to close; `None` where the peer is gone.
    async fn run(mut self, socket: &mut WebSocket) -> Option<Close> {
        let expiry = expiry(&self.state, self.session.as_ref());
        tokio::pin!(expiry);
        let shutdown = self.state.shutdown.clone();
        loop {
            let step = tokio::select! {
                () = shutdown.cancelled() => Err(Some(Close::GoingAway)),
                () = &mut expiry => Err(Some(Close::Forbidden)),
                message = next_message(socket) => match message {
                    Ok(message) => self.on_message(socket, message).await,
                    Err(close) => Err(close),
                },
                Some(output) = self.outputs.next() => self.on_output(socket, output).await,
            };
            if let Err(close) = step {
                return close;
            }
        }
    }

    async fn on_message(
        &mut self,
        socket: &mut WebSocket,
        message: ClientMessage,
    ) -> Result<(), Option<Close>> {
        match message {
            ClientMessage::ConnectionInit { .. } => Err(Some(Close::TooManyInits)),
            ClientMessage::Ping { payload } => send(socket, &ServerMessage::Pong { payload }).await,
            ClientMessage::Pong {} => Ok(()),
            ClientMessage::Complete { id } => {
                if let Some((_, operation)) = self.running.remove(id.as_str()) {
                    operation.abort();
                }
                Ok(())
            }
            ClientMessage::Subscribe { id, payload } => self.subscribe(&id, *payload),
        }
    }

    fn subscribe(&mut self, id: &str, request: Request) -> Result<(), Option<Close>> {
        if self.running.contains_key(id) {
            return Err(Some(Close::DuplicateId));
        }
        if self.running.len() >= OPERATIONS_MAX {
            return Err(Some(Close::TooManyOperations));
        }
        self.runs += 1;
        let (id, run): (Arc<str>, u64) = (id.into(), self.runs);
        let (handle, registration) = AbortHandle::new_pair();
        self.running.insert(Arc::clone(&id), (run, handle));
        let responses = self.responses(request).map({
            let id = Arc::clone(&id);
            move |response| (Arc::clone(&id), run, Some(response))
        });
        let outputs = responses.chain(stream::once(async move { (id, run, None) }));
        self.outputs
            .push(Abortable::new(outputs, registration).boxed());
        Ok(())
    }

    fn responses(&self, mut request: Request) -> BoxStream<'static, Response> {
        let actor = self.session.as_ref().map(|session| session.actor.clone());
        let context = RequestContext::new(Arc::clone(&self.state.app), actor);
        let schema = self.state.schema.clone();
        match operation_type(&mut request) {
            Some(OperationType::Subscription) => graphql::execute_stream(&schema, request, context),
            Some(OperationType::Mutation) => {
                let response = execute_to_end(self.state.clone(), request, context);
                response.into_stream().boxed()
            }
            Some(OperationType::Query) | None => {
                let response = async move { graphql::execute(&schema, request, context).await };
                response.into_stream().boxed()
            }
        }
    }

    async fn on_output(
        &mut self,
        socket: &mut WebSocket,
        (id, run, response): Output,
    ) -> Result<(), Option<Close>> {
        // What an ended operation still brings forth is not wanted any more; its id may run anew.
        let current = self.running.get(&id).is_some_and(|(now, _)| *now == run);
        if !current {
            return Ok(());
        }
        let Some(mut response) = response else {
            self.running.remove(&id);
            return send(socket, &ServerMessage::Complete { id: &id }).await;
        };
        classify(&mut response, None);
        if response.data == Value::Null && !response.errors.is_empty() {
            // Nothing came of the operation: an `error` ends it, and nothing follows.
            if let Some((_, operation)) = self.running.remove(&id) {
                operation.abort();
            }
            let payload = &response.errors;
            return send(socket, &ServerMessage::Error { id: &id, payload }).await;
        }
        let payload = &response;
        send(socket, &ServerMessage::Next { id: &id, payload }).await
    }
}

/// Waits until the session's token is no longer accepted; for ever without one.
fn expiry(state: &HttpState, session: Option<&Session>) -> impl Future<Output = ()> + use<> {
    let now = state.app.clock.now();
    let left = session.map(|session| (session.ends_at - now).to_std().unwrap_or_default());
    async move {
        match left {
            None => pending().await,
            Some(left) => sleep(left).await,
        }
    }
}
