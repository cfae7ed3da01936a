//! What is delivered, read from the log when it is sent: a message that was edited or deleted meanwhile is shown as it is
//! then, as it is to a reader of the log.

use serde_json::{Map, Value, json};

use crate::model::{Change, ChatHistory, ChatId, Event, Message, Role, TenantId};
use crate::sinks::Parcel;
use crate::store::events::LogRange;
use crate::store::{self, Connection};

/// The event at a place of a chat's log, as a parcel. None where it is not there.
pub(super) async fn of_event(
    conn: &mut Connection,
    tenant: &TenantId,
    chat_id: ChatId,
    seq: i64,
) -> Result<Option<Parcel>, diesel::result::Error> {
    let range = LogRange {
        tenant: tenant.clone(),
        chat_id,
        after: seq - 1,
    };
    let read = store::events::read(conn, &[range], 1).await?;
    let event = read.into_iter().map(|entry| entry.event).next();
    let event = event.filter(|event| event.seq == seq);
    Ok(event.map(|event| parcel(tenant, &event)))
}

/// The id of an event, for whoever gets it: the same for all sinks, and for every try.
fn event_id(chat: ChatId, seq: i64) -> String {
    let chat = chat.to_string();
    format!("evt_{}_{seq}", chat.trim_start_matches("chat_"))
}

fn parcel(tenant: &TenantId, event: &Event) -> Parcel {
    let id = event_id(event.chat_id, event.seq);
    let (kind, members) = change(&event.change);
    let mut data = json!({
        "id": id,
        "tenantId": tenant.as_str(),
        "chatId": event.chat_id.to_string(),
        "seq": event.seq,
        "occurredAt": event.occurred_at,
        "actorId": event.actor,
    });
    if let (Value::Object(all), Value::Object(members)) = (&mut data, members) {
        all.extend(members);
    }
    Parcel {
        id,
        kind,
        at: event.occurred_at,
        chat_id: event.chat_id,
        recipient: None,
        data,
    }
}

/// What a change is called, and what it says besides.
fn change(change: &Change) -> (&'static str, Value) {
    let of_message = |message: &Message| json!({ "message": self::message(message) });
    match change {
        Change::MessageSent(message) => ("message.sent", of_message(message)),
        Change::MessageEdited(message) => ("message.edited", of_message(message)),
        Change::MessageDeleted(message) => ("message.deleted", of_message(message)),
        Change::MessageRestored(message) => ("message.restored", of_message(message)),
        Change::ParticipantAdded { user, role } => (
            "participant.added",
            json!({ "userId": user, "role": role_name(*role) }),
        ),
        Change::ParticipantRemoved { user } => ("participant.removed", json!({ "userId": user })),
        Change::ParticipantRoleChanged { user, role } => (
            "participant.role_changed",
            json!({ "userId": user, "role": role_name(*role) }),
        ),
        Change::ChatRenamed { title } => ("chat.renamed", json!({ "title": title })),
        Change::ChatDeleted => ("chat.deleted", Value::Object(Map::new())),
        Change::ChatRestored => ("chat.restored", Value::Object(Map::new())),
        Change::ChatHistoryChanged { history } => {
            let history = match history {
                ChatHistory::Whole => "WHOLE",
                ChatHistory::SinceJoining => "SINCE_JOINING",
            };
            ("chat.history_changed", json!({ "history": history }))
        }
    }
}

/// A role, as the API spells it.
fn role_name(role: Role) -> &'static str {
    match role {
        Role::Member => "MEMBER",
        Role::Admin => "ADMIN",
        Role::Owner => "OWNER",
    }
}

/// A message, with the members that it has in the API.
pub(super) fn message(message: &Message) -> Value {
    json!({
        "id": message.id.to_string(),
        "seq": message.seq,
        "senderId": message.sender_id,
        "body": message.visible_body(),
        "replyToSeq": message.reply_to_seq,
        "createdAt": message.created_at,
        "editedAt": message.edited_at,
        "deletedAt": message.deleted_at,
    })
}
