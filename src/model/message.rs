//! Messages.

use chrono::{DateTime, Utc};
use diesel::{Queryable, Selectable};

use super::{ChatId, MessageId, Metadata, Origin, Refusal, UserId};
use crate::schema::messages;

/// The most characters (Unicode scalar values) a body may have.
pub const BODY_MAX_CHARS: usize = 10_000;

/// The most characters (Unicode scalar values) an idempotency key may have.
pub const IDEMPOTENCY_KEY_MAX_CHARS: usize = 128;

/// The most characters (Unicode scalar values) a subject may have.
pub const SUBJECT_MAX_CHARS: usize = super::TITLE_MAX_CHARS;

/// A message's row.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = messages, check_for_backend(diesel::pg::Pg))]
pub struct Message {
    /// The chat it is in.
    pub chat_id: ChatId,
    /// Its place in the chat's log.
    pub seq: i64,
    /// Its id.
    pub id: MessageId,
    /// Its author.
    pub sender_id: UserId,
    /// The text as it is now, also of a deleted message: see [`Message::visible_body`].
    pub body: String,
    /// The message of the same chat that it answers.
    pub reply_to_seq: Option<i64>,
    /// When it was sent.
    pub created_at: DateTime<Utc>,
    /// When its body last changed.
    pub edited_at: Option<DateTime<Utc>>,
    /// When it was deleted; null while it is live.
    pub deleted_at: Option<DateTime<Utc>>,
    /// Who deleted it; null while it is live.
    pub deleted_by: Option<UserId>,
    /// The line above the text as it is now, also of a deleted message.
    pub subject: Option<String>,
    /// What the application keeps with it, also of a deleted message.
    pub metadata: Option<Metadata>,
    /// Where it was forwarded from; null where it was not.
    pub forwarded_from: Option<Origin>,
}

impl Message {
    /// Something in the message for anyone who reads it: null once the message is deleted.
    pub fn visible<'a, T>(&self, part: Option<&'a T>) -> Option<&'a T> {
        part.filter(|_| self.deleted_at.is_none())
    }

    /// The body for anyone who reads it: null once the message is deleted.
    #[must_use]
    pub fn visible_body(&self) -> Option<&str> {
        self.deleted_at.is_none().then_some(self.body.as_str())
    }
}

/// A part of a chat's log whose unread messages to count: behind a read mark, up to a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UnreadRange {
    /// The chat.
    pub chat_id: ChatId,
    /// The read mark.
    pub after: i64,
    /// The newest entry to look at.
    pub head: i64,
}

/// An earlier text of a message.
#[derive(Debug, Clone, PartialEq, Eq, Queryable)]
#[diesel(check_for_backend(diesel::pg::Pg))]
pub struct Revision {
    /// The chat.
    pub chat_id: ChatId,
    /// The message.
    pub message_seq: i64,
    /// The log entry of the edit that replaced it.
    pub seq: i64,
    /// The text.
    pub body: String,
    /// The line above it.
    pub subject: Option<String>,
    /// When it was replaced.
    pub replaced_at: DateTime<Utc>,
    /// Who replaced it.
    pub replaced_by: Option<UserId>,
}

/// What answers a message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Thread {
    /// How many live messages, as far as they were counted.
    pub count: i64,
    /// The newest of them.
    pub last_seq: Option<i64>,
}

/// A message's body: 1 to 10 000 characters, kept byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body(String);

impl Body {
    /// Checks a body.
    ///
    /// # Errors
    ///
    /// `INVALID` for a blank body or one with NUL, `TOO_LONG` beyond 10 000 characters.
    pub fn new(text: String) -> Result<Self, Refusal> {
        Self::checked(text, false)
    }

    /// Checks the body of a message that has attachments, which need not say anything.
    ///
    /// # Errors
    ///
    /// `INVALID` for one with NUL, `TOO_LONG` beyond 10 000 characters.
    pub fn beside_attachments(text: String) -> Result<Self, Refusal> {
        Self::checked(text, true)
    }

