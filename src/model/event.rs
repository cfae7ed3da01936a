//! The log of a chat: every durable event, in order, without a gap.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::closed_set::closed_set;
use super::{Attachment, Channel, ChatHistory, ChatId, Message, Metadata, Role, UserId};

closed_set! {
    /// What happened, as `chat_events.kind` and the readers of the log number it. 0 is a send, whose row
    /// is the message itself.
    pub enum EventKind {
        /// A message was sent.
        MessageSent = 0,
        /// A message's text, subject or metadata changed.
        MessageEdited = 1,
        /// A message was deleted.
        MessageDeleted = 2,
        /// A message was restored.
        MessageRestored = 3,
        /// Someone was added.
        ParticipantAdded = 4,
        /// Someone was removed, or left.
        ParticipantRemoved = 5,
        /// Someone's role changed.
        ParticipantRoleChanged = 6,
        /// The title changed.
        ChatRenamed = 7,
        /// The chat was deleted.
        ChatDeleted = 8,
        /// The chat was restored.
        ChatRestored = 9,
        /// How much of the log participants see changed.
        ChatHistoryChanged = 10,
        /// What the application keeps with the chat changed.
        ChatMetadataChanged = 11,
        /// The thing of the application that the chat belongs to changed.
        ChatChannelChanged = 12,
    }
}

/// An entry of a chat's log, as a reader gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The chat.
    pub chat_id: ChatId,
    /// The place in its log.
    pub seq: i64,
    /// When it happened: from the row, so the same digits live and replayed.
    pub occurred_at: DateTime<Utc>,
    /// Who did it.
    pub actor: Option<UserId>,
    /// What happened.
    pub change: Change,
    /// The files of the message that it is about, in their order; none where that is deleted.
    pub attachments: Vec<Attachment>,
}

/// What an event changed. Messages are as they were when the log was read, not when it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A message was sent.
    MessageSent(Box<Message>),
    /// A message's body changed.
    MessageEdited(Box<Message>),
    /// A message was deleted.
    MessageDeleted(Box<Message>),
    /// A message was restored.
    MessageRestored(Box<Message>),
    /// Someone was added.
    ParticipantAdded {
        /// Who.
        user: UserId,
        /// As what.
        role: Role,
    },
    /// Someone was removed, or left.
    ParticipantRemoved {
        /// Who.
        user: UserId,
    },
    /// Someone's role changed.
    ParticipantRoleChanged {
        /// Whose.
        user: UserId,
        /// To what.
        role: Role,
    },
    /// The title changed.
    ChatRenamed {
        /// The new title.
        title: String,
    },
    /// The chat was deleted.
    ChatDeleted,
    /// The chat was restored.
    ChatRestored,
    /// How much of the log participants see changed.
    ChatHistoryChanged {
        /// How much they see now.
        history: ChatHistory,
    },
    /// What the application keeps with the chat changed.
    ChatMetadataChanged {
        /// What it keeps now.
        metadata: Option<Metadata>,
    },
    /// The thing of the application that the chat belongs to changed.
    ChatChannelChanged {
        /// Which it is now.
        channel: Option<Channel>,
    },
}

/// `chat_events.data`: what an entry needs besides its columns. Fields are only ever added.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EventData {
    /// The participant it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<UserId>,
    /// The role they have now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// The title the chat has now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The body or title that stood before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// The role that stood before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_role: Option<Role>,
    /// How much of the log participants see now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<ChatHistory>,
    /// How much of it they saw before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_history: Option<ChatHistory>,
    /// The subject that stood before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_subject: Option<String>,
    /// What the application keeps with the chat now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    /// What it kept before, with the chat or the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_metadata: Option<Metadata>,
    /// The thing of the application that the chat belongs to now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<Channel>,
    /// The one that it belonged to before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_channel: Option<Channel>,
}

/// An entry to write, at the next seq. Sends are not among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewEvent {
    /// A message's body changed.
    MessageEdited {
        /// The message's seq.
        message: i64,
        /// The body before.
        previous: String,
        /// The subject before.
        previous_subject: Option<String>,
        /// The metadata before.
        previous_metadata: Option<Metadata>,
    },
    /// A message was deleted.
    MessageDeleted {
        /// The message's seq.
        message: i64,
    },
    /// A message was restored.
    MessageRestored {
        /// The message's seq.
        message: i64,
    },
    /// Someone was added.
    ParticipantAdded {
        /// Who.
        user: UserId,
        /// As what.
        role: Role,
    },
    /// Someone was removed, or left.
    ParticipantRemoved {
        /// Who.
        user: UserId,
        /// What they were.
        previous: Role,
    },
    /// Someone's role changed.
    ParticipantRoleChanged {
        /// Whose.
        user: UserId,
        /// To what.
        role: Role,
        /// From what.
        previous: Role,
    },
    /// The title changed.
    ChatRenamed {
        /// The new title.
        title: String,
        /// The title before.
        previous: Option<String>,
    },
    /// The chat was deleted.
    ChatDeleted,
    /// The chat was restored.
    ChatRestored,
    /// How much of the log participants see changed.
    ChatHistoryChanged {
        /// How much they see now.
        history: ChatHistory,
        /// How much they saw before.
        previous: ChatHistory,
    },
    /// What the application keeps with the chat changed.
    ChatMetadataChanged {
        /// What it keeps now.
        metadata: Option<Metadata>,
        /// What it kept before.
        previous: Option<Metadata>,
    },
    /// The thing of the application that the chat belongs to changed.
    ChatChannelChanged {
        /// Which it is now.
        channel: Option<Channel>,
        /// Which it was before.
        previous: Option<Channel>,
    },
}

