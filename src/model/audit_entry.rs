//! Audit entries: what administrators did by that right.

use chrono::{DateTime, Utc};
use diesel::{Insertable, Queryable, Selectable};
use serde_json::Value;

use super::closed_set::closed_set;
use super::{ChatId, MessageId, TenantId, UserId};
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
    }
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
