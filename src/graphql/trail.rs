//! The audit trail, for administrators.

use async_graphql::parser::types::Field;
use async_graphql::{Context, Enum, ID, InputObject, Object, Result, ScalarType as _, Value};

use super::at_once::{AtOnce, Look};
use super::connection::Listed;
use super::context::ContextExt as _;
use super::scalar::DateTime;
use super::user::User;
use crate::model::{Act, Deed, EventKind, ListCursor, TrailEntry, TrailFilter, UserId};

/// What was done.
#[derive(Debug, Enum, Clone, Copy, PartialEq, Eq)]
enum AuditAction {
    /// An administrator read a chat that they are not in: itself, its messages, people or events.
    ChatRead,
    /// A message was edited: its text, subject or metadata. `text` is what it said before.
    MessageEdited,
    /// A message was deleted. `text` is what it says.
    MessageDeleted,
    /// A message's deletion was undone.
    MessageRestored,
    /// Someone was added to a chat.
    ParticipantAdded,
    /// Someone was removed from a chat, or left it.
    ParticipantRemoved,
    /// Someone's role changed.
    ParticipantRoleChanged,
    /// A chat's title changed.
    ChatRenamed,
    /// A chat was deleted.
    ChatDeleted,
    /// A chat was restored.
    ChatRestored,
    /// How much of a chat its participants see changed.
    ChatHistoryChanged,
    /// What the application keeps with a chat changed.
    ChatMetadataChanged,
    /// The thing of the application that a chat belongs to changed.
    ChatExternalReferenceChanged,
    /// An administrator revoked tokens.
    TokensRevoked,
    /// An administrator read the audit trail.
    AuditTrailRead,
}

impl From<Deed> for AuditAction {
    fn from(deed: Deed) -> Self {
        match deed {
            Deed::Act(Act::ChatRead) => Self::ChatRead,
            Deed::Act(Act::MessageDeleted) | Deed::Event(EventKind::MessageDeleted) => {
                Self::MessageDeleted
            }
            Deed::Act(Act::MessageRestored) | Deed::Event(EventKind::MessageRestored) => {
                Self::MessageRestored
            }
            Deed::Act(Act::ChatDeleted) | Deed::Event(EventKind::ChatDeleted) => Self::ChatDeleted,
            Deed::Act(Act::ChatRestored) | Deed::Event(EventKind::ChatRestored) => {
                Self::ChatRestored
            }
            Deed::Act(Act::ParticipantRemoved) | Deed::Event(EventKind::ParticipantRemoved) => {
                Self::ParticipantRemoved
            }
            Deed::Act(Act::RoleChanged) | Deed::Event(EventKind::ParticipantRoleChanged) => {
                Self::ParticipantRoleChanged
            }
            Deed::Act(Act::TokensRevoked) => Self::TokensRevoked,
            Deed::Act(Act::TrailRead) => Self::AuditTrailRead,
            // A send is no entry of the trail; the log of events has none.
            Deed::Event(EventKind::MessageSent | EventKind::MessageEdited) => Self::MessageEdited,
            Deed::Event(EventKind::ParticipantAdded) => Self::ParticipantAdded,
            Deed::Event(EventKind::ChatRenamed) => Self::ChatRenamed,
            Deed::Event(EventKind::ChatHistoryChanged) => Self::ChatHistoryChanged,
            Deed::Event(EventKind::ChatMetadataChanged) => Self::ChatMetadataChanged,
            Deed::Event(EventKind::ChatChannelChanged) => Self::ChatExternalReferenceChanged,
        }
    }
}

/// Something that was done in the tenant. Chats and messages are named by their ids: to read them is another entry.
#[derive(Debug, Clone)]
pub(super) struct AuditRecord(TrailEntry);

impl From<TrailEntry> for AuditRecord {
    fn from(entry: TrailEntry) -> Self {
        Self(entry)
    }
}

impl Listed for AuditRecord {
    fn place(&self) -> ListCursor {
        ListCursor::Trail(self.0.place)
    }
}

impl AtOnce for AuditRecord {
    fn at_once(&self, field: &Field, _look: &Look<'_>) -> Option<Value> {
        match field.name.node.as_str() {
            "occurredAt" => Some(DateTime::from(self.0.place.occurred_at).to_value()),
            _ => None,
        }
    }
}

/// Something that was done in the tenant. Chats and messages are named by their ids: to read them is another entry.
#[Object]
impl AuditRecord {
    /// When it was done.
    async fn occurred_at(&self) -> DateTime {
        self.0.place.occurred_at.into()
    }

    /// What was done.
    async fn action(&self) -> AuditAction {
        self.0.deed.into()
    }

    /// Whether it rests on the right of an administrator, and on no role. What changes something in a chat has an entry of
    /// the chat's log beside it.
    async fn as_administrator(&self) -> bool {
        matches!(self.0.deed, Deed::Act(_))
    }

    /// Who did it. Null where nobody in particular did.
    async fn actor(&self) -> Option<User> {
        self.0.actor.clone().map(User::new)
    }

    /// In which chat. Null where it was in none.
    async fn chat_id(&self) -> Option<ID> {
        self.0.chat_id.map(|id| ID(id.to_string()))
    }

    /// To which message. Null where it was to none.
    async fn message_id(&self) -> Option<ID> {
        self.0.message_id.map(|id| ID(id.to_string()))
    }

    /// The text that is lost to others by it: of an edit, what the message said before; of a deletion, what it
    /// says now. Null for everything else.
    async fn text(&self, ctx: &Context<'_>) -> Option<Result<&str>> {
        let text = match self.0.deed {
            Deed::Event(EventKind::MessageEdited) => {
                self.0.data.get("previous").and_then(|it| it.as_str())
            }
            Deed::Event(EventKind::MessageDeleted) | Deed::Act(Act::MessageDeleted) => {
                self.0.text.as_deref()
            }
            Deed::Event(_) | Deed::Act(_) => None,
        };
        ctx.text(text)
    }

    /// To whom. Null where it was to nobody in particular.
    async fn user(&self) -> Option<User> {
        self.0.user.clone().map(User::new)
    }

    /// The id of the HTTP request, or of the one that opened the WebSocket. Null where it is not known.
    async fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }

    /// What the actor's token is called (`jti`). Null where it has no name.
    async fn token_id(&self) -> Option<&str> {
        self.0.token_id.as_deref()
    }
}

/// Which entries of the trail to list: those for which all holds that is given.
#[derive(Debug, InputObject)]
pub(super) struct AuditFilterInput {
    /// Only what this person did.
    actor_id: Option<ID>,
    /// Only what was done in this chat.
    chat_id: Option<ID>,
    /// Only what was done to this person.
    user_id: Option<ID>,
    /// Only what was done at this moment or later.
    since: Option<DateTime>,
    /// Only what was done before this moment.
    before: Option<DateTime>,
    /// Only what rests on the right of an administrator, or only what does not.
    as_administrator: Option<bool>,
}

impl AuditFilterInput {
    /// The filter; `None` where it keeps nothing, since an id in it is one of nothing.
    pub(super) fn checked(self) -> Option<TrailFilter> {
        let person = |id: Option<ID>| match id {
            None => Some(None),
            Some(id) => UserId::new(id.as_str()).ok().map(Some),
        };
        let chat = match self.chat_id {
            None => None,
            Some(id) => Some(id.parse().ok()?),
        };
        Some(TrailFilter {
            actor: person(self.actor_id)?,
            chat,
            user: person(self.user_id)?,
            since: self.since.map(Into::into),
            before: self.before.map(Into::into),
            as_administrator: self.as_administrator,
        })
    }
}
