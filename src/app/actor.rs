//! Who asks.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Administration;
use crate::model::{Grants, TenantId, UserId};

/// The person an operation is done for, and what they may do at all. Two actors are equal where they are the
/// same person, whatever their tokens permit: so they can be told apart in maps by who they are.
#[derive(Debug, Clone)]
pub struct Actor {
    /// Their tenant.
    pub tenant: TenantId,
    /// Their id.
    pub user: UserId,
    /// What their token permits.
    pub grants: Grants,
    /// What the audit trail was told of their reading, where they administer their tenant.
    pub administration: Option<Arc<Administration>>,
    /// What their token is called (`jti`), as far as the trail keeps it.
    pub token_id: Option<Arc<str>>,
    /// The id of the request, or of the one that opened the WebSocket, as far as the trail keeps it.
    pub request_id: Option<Arc<str>>,
}

impl Actor {
    /// A person who may do what every user may.
    #[must_use]
    pub fn new(tenant: TenantId, user: UserId) -> Self {
        Self {
            tenant,
            user,
            grants: Grants::USUAL,
            administration: None,
            token_id: None,
            request_id: None,
        }
    }

    fn person(&self) -> (&TenantId, &UserId) {
        (&self.tenant, &self.user)
    }
}

impl PartialEq for Actor {
    fn eq(&self, other: &Self) -> bool {
        self.person() == other.person()
    }
}

impl Eq for Actor {}

impl Hash for Actor {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.person().hash(state);
    }
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
    /// The same, of a request with this id.
    #[must_use]
    pub fn named(mut self, request_id: Option<&str>) -> Self {
        self.actor = self.actor.in_operation(request_id);
        self
    }

    /// How long the token will still be accepted; nothing, where its time is over.
    #[must_use]
    pub fn time_left(&self, now: DateTime<Utc>) -> Duration {
        (self.ends_at - now).to_std().unwrap_or_default()
    }
}
