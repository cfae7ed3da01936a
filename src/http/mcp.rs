//! The Model Context Protocol over HTTP (its revisions from 2025-03-26 on, "Streamable HTTP"), beside GraphQL.
//!
//! There are no sessions: each request brings its token and is answered for itself, so that any server behind a balancer
//! answers any of them. What a tool runs takes the way of `POST /graphql`, with its limits and rates; only that the
//! documents are the server's own, and need not be among the trusted ones.

use std::sync::Arc;

use async_graphql::{Request as GraphQlRequest, Variables};
use axum::body::Body;
use axum::extract::{Request as HttpRequest, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use bytes::Bytes;
use futures_util::future::{BoxFuture, ready};
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt as _, StreamExt as _};
use http_body_util::Full;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::{Value, json};

use super::answer::{Answer, Outcome, refuse, reject};
use super::body::{self, Unread};
use super::graphql::execute_once;
use super::layers::id_of;
use super::metrics::Via;
use super::request::{RequestError, read_value};
use super::stream::{Told, told};
use super::{HttpState, auth, operation, rates};
use crate::app::{Error, Session};
use crate::graphql::{Answer as Said, Prepared, code};
use crate::mcp::{Executor, Failure, Request, Server, catalogue};

/// `POST /mcp`.
pub(super) async fn post(State(state): State<HttpState>, request: HttpRequest) -> Answer {
    let (mut parts, body) = request.into_parts();
    let secure = state.http.certificates.is_some();
    if !state.http.origins.may_connect(&parts.headers, secure) {
        let why = "Pages of this origin may not serve agents here: the server's --cors-origin names those that may.";
        body::pass_over(&state, &parts.headers, body.into_data_stream());
        return refuse(&parts.headers, StatusCode::FORBIDDEN, why);
    }
    let session = match auth::session_of(&state.app, &parts.headers).await {
        Ok(Some(session)) => session,
        refused => {
            body::pass_over(&state, &parts.headers, body.into_data_stream());
            let anonymous = Err(Error::Unauthenticated);
            let error = refused.and(anonymous).unwrap_or_else(|error| error);
            return reject(&parts.headers, error);
        }
    };
    let body = match read(&state, &parts.headers, body).await {
        Ok(body) => body,
        Err(refused) => return *refused,
    };
    let catalogue = match catalogue() {
        Ok(catalogue) => catalogue,
        Err(error) => return reject(&parts.headers, Error::Internal(error.to_string().into())),
    };
    let local = Local {
        request_id: id_of(&parts.headers).map(str::to_owned),
        state: state.clone(),
        session,
    };
    // What is handed on may end in a log.
    parts.headers.remove(header::AUTHORIZATION);
    let server = Server::new(catalogue, Arc::new(local));
    let service = StreamableHttpService::new(
        move || Ok(server.clone()),
        Arc::new(NeverSessionManager::default()),
        config(&state),
    );
    let request = HttpRequest::from_parts(parts, Full::new(body));
    let mut answer = service.handle(request).await.map(Body::new);
    // It is for nobody else, as all answers are.
    let no_store = HeaderValue::from_static("no-store");
    answer.headers_mut().insert(header::CACHE_CONTROL, no_store);
    answer
}

/// How the protocol is spoken. The names of hosts are not looked at: a page whose name is bound to this address anew has
/// no token to send.
fn config(state: &HttpState) -> StreamableHttpServerConfig {
    StreamableHttpServerConfig::default()
        .disable_allowed_hosts()
        .with_legacy_session_mode(false)
        // An answer begins at once, and says while a tool waits that it is alive.
        .with_json_response(false)
        .with_sse_keep_alive(Some(state.options.alive_every))
        .with_max_request_body_bytes(state.http.body_max)
}

