//! The messages of `graphql-transport-ws` (graphql-ws, PROTOCOL.md), as they are written.

use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use serde_json::{Map, Value};

use super::close::Close;
use crate::http::request::{GraphQlRequest, read_value};

/// The subprotocol.
pub(super) const NAME: &str = "graphql-transport-ws";

/// The most bytes of an operation's id: it is kept with the operation, and written with each answer.
const ID_MAX_BYTES: usize = 256;

/// What a client says.
#[derive(Debug)]
pub(super) enum ClientMessage {
    /// Who it is.
    Init(Option<Value>),
    /// An operation to run.
    Subscribe(Arc<str>, Box<GraphQlRequest>),
    /// An operation to end.
    Complete(Arc<str>),
    /// To be answered with a pong of the same payload.
    Ping(Option<Value>),
    /// Nothing to be done.
    Pong,
}

/// Reads a message. As many values may be in it as in a body: a tree of them takes far more memory than its text.
pub(super) fn parse(text: &str) -> Result<ClientMessage, Close> {
    let (message, exhausted) =
        read_value(text).ok_or(Close::BadMessage("it is no JSON, or is nested too deeply"))?;
    let Value::Object(mut message) = message else {
        return Err(Close::BadMessage("it is no JSON object"));
    };
    if exhausted {
        return Err(Close::BadMessage("there are too many values in it"));
    }
    let Some(Value::String(kind)) = message.remove("type") else {
        return Err(Close::BadMessage("it has no type"));
    };
    let payload = message.remove("payload");
    match kind.as_str() {
        "connection_init" => Ok(ClientMessage::Init(object(payload)?)),
        "ping" => Ok(ClientMessage::Ping(object(payload)?)),
        "pong" => object(payload).map(|_| ClientMessage::Pong),
        "complete" => Ok(ClientMessage::Complete(id(message.remove("id"))?)),
        "subscribe" => {
            let request = Box::new(request(payload)?);
            Ok(ClientMessage::Subscribe(id(message.remove("id"))?, request))
        }
        _ => Err(Close::BadMessage("its type is unknown")),
    }
}

/// An optional payload is an object, null or absent.
fn object(payload: Option<Value>) -> Result<Option<Value>, Close> {
    match payload {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(members)) => Ok(Some(members.into())),
        Some(_) => Err(Close::BadMessage("its payload is no object")),
    }
}

fn id(id: Option<Value>) -> Result<Arc<str>, Close> {
    match id {
        Some(Value::String(id)) if id.is_empty() => Err(Close::BadMessage("its id is empty")),
        Some(Value::String(id)) if id.len() > ID_MAX_BYTES => {
            Err(Close::BadMessage("its id is longer than 256 bytes"))
        }
        Some(Value::String(id)) => Ok(id.into()),
        _ => Err(Close::BadMessage("it has no id")),
    }
}

fn request(payload: Option<Value>) -> Result<GraphQlRequest, Close> {
    let Some(Value::Object(mut members)) = payload else {
        return Err(Close::BadMessage("it has no payload"));
    };
    let request = GraphQlRequest {
        query: text(&mut members, "query")?,
        operation_name: text(&mut members, "operationName")?.filter(|name| !name.is_empty()),
        variables: map(&mut members, "variables")?,
        extensions: map(&mut members, "extensions")?,
        document_id: text(&mut members, "documentId")?.filter(|id| !id.is_empty()),
    };
    let named = request.document_id.is_some() || request.persisted_query().is_some();
    if request.query.is_none() && !named {
        return Err(Close::BadMessage("its payload has no query"));
    }
    Ok(request)
}

const OTHER_TYPE: Close = Close::BadMessage("its payload has a member of another type");

fn text(members: &mut Map<String, Value>, name: &str) -> Result<Option<String>, Close> {
    match members.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(OTHER_TYPE),
    }
}

fn map(members: &mut Map<String, Value>, name: &str) -> Result<Map<String, Value>, Close> {
    match members.remove(name) {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(map)) => Ok(map),
        Some(_) => Err(OTHER_TYPE),
    }
}

/// `connection_ack`.
pub(super) const ACKNOWLEDGEMENT: Bytes = Bytes::from_static(br#"{"type":"connection_ack"}"#);

/// What closes the object of a `next` or an `error` behind its payload.
pub(super) const END: Bytes = Bytes::from_static(b"}");

/// The begin of a `next`, to be followed by its payload and [`END`].
pub(super) fn next(id: &str) -> Bytes {
    begin("next", id, br#","payload":"#)
}

/// The begin of an `error`, to be followed by its payload and [`END`].
pub(super) fn error(id: &str) -> Bytes {
    begin("error", id, br#","payload":"#)
}

/// A `complete`.
pub(super) fn complete(id: &str) -> Bytes {
    begin("complete", id, b"}")
}

/// A `pong`, with the payload of its ping.
pub(super) fn pong(payload: Option<&Value>) -> Bytes {
    match payload {
        None => Bytes::from_static(br#"{"type":"pong"}"#),
        Some(payload) => format!(r#"{{"type":"pong","payload":{payload}}}"#).into(),
    }
}

fn begin(kind: &str, id: &str, rest: &[u8]) -> Bytes {
    // The id as JSON writes it: quoted and escaped.
    let id = Value::from(id).to_string();
    let mut text = BytesMut::with_capacity(kind.len() + id.len() + rest.len() + 16);
    text.put_slice(br#"{"type":""#);
    text.put_slice(kind.as_bytes());
    text.put_slice(br#"","id":"#);
    text.put_slice(id.as_bytes());
    text.put_slice(rest);
    text.freeze()
}
