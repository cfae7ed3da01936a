//! Answers over HTTP: which status and media type a response gets (GraphQL over HTTP, "Response").

use async_graphql::Response;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::IntoResponse as _;

use super::accept::Media;
use super::layers::id_of;
use super::metrics::Code;
use super::rates;
use crate::app::Error;
use crate::graphql::{
    Fault, Rejected, classify, code, code_of_response, refusal_response, was_refused,
};

/// An answer of the endpoint.
pub(super) type Answer = axum::response::Response;

/// "Partial Success": there is data, and something of it is missing (GraphQL over HTTP, "Partial success").
const PARTIAL_SUCCESS: u16 = 294;

/// Answers with what an operation came to.
pub(super) fn executed(headers: &HeaderMap, mut response: Response) -> Answer {
    classify(&mut response, id_of(headers));
    answer(headers, status_of(&response), &response)
}

/// Answers a request that may not be executed.
pub(super) fn rejected(headers: &HeaderMap, rejected: Rejected) -> Answer {
    let status = match rejected.fault {
        Fault::Syntax => StatusCode::BAD_REQUEST,
        Fault::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
        Fault::Ours => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let mut response = *rejected.response;
    classify(&mut response, id_of(headers));
    answer(headers, status, &response)
}

/// Refuses a request for who it is from.
pub(super) fn reject(headers: &HeaderMap, error: Error) -> Answer {
    let forged = matches!(&error, Error::Token(why) if why.is_forged());
    let mut answer = executed(headers, refusal_response(error));
    if answer.status() == StatusCode::UNAUTHORIZED {
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
pub(super) fn refuse(headers: &HeaderMap, status: StatusCode, why: &str) -> Answer {
    let response = refusal_response(Error::BadInput(why.to_owned()));
    answer(headers, status, &response)
}

/// The status of a response: what nothing was executed of is 4xx or 5xx, what lacks something 294.
fn status_of(response: &Response) -> StatusCode {
    if response.errors.is_empty() {
        return StatusCode::OK;
    }
    if !was_refused(response) {
        return StatusCode::from_u16(PARTIAL_SUCCESS).unwrap_or(StatusCode::OK);
    }
    match code_of_response(response) {
        code::UNAUTHENTICATED => StatusCode::UNAUTHORIZED,
        code::FORBIDDEN => StatusCode::FORBIDDEN,
        code::RATE_LIMITED | code::TOO_MANY_OPERATIONS => StatusCode::TOO_MANY_REQUESTS,
        code::SERVICE_UNAVAILABLE => StatusCode::SERVICE_UNAVAILABLE,
        code::OPERATION_TIMED_OUT => StatusCode::GATEWAY_TIMEOUT,
        code::INTERNAL_SERVER_ERROR => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    }
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
    let media = Media::of(headers).unwrap_or_default();
    let content_type = HeaderValue::from_static(media.content_type(status));
    let code = Code::of(response);
    let mut answer = (status, [(header::CONTENT_TYPE, content_type)], json).into_response();
    answer.extensions_mut().insert(code);
    answer
}
