//! What runs the documents of tools, and how it says that one failed.

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::graphql::code;

/// A document to run.
#[derive(Debug, Clone)]
pub struct Request {
    /// Its text. It has one operation.
    pub document: &'static str,
    /// The values of its variables.
    pub variables: Map<String, Value>,
}

/// Runs documents as one user.
pub trait Executor: Send + Sync + 'static {
    /// Runs a query or a mutation. The answer is a response of GraphQL: `data`, `errors`, or both.
    fn execute(&self, request: Request) -> BoxFuture<'static, Result<Value, Failure>>;

    /// Runs a subscription, which yields responses of GraphQL. It ends where the server says that nothing follows; a stream
    /// that is cut off ends with a failure.
    fn follow(&self, request: Request) -> BoxStream<'static, Result<Value, Failure>>;
}

/// Why a tool did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// The kind, by the codes of the API: those of its top-level errors and of `UserError`.
    pub code: String,
    /// What is wrong, in a sentence.
    pub message: String,
    /// The path to the value at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<Vec<String>>,
    /// After how many seconds to try again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
    /// The request's id in the server's log, where the server is at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl Failure {
    /// A failure with a code of the API.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
            field: None,
            retry_after: None,
            request_id: None,
        }
    }

    /// An argument that cannot be.
    pub(super) fn of_argument(name: &str, message: impl Into<String>) -> Self {
        Self {
            field: Some(vec![name.to_owned()]),
            ..Self::new(code::BAD_USER_INPUT, message)
        }
    }

    /// A top-level error of a response.
    fn of_error(error: &Value) -> Self {
        let extension = |name| error.pointer(&format!("/extensions/{name}"));
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let code = text(extension("code"));
        let path = error.get("path").and_then(Value::as_array);
        Self {
            code: code.unwrap_or_else(|| code::INTERNAL_SERVER_ERROR.to_owned()),
            message: text(error.get("message")).unwrap_or_default(),
            field: path.map(|path| path.iter().map(step).collect()),
            retry_after: extension("retryAfter").and_then(Value::as_u64),
            request_id: text(extension("requestId")),
        }
    }

    /// A `UserError` of a payload. Its path begins with the argument `input`, which a tool does not have.
    fn of_user_error(error: &Value) -> Self {
        let text = |name| error.get(name).and_then(Value::as_str).unwrap_or_default();
        let path = error.get("field").and_then(Value::as_array);
        Self {
            field: path.map(|path| path.iter().skip(1).map(step).collect()),
            ..Self::new(text("code"), text("message"))
        }
    }
}

/// A step of a path: a name, or a place in a list.
fn step(step: &Value) -> String {
    step.as_str()
        .map_or_else(|| step.to_string(), str::to_owned)
}

/// Takes the value of the root field `root` out of a response. What is missing in it for an error is told in its member
/// `missing`, so that a write which is done does not look undone.
pub(super) fn take(mut response: Value, root: &str) -> Result<Map<String, Value>, Vec<Failure>> {
    let errors = response.get("errors").and_then(Value::as_array);
    let errors: Vec<Failure> = errors
        .into_iter()
        .flatten()
        .map(Failure::of_error)
        .collect();
    let value = response
        .get_mut("data")
        .and_then(|data| data.get_mut(root))
        .map(Value::take);
    let mut value = match value {
        // An object of another type has nothing of what is asked for.
        Some(Value::Object(value)) if !value.is_empty() => value,
        _ if errors.is_empty() => {
            let why = "It does not exist, or you may not see it.";
            return Err(vec![Failure::new(code::NOT_FOUND, why)]);
        }
        _ => return Err(errors),
    };
    let refused = value.remove("userErrors");
    let refused = refused.as_ref().and_then(Value::as_array);
    let refused: Vec<Failure> = refused
        .into_iter()
        .flatten()
        .map(Failure::of_user_error)
        .collect();
    if !refused.is_empty() {
        return Err(refused);
    }
    if !errors.is_empty() {
        let missing = serde_json::to_value(errors).unwrap_or_default();
        value.insert("missing".to_owned(), missing);
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_fails_has_its_code_and_what_is_done_is_not_undone() {
        let error = json!({
            "message": "No.", "path": ["send", 0, "message"],
            "extensions": { "code": "FORBIDDEN", "retryAfter": 3 },
        });
        let done =
            json!({ "data": { "send": { "message": null, "userErrors": [] } }, "errors": [error] });
        let value = take(done, "send").unwrap();
        assert_eq!(
            Value::Object(value),
            json!({ "message": null, "missing": [{
                "code": "FORBIDDEN", "message": "No.", "field": ["send", "0", "message"], "retryAfter": 3,
            }] })
        );
        let codes = |response| {
            let failures = take(response, "send").unwrap_err();
            let codes = failures.into_iter().map(|failure| failure.code);
            codes.collect::<Vec<_>>()
        };
        assert_eq!(
            codes(json!({ "data": null, "errors": [error] })),
            ["FORBIDDEN"]
        );
        assert_eq!(codes(json!({ "data": { "send": null } })), ["NOT_FOUND"]);
        assert_eq!(codes(json!({ "data": { "send": {} } })), ["NOT_FOUND"]);
        let refused = json!({ "code": "TOO_LONG", "message": "No.", "field": ["input", "body"] });
        let refused = json!({ "data": { "send": { "userErrors": [refused] } } });
        let failures = take(refused, "send").unwrap_err();
        assert_eq!(
            failures,
            [Failure {
                field: Some(vec!["body".to_owned()]),
                ..Failure::new("TOO_LONG", "No.")
            }]
        );
    }
}
