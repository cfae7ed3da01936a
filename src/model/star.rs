//! Stars: messages that somebody keeps at hand.

use chrono::{DateTime, Utc};

use super::{ChatId, Message};

/// A message that somebody has starred.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StarredMessage {
    /// The message.
    pub message: Message,
    /// When they starred it.
    pub starred_at: DateTime<Utc>,
}

/// The place of a star in its owner's list: when it was set, and on which message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct StarPlace {
    /// When it was set.
    pub starred_at: DateTime<Utc>,
    /// The message's chat.
    pub chat_id: ChatId,
    /// The message's place in the chat's log.
    pub seq: i64,
}

impl StarredMessage {
    /// Its place in the list.
    #[must_use]
    pub fn place(&self) -> StarPlace {
        StarPlace {
            starred_at: self.starred_at,
            chat_id: self.message.chat_id,
            seq: self.message.seq,
        }
    }
}