    fn checked(text: String, may_be_blank: bool) -> Result<Self, Refusal> {
        // Bytes bound characters from above, so the usual body is never counted.
        if text.len() > BODY_MAX_CHARS && text.chars().count() > BODY_MAX_CHARS {
            return Err(Refusal::too_long("A body has at most 10000 characters."));
        }
        if !may_be_blank && is_blank(&text) {
            return Err(Refusal::invalid("A body cannot be blank."));
        }
        if text.contains('\0') {
            return Err(Refusal::invalid("A body cannot contain the NUL character."));
        }
        Ok(Self(text))
    }

    /// That of a message, which was checked when it was sent.
    #[must_use]
    pub fn of(message: &Message) -> Self {
        Self(message.body.clone())
    }

    /// Whether it says nothing.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        is_blank(&self.0)
    }

    /// The body as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The line above a message's text: trimmed, one line, 1 to 200 characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject(String);

impl Subject {
    /// Trims and checks a subject.
    ///
    /// # Errors
    ///
    /// `INVALID` for a blank subject or one with a control character or line break, `TOO_LONG` beyond 200
    /// characters.
    pub fn new(text: &str) -> Result<Self, Refusal> {
        super::chat::one_line(text, "A subject").map(Self)
    }

    /// That of a message, which was checked when it was sent.
    #[must_use]
    pub fn of(message: &Message) -> Option<Self> {
        message.subject.clone().map(Self)
    }

    /// The subject as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A sender's key for one send: 1 to 128 characters. A retry with the same key finds the first message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Checks a key.
    ///
    /// # Errors
    ///
    /// `INVALID` for an empty key or one with NUL, `TOO_LONG` beyond 128 characters.
    pub fn new(text: String) -> Result<Self, Refusal> {
        if text.chars().count() > IDEMPOTENCY_KEY_MAX_CHARS {
            return Err(Refusal::too_long(
                "An idempotency key has at most 128 characters.",
            ));
        }
        if text.is_empty() || text.contains('\0') {
            return Err(Refusal::invalid(
                "An idempotency key has at least one character, none of them NUL.",
            ));
        }
        Ok(Self(text))
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a person would see nothing: only white space and default-ignorable characters.
pub(super) fn is_blank(text: &str) -> bool {
    text.chars()
        .all(|c| c.is_whitespace() || is_default_ignorable(c))
}

/// The property `Default_Ignorable_Code_Point` of the Unicode Character Database, version 16.0
/// (`DerivedCoreProperties.txt`). The standard library does not carry it.
fn is_default_ignorable(c: char) -> bool {
    matches!(c,
        '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}'
        | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}'
        | '\u{FFF0}'..='\u{FFF8}' | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}'
        | '\u{E0000}'..='\u{E0FFF}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RefusalCode;

    fn code(text: &str) -> Option<RefusalCode> {
        Body::new(text.to_owned()).err().map(|refusal| refusal.code)
    }

    #[test]
    fn a_body_is_kept_byte_for_byte() {
        for text in ["  hi \n", "e\u{301}", "\u{202e}abc", "👩‍👩‍👧", "a\u{200b}"] {
            assert_eq!(Body::new(text.to_owned()).unwrap().as_str(), text);
        }
    }

    #[test]
    fn blank_bodies_are_invalid() {
        for text in ["", " \n\t", "\u{200b}", "\u{2800}\u{0}"] {
            assert_eq!(code(text), Some(RefusalCode::Invalid), "{text:?}");
        }
        for text in ["\u{00ad}\u{3000}", "\u{feff}", "\u{e0020}", "\u{3164}"] {
            assert_eq!(code(text), Some(RefusalCode::Invalid), "{text:?}");
        }
    }

    #[test]
    fn length_counts_unicode_scalar_values() {
        assert_eq!(code(&"é".repeat(10_000)), None);
        assert_eq!(code(&"é".repeat(10_001)), Some(RefusalCode::TooLong));
        assert_eq!(code(&"😀".repeat(10_000)), None);
    }

    #[test]
    fn a_key_has_1_to_128_characters() {
        let code = |text: String| IdempotencyKey::new(text).err().map(|refusal| refusal.code);
        assert_eq!(code("é".repeat(128)), None);
        assert_eq!(code("é".repeat(129)), Some(RefusalCode::TooLong));
        assert_eq!(code(String::new()), Some(RefusalCode::Invalid));
    }
}
