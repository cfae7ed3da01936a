//! What wraps every route: request ids, the log, panics, limits, cross-origin rules.

use std::any::Any;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderName, Method, Response, StatusCode, header};
use axum::response::IntoResponse as _;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::trace::TraceLayer;
use tracing::Span;

use super::cross_site::PREFLIGHT;
use super::{HttpOptions, Origins};

/// The header that names a request.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The header by which a client of server-sent events says where to go on.
pub(super) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The header by which an agent says which revision of its protocol it speaks.
const MCP_PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");

/// How long browsers may remember the cross-origin rules.
const CORS_MAX_AGE: Duration = Duration::from_mins(10);

pub(super) fn wrap(routes: Router, options: &HttpOptions) -> Router {
    let origins = &options.origins;
    let routes = if origins.is_empty() {
        routes
    } else {
        routes.layer(cors(origins))
    };
    let trace = TraceLayer::new_for_http()
        .make_span_with(span)
        .on_request(())
        .on_response(|response: &Response<_>, took: Duration, _: &Span| {
            let status = response.status().as_u16();
            let took_ms = took.as_secs_f64() * 1000.0;
            tracing::debug!(status, took_ms, "answered");
        });
    routes.layer((
        SetRequestIdLayer::new(REQUEST_ID, MakeRequestUuid),
        PropagateRequestIdLayer::new(REQUEST_ID),
        trace,
        CatchPanicLayer::custom(on_panic),
    ))
}

/// Without credentials: cookies are never read, so any page may ask where the list says so.
fn cors(origins: &Origins) -> CorsLayer {
    let allowed = if origins.is_any() {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins.listed())
    };
    let read = [
        header::AUTHORIZATION,
        header::CONTENT_TYPE,
        LAST_EVENT_ID,
        REQUEST_ID,
        MCP_PROTOCOL_VERSION,
        // Of a part of an attachment.
        header::RANGE,
        header::IF_RANGE,
        header::IF_NONE_MATCH,
    ];
    let headers: Vec<HeaderName> = read.into_iter().chain(PREFLIGHT).collect();
    CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST, Method::PUT])
        .allow_headers(headers)
        .expose_headers([REQUEST_ID, header::ETAG, header::CONTENT_RANGE])
        .max_age(CORS_MAX_AGE)
}

/// The span of a request's log lines. Neither headers nor the query string: both may hold secrets.
fn span<B>(request: &axum::http::Request<B>) -> Span {
    let request_id = id_of(request.headers()).unwrap_or_default();
    let (method, path) = (request.method(), request.uri().path());
    tracing::info_span!("request", %method, path, request_id)
}

/// The request's id.
pub(super) fn id_of(headers: &axum::http::HeaderMap) -> Option<&str> {
    headers.get(REQUEST_ID).and_then(|id| id.to_str().ok())
}

/// A panic is a fault of ours: logged by the panic hook, and answered without its text.
fn on_panic(_: Box<dyn Any + Send + 'static>) -> Response<axum::body::Body> {
    let body = r#"{"errors":[{"message":"Something went wrong on the server.","extensions":{"code":"INTERNAL_SERVER_ERROR"}}]}"#;
    let json = [(header::CONTENT_TYPE, "application/json; charset=utf-8")];
    (StatusCode::INTERNAL_SERVER_ERROR, json, body).into_response()
}
