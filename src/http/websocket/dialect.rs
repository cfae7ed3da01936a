//! The languages that are spoken over a WebSocket: what differs between them, and nothing else.

use std::sync::Arc;

use async_graphql::Request;
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::Value;

use super::close::Close;
use super::operations::Said;
use super::outgoing::Outgoing;
use super::protocol::{self, ClientMessage};
use crate::app::{App, Error, Session};
use crate::graphql::{Answer, Prepared};
use crate::http::metrics::Via;
use crate::http::operation::{self, Refused};
use crate::http::request::GraphQlRequest;
use crate::http::socketio::{self, Asked, Conversation};
use crate::http::{HttpState, SocketOptions, auth};

/// The language of a connection.
#[derive(Debug)]
pub(super) enum Dialect {
    /// `graphql-transport-ws`.
    GraphQl,
    /// Socket.IO.
    SocketIo(Box<Conversation>),
}

/// What a client says, in whatever language.
#[derive(Debug)]
pub(super) enum Says {
    /// Who it is.
    Init(Option<Value>),
    /// An operation to run.
    Start(Arc<str>, Wanted),
    /// An operation to end, if there is one, and answers to that.
    End(Option<Arc<str>>, Vec<Bytes>),
    /// It leaves.
    Leave,
    /// Nothing to be done.
    Nothing,
}

/// An operation that is wanted.
#[derive(Debug)]
pub(super) enum Wanted {
    /// The client's own.
    Theirs(Box<GraphQlRequest>),
    /// One of the server's, which need not be among the trusted ones.
    Ours(Box<Request>),
}

impl Wanted {
    /// Judges the operation.
    pub(super) fn prepare(self, state: &HttpState, known: bool) -> Result<Prepared, Refused> {
        match self {
            Self::Theirs(request) => operation::prepare(state, *request, known),
            Self::Ours(request) => operation::judge(state, *request, known)
                .map(Prepared::telling_beginning)
                .map_err(Refused::Rejected),
        }
    }
}

impl Dialect {
    /// Socket.IO, with a client that has said nothing yet.
    pub(super) fn socketio() -> Self {
        Self::SocketIo(Box::default())
    }

    /// What its operations are called in the metrics.
    pub(super) fn via(&self) -> Via {
        match self {
            Self::GraphQl => Via::WebSocket,
            Self::SocketIo(_) => Via::SocketIo,
        }
    }

    /// Whether clients wait for pings, whatever they say themselves.
    pub(super) fn pings_steadily(&self) -> bool {
        matches!(self, Self::SocketIo(_))
    }

    /// Says what is said first.
    pub(super) fn greet(&self, options: &SocketOptions, outgoing: &mut Outgoing) {
        match self {
            Self::GraphQl => {}
            Self::SocketIo(_) => outgoing.text([Conversation::greeting(options)]),
        }
    }

    /// Asks whether the peer is there.
    pub(super) fn ping(&self, outgoing: &mut Outgoing) {
        match self {
            Self::GraphQl => outgoing.ping(),
            Self::SocketIo(_) => outgoing.text([socketio::PING]),
        }
    }

    /// Reads what a client says.
    pub(super) fn read(&mut self, text: &str) -> Result<Says, Close> {
        match self {
            Self::GraphQl => protocol::parse(text).map(Says::from),
            Self::SocketIo(conversation) => conversation.read(text).map(Says::from),
        }
    }

    /// Looks at who a client says that it is.
    pub(super) fn ask(
        &self,
        app: Arc<App>,
        said: Option<Value>,
        request_id: Option<Box<str>>,
    ) -> BoxFuture<'static, Result<Option<Session>, Error>> {
        match self {
            Self::GraphQl => async move {
                auth::session_of_init(&app, said.as_ref(), request_id.as_deref()).await
            }
            .boxed(),
            Self::SocketIo(_) => async move {
                let session = auth::session_of_auth(&app, said.as_ref(), request_id.as_deref());
                session.await.map(Some)
            }
            .boxed(),
        }
    }

    /// Says that the client is known.
    pub(super) fn acknowledge(&mut self, outgoing: &mut Outgoing) {
        let text = match self {
            Self::GraphQl => protocol::ACKNOWLEDGEMENT,
            Self::SocketIo(conversation) => conversation.connected(),
        };
        outgoing.text([text]);
    }

    /// Says why the client is not served, where that is not for the close to say.
    pub(super) fn turn_away(&self, why: &Answer, outgoing: &mut Outgoing) {
        if let (Self::SocketIo(_), Answer::Failed { errors, .. }) = (self, why) {
            outgoing.text([socketio::turned_away(errors)]);
        }
    }

    /// A message that says what an operation says, in pieces.
    pub(super) fn tell(&mut self, said: Said) -> Option<[Bytes; 3]> {
        match self {
            Self::GraphQl => Some(match said {
                Said::End(id) => [protocol::complete(&id), Bytes::new(), Bytes::new()],
                Said::Answer(id, Answer::Next { json, .. }) => {
                    [protocol::next(&id), json, protocol::END]
                }
                Said::Answer(id, Answer::Failed { errors, .. }) => {
                    [protocol::error(&id), errors, protocol::END]
                }
            }),
            Self::SocketIo(conversation) => conversation.tell(said),
        }
    }
}

impl From<ClientMessage> for Says {
    fn from(message: ClientMessage) -> Self {
        match message {
            ClientMessage::Init(payload) => Self::Init(payload),
            ClientMessage::Ping(payload) => Self::End(None, vec![protocol::pong(payload.as_ref())]),
            ClientMessage::Pong => Self::Nothing,
            ClientMessage::Complete(id) => Self::End(Some(id), Vec::new()),
            ClientMessage::Subscribe(id, request) => Self::Start(id, Wanted::Theirs(request)),
        }
    }
}

impl From<Asked> for Says {
    fn from(asked: Asked) -> Self {
        match asked {
            Asked::Init(auth) => Self::Init(auth),
            Asked::Start(id, request) => Self::Start(id, Wanted::Ours(request)),
            Asked::End(id, replies) => Self::End(id, replies),
            Asked::Leave => Self::Leave,
            Asked::Nothing => Self::Nothing,
        }
    }
}
