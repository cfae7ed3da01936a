//! Where time and ids come from.

use chrono::{DateTime, SubsecRound as _, Utc};
use uuid::Uuid;

use crate::model::{AttachmentId, ChatId, MessageId};

/// The system's clock, in the milliseconds that the API shows.
#[derive(Debug, Clone, Copy, Default)]
pub struct Clock;

impl Clock {
    /// The time now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place where time enters")]
    pub fn now(&self) -> DateTime<Utc> {
        Utc::now().trunc_subsecs(3)
    }
}

/// Makes ids: version 7 UUIDs, which sort by the time they were made.
#[derive(Debug, Clone, Copy, Default)]
pub struct IdMaker;

#[expect(clippy::disallowed_methods, reason = "the one place where ids enter")]
impl IdMaker {
    /// A new chat's id.
    #[must_use]
    pub fn chat(&self) -> ChatId {
        ChatId(Uuid::now_v7())
    }

    /// A new message's id.
    #[must_use]
    pub fn message(&self) -> MessageId {
        MessageId(Uuid::now_v7())
    }

    /// A new id of an entry of a log.
    #[must_use]
    pub fn entry(&self) -> Uuid {
        Uuid::now_v7()
    }

    /// A new attachment's id.
    #[must_use]
    pub fn attachment(&self) -> AttachmentId {
        AttachmentId(Uuid::now_v7())
    }

    /// The name of a claim, which nobody else has.
    #[must_use]
    pub(super) fn claim() -> Uuid {
        Uuid::now_v7()
    }
}
