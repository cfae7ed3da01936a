//! The endpoint over HTTP: POST with JSON, and GET for queries, by the GraphQL over HTTP specification. What
//! the client wants told as it happens is answered by a stream.

use async_graphql::parser::types::OperationType;
use async_graphql::{Request, Variables};
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;
use std::sync::Arc;

use super::accept::{Transport, transport};
use super::answer::{Answer, executed, refuse, reject, rejected};
use super::body::{self, Unread};
use super::metrics::Via;
use super::multipart::Multipart;
use super::sse::EventStream;
use super::{HttpState, auth, operation, rates, stream, websocket};
use crate::app::Session;
use crate::graphql::{Prepared, RequestContext};

const JSON: &str = "application/json";

/// `POST /graphql`.
pub(super) async fn post(State(state): State<HttpState>, headers: HeaderMap, body: Body) -> Answer {
    if !is_json(&headers) {
        let why = "Send the request as `Content-Type: application/json`.";
        body::pass_over(&state, &headers, body.into_data_stream());
        return refuse(&headers, StatusCode::UNSUPPORTED_MEDIA_TYPE, why);
    }
    let body = match body::read(&state, &headers, body).await {
        Ok(body) => body,
        Err(Unread::TooLarge) => {
            let why = "The request is larger than 1 MiB, or was cut off.";
            return refuse(&headers, StatusCode::PAYLOAD_TOO_LARGE, why);
        }
        Err(Unread::TooSlow) => {
            let why = "The request took too long to come.";
            return refuse(&headers, StatusCode::REQUEST_TIMEOUT, why);
        }
    };
    match parse(&body) {
        Ok(request) if request.query.trim().is_empty() => {
            let why = "The request has no `query`.";
            refuse(&headers, StatusCode::BAD_REQUEST, why)
        }
        Ok(request) => execute(&state, &headers, request, false).await,
        Err(error) => {
            let why = format!("The body is no GraphQL request in JSON: {error}.");
            refuse(&headers, StatusCode::BAD_REQUEST, &why)
        }
    }
}

/// Reads a request. It must be an object: serde would take a list of the members' values too.
fn parse(body: &[u8]) -> serde_json::Result<Request> {
    let object = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(body)?;
    serde_json::from_value(object.into())
}

/// The parameters of a GET.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GetParameters {
    query: String,
    operation_name: Option<String>,
    variables: Option<String>,
}

/// `GET /graphql`: the upgrade to a WebSocket, or a query.
pub(super) async fn get_or_upgrade(
    State(state): State<HttpState>,
    request: axum::extract::Request,
) -> Answer {
    if websocket::is_wanted(request.headers()) {
        return websocket::upgrade(state, request);
    }
    let (parts, _) = request.into_parts();
    let headers = parts.headers;
    let Ok(Query(parameters)) = Query::<GetParameters>::try_from_uri(&parts.uri) else {
        let why = "Give the parameter `query`, or POST the request.";
        return refuse(&headers, StatusCode::BAD_REQUEST, why);
    };
    match parameters.into_request() {
        Ok(request) => execute(&state, &headers, request, true).await,
        Err(why) => refuse(&headers, StatusCode::BAD_REQUEST, why),
    }
}

impl GetParameters {
    fn into_request(self) -> Result<Request, &'static str> {
        let mut request = Request::new(self.query);
        request.operation_name = self.operation_name.filter(|name| !name.is_empty());
        if let Some(text) = self.variables.filter(|text| !text.is_empty()) {
            let json = serde_json::from_str::<serde_json::Value>(&text);
            let json = json.or(Err("The parameter `variables` is no JSON."))?;
            request.variables = Variables::from_json(json);
        }
        Ok(request)
    }
}

async fn execute(
    state: &HttpState,
    headers: &HeaderMap,
    request: Request,
    only_queries: bool,
) -> Answer {
    let session = match auth::session_of(&state.app, headers).await {
        Ok(session) => session,
        Err(error) => return reject(headers, error),
    };
    if let Err(refusal) = rates::admit(state, headers, session.as_ref()) {
        return *refusal;
    }
    let request = match operation::prepare(state, request) {
        Ok(request) => request,
        Err(refused) => return rejected(headers, refused),
    };
    if only_queries && request.kind() == OperationType::Mutation {
        let why = "A mutation needs a POST.";
        let mut answer = refuse(headers, StatusCode::METHOD_NOT_ALLOWED, why);
        let allow = HeaderValue::from_static("POST");
        answer.headers_mut().insert(header::ALLOW, allow);
        return answer;
    }
    let follows = request.kind() == OperationType::Subscription;
    match transport(headers, follows) {
        Some(Transport::Json) => {
            let known = session.is_some();
            let begun = state.metrics.begin(Via::Http, known, Some(&request));
            let answer = execute_once(state, headers, session, request);
            begun.answered(answer).await
        }
        Some(transport) => tell(state, headers, session, request, transport),
        None if follows => {
            let why = "A subscription runs over the WebSocket of this address, or over HTTP for a client \
                       that accepts `text/event-stream` or `multipart/mixed;subscriptionSpec=1.0`.";
            refuse(headers, StatusCode::NOT_ACCEPTABLE, why)
        }
        None => {
            let why = "Answers are `application/graphql-response+json` or `application/json`: accept one of them.";
            refuse(headers, StatusCode::NOT_ACCEPTABLE, why)
        }
    }
}

async fn execute_once(
    state: &HttpState,
    headers: &HeaderMap,
    session: Option<Session>,
    request: Prepared,
) -> Answer {
    let actor = session.map(|session| session.actor);
    let context = RequestContext::new(Arc::clone(&state.app), actor);
    let done = operation::execute(state, request, context, None).await;
    executed(headers, done.unwrap_or_else(|fault| *fault))
}

/// Answers with a stream, where the user may have one more.
fn tell(
    state: &HttpState,
    headers: &HeaderMap,
    session: Option<Session>,
    request: Prepared,
    transport: Transport,
) -> Answer {
    let actor = session.as_ref().map(|session| &session.actor);
    let most = state.options.connections_max;
    let (connections, realtime) = (&state.connections, &state.app.realtime);
    let Some(admission) = connections.admit(realtime, actor, most) else {
        let why = format!("You have {most} connections already: close one of them first.");
        return refuse(headers, StatusCode::TOO_MANY_REQUESTS, &why);
    };
    if transport == Transport::Multipart {
        stream::answer::<Multipart>(state, headers, session, admission, request)
    } else {
        stream::answer::<EventStream>(state, headers, session, admission, request)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE);
    let essence = content_type
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case(JSON))
}
