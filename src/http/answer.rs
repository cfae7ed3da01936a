//! Answers over HTTP: which status and media type a response gets (GraphQL over HTTP, "Response").

use async_graphql::Response;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::IntoResponse as _;
use serde::ser::{Serialize, SerializeMap as _, Serializer};

use super::accept::Media;
use super::documents::DocumentError;
use super::layers::id_of;
use super::metrics::Code;
use super::rates;
use crate::app::Error;
use crate::graphql::{
    Fault, Rejected, classify, code, code_of_response, refusal_as, refusal_response, was_refused,
};

/// An answer of the endpoint.
pub(super) type Answer = axum::response::Response;

/// "Partial Success": there is data, and something of it is missing (GraphQL over HTTP, "Partial success").
const PARTIAL_SUCCESS: u16 = 294;

/// What a request came to, before it is written.
#[derive(Debug)]
pub(super) struct Outcome {
    status: StatusCode,
    response: Box<Response>,
    /// Whether the request brought a token that is forged.
    forged: bool,
}

impl Outcome {
    /// A response with the status that it says itself.
    pub(super) fn of(response: Response) -> Self {
        Self::with(status_of(&response), response)
    }

    fn with(status: StatusCode, response: Response) -> Self {
        Self {
            status,
            response: Box::new(response),
            forged: false,
        }
    }

    /// A request that may not be executed.
    pub(super) fn rejected(rejected: Rejected) -> Self {
        let status = match rejected.fault {
            Fault::Syntax => StatusCode::BAD_REQUEST,
            Fault::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            Fault::Ours => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::with(status, *rejected.response)
    }

    /// A request whose document cannot be had, or may not run.
    pub(super) fn without_document(error: DocumentError) -> Self {
        Self::with(error.status(), error.response())
    }

    /// A request that is refused for who it is from.
    pub(super) fn error(error: Error) -> Self {
        let forged = matches!(&error, Error::Token(why) if why.is_forged());
        Self {
            forged,
            ..Self::of(refusal_response(error))
        }
    }

    /// A stream more than a user may have.
    pub(super) fn too_many_streams(most: usize) -> Self {
        let why = format!("You have {most} connections already: close one of them first.");
        Self::of(refusal_as(code::TOO_MANY_OPERATIONS, why))
    }

    /// A request that is refused for how it is made.
    pub(super) fn refused(status: StatusCode, why: impl Into<String>) -> Self {
        Self::with(status, refusal_response(Error::BadInput(why.into())))
    }

    /// The code of the response, for metrics.
    pub(super) fn code(&self) -> Code {
        Code::of(&self.response)
    }

    /// The response as JSON, for a request of this id.
    pub(super) fn into_json(mut self, request_id: Option<&str>) -> serde_json::Value {
        classify(&mut self.response, request_id);
        // Values of GraphQL always have a JSON form.
        serde_json::to_value(Body(&self.response)).unwrap_or_default()
    }

    /// The answer for a request with these headers.
    pub(super) fn answer(mut self, headers: &HeaderMap) -> Answer {
        classify(&mut self.response, id_of(headers));
        let code = self.code();
        let mut answer = write(headers, self.status, &Body(&self.response));
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            answer
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, scheme);
        }
        let extensions = answer.extensions_mut();
        if self.forged {
            extensions.insert(rates::Forged);
        }
        extensions.insert(code);
        answer
    }
}

/// The answer to a batch: a list in the requests' order. It has the status that all of them have, or where they
/// differ that of a partial success.
pub(super) fn batch(headers: &HeaderMap, mut outcomes: Vec<Outcome>) -> Answer {
    for outcome in &mut outcomes {
        classify(&mut outcome.response, id_of(headers));
    }
    let mut statuses = outcomes.iter().map(|outcome| outcome.status);
    let first = statuses.next().unwrap_or_default();
    let status = if statuses.all(|status| status == first) {
        first
    } else {
        partial_success()
    };
    let bodies = outcomes.iter().map(|outcome| Body(&outcome.response));
    write(headers, status, &bodies.collect::<Vec<_>>())
}

/// Refuses a request for who it is from.
pub(super) fn reject(headers: &HeaderMap, error: Error) -> Answer {
    Outcome::error(error).answer(headers)
}

/// Refuses a request for how it is made.
pub(super) fn refuse(headers: &HeaderMap, status: StatusCode, why: &str) -> Answer {
    Outcome::refused(status, why).answer(headers)
}

/// Refuses a request with a code of its own.
pub(super) fn refuse_as(headers: &HeaderMap, status: StatusCode, code: &str, why: &str) -> Answer {
    Outcome::with(status, refusal_as(code, why)).answer(headers)
}

fn partial_success() -> StatusCode {
    StatusCode::from_u16(PARTIAL_SUCCESS).unwrap_or(StatusCode::OK)
}

/// The status of a response: what nothing was executed of is 4xx or 5xx, what lacks something 294.
fn status_of(response: &Response) -> StatusCode {
    if response.errors.is_empty() {
        return StatusCode::OK;
    }
    if !was_refused(response) {
        return partial_success();
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

/// A response as it is written: `data` is left out where nothing was executed.
struct Body<'a>(&'a Response);

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !was_refused(self.0) {
            return self.0.serialize(serializer);
        }
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("errors", &self.0.errors)?;
        map.end()
    }
}

fn write(headers: &HeaderMap, status: StatusCode, body: &impl Serialize) -> Answer {
    let Ok(json) = serde_json::to_vec(body) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let media = Media::of(headers).unwrap_or_default();
    let content_type = HeaderValue::from_static(media.content_type(status));
    (status, [(header::CONTENT_TYPE, content_type)], json).into_response()
}
