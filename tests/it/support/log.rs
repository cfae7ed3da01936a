//! A chat's log, seen from behind the API's back.

use colloquy::model::{ChatId, EventCursor};
use serde_json::Value;

use super::postgres::sql;
use super::socket::Events;
use super::{Server, User};

/// The number in the log that a cursor hides.
pub(crate) fn seq_of(cursor: &str) -> i64 {
    EventCursor::decode(cursor).unwrap().seq
}

/// The numbers of events.
pub(crate) fn seqs(events: &[Value]) -> Vec<i64> {
    let seq = |event: &Value| seq_of(event["cursor"].as_str().unwrap());
    events.iter().map(seq).collect()
}

/// The cursor in front of a chat's newest event.
pub(crate) async fn before_the_last(user: &User, chat: &str) -> String {
    let mut cursor = EventCursor::decode(&user.event_cursor(chat).await).unwrap();
    cursor.seq -= 1;
    cursor.encode()
}

/// Follows a chat from now on, and returns once the stream is known to run: it began one event earlier.
pub(crate) async fn from_now(user: &User, chat: &str) -> Events {
    let after = before_the_last(user, chat).await;
    let mut events = user.follows(chat, Some(&after)).await;
    events.next().await;
    events
}

/// The id of a chat as the tables have it.
pub(crate) fn uuid(chat: &str) -> String {
    chat.parse::<ChatId>().unwrap().0.to_string()
}

/// Writes messages as a third party would, by the send statement: nobody rings. Their bodies are `x…x1`,
/// `x…x2` and so on, with `width` times the x.
pub(crate) async fn write(server: &Server, chat: &str, sender: &str, count: usize, width: usize) {
    let statement = format!(
        "WITH chat AS (UPDATE chats SET last_seq = last_seq + {count} WHERE id = '{}' \
         RETURNING id, tenant_id, last_seq - {count} AS base) \
         INSERT INTO messages (chat_id, seq, tenant_id, created_at, sender_id, id, body) \
         SELECT chat.id, chat.base + n, chat.tenant_id, now(), '{sender}', gen_random_uuid(), \
         repeat('x', {width}) || n FROM chat, generate_series(1, {count}) AS n",
        uuid(chat)
    );
    sql(&mut server.sql().await, &statement).await;
}
