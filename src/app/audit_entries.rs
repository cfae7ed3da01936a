//! The audit trail: what is done by the right of an administrator, and by no role, is written down.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::json;
use tokio::sync::Mutex;

use super::access::by_role;
use super::{Actor, Clock, Error};
use crate::model::{
    Act, Action, AuditEntry, ChatId, ChatState, MessageId, Permission, Role, UserId,
};
use crate::store::events::By;
use crate::store::{self, Connection};

/// The most characters of a request's or token's name that are kept.
const NAME_MAX_CHARS: usize = 255;

/// Which chats the trail was told of already, in an administrator's request.
#[derive(Debug, Default)]
pub struct Administration {
    read: Mutex<HashSet<ChatId>>,
}

/// What an act was done to, beside the chat.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target<'a> {
    Chat,
    Message(MessageId),
    Removed(&'a UserId),
    Role(&'a UserId, Role),
}

impl Administration {
    /// Whether the trail says already that this request read the chat.
    pub(super) async fn has_read(&self, chat: ChatId) -> bool {
        self.read.lock().await.contains(&chat)
    }
}

/// What Postgres can hold of a name that somebody else gave.
pub(super) fn kept(name: &str) -> Arc<str> {
    let name = name.chars().filter(|c| *c != '\0');
    name.take(NAME_MAX_CHARS).collect::<String>().into()
}

impl Actor {
    /// Whether their token lets them administer their tenant.
    #[must_use]
    pub fn administers(&self) -> bool {
        self.grants.has(Permission::Administer)
    }

    /// Refuses everybody else.
    pub(super) fn must_administer(&self) -> Result<(), Error> {
        if self.administers() {
            Ok(())
        } else {
            Err(Error::Forbidden(Permission::Administer))
        }
    }

    /// The same person in another operation, whose reading is to be written down anew. `request_id` is that of the
    /// HTTP request it came with, if it is known here.
    #[must_use]
    pub fn in_operation(mut self, request_id: Option<&str>) -> Self {
        if self.administration.is_some() {
            self.administration = Some(Arc::default());
        }
        if let Some(request_id) = request_id {
            self.request_id = Some(kept(request_id));
        }
        self
    }

    /// Who writes an entry of a log.
    pub(super) fn by(&self) -> By<'_> {
        By {
            user: &self.user,
            request_id: self.request_id.as_deref(),
            token_id: self.token_id.as_deref(),
        }
    }

    /// An entry about an act of theirs.
    pub(super) fn entry(&self, act: Act) -> AuditEntry {
        AuditEntry {
            tenant_id: self.tenant.clone(),
            occurred_at: Clock.now(),
            actor_id: self.user.clone(),
            act,
            chat_id: None,
            message_id: None,
            user_id: None,
            data: json!({}),
            request_id: self.request_id.as_deref().map(str::to_owned),
            token_id: self.token_id.as_deref().map(str::to_owned),
        }
    }
}

/// Writes down that an administrator reads chats, each once an operation. To be called before it is answered.
pub(super) async fn record_reading(
    conn: &mut Connection,
    actor: &Actor,
    chats: &[ChatId],
) -> Result<(), Error> {
    let Some(administration) = &actor.administration else {
        return Ok(());
    };
    // Held while it is written, so that fields that read the same chat at once write it down once.
    let mut read = administration.read.lock().await;
    let new = chats.iter().filter(|chat| !read.contains(*chat));
    let new: Vec<ChatId> = new.copied().collect();
    if new.is_empty() {
        return Ok(());
    }
    let entries = new.iter().map(|chat| AuditEntry {
        chat_id: Some(*chat),
        ..actor.entry(Act::ChatRead)
    });
    store::audit_entries::append(conn, &entries.collect::<Vec<_>>()).await?;
    read.extend(new);
    Ok(())
}

/// Writes down what an administrator does to a chat, unless their role in it allows it. To be called in the
/// transaction that does it.
pub(super) async fn record(
    conn: &mut Connection,
    actor: &Actor,
    state: &ChatState,
    action: Action,
    target: Target<'_>,
) -> Result<(), Error> {
    if by_role(action, state) {
        return Ok(());
    }
    let Some(act) = act_of(action) else {
        return Ok(());
    };
    let mut entry = AuditEntry {
        chat_id: Some(state.chat.id),
        ..actor.entry(act)
    };
    match target {
        Target::Chat => {}
        Target::Message(id) => entry.message_id = Some(id),
        Target::Removed(user) => entry.user_id = Some(user.clone()),
        Target::Role(user, role) => {
            entry.user_id = Some(user.clone());
            entry.data = json!({ "role": role });
        }
    }
    Ok(store::audit_entries::append(conn, &[entry]).await?)
}

/// How the trail calls what an administrator may do.
fn act_of(action: Action) -> Option<Act> {
    match action {
        Action::Read => Some(Act::ChatRead),
        Action::DeleteOwnMessage | Action::DeleteOthersMessage => Some(Act::MessageDeleted),
        Action::RestoreOwnDeletion | Action::RestoreOthersDeletion => Some(Act::MessageRestored),
        Action::DeleteChat => Some(Act::ChatDeleted),
        Action::RestoreChat => Some(Act::ChatRestored),
        Action::RemoveMember | Action::RemoveAboveMember => Some(Act::ParticipantRemoved),
        Action::ChangeRole => Some(Act::RoleChanged),
        Action::ReadOwnRevisions
        | Action::ReadOthersRevisions
        | Action::MarkRead
        | Action::Star
        | Action::SetNotifications
        | Action::Send
        | Action::EditOwnMessage
        | Action::EditOthersMessage
        | Action::Rename
        | Action::AddMember
        | Action::AddAboveMember
        | Action::Leave
        | Action::ChangeHistory
        | Action::ChangeMetadata
        | Action::ChangeChannel => None,
    }
}
