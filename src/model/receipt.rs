//! Receipts.

use chrono::{DateTime, Utc};
use diesel::Queryable;

use super::UserId;

/// What somebody has of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReceiptKind {
    /// They have read it.
    Read,
    /// It has arrived on a device of theirs.
    Delivered,
}

/// That somebody has a message.
#[derive(Debug, Clone, PartialEq, Eq, Queryable)]
#[diesel(check_for_backend(diesel::pg::Pg))]
pub struct Receipt {
    /// Who.
    pub user: UserId,
    /// When they joined the chat: with who they are, their place in the list.
    pub joined_at: DateTime<Utc>,
    /// When they got to have it; null where that is not known, or not any more.
    pub at: Option<DateTime<Utc>>,
}
