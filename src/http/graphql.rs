//! The endpoint over HTTP: POST with JSON, and GET for queries, by the GraphQL over HTTP specification. What
//! the client wants told as it happens is answered by a stream.

use async_graphql::parser::types::OperationType;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use std::sync::Arc;

use super::accept::{Transport, transport};
use super::answer::{self, Answer, Outcome, refuse, reject};
use super::body::{self, Unread};
use super::metrics::Via;
use super::multipart::Multipart;
use super::operation::Refused;
use super::rates::{self, Origin};
use super::request::{Body, GraphQlRequest, RequestError};
use super::sse::EventStream;
use super::{HttpState, auth, cross_site, operation, stream, websocket};
use crate::app::{Entry, Error, Network, Session};
use crate::graphql::{Prepared, RequestContext};

const JSON: &str = "application/json";

const ONLY_JSON: &str =
    "Answers are `application/graphql-response+json` or `application/json`: accept one of them.";

/// `POST /graphql`.
pub(super) async fn post(
    State(state): State<HttpState>,
    request: axum::extract::Request,
) -> Answer {
    let (parts, body) = request.into_parts();
    let headers = parts.headers;
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
    // Behind the body, so that the connection can go on, and in front of all that takes time.
    let _entry = match enter(&state, &headers) {
        Ok(entry) => entry,
        Err(error) => return reject(&headers, error),
    };
    match Body::from_json(&body, state.http.batch_max) {
        Ok(Body::One(request)) => execute(&state, &headers, request, false).await,
        Ok(Body::Batch(requests)) => {
            let network = parts.extensions.get().map(|Origin(network)| *network);
            execute_batch(&state, network, &headers, requests).await
        }
        Err(error) => refuse(&headers, error.status(), &error.to_string()),
    }
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
    let secure = state.http.certificates.is_some();
    if cross_site::may_be_forged(&headers, &state.http.origins, secure) {
        return refuse(&headers, StatusCode::BAD_REQUEST, cross_site::WHY);
    }
    let _entry = match enter(&state, &headers) {
        Ok(entry) => entry,
        Err(error) => return reject(&headers, error),
    };
    match GraphQlRequest::from_url(parts.uri.query().unwrap_or_default()) {
        Ok(request) => execute(&state, &headers, request, true).await,
        Err(error) => refuse(&headers, error.status(), &error.to_string()),
    }
}

/// Refuses what the database has no time for, before anything is spent on it. Who takes nothing but streams may want to
/// follow, which is let wait.
fn enter(state: &HttpState, headers: &HeaderMap) -> Result<Option<Entry>, Error> {
    match transport(headers, false) {
        Some(Transport::Json) | None => state.app.enter().map(Some),
        Some(_) => Ok(None),
    }
}

impl From<Refused> for Outcome {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Document(error) => Self::without_document(error),
            Refused::Rejected(rejected) => Self::rejected(rejected),
        }
    }
}

async fn execute(
    state: &HttpState,
    headers: &HeaderMap,
    request: GraphQlRequest,
    only_queries: bool,
) -> Answer {
    let session = match auth::session_of(&state.app, headers).await {
        Ok(session) => session,
        Err(error) => return reject(headers, error),
    };
    if let Err(limited) = rates::admit(state, None, session.as_ref()) {
        return reject(headers, limited.into());
    }
    let request = match operation::prepare(state, request, session.is_some()) {
        Ok(request) => request,
        Err(refused) => {
            // A browser's `EventSource` cannot read the body of a refusal: a stream tells it.
            return match transport(headers, false) {
                Some(Transport::Json) | None => Outcome::from(refused).answer(headers),
                Some(stream) => tell(state, headers, session, Err(refused), stream),
            };
        }
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
            let answer = async {
                let outcome = execute_once(state, session, request).await;
                outcome.answer(headers)
            };
            begun.answered(answer).await
        }
        Some(transport) => tell(state, headers, session, Ok(request), transport),
        None if follows => {
            let why = "A subscription runs over the WebSocket of this address, or over HTTP for a client \
                       that accepts `text/event-stream` or `multipart/mixed;subscriptionSpec=1.0`.";
            refuse(headers, StatusCode::NOT_ACCEPTABLE, why)
        }
        None => refuse(headers, StatusCode::NOT_ACCEPTABLE, ONLY_JSON),
    }
}

