//! Signals: what is told of people in a chat while it is true, and never stands in the log.

use chrono::{DateTime, Utc};

use super::{ChatId, UserId};

/// Whether a person is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// They are, to some server.
    Online,
    /// They are not.
    Offline {
        /// When they last were; null where it is not known.
        last_seen_at: Option<DateTime<Utc>>,
    },
}

/// What is told of a person in a chat. Each kind is state: the newest holds, and makes older ones void.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// They began to type, or go on typing.
    TypingStarted {
        /// When it stops holding, if it is not told again.
        expires_at: DateTime<Utc>,
    },
    /// They stopped typing.
    TypingStopped,
    /// Their read mark moved to this log entry.
    ReadMarkMoved(i64),
    /// Their delivery mark moved to this log entry, beyond their read mark.
    DeliveryMarkMoved(i64),
    /// They came or went; `None` says that they do not show it any more.
    PresenceChanged(Option<Presence>),
}

/// A signal, and of whom it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatSignal {
    /// The chat.
    pub chat_id: ChatId,
    /// The person.
    pub user: UserId,
    /// What is told.
    pub signal: Signal,
}
