//! Chats.

use chrono::{DateTime, Utc};
use diesel::{Queryable, Selectable};

use super::closed_set::closed_set;
use super::{
    Capacity, ChatId, Message, Metadata, Participant, Refusal, SearchText, Standing, TenantId,
    UserId,
};
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
    /// What the application keeps with it.
    pub metadata: Option<Metadata>,
    /// What sort of thing of the application it belongs to.
    pub channel_type: Option<String>,
    /// Which of them.
    pub channel_id: Option<String>,
}

impl Chat {
    /// The thing of the application that it belongs to.
    #[must_use]
    pub fn channel(&self) -> Option<Channel> {
        Some(Channel {
            channel_type: self.channel_type.clone()?,
            channel_id: self.channel_id.clone()?,
        })
    }

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
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChatFilter {
    /// Only chats of this kind.
    pub kind: Option<ChatKind>,
    /// Also deleted chats that the viewer can restore.
    pub include_deleted: bool,
    /// Only chats that have unread messages, or only those that have none.
    pub unread: Option<bool>,
    /// Only groups with this text in their title.
    pub title: Option<SearchText>,
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
        one_line(text, "A title").map(Self)
    }

    /// What a chat is called that came from a channel without a title.
    #[must_use]
    pub fn of_channel(id: &str) -> Self {
        let id = id.chars().filter(|c| !c.is_control());
        Self("Channel ".chars().chain(id).take(TITLE_MAX_CHARS).collect())
    }

    /// The title as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Trims and checks what is one line of 1 to 200 characters. `what` begins the sentence that says why it is not.
pub(super) fn one_line(text: &str, what: &str) -> Result<String, Refusal> {
    let text = text.trim();
    if super::message::is_blank(text) {
        return Err(Refusal::invalid(format!("{what} cannot be blank.")));
    }
    if text.contains(|c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
        let why = format!("{what} is one line, without control characters.");
        return Err(Refusal::invalid(why));
    }
    if text.chars().count() > TITLE_MAX_CHARS {
        let why = format!("{what} has at most 200 characters.");
        return Err(Refusal::too_long(why));
    }
    Ok(text.to_owned())
}

/// The most characters (Unicode scalar values) that a channel's type may have.
pub const CHANNEL_TYPE_MAX_CHARS: usize = 64;

/// The most characters (Unicode scalar values) that a channel's id may have.
pub const CHANNEL_ID_MAX_CHARS: usize = 255;

/// A thing of the application that a chat belongs to, such as a task or an order. At most one chat of a tenant belongs
/// to it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Channel {
    /// What sort of thing.
    pub channel_type: String,
    /// Which of them.
    pub channel_id: String,
}

impl Channel {
    /// Checks a reference.
    ///
    /// # Errors
    ///
    /// `INVALID` for an empty text or one with a control character, `TOO_LONG` beyond 64 characters for the type and 255
    /// for the id.
    pub fn new(channel_type: String, channel_id: String) -> Result<Self, Refusal> {
        for (text, field, most) in [
            (&channel_type, "channelType", CHANNEL_TYPE_MAX_CHARS),
            (&channel_id, "channelId", CHANNEL_ID_MAX_CHARS),
        ] {
            if text.chars().count() > most {
                let why = format!("`{field}` has at most {most} characters.");
                return Err(Refusal::too_long(why));
            }
            if text.is_empty() || text.contains(char::is_control) {
                let why =
                    format!("`{field}` has at least one character, and no control characters.");
                return Err(Refusal::invalid(why));
            }
        }
        Ok(Self {
            channel_type,
            channel_id,
        })
    }
}
