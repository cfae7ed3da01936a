//! Counting operations: each once, when it has ended.

use std::sync::Arc;
use std::time::Instant;

use async_graphql::Response as GraphqlResponse;
use async_graphql::parser::types::OperationType;
use axum::extract::State;
use axum::response::Response;
use futures_util::StreamExt as _;
use prometheus_client::encoding::{EncodeLabel as _, EncodeLabelSet, LabelSetEncoder};

use super::Metrics;
use crate::graphql::{Answer, Prepared, code_of_response, was_refused};
use crate::http::HttpState;
use crate::http::operation::Operation;

/// How an operation came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::http) enum Via {
    /// By a request that is answered once.
    Http,
    /// By a WebSocket.
    WebSocket,
    /// By a request that is answered with server-sent events.
    EventStream,
    /// By a request that is answered in parts.
    Multipart,
    /// By a tool of an agent.
    Mcp,
    /// By an event of Socket.IO.
    SocketIo,
}

impl Via {
    fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::WebSocket => "websocket",
            Self::EventStream => "sse",
            Self::Multipart => "multipart",
            Self::Mcp => "mcp",
            Self::SocketIo => "socketio",
        }
    }
}

/// The labels of operations.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct OperationLabels {
    operation: Arc<str>,
    code: &'static str,
    transport: &'static str,
}

impl EncodeLabelSet for OperationLabels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> std::fmt::Result {
        ("operation", &*self.operation).encode(encoder.encode_label())?;
        ("code", self.code).encode(encoder.encode_label())?;
        ("transport", self.transport).encode(encoder.encode_label())
    }
}

/// Marks an answer over HTTP that is not counted yet with its code, and whether something was executed.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) struct Code {
    code: &'static str,
    accepted: bool,
}

impl Code {
    /// The code of an answer.
    pub(in crate::http) fn of(response: &GraphqlResponse) -> Self {
        Self {
            code: code_of_response(response),
            accepted: !was_refused(response),
        }
    }
}

/// An operation under way. It is counted when this is dropped.
#[derive(Debug)]
pub(in crate::http) struct Begun {
    metrics: Arc<Metrics>,
    name: Arc<str>,
    since: Instant,
    /// How it ended; `None` where its client did not wait for that.
    ended: Option<Code>,
    kind: Option<OperationType>,
    via: Via,
    /// Whether a user asks.
    known: bool,
}

impl Metrics {
    /// Takes note of an operation that begins, if it may. `known` says whether a user asks.
    pub(in crate::http) fn begin(
        self: &Arc<Self>,
        via: Via,
        known: bool,
        request: Option<&Prepared>,
    ) -> Begun {
        Begun {
            metrics: Arc::clone(self),
            kind: request.map(Prepared::kind),
            name: self.names.take(request.and_then(Prepared::name)),
            since: Instant::now(),
            ended: None,
            via,
            known,
        }
    }

    fn count(&self, operation: Arc<str>, code: &'static str, via: Via) {
        let transport = via.name();
        let labels = OperationLabels {
            operation,
            code,
            transport,
        };
        self.operations.get_or_create_owned(&labels).inc();
    }
}

impl Begun {
    /// Waits for the answer of an operation over HTTP.
    pub(in crate::http) async fn answered(
        mut self,
        answer: impl Future<Output = Response>,
    ) -> Response {
        let mut answer = answer.await;
        self.ended = answer.extensions_mut().remove();
        answer
    }

    /// The operation has ended with this.
    pub(in crate::http) fn came_to(mut self, code: Code) {
        self.ended = Some(code);
    }

    /// Looks at what an operation says.
    pub(in crate::http) fn over(mut self, operation: Operation) -> Operation {
        let answers = operation.answers.map(move |answer| {
            self.look(&answer);
            answer
        });
        Operation {
            answers: answers.boxed(),
            ..operation
        }
    }

    /// The operation is refused before it has begun.
    pub(in crate::http) fn refused(mut self, answer: &Answer) {
        self.look(answer);
    }

    fn look(&mut self, answer: &Answer) {
        let fails = matches!(answer, Answer::Failed { .. });
        let accepted = self.ended.is_some_and(|ended| ended.accepted) || !fails;
        // An event of which something is missing is not the end of its stream.
        let follows = self.kind == Some(OperationType::Subscription);
        let code = if follows && !fails {
            "OK"
        } else {
            answer.code()
        };
        self.ended = Some(Code { code, accepted });
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let follows = self.kind == Some(OperationType::Subscription);
        let code = match self.ended {
            Some(ended) => ended.code,
            // Its client has ended it, as it should.
            None if follows => "OK",
            None => "CANCELLED",
        };
        let accepted = self.ended.is_some_and(|ended| ended.accepted);
        let name = self.metrics.names.label(&self.name, self.known && accepted);
        self.metrics.count(name, code, self.via);
        let took = match (self.ended, self.kind) {
            (Some(_), Some(OperationType::Query)) => &self.metrics.queries,
            (Some(_), Some(OperationType::Mutation)) => &self.metrics.mutations,
            (Some(_), Some(OperationType::Subscription) | None) | (None, _) => return,
        };
        took.observe(self.since.elapsed().as_secs_f64());
    }
}

/// Counts an answer over HTTP to what never became an operation: its token, its form or its rate was refused.
pub(in crate::http) async fn count_refusal(
    State(state): State<HttpState>,
    mut response: Response,
) -> Response {
    if let Some(Code { code, .. }) = response.extensions_mut().remove() {
        let nameless = state.metrics.names.take(None);
        state.metrics.count(nameless, code, Via::Http);
    }
    response
}
