//! What was last read of who may send where.
//!
//! It can be old and is never wrong: it carries the version of the chat's access, which every change of membership, role
//! or deletion raises, and which the statement that writes compares. What is old writes nothing, and is read again.
//! After a restore from a backup a version could be had again by another access; so what was read in another epoch of the
//! database's logs is nothing.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use uuid::Uuid;

use crate::app::Actor;
use crate::model::{ChatId, ChatState, Standing, TenantId, UserId};

/// The most memberships that are remembered: some 20 MiB.
const MOST: NonZeroUsize = NonZeroUsize::new(100_000).expect("it is not zero");

/// How somebody was in a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::app) struct Membership {
    /// On which version of the chat's access the rest holds.
    pub(in crate::app) acl_version: i64,
    /// The facts on which permissions are decided.
    pub(in crate::app) standing: Standing,
}

impl From<&ChatState> for Membership {
    fn from(state: &ChatState) -> Self {
        Self {
            acl_version: state.chat.acl_version,
            standing: state.standing(),
        }
    }
}

/// What is remembered of a person in a chat.
#[derive(Debug)]
struct Known {
    tenant: TenantId,
    epoch: Option<Uuid>,
    membership: Membership,
}

/// Memberships by chat and person; those that were not asked for longest are forgotten first.
#[derive(Debug)]
pub(in crate::app) struct Memberships(Mutex<LruCache<(ChatId, UserId), Known>>);

impl Default for Memberships {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(MOST)))
    }
}

impl Memberships {
    fn known(&self) -> MutexGuard<'_, LruCache<(ChatId, UserId), Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is remembered of the actor in a chat of their tenant, and was read in this epoch.
    pub(in crate::app) fn of(
        &self,
        actor: &Actor,
        chat: ChatId,
        epoch: Option<Uuid>,
    ) -> Option<Membership> {
        let mut known = self.known();
        let known = known.get(&(chat, actor.user.clone()))?;
        (known.tenant == actor.tenant && known.epoch == epoch).then_some(known.membership)
    }

    pub(in crate::app) fn learn(
        &self,
        actor: &Actor,
        chat: ChatId,
        epoch: Option<Uuid>,
        membership: Membership,
    ) {
        let key = (chat, actor.user.clone());
        let known = Known {
            tenant: actor.tenant.clone(),
            epoch,
            membership,
        };
        self.known().put(key, known);
    }

    pub(in crate::app) fn forget(&self, actor: &Actor, chat: ChatId) {
        self.known().pop(&(chat, actor.user.clone()));
    }
}
