//! The audit trail, for administrators.

use async_graphql::parser::types::Field;
use async_graphql::{
    Context, Enum, ID, InputObject, Object, Result, ScalarType as _, SimpleObject, Value,
};

use super::at_once::{AtOnce, Look};
use super::chat::ChatHistory;
use super::connection::Listed;
use super::context::ContextExt as _;
use super::participant::ParticipantRole;
use super::reference::ExternalReference;
use super::scalar::{DateTime, JsonObject};
use super::user::User;
use crate::model::{Act, Deed, EventData, EventKind, ListCursor, TrailEntry, TrailFilter, UserId};

/// What was done.
#[derive(Debug, Enum, Clone, Copy, PartialEq, Eq)]
enum AuditAction {
    /// An administrator read a chat that they are not in: itself, its messages, people or events.
    ChatRead,
    /// A message was edited: its text, subject or metadata. `text` is what it said before.
    MessageEdited,
    /// A message was deleted. `text` is what it said.
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
    /// An administrator read what could not be delivered to sinks.
    DeadLettersRead,
    /// An administrator had some of it delivered again.
    DeadLettersReplayed,
    /// An administrator read who was given URLs to download attachments from.
    AttachmentDownloadsRead,
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
            Deed::Act(Act::DeadLettersRead) => Self::DeadLettersRead,
            Deed::Act(Act::DeadLettersReplayed) => Self::DeadLettersReplayed,
            Deed::Act(Act::DownloadsRead) => Self::AttachmentDownloadsRead,
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

impl AuditAction {
    /// What is called so.
    fn deeds(self) -> (Vec<EventKind>, Vec<Act>) {
        let kinds = EventKind::ALL.iter().copied();
        let acts = Act::ALL.iter().copied();
        (
            kinds
                .filter(|&kind| Self::from(Deed::Event(kind)) == self)
                .collect(),
            acts.filter(|&act| Self::from(Deed::Act(act)) == self)
                .collect(),
        )
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

    /// Whether it tells of the use of an administrator's right. What such a use changes in a chat has another entry, which
    /// is the chat's own, as everybody in it sees it: there it is false.
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
    /// said then. Null for everything else.
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

    /// What it replaced, beside `text`. Null where it replaced nothing else.
    async fn before(&self) -> Option<AuditedValues> {
        AuditedValues::before(&self.0)
    }

    /// What it put there. Null where there is nothing to tell; a message's present state is the message's.
    async fn after(&self) -> Option<AuditedValues> {
        AuditedValues::after(&self.0)
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

/// What a change replaced, or put there. Of a message's edit it is what stood before, changed or not. Else a field is null
/// where that did not change, and where there was nothing.
#[derive(Debug, Default, PartialEq, SimpleObject)]
struct AuditedValues {
    /// The line above a message's text.
    subject: Option<String>,
    /// What the application keeps with a message or a chat.
    metadata: Option<JsonObject>,
    /// The title of a chat.
    title: Option<String>,
    /// A person's role in a chat.
    role: Option<ParticipantRole>,
    /// How much of a chat its participants see.
    history: Option<ChatHistory>,
    /// The thing of the application that a chat belongs to.
    external_reference: Option<ExternalReference>,
}

impl AuditedValues {
    fn before(entry: &TrailEntry) -> Option<Self> {
        let is_of_chat = matches!(entry.deed, Deed::Event(EventKind::ChatRenamed));
        let data = data(entry)?;
        Self {
            subject: data.previous_subject,
            metadata: data.previous_metadata.as_ref().map(JsonObject::from),
            // Of a message it is the text.
            title: data.previous.filter(|_| is_of_chat),
            role: data.previous_role.map(ParticipantRole::from),
            history: data.previous_history.map(ChatHistory::from),
            external_reference: data.previous_channel.map(ExternalReference::from),
        }
        .told()
    }

    fn after(entry: &TrailEntry) -> Option<Self> {
        let data = data(entry)?;
        Self {
            subject: None,
            metadata: data.metadata.as_ref().map(JsonObject::from),
            title: data.title,
            role: data.role.map(ParticipantRole::from),
            history: data.history.map(ChatHistory::from),
            external_reference: data.channel.map(ExternalReference::from),
        }
        .told()
    }

    fn told(self) -> Option<Self> {
        (self != Self::default()).then_some(self)
    }
}

/// What an entry changed, where it changed something in a chat.
fn data(entry: &TrailEntry) -> Option<EventData> {
    match entry.deed {
        Deed::Event(_) | Deed::Act(Act::RoleChanged) => {
            serde_json::from_value(entry.data.clone()).ok()
        }
        Deed::Act(_) => None,
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
    /// Only what was done so.
    action: Option<AuditAction>,
    /// Only what was done with the token that is called so (`jti`).
    token_id: Option<String>,
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
        // No token is called so, and Postgres does not take it.
        if self.token_id.as_ref().is_some_and(|id| id.contains('\0')) {
            return None;
        }
        Some(TrailFilter {
            actor: person(self.actor_id)?,
            chat,
            user: person(self.user_id)?,
            since: self.since.map(Into::into),
            before: self.before.map(Into::into),
            as_administrator: self.as_administrator,
            deeds: self.action.map(AuditAction::deeds),
            token: self.token_id,
        })
    }
}