/// Reads a body that is JSON of a bearable size.
async fn read(state: &HttpState, headers: &HeaderMap, body: Body) -> Result<Bytes, Box<Answer>> {
    let refuse = |status, why: &str| Err(Box::new(refuse(headers, status, why)));
    let bytes = match body::read(state, headers, body).await {
        Ok(bytes) => bytes.freeze(),
        Err(Unread::TooLarge) => {
            let why = "The request is larger than it may be, or was cut off.";
            return refuse(StatusCode::PAYLOAD_TOO_LARGE, why);
        }
        Err(Unread::TooSlow) => {
            let why = "The request took too long to come.";
            return refuse(StatusCode::REQUEST_TIMEOUT, why);
        }
    };
    let read = std::str::from_utf8(&bytes).ok().and_then(read_value);
    match read {
        Some((_, false)) => Ok(bytes),
        Some((_, true)) => {
            let error = RequestError::TooManyValues;
            refuse(error.status(), &error.to_string())
        }
        None => refuse(StatusCode::BAD_REQUEST, "The body is not JSON in UTF-8."),
    }
}

/// Runs documents in this server, as one user.
#[derive(Clone)]
struct Local {
    state: HttpState,
    session: Session,
    request_id: Option<String>,
}

impl Local {
    /// Judges a document, as the operation of somebody who may ask.
    fn prepare(&self, request: Request) -> Result<Prepared, Outcome> {
        rates::admit(&self.state, None, Some(&self.session))
            .map_err(|limited| Outcome::error(limited.into()))?;
        let variables = Variables::from_json(Value::Object(request.variables));
        let request = GraphQlRequest::new(request.document).variables(variables);
        operation::judge(&self.state, request, true).map_err(Outcome::rejected)
    }

    async fn run(self, request: Request) -> Value {
        let outcome = self.outcome(request).await;
        outcome.into_json(self.request_id.as_deref())
    }

    /// The one answer to what is not followed.
    fn refuse(&self, refused: Outcome) -> BoxStream<'static, Result<Value, Failure>> {
        let answer = refused.into_json(self.request_id.as_deref());
        stream::once(ready(Ok(answer))).boxed()
    }

    async fn outcome(&self, request: Request) -> Outcome {
        let _entry = match self.state.app.enter() {
            Ok(entry) => entry,
            Err(error) => return Outcome::error(error),
        };
        let prepared = self.prepare(request);
        let metrics = &self.state.metrics;
        let begun = metrics.begin(Via::Mcp, true, prepared.as_ref().ok());
        let outcome = match prepared {
            Ok(prepared) => execute_once(&self.state, Some(self.session.clone()), prepared).await,
            Err(refused) => refused,
        };
        begun.came_to(outcome.code());
        outcome
    }
}

impl Executor for Local {
    fn execute(&self, request: Request) -> BoxFuture<'static, Result<Value, Failure>> {
        self.clone().run(request).map(Ok).boxed()
    }

    fn follow(&self, request: Request) -> BoxStream<'static, Result<Value, Failure>> {
        let state = &self.state;
        let most = state.options.connections_max;
        let actor = Some(&self.session.actor);
        let Some(admission) = state.connections.admit(&state.app.realtime, actor, most) else {
            return self.refuse(Outcome::too_many_streams(most));
        };
        let prepared = match self.prepare(request) {
            Ok(prepared) => prepared,
            Err(refused) => return self.refuse(refused),
        };
        let begun = state.metrics.begin(Via::Mcp, true, Some(&prepared));
        let operation = operation::start(state, actor.cloned(), Ok(prepared), None, None);
        let operation = begun.over(operation);
        let session = Some(self.session.clone());
        let (told, _) = told(state, session, admission, operation);
        told.filter_map(|told| ready(heard(told))).boxed()
    }
}

/// What is told, as a response. The stream ends behind what ends it.
fn heard(told: Told) -> Option<Result<Value, Failure>> {
    let response = |json: Value| Some(Ok(json));
    let ends = |code, why: &str| Some(Err(Failure::new(code, why)));
    match told {
        Told::Begin | Told::Alive | Told::Completed => None,
        Told::Answer(Said::Next { json, .. }) => response(parsed(&json)),
        Told::Answer(Said::Failed { errors, .. }) => response(json!({ "errors": parsed(&errors) })),
        Told::Expired => ends(code::UNAUTHENTICATED, "The token is not accepted any more."),
        Told::Stopping => ends(
            code::SERVICE_UNAVAILABLE,
            "The server is stopping: call again.",
        ),
    }
}

/// What we have written ourselves is JSON.
fn parsed(json: &[u8]) -> Value {
    serde_json::from_slice(json).unwrap_or_default()
}
