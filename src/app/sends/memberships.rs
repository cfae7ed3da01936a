//! What was last read of who may send where.
//!
//! It can be old and is never wrong: it carries the version of the chat's access, which every change of membership, role
//! or deletion raises, and which the statement that writes compares. What is old writes nothing, and is read again.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;

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

/// Memberships by chat and person; those that were not asked for longest are forgotten first.
#[derive(Debug)]
pub(in crate::app) struct Memberships(Mutex<LruCache<(ChatId, UserId), (TenantId, Membership)>>);

impl Default for Memberships {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(MOST)))
    }
}

impl Memberships {
    fn known(&self) -> MutexGuard<'_, LruCache<(ChatId, UserId), (TenantId, Membership)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is remembered of the actor in a chat of their tenant.
    pub(in crate::app) fn of(&self, actor: &Actor, chat: ChatId) -> Option<Membership> {
        let mut known = self.known();
        let (tenant, membership) = known.get(&(chat, actor.user.clone()))?;
        (*tenant == actor.tenant).then_some(*membership)
    }

    pub(in crate::app) fn learn(&self, actor: &Actor, chat: ChatId, membership: Membership) {
        let key = (chat, actor.user.clone());
        self.known().put(key, (actor.tenant.clone(), membership));
    }

    pub(in crate::app) fn forget(&self, actor: &Actor, chat: ChatId) {
        self.known().pop(&(chat, actor.user.clone()));
    }
}
