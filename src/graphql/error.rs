//! The one place where errors become the client's, and are logged.

use async_graphql::{
    Enum, ErrorExtensionValues, ErrorExtensions as _, Pos, Response, ServerError, SimpleObject,
};

use super::answer::was_refused;
use crate::app::Error;
use crate::model::{Refusal, RefusalCode};

/// The codes of top-level errors, in `extensions.code`.
pub mod code {
    /// The request asks for more than one may.
    pub const QUERY_TOO_COMPLEX: &str = "QUERY_TOO_COMPLEX";
    /// The request needs a token, or its token is not accepted.
    pub const UNAUTHENTICATED: &str = "UNAUTHENTICATED";
    /// Who asks may not do this at all, whatever it is done to.
    pub const FORBIDDEN: &str = "FORBIDDEN";
    /// What is named does not exist, or who asks may not see it.
    pub const NOT_FOUND: &str = "NOT_FOUND";
    /// The request, or a value in it, is not acceptable as it is.
    pub const BAD_USER_INPUT: &str = "BAD_USER_INPUT";
    /// What a cursor of a log points at is there no more.
    pub const CURSOR_EXPIRED: &str = "CURSOR_EXPIRED";
    /// Somebody asks too often: `extensions.retryAfter` says in how many seconds to try again.
    pub const RATE_LIMITED: &str = "RATE_LIMITED";
    /// The server cannot do it now: asking again later helps.
    pub const SERVICE_UNAVAILABLE: &str = "SERVICE_UNAVAILABLE";
    /// The installation does not offer this: it takes a setting that its operator has not made.
    pub const NOT_CONFIGURED: &str = "NOT_CONFIGURED";
    /// The operation took longer than it may: what it had not done by then is not done.
    pub const OPERATION_TIMED_OUT: &str = "OPERATION_TIMED_OUT";
    /// A document is named by its hash and is not known: the client sends it again with its text.
    pub const PERSISTED_QUERY_NOT_FOUND: &str = "PERSISTED_QUERY_NOT_FOUND";
    /// A document is named, and this server knows none by name.
    pub const PERSISTED_QUERY_NOT_SUPPORTED: &str = "PERSISTED_QUERY_NOT_SUPPORTED";
    /// A document is named that is not in the list of trusted ones.
    pub const PERSISTED_QUERY_NOT_IN_LIST: &str = "PERSISTED_QUERY_NOT_IN_LIST";
    /// A document is sent, and only those of the list run.
    pub const QUERY_NOT_IN_SAFELIST: &str = "QUERY_NOT_IN_SAFELIST";
    /// One connection asks for more operations at a time than it may.
    pub const TOO_MANY_OPERATIONS: &str = "TOO_MANY_OPERATIONS";
    /// The server is at fault, and its log says why, under the answer's `requestId`.
    pub const INTERNAL_SERVER_ERROR: &str = "INTERNAL_SERVER_ERROR";

    /// All of them: whoever adds one adds it here, or it is counted as another.
    pub const ALL: [&str; 16] = [
        QUERY_TOO_COMPLEX,
        UNAUTHENTICATED,
        FORBIDDEN,
        NOT_FOUND,
        BAD_USER_INPUT,
        CURSOR_EXPIRED,
        RATE_LIMITED,
        SERVICE_UNAVAILABLE,
        NOT_CONFIGURED,
        OPERATION_TIMED_OUT,
        TOO_MANY_OPERATIONS,
        INTERNAL_SERVER_ERROR,
        PERSISTED_QUERY_NOT_FOUND,
        PERSISTED_QUERY_NOT_SUPPORTED,
        PERSISTED_QUERY_NOT_IN_LIST,
        QUERY_NOT_IN_SAFELIST,
    ];
}

/// How many errors a request hears that is refused whole. Validation finds one in each name that is wrong.
const REFUSALS_MAX: usize = 10;

/// The most characters of an error's message: the engine repeats names of the request, however long they are.
const MESSAGE_MAX_CHARS: usize = 500;

/// What kind of mistake a `UserError` is about.
#[derive(Debug, Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "RefusalCode")]
pub(super) enum UserErrorCode {
    /// The value is not acceptable as it is.
    Invalid,
    /// The thing does not exist, or the viewer may not see it.
    NotFound,
    /// The viewer sees the thing but may not do this to it.
    Forbidden,
    /// The state of the thing does not allow this now.
    Conflict,
    /// The text is longer than its limit.
    TooLong,
    /// There are more of them than the limit.
    TooMany,
}

/// Something that a person can mend and try again; the mutation changed nothing.
#[derive(Debug, SimpleObject)]
pub(super) struct UserError {
    /// The kind of mistake, for programs.
    code: UserErrorCode,
    /// What is wrong as a full sentence, for people.
    message: String,
    /// The path to the input at fault, from the argument on, such as `["input", "body"]`. Null where it
    /// is about none in particular.
    field: Option<Vec<String>>,
}

