//! Filters of lists.

use chrono::{DateTime, Utc};

use super::{MessageId, UserId};

/// The most characters (Unicode scalar values) that a text to look for may have.
pub const SEARCH_MAX_CHARS: usize = 200;

/// The most people whom a filter names.
pub const SENDERS_MAX: usize = 100;

/// The seconds from 1970 to the year 10000.
const YEAR_10000: i64 = 253_402_300_800;

/// The moment itself, where something can have been done then; else the nearer of 1970 and the year 10000. Postgres' times
/// do not reach as far as ours, so no other is to be compared with a row's.
#[must_use]
pub fn within_history(at: DateTime<Utc>) -> DateTime<Utc> {
    at.clamp(DateTime::UNIX_EPOCH, end_of_history())
}

/// A moment behind everything that is ever done.
#[must_use]
pub fn end_of_history() -> DateTime<Utc> {
    DateTime::from_timestamp(YEAR_10000, 0).unwrap_or(DateTime::UNIX_EPOCH)
}

/// What is wrong with a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// A text to look for is blank, too long, or has a character that no text here has.
    #[error("A text to look for has 1 to 200 characters, is not blank and has no NUL.")]
    Text,
    /// Too many people are named.
    #[error("A filter names at most 100 senders.")]
    Senders,
}

/// A text to look for: 1 to 200 characters, not blank. Case does not matter where it is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchText(String);

impl SearchText {
    /// Checks a text.
    ///
    /// # Errors
    ///
    /// [`FilterError::Text`] for a blank or longer one, or one with NUL.
    pub fn new(text: String) -> Result<Self, FilterError> {
        let is_long = text.chars().count() > SEARCH_MAX_CHARS;
        if is_long || super::message::is_blank(&text) || text.contains('\0') {
            return Err(FilterError::Text);
        }
        Ok(Self(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Which messages of a chat to list: those for which all holds that is given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MessageFilter {
    /// Only messages of these people.
    pub senders: Option<Vec<UserId>>,
    /// Only messages sent at this moment or later.
    pub since: Option<DateTime<Utc>>,
    /// Only messages sent before this moment.
    pub before: Option<DateTime<Utc>>,
    /// Only messages that the viewer has starred, or only those that they have not.
    pub starred: Option<bool>,
    /// Only live messages of others behind the viewer's read mark, or only the rest.
    pub unread: Option<bool>,
    /// Only live messages that have attachments, or only the rest.
    pub has_attachments: Option<bool>,
    /// Only messages that answer this one.
    pub reply_to: Option<MessageId>,
    /// Only live messages with this text in their subject or body.
    pub text: Option<SearchText>,
}

impl MessageFilter {
    /// Checks what can be wrong with it besides its texts.
    ///
    /// # Errors
    ///
    /// [`FilterError::Senders`] for more than 100 senders.
    pub fn checked(self) -> Result<Self, FilterError> {
        if self
            .senders
            .as_ref()
            .is_some_and(|all| all.len() > SENDERS_MAX)
        {
            return Err(FilterError::Senders);
        }
        Ok(Self {
            since: self.since.map(within_history),
            before: self.before.map(within_history),
            ..self
        })
    }
}
