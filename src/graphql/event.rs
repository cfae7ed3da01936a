//! The events of a chat's log, and the subscription to them.

use std::sync::Arc;

use async_graphql::{Context, ID, Interface, Object, Result, Subscription};
use futures_util::Stream;

use super::chat::{Chat, ChatHistory, chat_of};
use super::context::ContextExt as _;
use super::error::to_graphql;
use super::feed::{Item, Wanted, follow, followed_chat};
use super::message::Message;
use super::participant::ParticipantRole;
use super::reference::ExternalReference;
use super::scalar::{DateTime, JsonObject};
use super::user::User;
use crate::model::{Change, Event, EventCursor, Operation};

/// What all events share.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// The event.
    pub(super) event: Arc<Event>,
    /// Its place in the log.
    pub(super) cursor: EventCursor,
    /// Whether the viewer still sees the chat after this event.
    pub(super) sees: bool,
}

impl Entry {
    pub(super) async fn chat(&self, ctx: &Context<'_>) -> Result<Chat> {
        let id = self.event.chat_id;
        if self.sees {
            // A removal that is on its way behind this event may have taken the chat already.
            if let Some(state) = ctx.loaders()?.chat(id).await? {
                return Ok(state.into());
            }
        }
        let left = ctx.app()?.chat_left(ctx.actor()?, id).await;
        match left.map_err(to_graphql)? {
            Some(chat) => Ok(Chat::left(chat, self.event.seq)),
            None => chat_of(ctx, id).await,
        }
    }
}

/// An entry of a chat's log. Entries are numbered without a gap and come in order.
#[derive(Debug, Interface)]
#[graphql(
    field(
        name = "cursor",
        ty = "String",
        desc = "The event's place in the log: `chatEvents(after:)` from here continues behind it."
    ),
    field(
        name = "occurred_at",
        ty = "DateTime",
        desc = "When it happened, the same live and replayed."
    ),
    field(
        name = "chat",
        ty = "Chat",
        desc = "The chat as it is now. In the event that takes it from the viewer's sight, its lists are empty."
    ),
    field(
        name = "actor",
        ty = "Option<User>",
        desc = "Who did it. Null where nobody in particular did."
    )
)]
pub(super) enum ChatEvent {
    /// A message was sent.
    MessageSent(MessageSent),
    /// A message's text, subject or metadata changed.
    MessageEdited(MessageEdited),
    /// A message was deleted.
    MessageDeleted(MessageDeleted),
    /// A message was restored.
    MessageRestored(MessageRestored),
    /// Someone was added.
    ParticipantAdded(ParticipantAdded),
    /// Someone was removed, or left.
    ParticipantRemoved(ParticipantRemoved),
    /// Someone's role changed.
    ParticipantRoleChanged(ParticipantRoleChanged),
    /// The title changed.
    ChatRenamed(ChatRenamed),
    /// The chat was deleted.
    ChatDeleted(ChatDeleted),
    /// The chat was restored.
    ChatRestored(ChatRestored),
    /// How much of the chat its participants see changed.
    ChatHistoryChanged(ChatHistoryChanged),
    /// What the application keeps with the chat changed.
    ChatMetadataChanged(ChatMetadataChanged),
    /// The thing of the application that the chat belongs to changed.
    ChatExternalReferenceChanged(ChatExternalReferenceChanged),
}

