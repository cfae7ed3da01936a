//! What is delivered, read from the log when it is sent: a message that was edited or deleted meanwhile is shown as it is
//! then, as it is to a reader of the log.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use crate::model::{
    Attachment, Change, Channel, ChatHistory, ChatId, ChatKind, Digest, Event, Message, Notice,
    Origin, Role, TenantId, event_id, notification_id,
};
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
    let Some(event) = event.filter(|event| event.seq == seq) else {
        return Ok(None);
    };
    Ok(Some(parcel(tenant, &event)))
}

/// The files of a message, as a reader sees them: none once it is deleted.
async fn attached(
    conn: &mut Connection,
    tenant: &TenantId,
    message: &Message,
) -> Result<Vec<Attachment>, diesel::result::Error> {
    if message.deleted_at.is_some() {
        return Ok(Vec::new());
    }
    let place = (message.chat_id, message.seq);
    let found = store::message_attachments::of_messages(conn, tenant, &[place]).await?;
    Ok(found.into_iter().map(|(_, _, file)| file).collect())
}

/// How many messages a notification counts.
const COUNT_MOST: i64 = 100;

/// What is first in a lane of notifications, as a parcel. None where the person has read it meanwhile, or does not want to be
/// told any more, or not now: it waits for the end of their quiet hours as a notice, then.
pub(super) async fn of_notice(
    conn: &mut Connection,
    notice: &Notice,
    now: DateTime<Utc>,
) -> Result<Option<Parcel>, diesel::result::Error> {
    let Some(digest) = store::notices::digest(conn, notice, COUNT_MOST).await? else {
        return Ok(None);
    };
    let quiet = digest.quiet_hours.filter(|_| !digest.critical);
    if let Some(until) = quiet.and_then(|quiet| quiet.end_of(now)) {
        store::notices::put_back(conn, notice, &digest, until).await?;
        return Ok(None);
    }
    let attached = attached(conn, &notice.tenant, &digest.last).await?;
    Ok(Some(notification(notice, &digest, &attached)))
}

fn notification(notice: &Notice, digest: &Digest, attached: &[Attachment]) -> Parcel {
    let id = notification_id(notice.chat_id, notice.seq, &notice.user);
    let kind = match digest.kind {
        ChatKind::Direct => "DIRECT",
        ChatKind::Group => "GROUP",
    };
    let data = json!({
        "id": id,
        "tenantId": notice.tenant.as_str(),
        "recipientId": notice.user,
        "chatId": notice.chat_id.to_string(),
        "chat": { "kind": kind, "title": digest.title },
        "count": digest.count,
        "mentioned": digest.mentioned,
        "critical": digest.critical,
        "lastMessage": message(&digest.last, attached),
        "sender": { "id": digest.last.sender_id, "displayName": digest.sender_name },
    });
    Parcel {
        id,
        kind: "notification.created",
        at: digest.last.created_at,
        chat_id: notice.chat_id,
        recipient: Some(notice.user.clone()),
        data,
    }
}

fn parcel(tenant: &TenantId, event: &Event) -> Parcel {
    let id = event_id(event.chat_id, event.seq);
    let (kind, members) = change(&event.change, &event.attachments);
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
fn change(change: &Change, attached: &[Attachment]) -> (&'static str, Value) {
    let of_message = |message: &Message| json!({ "message": self::message(message, attached) });
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
        Change::ChatMetadataChanged { metadata } => {
            ("chat.metadata_changed", json!({ "metadata": metadata }))
        }
        Change::ChatChannelChanged { channel } => {
            let reference = channel.as_ref().map(|channel| {
                let Channel {
                    channel_type,
                    channel_id,
                } = channel;
                json!({ "channelType": channel_type, "channelId": channel_id })
            });
            (
                "chat.external_reference_changed",
                json!({ "externalReference": reference }),
            )
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
fn message(message: &Message, attached: &[Attachment]) -> Value {
    json!({
        "id": message.id.to_string(),
        "seq": message.seq,
        "senderId": message.sender_id,
        "subject": message.visible(message.subject.as_ref()),
        "body": message.visible_body(),
        "metadata": message.visible(message.metadata.as_ref()),
        "attachments": attached.iter().map(attachment).collect::<Vec<_>>(),
        "forwardedFrom": message.visible(message.forwarded_from.as_ref()).map(origin),
        "replyToSeq": message.reply_to_seq,
        "createdAt": message.created_at,
        "editedAt": message.edited_at,
        "deletedAt": message.deleted_at,
    })
}

/// Where a message was forwarded from. The original itself is not named: who gets this need not see it.
fn origin(origin: &Origin) -> Value {
    json!({ "senderId": origin.sender, "sentAt": origin.sent_at })
}

/// An attachment, with the members that it has in the API, but without a URL: that would outlive the right to it.
fn attachment(file: &Attachment) -> Value {
    json!({
        "id": file.id.to_string(),
        "name": file.name,
        "contentType": file.content_type,
        "size": file.size,
        "checksum": file.checksum.to_string(),
        "width": file.width,
        "height": file.height,
    })
}
