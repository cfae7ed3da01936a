//! Answers as the transports send them: serialised.

use async_graphql::{PathSegment, Response, Value};
use bytes::Bytes;

use super::error::{code, code_of_response, refusal};
use super::feed::Want;
use super::{classify, refusal_response};
use crate::app::{Error, RateLimited};
use crate::model::EventCursor;

/// One answer of a subscription, serialised once and shared by everyone who gets the same.
#[derive(Debug, Clone)]
pub enum Answer {
    /// An execution result, and the place in the chat's log behind it.
    Next {
        /// The result as JSON: `data`, perhaps with `errors`.
        json: Bytes,
        /// The place in the log; `None` where the subscription follows no log.
        cursor: Option<EventCursor>,
        /// The code of its first error, or `OK`.
        code: &'static str,
    },
    /// The operation failed. Nothing follows.
    Failed {
        /// The JSON list of its errors.
        errors: Bytes,
        /// The code of the first.
        code: &'static str,
    },
}

impl Answer {
    /// The answer of a query or a mutation: failed where it was refused before anything was executed.
    #[must_use]
    pub fn of_result(mut response: Response) -> Self {
        classify(&mut response, None);
        if was_refused(&response) {
            Self::failed(&response)
        } else {
            Self::next(&response)
        }
    }

    /// Refuses an operation on a connection that runs `most` already.
    #[must_use]
    pub fn too_many_operations(most: usize) -> Self {
        let why = format!("This connection runs {most} operations already: end one of them first.");
        Self::refused_as(code::TOO_MANY_OPERATIONS, why)
    }

    /// Turns a user away who has `most` connections already.
    #[must_use]
    pub fn too_many_connections(most: usize) -> Self {
        let why = format!("You have {most} connections already: close one of them first.");
        Self::refused_as(code::TOO_MANY_OPERATIONS, why)
    }

    /// Refuses a subscription of a user who has `most` already.
    #[must_use]
    pub fn too_many_subscriptions(most: usize) -> Self {
        let why = format!("You follow {most} subscriptions already: end one of them first.");
        Self::refused_as(code::TOO_MANY_OPERATIONS, why)
    }

    /// Refuses an operation of somebody who asks too often.
    #[must_use]
    pub fn rate_limited(limited: RateLimited) -> Self {
        Self::refused(Error::RateLimited(limited))
    }

    /// Refuses an operation because the server stops.
    #[must_use]
    pub fn stopping() -> Self {
        let why = "The server is stopping: connect again.";
        Self::refused_as(code::SERVICE_UNAVAILABLE, why)
    }

    /// Says that the token's time is over.
    #[must_use]
    pub fn expired() -> Self {
        let why = "The token has expired: connect again with a new one.";
        Self::refused_as(code::UNAUTHENTICATED, why)
    }

    fn refused_as(code: &str, why: impl Into<String>) -> Self {
        Self::failed(&Response::from_errors(vec![refusal(code, why, None)]))
    }

    /// Refuses an operation.
    pub(super) fn refused(error: Error) -> Self {
        Self::of_result(refusal_response(error))
    }

    /// Refuses a subscription at its root field.
    pub(super) fn refused_at(error: Error, want: &Want) -> Self {
        let mut response = refusal_response(error);
        for error in &mut response.errors {
            error.locations = vec![want.position];
            error.path = vec![PathSegment::Field(want.field.clone())];
        }
        Self::of_failure(response)
    }

    /// An answer to an operation of which nothing came.
    pub(super) fn of_failure(mut response: Response) -> Self {
        classify(&mut response, None);
        Self::failed(&response)
    }

    fn failed(response: &Response) -> Self {
        let errors = json_of(&response.errors);
        let code = code_of_response(response);
        Self::Failed { errors, code }
    }

    /// An execution result at no place.
    pub(super) fn next(response: &Response) -> Self {
        Self::Next {
            json: json_of(response),
            cursor: None,
            code: code_of_response(response),
        }
    }

    /// Says that a subscription has begun, behind a place of a log if it follows one.
    pub(super) fn begun(place: Option<EventCursor>) -> Self {
        Self::Next {
            json: Bytes::from_static(br#"{"data":null}"#),
            cursor: place,
            code: "OK",
        }
    }

    /// The code of its first error for metrics, or `OK`. It is one of a few.
    #[must_use]
    pub fn code(&self) -> &'static str {
        let (Self::Next { code, .. } | Self::Failed { code, .. }) = self;
        code
    }

    /// The same answer, at a place of a log.
    pub(super) fn at(self, place: Option<EventCursor>) -> Self {
        match self {
            Self::Next { json, code, .. } => Self::Next {
                json,
                cursor: place,
                code,
            },
            failed @ Self::Failed { .. } => failed,
        }
    }
}

/// Whether a request was refused before anything was executed: it has errors, none at a place in the data.
#[must_use]
pub fn was_refused(response: &Response) -> bool {
    response.data == Value::Null
        && !response.errors.is_empty()
        && response.errors.iter().all(|error| error.path.is_empty())
}

/// Values of GraphQL always have a JSON form: their keys are texts.
pub(super) fn json_of(value: &impl serde::Serialize) -> Bytes {
    serde_json::to_vec(value).unwrap_or_default().into()
}
