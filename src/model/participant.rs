//! Participants: who is in a chat, and as what.

use chrono::{DateTime, Utc};
use diesel::{Queryable, Selectable};

use super::closed_set::closed_set;
use super::{ChatId, ParticipantId, UserId};
use crate::schema::participants;

closed_set! {
    /// What a participant may do in a group; the permission table says what each means.
    pub enum Role {
        /// Sends, and edits and deletes their own messages.
        Member = 0,
        /// Also renames, adds, and removes members and messages.
        Admin = 1,
        /// Does everything.
        Owner = 2,
    }
}

/// A participant's row.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = participants, check_for_backend(diesel::pg::Pg))]
pub struct Participant {
    /// The chat.
    pub chat_id: ChatId,
    /// The person.
    pub user_id: UserId,
    /// Their role.
    pub role: Role,
    /// When they were added, last time.
    pub joined_at: DateTime<Utc>,
    /// The log entry that added them, last time; 1 for who is in the chat from its start.
    pub joined_seq: i64,
    /// The read mark: everything up to this log entry is read.
    pub read_seq: i64,
    /// The delivery mark as it was acknowledged. [`Participant::delivered`] is what holds.
    pub delivered_seq: i64,
}

impl Participant {
    /// The delivery mark: everything up to this log entry is delivered. What is read is delivered.
    #[must_use]
    pub fn delivered(&self) -> i64 {
        self.delivered_seq.max(self.read_seq)
    }

    /// The participant's public id.
    #[must_use]
    pub fn id(&self) -> ParticipantId {
        ParticipantId {
            chat_id: self.chat_id,
            user_id: self.user_id.clone(),
        }
    }
}