impl NewEvent {
    /// The columns of the entry: its kind, the message it is about, and its data.
    #[must_use]
    pub fn into_columns(self) -> (EventKind, Option<i64>, EventData) {
        let mut data = EventData::default();
        let (kind, message) = match self {
            Self::MessageEdited {
                message,
                previous,
                previous_subject,
                previous_metadata,
            } => {
                data.previous = Some(previous);
                data.previous_subject = previous_subject;
                data.previous_metadata = previous_metadata;
                (EventKind::MessageEdited, Some(message))
            }
            Self::MessageDeleted { message } => (EventKind::MessageDeleted, Some(message)),
            Self::MessageRestored { message } => (EventKind::MessageRestored, Some(message)),
            Self::ParticipantAdded { user, role } => {
                (data.user, data.role) = (Some(user), Some(role));
                (EventKind::ParticipantAdded, None)
            }
            Self::ParticipantRemoved { user, previous } => {
                (data.user, data.previous_role) = (Some(user), Some(previous));
                (EventKind::ParticipantRemoved, None)
            }
            Self::ParticipantRoleChanged {
                user,
                role,
                previous,
            } => {
                (data.user, data.role) = (Some(user), Some(role));
                data.previous_role = Some(previous);
                (EventKind::ParticipantRoleChanged, None)
            }
            Self::ChatRenamed { title, previous } => {
                (data.title, data.previous) = (Some(title), previous);
                (EventKind::ChatRenamed, None)
            }
            Self::ChatDeleted => (EventKind::ChatDeleted, None),
            Self::ChatRestored => (EventKind::ChatRestored, None),
            Self::ChatHistoryChanged { history, previous } => {
                (data.history, data.previous_history) = (Some(history), Some(previous));
                (EventKind::ChatHistoryChanged, None)
            }
            Self::ChatMetadataChanged { metadata, previous } => {
                (data.metadata, data.previous_metadata) = (metadata, previous);
                (EventKind::ChatMetadataChanged, None)
            }
            Self::ChatChannelChanged { channel, previous } => {
                (data.channel, data.previous_channel) = (channel, previous);
                (EventKind::ChatChannelChanged, None)
            }
        };
        (kind, message, data)
    }
}

impl Change {
    /// The message it is about.
    #[must_use]
    pub fn message(&self) -> Option<&Message> {
        match self {
            Self::MessageSent(message)
            | Self::MessageEdited(message)
            | Self::MessageDeleted(message)
            | Self::MessageRestored(message) => Some(message),
            Self::ParticipantAdded { .. }
            | Self::ParticipantRemoved { .. }
            | Self::ParticipantRoleChanged { .. }
            | Self::ChatRenamed { .. }
            | Self::ChatDeleted
            | Self::ChatRestored
            | Self::ChatHistoryChanged { .. }
            | Self::ChatMetadataChanged { .. }
            | Self::ChatChannelChanged { .. } => None,
        }
    }

    /// The same change, with the message it is about as it is later.
    #[must_use]
    pub fn with_message(&self, later: &Message) -> Self {
        let later = Box::new(later.clone());
        match self {
            Self::MessageSent(_) => Self::MessageSent(later),
            Self::MessageEdited(_) => Self::MessageEdited(later),
            Self::MessageDeleted(_) => Self::MessageDeleted(later),
            Self::MessageRestored(_) => Self::MessageRestored(later),
            Self::ParticipantAdded { .. }
            | Self::ParticipantRemoved { .. }
            | Self::ParticipantRoleChanged { .. }
            | Self::ChatRenamed { .. }
            | Self::ChatDeleted
            | Self::ChatRestored
            | Self::ChatHistoryChanged { .. }
            | Self::ChatMetadataChanged { .. }
            | Self::ChatChannelChanged { .. } => self.clone(),
        }
    }

    /// Makes the change from an entry's columns; `None` where they do not fit each other, which no writer
    /// of ours leaves behind.
    #[must_use]
    pub fn from_columns(
        kind: EventKind,
        message: Option<Box<Message>>,
        data: EventData,
    ) -> Option<Self> {
        let EventData {
            user,
            role,
            title,
            history,
            metadata,
            channel,
            ..
        } = data;
        Some(match kind {
            EventKind::MessageSent => Self::MessageSent(message?),
            EventKind::MessageEdited => Self::MessageEdited(message?),
            EventKind::MessageDeleted => Self::MessageDeleted(message?),
            EventKind::MessageRestored => Self::MessageRestored(message?),
            EventKind::ParticipantAdded => Self::ParticipantAdded {
                user: user?,
                role: role?,
            },
            EventKind::ParticipantRemoved => Self::ParticipantRemoved { user: user? },
            EventKind::ParticipantRoleChanged => Self::ParticipantRoleChanged {
                user: user?,
                role: role?,
            },
            EventKind::ChatRenamed => Self::ChatRenamed { title: title? },
            EventKind::ChatDeleted => Self::ChatDeleted,
            EventKind::ChatRestored => Self::ChatRestored,
            EventKind::ChatHistoryChanged => Self::ChatHistoryChanged { history: history? },
            EventKind::ChatMetadataChanged => Self::ChatMetadataChanged { metadata },
            EventKind::ChatChannelChanged => Self::ChatChannelChanged { channel },
        })
    }
}
