//! The endpoint over HTTP: POST with JSON, and GET for queries, by the GraphQL over HTTP specification. What
//! the client wants told as it happens is answered by a stream.

use async_graphql::parser::types::OperationType;
use async_graphql::{Request, Response, Variables};
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use serde::Deserialize;
use std::sync::Arc;

use super::accept::{Transport, transport};
use super::body::{self, Unread};
use super::layers::id_of;
use super::metrics::{Code, Via};
use super::multipart::Multipart;
use super::sse::EventStream;
use super::{HttpState, auth, operation, rates, stream, websocket};
use crate::app::{Error, Session};
use crate::graphql::{RequestContext, classify, operation_type, refusal_response, was_refused};

const GRAPHQL_JSON: &str = "application/graphql-response+json";
const JSON: &str = "application/json";

/// An answer of this endpoint.
type Answer = axum::response::Response;

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
    mut request: Request,
    only_queries: bool,
) -> Answer {
    let session = match auth::session_of(&state.app, headers).await {
        Ok(session) => session,
        Err(error) => return reject(headers, error),
    };
    if let Err(refusal) = rates::admit(state, headers, session.as_ref()) {
        return *refusal;
    }
    let kind = operation_type(&mut request);
    if only_queries && kind == Some(OperationType::Mutation) {
        let why = "A mutation needs a POST.";
        let mut answer = refuse(headers, StatusCode::METHOD_NOT_ALLOWED, why);
        let allow = HeaderValue::from_static("POST");
        answer.headers_mut().insert(header::ALLOW, allow);
        return answer;
    }
    match transport(headers, kind == Some(OperationType::Subscription)) {
        Some(Transport::Json) => {
            let begun = state
                .metrics
                .begin(Via::Http, session.is_some(), &mut request);
            let answer = execute_once(state, headers, session, kind, request);
            begun.answered(answer).await
        }
        Some(transport) => tell(state, headers, session, request, transport),
        None => {
            let why = "A subscription runs over the WebSocket of this address, or over HTTP for a client \
                       that accepts `text/event-stream` or `multipart/mixed;subscriptionSpec=1.0`.";
            refuse(headers, StatusCode::BAD_REQUEST, why)
        }
    }
}

async fn execute_once(
    state: &HttpState,
    headers: &HeaderMap,
    session: Option<Session>,
    kind: Option<OperationType>,
    request: Request,
) -> Answer {
    let actor = session.map(|session| session.actor);
    let context = RequestContext::new(Arc::clone(&state.app), actor);
    match operation::execute(state, kind, request, context, None).await {
        Ok(mut response) => {
            classify(&mut response, id_of(headers));
            answer(headers, status_of(headers, &response), &response)
        }
        Err(mut fault) => {
            classify(&mut fault, id_of(headers));
            answer(headers, StatusCode::INTERNAL_SERVER_ERROR, &fault)
        }
    }
}

/// Answers with a stream, where the user may have one more.
fn tell(
    state: &HttpState,
    headers: &HeaderMap,
    session: Option<Session>,
    request: Request,
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

/// A refused request is 400 for clients that know the newer media type; those that know only plain JSON get
/// the 200 that they expect of any well-formed request.
fn status_of(headers: &HeaderMap, response: &Response) -> StatusCode {
    if was_refused(response) && media_type(headers) == GRAPHQL_JSON {
        StatusCode::BAD_REQUEST
    } else {
        StatusCode::OK
    }
}

/// Refuses a request for who it is from.
pub(super) fn reject(headers: &HeaderMap, error: Error) -> Answer {
    let forged = matches!(&error, Error::Token(why) if why.is_forged());
    let refused = matches!(
        error,
        Error::Token(_) | Error::Revoked | Error::Unauthenticated
    );
    let status = if refused {
        StatusCode::UNAUTHORIZED
    } else if matches!(error, Error::RateLimited(_)) {
        StatusCode::TOO_MANY_REQUESTS
    } else if matches!(error, Error::Unavailable(_)) {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::INTERNAL_SERVER_ERROR
    };
    let mut response = refusal_response(error);
    classify(&mut response, id_of(headers));
    let mut answer = answer(headers, status, &response);
    if status == StatusCode::UNAUTHORIZED {
        let scheme = HeaderValue::from_static("Bearer");
        let headers = answer.headers_mut();
        headers.insert(header::WWW_AUTHENTICATE, scheme);
    }
    if forged {
        answer.extensions_mut().insert(rates::Forged);
    }
    answer
}

/// Refuses a request for how it is made.
fn refuse(headers: &HeaderMap, status: StatusCode, why: &str) -> Answer {
    let response = refusal_response(Error::BadInput(why.to_owned()));
    answer(headers, status, &response)
}

fn answer(headers: &HeaderMap, status: StatusCode, response: &Response) -> Answer {
    let json = if was_refused(response) {
        // `data` is left out where nothing was executed.
        serde_json::to_vec(&serde_json::json!({ "errors": response.errors }))
    } else {
        serde_json::to_vec(response)
    };
    let Ok(json) = json else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let content_type = format!("{}; charset=utf-8", media_type(headers));
    let code = Code::of(response);
    let mut answer = (status, [(header::CONTENT_TYPE, content_type)], json).into_response();
    answer.extensions_mut().insert(code);
    answer
}

/// The newer media type for who asks for it, plain JSON for everybody else.
fn media_type(headers: &HeaderMap) -> &'static str {
    let accepts = headers.get_all(header::ACCEPT).iter();
    let mut accepts = accepts.filter_map(|value| value.to_str().ok());
    if accepts.any(|value| value.contains(GRAPHQL_JSON)) {
        GRAPHQL_JSON
    } else {
        JSON
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE);
    let essence = content_type
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case(JSON))
}
