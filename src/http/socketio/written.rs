//! The packets of Engine.IO 4 and of Socket.IO 5 in it, as the server writes them.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::http::SocketOptions;

/// A ping, which clients wait for.
pub(in crate::http) const PING: Bytes = Bytes::from_static(b"2");

/// The first packet: the rules of the connection. Another transport is not offered.
pub(super) fn open(options: &SocketOptions) -> Bytes {
    let milliseconds = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(0);
    let open = json!({
        "sid": name(),
        "upgrades": [],
        "pingInterval": milliseconds(options.ping_after),
        "pingTimeout": milliseconds(options.pong_within),
        "maxPayload": options.message_max,
    });
    format!("0{open}").into()
}

/// The client is known.
pub(super) fn connected() -> Bytes {
    format!("40{}", json!({ "sid": name() })).into()
}

/// A name for a connection. Nothing can be had with it.
fn name() -> String {
    format!("{:032x}", fastrand::u128(..))
}

/// The client is not known, and why: the JSON list of errors.
pub(in crate::http) fn turned_away(errors: &[u8]) -> Bytes {
    let failed = failed(errors);
    let error = failed.get("error").unwrap_or(&Value::Null);
    let refusal = json!({ "message": error.get("message"), "data": error });
    format!("44{refusal}").into()
}

/// There is no such namespace.
pub(super) fn no_namespace(name: &str) -> Bytes {
    format!(r#"44{name},{{"message":"Invalid namespace"}}"#).into()
}

/// An acknowledgement.
pub(super) fn ack(number: u64, value: &Value) -> Bytes {
    format!("43{number}[{value}]").into()
}

/// An event with one argument.
pub(super) fn event(name: &str, argument: &Value) -> Bytes {
    format!("42{}", json!([name, argument])).into()
}

/// The begin of an event with an item, to be followed by it and `]`. Where the item is of a chat, the chat's id is its
/// first member, and the item follows without the brace that opens it.
pub(super) fn begin(name: &str, chat_id: Option<&str>) -> Bytes {
    let name = Value::from(name);
    match chat_id {
        None => format!("42[{name},").into(),
        Some(id) => format!(r#"42[{name},{{"chatId":{},"#, Value::from(id)).into(),
    }
}

/// What came of following something, which has begun.
pub(super) fn begun(cursor: Option<String>) -> Value {
    match cursor {
        None => json!({ "ok": true }),
        Some(cursor) => json!({ "ok": true, "cursor": cursor }),
    }
}

/// What came of an operation whose errors are listed.
pub(super) fn failed(errors: &[u8]) -> Value {
    // What we have written ourselves is JSON.
    let mut errors: Value = serde_json::from_slice(errors).unwrap_or_default();
    let first = errors.get_mut(0).map(Value::take).unwrap_or_default();
    json!({ "ok": false, "error": error(first) })
}

/// What is wrong, with a code.
pub(super) fn failure(code: &str, why: &str) -> Value {
    json!({ "ok": false, "error": { "code": code, "message": why } })
}

/// An error of GraphQL, with what extends it as members.
fn error(mut error: Value) -> Value {
    let mut told = match error.get_mut("extensions").map(Value::take) {
        Some(Value::Object(extensions)) => extensions,
        _ => serde_json::Map::new(),
    };
    let message = error.get_mut("message").map(Value::take);
    told.insert("message".to_owned(), message.unwrap_or_default());
    told.into()
}

/// The value of the one root field of a result.
pub(super) fn first_of_data(json: &[u8]) -> Value {
    let mut result: Value = serde_json::from_slice(json).unwrap_or_default();
    take_root(&mut result)
}

fn take_root(result: &mut Value) -> Value {
    let data = result.get_mut("data").and_then(Value::as_object_mut);
    let root = data.and_then(|data| data.values_mut().next());
    root.map(Value::take).unwrap_or_default()
}

/// What came of a mutation: the members of its payload; or the first thing that is wrong.
pub(super) fn outcome(json: &[u8]) -> Value {
    let mut result: Value = serde_json::from_slice(json).unwrap_or_default();
    let Value::Object(mut payload) = take_root(&mut result) else {
        let mut errors = result
            .get_mut("errors")
            .map(Value::take)
            .unwrap_or_default();
        let first = errors.get_mut(0).map(Value::take).unwrap_or_default();
        return json!({ "ok": false, "error": error(first) });
    };
    let wrong = payload.remove("userErrors");
    let first = wrong.and_then(|mut errors| errors.get_mut(0).map(Value::take));
    if let Some(error) = first {
        return json!({ "ok": false, "error": error });
    }
    payload.insert("ok".to_owned(), true.into());
    payload.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_what_came_or_what_is_wrong() {
        let of = |result: Value| outcome(result.to_string().as_bytes());
        let sent =
            json!({ "data": { "sendMessage": { "message": { "id": "1" }, "userErrors": [] } } });
        assert_eq!(of(sent), json!({ "ok": true, "message": { "id": "1" } }));
        let wrong = json!({ "code": "INVALID", "message": "No.", "field": ["input", "body"] });
        let refused =
            json!({ "data": { "sendMessage": { "message": null, "userErrors": [wrong] } } });
        assert_eq!(of(refused), json!({ "ok": false, "error": wrong }));
        let errors =
            json!([{ "message": "Gone.", "path": ["a"], "extensions": { "code": "NOT_FOUND" } }]);
        let failed = json!({ "data": { "sendMessage": null }, "errors": errors });
        let error = json!({ "code": "NOT_FOUND", "message": "Gone." });
        assert_eq!(of(failed), json!({ "ok": false, "error": error }));
        assert_eq!(
            of(json!({ "data": null, "errors": errors }))["error"],
            error
        );
    }
}