/// Declares an event type: the fields that all share, and its own.
macro_rules! event_type {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $ty:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub(super) struct $name {
            entry: Entry,
            $($field: $ty,)*
        }

        $(#[$doc])*
        #[Object]
        impl $name {
            /// The event's place in the log: `chatEvents(after:)` from here continues behind it.
            async fn cursor(&self) -> String {
                self.entry.cursor.encode()
            }

            /// When it happened, the same live and replayed.
            async fn occurred_at(&self) -> DateTime {
                self.entry.event.occurred_at.into()
            }

            /// The chat as it is now. In the event that takes it from the viewer's sight, its lists are
            /// empty.
            async fn chat(&self, ctx: &Context<'_>) -> Result<Chat> {
                self.entry.chat(ctx).await
            }

            /// Who did it. Null where nobody in particular did.
            async fn actor(&self) -> Option<User> {
                self.entry.event.actor.clone().map(User::new)
            }

            $(
                $(#[$field_doc])*
                async fn $field(&self) -> $ty {
                    self.$field.clone()
                }
            )*
        }
    };
}

event_type!(
    /// A message was sent.
    MessageSent {
        /// The message as it is now: a replayed event shows later edits and deletion too.
        message: Message,
    }
);
event_type!(
    /// A message's text, subject or metadata changed.
    MessageEdited {
        /// The message as it is now.
        message: Message,
    }
);
event_type!(
    /// A message was deleted.
    MessageDeleted {
        /// The message as it is now.
        message: Message,
    }
);
event_type!(
    /// The deletion of a message was undone.
    MessageRestored {
        /// The message as it is now.
        message: Message,
    }
);
event_type!(
    /// Someone was added to the chat. A chat's log begins with one of these for each first participant.
    ParticipantAdded {
        /// Who was added.
        user: User,
        /// As what.
        role: ParticipantRole,
    }
);
event_type!(
    /// Someone was removed from the chat, or left it. For them it is the last event.
    ParticipantRemoved {
        /// Who was removed.
        user: User,
    }
);
event_type!(
    /// Someone's role changed.
    ParticipantRoleChanged {
        /// Whose role.
        user: User,
        /// The new role.
        role: ParticipantRole,
    }
);
event_type!(
    /// The chat's title changed.
    ChatRenamed {
        /// The new title.
        title: String,
    }
);
event_type!(
    /// The chat was deleted. For who cannot restore it, it is the last event.
    ChatDeleted {}
);
event_type!(
    /// The chat was restored.
    ChatRestored {}
);
event_type!(
    /// How much of the chat its participants see changed: load its messages anew.
    ChatHistoryChanged {
        /// How much they see now.
        history: ChatHistory,
    }
);
event_type!(
    /// What the application keeps with the chat changed.
    ChatMetadataChanged {
        /// What it keeps now. Null where it keeps nothing.
        metadata: Option<JsonObject>,
    }
);
event_type!(
    /// The thing of the application that the chat belongs to changed.
    ChatExternalReferenceChanged {
        /// The thing that it belongs to now. Null where it belongs to none.
        external_reference: Option<ExternalReference>,
    }
);

impl From<Entry> for ChatEvent {
    fn from(entry: Entry) -> Self {
        let event = Arc::clone(&entry.event);
        let message = |message: &crate::model::Message| Message::shown_by(message, &entry);
        match &event.change {
            Change::MessageSent(m) => Self::MessageSent(MessageSent {
                message: message(m),
                entry,
            }),
            Change::MessageEdited(m) => Self::MessageEdited(MessageEdited {
                message: message(m),
                entry,
            }),
            Change::MessageDeleted(m) => Self::MessageDeleted(MessageDeleted {
                message: message(m),
                entry,
            }),
            Change::MessageRestored(m) => Self::MessageRestored(MessageRestored {
                message: message(m),
                entry,
            }),
            Change::ParticipantAdded { user, role } => Self::ParticipantAdded(ParticipantAdded {
                user: User::new(user.clone()),
                role: (*role).into(),
                entry,
            }),
            Change::ParticipantRemoved { user } => Self::ParticipantRemoved(ParticipantRemoved {
                user: User::new(user.clone()),
                entry,
            }),
            Change::ParticipantRoleChanged { user, role } => {
                Self::ParticipantRoleChanged(ParticipantRoleChanged {
                    user: User::new(user.clone()),
                    role: (*role).into(),
                    entry,
                })
            }
            Change::ChatRenamed { title } => Self::ChatRenamed(ChatRenamed {
                title: title.clone(),
                entry,
            }),
            Change::ChatDeleted => Self::ChatDeleted(ChatDeleted { entry }),
            Change::ChatRestored => Self::ChatRestored(ChatRestored { entry }),
            Change::ChatHistoryChanged { history } => {
                Self::ChatHistoryChanged(ChatHistoryChanged {
                    history: (*history).into(),
                    entry,
                })
            }
            Change::ChatMetadataChanged { metadata } => {
                Self::ChatMetadataChanged(ChatMetadataChanged {
                    metadata: metadata.as_ref().map(JsonObject::from),
                    entry,
                })
            }
            Change::ChatChannelChanged { channel } => {
                Self::ChatExternalReferenceChanged(ChatExternalReferenceChanged {
                    external_reference: channel.clone().map(ExternalReference::from),
                    entry,
                })
            }
        }
    }
}

/// The subscription to a chat's log.
#[derive(Debug, Default)]
pub(super) struct EventSubscription;

#[Subscription]
impl EventSubscription {
    /// Every event of one chat, in order, each exactly once. It ends after an event that takes the chat
    /// from the viewer's sight.
    async fn chat_events<'ctx>(
        &self,
        ctx: &Context<'ctx>,
        #[graphql(desc = "The chat, one that the viewer is in.")] chat_id: ID,
        #[graphql(
            desc = "Where to continue: the `cursor` of the last event seen, or a chat's `eventCursor` or \
                    `eventStartCursor`, of whatever age, on any server. Absent, it starts from now on."
        )]
        after: Option<String>,
    ) -> Result<impl Stream<Item = ChatEvent> + use<'ctx>> {
        ctx.permit(Operation::FollowChatEvents)?;
        let after = ctx.resume()?.map(str::to_owned).or(after);
        let wanted = Wanted::Events(followed_chat(&chat_id)?, after);
        let resolve = |item| match item {
            Item::Event(entry) => Some(entry.into()),
            Item::Update(_) | Item::Signal(_) => None,
        };
        follow(ctx, wanted, resolve)
    }
}
