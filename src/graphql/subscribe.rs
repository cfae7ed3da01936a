//! Subscriptions as the transports see them: a stream of finished answers.

use async_graphql::{ErrorExtensionValues, Request, Response, ServerError, Value};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;

use super::error::code;
use super::{RequestContext, Schema, classify, execute_stream};
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
    },
    /// The operation failed. Nothing follows.
    Failed {
        /// The JSON list of its errors.
        errors: Bytes,
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
            Self::next(&response, None)
        }
    }

    /// Refuses an operation on a connection that runs `most` already.
    #[must_use]
    pub fn too_many_operations(most: usize) -> Self {
        let why = format!("This connection runs {most} operations already: end one of them first.");
        Self::refused(code::TOO_MANY_OPERATIONS, why)
    }

    /// Refuses an operation because the server stops.
    #[must_use]
    pub fn stopping() -> Self {
        let why = "The server is stopping: connect again.";
        Self::refused(code::SERVICE_UNAVAILABLE, why)
    }

    /// Says that the token's time is over.
    #[must_use]
    pub fn expired() -> Self {
        let why = "The token has expired: connect again with a new one.";
        Self::refused(code::UNAUTHENTICATED, why)
    }

    fn refused(code: &str, why: impl Into<String>) -> Self {
        let mut error = ServerError::new(why, None);
        let mut extensions = ErrorExtensionValues::default();
        extensions.set("code", code);
        error.extensions = Some(extensions);
        Self::failed(&Response::from_errors(vec![error]))
    }

    /// An answer that ends a subscription: what could not be told must be asked for again.
    fn of_event(mut response: Response, cursor: Option<EventCursor>) -> Self {
        classify(&mut response, None);
        if response.data == Value::Null && !response.errors.is_empty() {
            Self::failed(&response)
        } else {
            Self::next(&response, cursor)
        }
    }

    fn next(response: &Response, cursor: Option<EventCursor>) -> Self {
        let json = json_of(response);
        Self::Next { json, cursor }
    }

    fn failed(response: &Response) -> Self {
        let errors = json_of(&response.errors);
        Self::Failed { errors }
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
fn json_of(value: &impl serde::Serialize) -> Bytes {
    serde_json::to_vec(value).unwrap_or_default().into()
}

/// Runs a subscription. The stream ends when the subscription does; dropping it ends the subscription.
pub fn subscribe(
    schema: &Schema,
    request: Request,
    context: RequestContext,
) -> BoxStream<'static, Answer> {
    let told = context.told();
    let responses = execute_stream(schema, request, context);
    let answers = responses.map(move |response| Answer::of_event(response, told.take()));
    answers.boxed()
}
