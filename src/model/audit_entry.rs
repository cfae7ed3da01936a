//! Audit entries: what administrators did by that right.

use chrono::{DateTime, Utc};
use diesel::{Insertable, Queryable, Selectable};
use serde_json::Value;
use uuid::Uuid;

use super::closed_set::closed_set;
use super::{ChatId, EventKind, MessageId, TenantId, UserId};
use crate::schema::audit_entries;

closed_set! {
    /// What was done.
    pub enum Act {
        /// A chat was read: itself, its messages, people or events.
        ChatRead = 0,
        /// A message was deleted.
        MessageDeleted = 1,
        /// A message's deletion was undone.
        MessageRestored = 2,
        /// A chat was deleted.
        ChatDeleted = 3,
        /// A chat's deletion was undone.
        ChatRestored = 4,
        /// Someone was removed from a chat.
        ParticipantRemoved = 5,
        /// Someone's role changed.
        RoleChanged = 6,
        /// Tokens were revoked.
        TokensRevoked = 7,
        /// The trail itself was read.
        TrailRead = 8,
        /// What could not be delivered to sinks was read.
        DeadLettersRead = 9,
        /// Some of it was delivered again.
        DeadLettersReplayed = 10,
        /// The log of downloads was read.
        DownloadsRead = 11,
    }
}

/// What an entry of the trail tells of: an entry of a chat's log, or what was done by the right of an administrator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// What everybody in the chat could see.
    Event(EventKind),
    /// What rests on the right of an administrator.
    Act(Act),
}

/// The place of an entry in the trail of its tenant: by time, then by where it stands. The greater is the newer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrailPlace {
    /// When it was done.
    pub occurred_at: DateTime<Utc>,
    /// The chat whose log has it; nil for what administrators did.
    pub chat_id: Uuid,
    /// Its place there, or its number.
    pub seq: i64,
}

/// An entry of the trail, as it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrailEntry {
    /// Its place.
    pub place: TrailPlace,
    /// What was done.
    pub deed: Deed,
    /// Who did it; null where nobody in particular did.
    pub actor: Option<UserId>,
    /// The chat.
    pub chat_id: Option<ChatId>,
    /// The message.
    pub message_id: Option<MessageId>,
    /// The message's text, also of a deleted one.
    pub text: Option<String>,
    /// The person it was done to.
    pub user: Option<UserId>,
    /// What it needs besides, an object.
    pub data: Value,
    /// The id of the request.
    pub request_id: Option<String>,
    /// What the actor's token is called.
    pub token_id: Option<String>,
}

/// Which entries of the trail to list: those for which all holds that is given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrailFilter {
    /// Only what this person did.
    pub actor: Option<UserId>,
    /// Only what was done in this chat.
    pub chat: Option<ChatId>,
    /// Only what was done to this person.
    pub user: Option<UserId>,
    /// Only what was done at this moment or later.
    pub since: Option<DateTime<Utc>>,
    /// Only what was done before this moment.
    pub before: Option<DateTime<Utc>>,
    /// Only what rests on the right of an administrator, or only what does not.
    pub as_administrator: Option<bool>,
    /// Only what was done so: the kinds of a log's entries, and acts of administrators.
    pub deeds: Option<(Vec<EventKind>, Vec<Act>)>,
    /// Only what was done with the token that is called so.
    pub token: Option<String>,
}

/// An entry, as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Insertable, Queryable, Selectable)]
#[diesel(table_name = audit_entries, check_for_backend(diesel::pg::Pg))]
pub struct AuditEntry {
    /// The tenant of the actor and of what it is about.
    pub tenant_id: TenantId,
    /// When it was done.
    pub occurred_at: DateTime<Utc>,
    /// Who did it.
    pub actor_id: UserId,
    /// What was done.
    pub act: Act,
    /// The chat.
    pub chat_id: Option<ChatId>,
    /// The message.
    pub message_id: Option<MessageId>,
    /// The person it was done to.
    pub user_id: Option<UserId>,
    /// What the act needs besides: an object.
    pub data: Value,
    /// The id of the request, or of the one that opened the WebSocket.
    pub request_id: Option<String>,
    /// What the actor's token is called.
    pub token_id: Option<String>,
}
