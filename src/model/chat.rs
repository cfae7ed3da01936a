//! Chats.

use chrono::{DateTime, Utc};
use diesel::{Queryable, Selectable};

use super::closed_set::closed_set;
use super::{Capacity, ChatId, Message, Participant, Refusal, Standing, TenantId, UserId};
use crate::schema::chats;

/// The most characters (Unicode scalar values) a title may have.
pub const TITLE_MAX_CHARS: usize = 200;

closed_set! {
    /// What sort of chat it is; it never changes.
    pub enum ChatKind {
        /// The one chat of two people.
        Direct = 0,
        /// A chat with a title and roles.
        Group = 1,
    }
}

closed_set! {
    /// How much of a chat's log its participants see.
    pub enum ChatHistory {
        /// All of it.
        Whole = 0,
        /// What stands at or behind the entry that added them, last time.
        SinceJoining = 1,
    }
}

/// A chat's row.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = chats, check_for_backend(diesel::pg::Pg))]
pub struct Chat {
    /// The chat's id.
    pub id: ChatId,
    /// The tenant it belongs to.
    pub tenant_id: TenantId,
    /// Direct or group.
    pub kind: ChatKind,
    /// The title of a group.
    pub title: Option<String>,
    /// Who opened it.
    pub created_by: Option<UserId>,
    /// When it was opened.
    pub created_at: DateTime<Utc>,
    /// The newest entry of its log.
    pub last_seq: i64,
    /// When its newest message was sent, or it was opened.
    pub last_activity_at: DateTime<Utc>,
    /// Grows with every change of membership, role or deletion.
    pub acl_version: i64,
    /// When it was deleted; null while it is live.
    pub deleted_at: Option<DateTime<Utc>>,
    /// How much of its log its participants see.
    pub history: ChatHistory,
}

impl Chat {
    /// The first entry of the log that a participant sees. What stands before it does not exist for them.
    /// `store::messages::VISIBLE_FROM` says the same in SQL.
    #[must_use]
    pub fn visible_from(&self, viewer: &Participant) -> i64 {
        visible_from(self.history, viewer.joined_seq)
    }
}

/// The first entry of a log that somebody sees who joined with the entry `joined_seq`, at least 1.
#[must_use]
pub fn visible_from(history: ChatHistory, joined_seq: i64) -> i64 {
    match history {
        ChatHistory::Whole => 1,
        ChatHistory::SinceJoining => joined_seq.max(1),
    }
}

/// A chat as somebody sees it, read in one statement.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(check_for_backend(diesel::pg::Pg))]
pub struct ChatState {
    /// The chat's row.
    #[diesel(embed)]
    pub chat: Chat,
    /// The viewer's own membership. None for an administrator who is not in the chat.
    #[diesel(embed)]
    pub viewer: Option<Participant>,
}

impl ChatState {
    /// The facts on which permissions are decided.
    #[must_use]
    pub fn standing(&self) -> Standing {
        Standing {
            kind: self.chat.kind,
            capacity: match &self.viewer {
                Some(viewer) => Capacity::Participant(viewer.role),
                None => Capacity::Administrator,
            },
            deleted: self.chat.deleted_at.is_some(),
        }
    }

    /// The first entry of the log that the viewer sees.
    #[must_use]
    pub fn visible_from(&self) -> i64 {
        let viewer = self.viewer.as_ref();
        viewer.map_or(1, |viewer| self.chat.visible_from(viewer))
    }

    /// The viewer's read mark.
    #[must_use]
    pub fn read_seq(&self) -> i64 {
        self.viewer.as_ref().map_or(0, |viewer| viewer.read_seq)
    }

    /// Whether the viewer sees the entry of the log at `seq`, if there is one.
    #[must_use]
    pub fn sees(&self, seq: i64) -> bool {
        seq >= self.visible_from()
    }
}

/// A chat in somebody's inbox, with what was asked for of it.
#[derive(Debug, Clone, PartialEq, Eq, Queryable)]
#[diesel(check_for_backend(diesel::pg::Pg))]
pub struct InboxChat {
    /// The chat and the viewer's membership.
    pub state: ChatState,
    /// The newest message that the viewer sees. None also where it was not asked for.
    pub last_message: Option<Message>,
    /// How many unread messages it has, up to a limit. 0 where it was not asked for.
    pub unread: i64,
}

/// What is read with each chat of an inbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InboxFields {
    /// The newest message.
    pub last_message: bool,
    /// How many messages are unread.
    pub unread_count: bool,
}

/// Which of the viewer's chats to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChatFilter {
    /// Only chats of this kind.
    pub kind: Option<ChatKind>,
    /// Also deleted chats that the viewer can restore.
    pub include_deleted: bool,
}

/// A group's title: trimmed, one line, 1 to 200 characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Title(String);

impl Title {
    /// Trims and checks a title.
    ///
    /// # Errors
    ///
    /// `INVALID` for a blank title or one with a control character or line break, `TOO_LONG` beyond 200
    /// characters.
    pub fn new(text: &str) -> Result<Self, Refusal> {
        let text = text.trim();
        if super::message::is_blank(text) {
            return Err(Refusal::invalid("A title cannot be blank."));
        }
        if text.contains(|c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
            return Err(Refusal::invalid(
                "A title is one line, without control characters.",
            ));
        }
        if text.chars().count() > TITLE_MAX_CHARS {
            return Err(Refusal::too_long("A title has at most 200 characters."));
        }
        Ok(Self(text.to_owned()))
    }

    /// The title as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