/// Executes the operations of a list one behind the other, each as if it came alone.
async fn execute_batch(
    state: &HttpState,
    network: Option<Network>,
    headers: &HeaderMap,
    requests: Vec<Result<GraphQlRequest, RequestError>>,
) -> Answer {
    let session = match auth::session_of(&state.app, headers).await {
        Ok(session) => session,
        Err(error) => return reject(headers, error),
    };
    if transport(headers, false) != Some(Transport::Json) {
        return refuse(headers, StatusCode::NOT_ACCEPTABLE, ONLY_JSON);
    }
    let mut outcomes = Vec::with_capacity(requests.len());
    for (place, request) in requests.into_iter().enumerate() {
        // The first has taken its token from the address as the request that it came in.
        let network = network.filter(|_| place > 0);
        let admitted = rates::admit(state, network, session.as_ref());
        let admitted = admitted.map_err(|limited| Outcome::error(limited.into()));
        let prepared = match request {
            Ok(request) => admitted.and_then(|()| {
                let known = session.is_some();
                operation::prepare(state, request, known).map_err(Outcome::from)
            }),
            Err(error) => Err(Outcome::refused(error.status(), error.to_string())),
        };
        let prepared = prepared.and_then(|request| match request.kind() {
            OperationType::Subscription => {
                let why = "A subscription is not for a list: send it alone.";
                Err(Outcome::refused(StatusCode::UNPROCESSABLE_ENTITY, why))
            }
            OperationType::Query | OperationType::Mutation => Ok(request),
        });
        let metrics = &state.metrics;
        let begun = metrics.begin(Via::Http, session.is_some(), prepared.as_ref().ok());
        let outcome = match prepared {
            Ok(request) => execute_once(state, session.clone(), request).await,
            Err(refused) => refused,
        };
        begun.came_to(outcome.code());
        outcomes.push(outcome);
    }
    answer::batch(headers, outcomes)
}

/// Executes a query or a mutation, as the user of a session.
pub(super) async fn execute_once(
    state: &HttpState,
    session: Option<Session>,
    request: Prepared,
) -> Outcome {
    let actor = session.map(|session| session.actor);
    let context = RequestContext::new(Arc::clone(&state.app), actor);
    let done = operation::execute(state, request, context, None).await;
    Outcome::of(done.unwrap_or_else(|fault| *fault))
}

/// Answers with a stream, where the user may have one more.
fn tell(
    state: &HttpState,
    headers: &HeaderMap,
    session: Option<Session>,
    request: Result<Prepared, Refused>,
    transport: Transport,
) -> Answer {
    let actor = session.as_ref().map(|session| &session.actor);
    let most = state.options.connections_max;
    let (connections, realtime) = (&state.connections, &state.app.realtime);
    let Some(admission) = connections.admit(realtime, actor, most) else {
        return Outcome::too_many_streams(most).answer(headers);
    };
    if transport == Transport::Multipart {
        stream::answer::<Multipart>(state, headers, session, admission, request)
    } else {
        stream::answer::<EventStream>(state, headers, session, admission, request)
    }
}

/// Whether the content type is JSON, in the charset that JSON has (RFC 8259, section 8.1).
fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE);
    let Some(content_type) = content_type.and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let mut parts = content_type.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    let foreign = parts
        .filter_map(|part| part.split_once('='))
        .any(|(name, value)| {
            let charset = value.trim().trim_matches('"');
            name.trim().eq_ignore_ascii_case("charset") && !charset.eq_ignore_ascii_case("utf-8")
        });
    essence.eq_ignore_ascii_case(JSON) && !foreign
}