impl From<Refusal> for UserError {
    fn from(refusal: Refusal) -> Self {
        let element = refusal.element.into_iter();
        let element = element.flat_map(|(list, place)| [list.to_owned(), place.to_string()]);
        let field = refusal.field.map(str::to_owned);
        let path: Vec<String> = element.chain(field).collect();
        Self {
            code: refusal.code.into(),
            field: (!path.is_empty()).then(|| [vec!["input".to_owned()], path].concat()),
            message: refusal.message,
        }
    }
}

/// Writes an error for the client, and logs what is ours to mend. A cause never leaves the server.
#[expect(
    clippy::needless_pass_by_value,
    reason = "an error ends here, and `map_err(to_graphql)` reads well"
)]
pub(super) fn to_graphql(error: Error) -> async_graphql::Error {
    let code = code_of(&error);
    if let Error::Internal(source) = &error {
        tracing::error!(error = %chain(source.as_ref()), "an operation failed");
    } else if let Error::Unavailable(source) = &error {
        tracing::warn!(error = %chain(source.as_ref()), "an operation was turned away");
    } else {
        tracing::debug!(%error, code, "an operation was refused");
    }
    async_graphql::Error::new(error.to_string()).extend_with(|_, extensions| {
        extensions.set("code", code);
        if let Some(seconds) = error.retry_after() {
            extensions.set("retryAfter", seconds);
        }
    })
}

fn code_of(error: &Error) -> &'static str {
    match error {
        Error::Unauthenticated | Error::Token(_) | Error::Revoked => code::UNAUTHENTICATED,
        Error::Forbidden(_) => code::FORBIDDEN,
        Error::NotFound(_) => code::NOT_FOUND,
        Error::BadInput(_) | Error::Refused(_) => code::BAD_USER_INPUT,
        Error::CursorExpired => code::CURSOR_EXPIRED,
        Error::RateLimited(_) => code::RATE_LIMITED,
        Error::TimedOut => code::OPERATION_TIMED_OUT,
        Error::Unavailable(_) => code::SERVICE_UNAVAILABLE,
        Error::NotConfigured(_) => code::NOT_CONFIGURED,
        Error::Internal(_) => code::INTERNAL_SERVER_ERROR,
    }
}

/// An error with its causes, for the log.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Completes a response for the client: what has no code comes from the framework, which refused the
/// request (syntax, validation, coercion); an internal error names the request, so that it can be looked up.
/// What is refused gets a short answer, however long the request is.
pub fn classify(response: &mut Response, request_id: Option<&str>) {
    if was_refused(response) {
        response.errors.truncate(REFUSALS_MAX);
    }
    for error in &mut response.errors {
        shorten(&mut error.message);
        let extensions = error
            .extensions
            .get_or_insert_with(ErrorExtensionValues::default);
        let internal = async_graphql::Value::from(code::INTERNAL_SERVER_ERROR);
        match extensions.get("code") {
            None => extensions.set("code", code::BAD_USER_INPUT),
            Some(code) if *code == internal => {
                if let Some(id) = request_id {
                    extensions.set("requestId", id);
                }
            }
            Some(_) => {}
        }
    }
}

fn shorten(message: &mut String) {
    // Bytes bound characters from above, so the usual message is never counted.
    if message.len() <= MESSAGE_MAX_CHARS {
        return;
    }
    if let Some((end, _)) = message.char_indices().nth(MESSAGE_MAX_CHARS) {
        message.truncate(end);
        message.push('\u{2026}');
    }
}

/// The code of a response for metrics: that of its first error, or `OK`. It is one of a few.
#[must_use]
pub fn code_of_response(response: &Response) -> &'static str {
    let Some(error) = response.errors.first() else {
        return "OK";
    };
    let extensions = error.extensions.as_ref();
    match extensions.and_then(|all| all.get("code")) {
        // It is of the framework's making, and is classified so.
        None => code::BAD_USER_INPUT,
        Some(async_graphql::Value::String(code)) => {
            let known = code::ALL.into_iter().find(|known| known == code);
            known.unwrap_or("OTHER")
        }
        Some(_) => "OTHER",
    }
}

/// An error of a request that is refused whole.
pub(super) fn refusal(code: &str, why: impl Into<String>, at: Option<Pos>) -> ServerError {
    let mut error = ServerError::new(why, at);
    let mut extensions = ErrorExtensionValues::default();
    extensions.set("code", code);
    error.extensions = Some(extensions);
    error
}

/// Whether a response lacks something because the database was away: asking again later helps.
pub(super) fn is_outage(response: &Response) -> bool {
    let unavailable = async_graphql::Value::from(code::SERVICE_UNAVAILABLE);
    response.errors.iter().any(|error| {
        let extensions = error.extensions.as_ref();
        extensions.and_then(|all| all.get("code")) == Some(&unavailable)
    })
}

/// A response that says only that its request was refused, with one of the codes in [`code`].
#[must_use]
pub fn refusal_as(code: &str, why: impl Into<String>) -> Response {
    Response::from_errors(vec![refusal(code, why, None)])
}

/// A response that says only that the request was refused.
#[must_use]
pub fn refusal_response(error: Error) -> Response {
    let error = to_graphql(error);
    let mut refused = ServerError::new(error.message, None);
    refused.extensions = error.extensions;
    Response::from_errors(vec![refused])
}
