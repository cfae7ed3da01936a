//! Server-sent events, by the protocol of graphql-sse (PROTOCOL.md), in its distinct connections mode.
//!
//! An event of a chat's log carries its cursor as the event's id. A client that reconnects by itself sends
//! the last id, and goes on behind it. So a stream that has to end without being complete just ends.

use axum::http::HeaderMap;
use bytes::{BufMut as _, Bytes, BytesMut};

use super::layers::LAST_EVENT_ID;
use super::metrics::Via;
use super::stream::{Format, Told};
use crate::graphql::Answer;

/// The cursor that a reconnecting client goes on behind.
pub(super) fn last_event_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(LAST_EVENT_ID)?.to_str().ok()?;
    (!id.is_empty()).then(|| id.to_owned())
}

/// How server-sent events are written (HTML, section 9.2).
pub(super) struct EventStream;

impl Format for EventStream {
    const CONTENT_TYPE: &'static str = "text/event-stream; charset=utf-8";
    const VIA: Via = Via::EventStream;

    fn write(told: &Told) -> Bytes {
        match told {
            // Who was cut off comes back after so many milliseconds.
            Told::Begin => Bytes::from_static(b"retry: 1000\n\n"),
            Told::Alive => Bytes::from_static(b":\n\n"),
            Told::Answer(Answer::Next { json, cursor, .. }) => {
                let id = cursor.map(|cursor| cursor.encode());
                next(&[json], id.as_deref())
            }
            Told::Answer(Answer::Failed { errors, .. }) => {
                next(&[b"{\"errors\":", errors, b"}"], None)
            }
            // Without data, a browser would not tell its page.
            Told::Completed => Bytes::from_static(b"event: complete\ndata:\n\n"),
            Told::Expired | Told::Stopping => Bytes::new(),
        }
    }
}

/// An event `next`. JSON as we write it has no line breaks.
fn next(json: &[&[u8]], id: Option<&str>) -> Bytes {
    let length: usize = json.iter().map(|piece| piece.len()).sum();
    let mut event = BytesMut::with_capacity(length + id.map_or(0, str::len) + 32);
    event.put_slice(b"event: next\n");
    if let Some(id) = id {
        event.put_slice(b"id: ");
        event.put_slice(id.as_bytes());
        event.put_slice(b"\n");
    }
    event.put_slice(b"data: ");
    for piece in json {
        event.put_slice(piece);
    }
    event.put_slice(b"\n\n");
    event.freeze()
}
