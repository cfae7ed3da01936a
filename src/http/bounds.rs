//! What is refused of a request before anybody looks at what it asks for.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::{HttpState, body};
use crate::app::Error;
use crate::graphql::refusal_response;

/// How long the address of a request may be, in bytes: a query in it has at most so many. Far below what hyper
/// answers with 414 by itself.
const URI_MAX: usize = 16 * 1024;

/// How large the headers of a request may be together, in bytes. Far below what hyper answers with 431 by
/// itself: its own bound is that of a buffer, and looked at only now and then.
const HEADERS_MAX: usize = 16 * 1024;

/// Lets a request through, or refuses it.
pub(super) async fn judge(
    State(state): State<HttpState>,
    request: Request,
    next: Next,
) -> Response {
    let refused = if length(&request) > URI_MAX {
        StatusCode::URI_TOO_LONG.into_response()
    } else if size(request.headers()) > HEADERS_MAX {
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE.into_response()
    } else if is_encoded(request.headers()) {
        encoded()
    } else {
        return next.run(request).await;
    };
    let (parts, rest) = request.into_parts();
    body::pass_over(&state, &parts.headers, rest.into_data_stream());
    refused
}

fn length(request: &Request) -> usize {
    let path = request.uri().path_and_query();
    path.map_or(0, |path| path.as_str().len())
}

fn size(headers: &HeaderMap) -> usize {
    let sizes = headers
        .iter()
        .map(|(name, value)| name.as_str().len().saturating_add(value.len()));
    sizes.fold(0, usize::saturating_add)
}

/// Whether a body is compressed. That is not taken: a few bytes could become any number, and requests are small.
fn is_encoded(headers: &HeaderMap) -> bool {
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    encodings.any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// Says what is taken (RFC 9110, section 15.5.16).
fn encoded() -> Response {
    let why = "Send the request without a `Content-Encoding`.";
    let response = refusal_response(Error::BadInput(why.to_owned()));
    let body = serde_json::json!({ "errors": response.errors }).to_string();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    let headers = response.headers_mut();
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, json);
    headers.insert(
        header::ACCEPT_ENCODING,
        HeaderValue::from_static("identity"),
    );
    response
}
