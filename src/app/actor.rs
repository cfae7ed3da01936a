//! Who asks.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::model::{TenantId, UserId};

/// The person an operation is done for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Actor {
    /// Their tenant.
    pub tenant: TenantId,
    /// Their id.
    pub user: UserId,
}

/// An accepted token: who it stands for, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Who.
    pub actor: Actor,
    /// When it stops being accepted, the leeway included.
    pub ends_at: DateTime<Utc>,
    /// When it was issued, where it says so (`iat`).
    pub issued_at: Option<DateTime<Utc>>,
    /// What it is called, where it says so (`jti`).
    pub token_id: Option<Arc<str>>,
    /// What it permits, as it names it; nothing where it names nothing.
    pub permissions: Arc<[String]>,
}

impl Session {
    /// How long the token will still be accepted; nothing, where its time is over.
    #[must_use]
    pub fn time_left(&self, now: DateTime<Utc>) -> Duration {
        (self.ends_at - now).to_std().unwrap_or_default()
    }
}
