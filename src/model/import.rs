//! What is moved in from another chat service: its rows as they are read there, and what becomes of them here.

mod content;
mod people;
mod report;

use chrono::{DateTime, SubsecRound as _, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Bool, Integer, Jsonb, Nullable, Text, Timestamptz};
use sha2::{Digest as _, Sha256};
use uuid::{Builder, Uuid};

pub use self::content::{Draft, draft};
pub use self::people::{People, PeopleError};
pub use self::report::{ImportReport, Reason};

/// What the external references of chats say that came from a channel of the SourceLoop chat service.
pub const SOURCELOOP: &str = "sourceloop";

/// A channel there, or two people who wrote to each other without one.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub struct SourceChat {
    /// The channel's id; or, without a channel, the two people.
    #[diesel(sql_type = Text)]
    pub key: String,
    /// The channel's id.
    #[diesel(sql_type = Nullable<Text>)]
    pub channel: Option<String>,
    /// What the application called the sort of channel.
    #[diesel(sql_type = Nullable<Text>)]
    pub channel_type: Option<String>,
    /// How many messages it has.
    #[diesel(sql_type = BigInt)]
    pub messages: i64,
    /// Whether each of them is addressed to one person.
    #[diesel(sql_type = Bool)]
    pub addressed: bool,
}

/// Somebody who wrote or received in a channel.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub struct SourcePerson {
    /// The channel.
    #[diesel(sql_type = Text)]
    pub key: String,
    /// Their id there.
    #[diesel(sql_type = Text)]
    pub person: String,
    /// When they first appeared.
    #[diesel(sql_type = Timestamptz)]
    pub first_at: DateTime<Utc>,
    /// When they first wrote.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub wrote_at: Option<DateTime<Utc>>,
    /// Whether they wrote or were written to, and were not only shown a message.
    #[diesel(sql_type = Bool)]
    pub named: bool,
}

/// A message there.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub struct SourceMessage {
    /// The channel.
    #[diesel(sql_type = Text)]
    pub key: String,
    /// Its id.
    #[diesel(sql_type = Text)]
    pub id: String,
    /// Its text.
    #[diesel(sql_type = Text)]
    pub body: String,
    /// The line above it.
    #[diesel(sql_type = Nullable<Text>)]
    pub subject: Option<String>,
    /// A number whose meaning is the application's.
    #[diesel(sql_type = Integer)]
    pub status: i32,
    /// Who wrote it.
    #[diesel(sql_type = Nullable<Text>)]
    pub author: Option<String>,
    /// To whom it is addressed.
    #[diesel(sql_type = Nullable<Text>)]
    pub addressee: Option<String>,
    /// When it was written.
    #[diesel(sql_type = Timestamptz)]
    pub created_on: DateTime<Utc>,
    /// When the row last changed, for whatever reason.
    #[diesel(sql_type = Timestamptz)]
    pub modified_on: DateTime<Utc>,
    /// Who changed it.
    #[diesel(sql_type = Nullable<Text>)]
    pub modified_by: Option<String>,
    /// Whether it is deleted.
    #[diesel(sql_type = Bool)]
    pub deleted: bool,
    /// Has a time for live messages too.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub deleted_on: Option<DateTime<Utc>>,
    /// Who deleted it.
    #[diesel(sql_type = Nullable<Text>)]
    pub deleted_by: Option<String>,
    /// The message that it answers.
    #[diesel(sql_type = Nullable<Text>)]
    pub parent: Option<String>,
    /// The channel of that one; null where there is no such message.
    #[diesel(sql_type = Nullable<Text>)]
    pub parent_key: Option<String>,
    /// Whether that one stands before this one.
    #[diesel(sql_type = Bool)]
    pub parent_before: bool,
}

/// A message as somebody received it.
#[expect(clippy::struct_excessive_bools, reason = "as the table has them")]
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub struct SourceRecipient {
    /// The message.
    #[diesel(sql_type = Text)]
    pub message: String,
    /// Who received it.
    #[diesel(sql_type = Text)]
    pub person: String,
    /// Whether they have read it.
    #[diesel(sql_type = Bool)]
    pub is_read: bool,
    /// Whether it is a favourite of theirs.
    #[diesel(sql_type = Bool)]
    pub is_favorite: bool,
    /// Whether it was forwarded to them.
    #[diesel(sql_type = Bool)]
    pub is_forwarded: bool,
    /// By whom.
    #[diesel(sql_type = Nullable<Text>)]
    pub forwarded_by: Option<String>,
    /// Whether the row is deleted.
    #[diesel(sql_type = Bool)]
    pub deleted: bool,
    /// When the row last changed.
    #[diesel(sql_type = Timestamptz)]
    pub modified_on: DateTime<Utc>,
}

/// A file of a message.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub struct SourceFile {
    /// The message.
    #[diesel(sql_type = Text)]
    pub message: String,
    /// The row, whatever columns the table has.
    #[diesel(sql_type = Jsonb)]
    pub file: serde_json::Value,
}

/// A message with what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceItem {
    /// The message.
    pub message: SourceMessage,
    /// Who received it.
    pub recipients: Vec<SourceRecipient>,
    /// Its files.
    pub files: Vec<serde_json::Value>,
}

/// The id that a thing of the source has here: its own where that is a UUID in its usual form, else one made from it, always
/// the same. Another form would be another id there, and must not meet the first.
#[must_use]
pub fn imported_id(sort: &str, text: &str) -> Uuid {
    if let Ok(id) = Uuid::try_parse(text)
        && id.hyphenated().to_string() == text
    {
        return id;
    }
    let mut hash = Sha256::new();
    for part in [SOURCELOOP, sort, text] {
        hash.update(part.as_bytes());
        hash.update([0xff]);
    }
    let mut bytes = [0; 16];
    for (byte, hashed) in bytes.iter_mut().zip(hash.finalize()) {
        *byte = hashed;
    }
    // Version 8 of RFC 9562: made of whatever the maker says.
    Builder::from_custom_bytes(bytes).into_uuid()
}

/// A time of the source as it is kept here: in milliseconds, and not ahead of us, since no later message of the chat
/// could be earlier.
#[must_use]
pub fn imported_time(at: DateTime<Utc>, now: DateTime<Utc>) -> DateTime<Utc> {
    at.trunc_subsecs(3).min(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_kept_or_made_always_the_same() {
        let text = "5f0c1c30-7d5f-4c56-8b0c-3f6ad0e6f0a1";
        assert_eq!(imported_id("chat", text).to_string(), text);
        assert_ne!(imported_id("chat", &text.to_uppercase()).to_string(), text);
        let made = imported_id("chat", "room 5");
        assert_eq!(made, imported_id("chat", "room 5"));
        assert_ne!(made, imported_id("message", "room 5"));
        assert_ne!(made, imported_id("chat", "room 6"));
        assert_eq!(made.get_version_num(), 8);
    }
}
