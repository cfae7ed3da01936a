//! Sinks: where a tenant's events and notifications are delivered to.

use super::TenantId;
use super::closed_set::closed_set;

/// The most characters of a sink's name.
pub const SINK_NAME_MAX_CHARS: usize = 64;

closed_set! {
    /// How a sink is spoken to.
    pub enum SinkKind {
        /// HTTP requests, signed as Standard Webhooks.
        Webhook = 0,
        /// Messages to channels of `PubNub`.
        PubNub = 1,
        /// Mail.
        Smtp = 2,
    }
}

impl SinkKind {
    /// What the file of sinks and the metrics call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::PubNub => "pubnub",
            Self::Smtp => "smtp",
        }
    }
}

/// A sink as the database knows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SinkId {
    /// The tenant.
    pub tenant: TenantId,
    /// The name, which is the operator's own.
    pub name: String,
}

/// What a sink gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Feeds {
    /// Every event of the tenant's chats.
    pub events: bool,
    /// The notifications of people who are away.
    pub notifications: bool,
}

/// A sink that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredSink {
    /// Which.
    pub id: SinkId,
    /// How it is spoken to.
    pub kind: SinkKind,
    /// What it gets.
    pub feeds: Feeds,
}
