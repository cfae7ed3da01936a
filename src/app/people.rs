//! What was just read of people: events show who they are about, and many events are about the same few.
//!
//! It is for subscriptions alone, whose answers to an event may be shared for as long. Queries and mutations read.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;

use super::{Actor, App, Error};
use crate::model::{TenantId, User, UserId, fingerprint};

/// How long what was read of a person may be shown: what another server writes of them is told by nobody.
const FRESH: Duration = Duration::from_secs(1);

/// The most people who are remembered: some 2 MiB.
const MOST: NonZeroUsize = NonZeroUsize::new(10_000).expect("it is not zero");

/// A person as they were read.
#[derive(Debug)]
struct Known {
    tenant: TenantId,
    user: Arc<User>,
    /// When the reading began.
    since: Instant,
}

/// The people who were read last, by fingerprint.
#[derive(Debug)]
pub struct People(Mutex<LruCache<u64, Known>>);

impl Default for People {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(MOST)))
    }
}

impl People {
    fn known(&self) -> MutexGuard<'_, LruCache<u64, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A person, if they were read a moment ago.
    pub(crate) fn lately(&self, tenant: &TenantId, id: &UserId) -> Option<Arc<User>> {
        let mut known = self.known();
        let known = known.get(&fingerprint(tenant, id))?;
        let same = known.tenant == *tenant && known.user.id == *id;
        (same && known.since.elapsed() < FRESH).then(|| Arc::clone(&known.user))
    }

    /// Remembers a person, whose reading began at `since`.
    pub(super) fn learn(&self, tenant: &TenantId, user: Arc<User>, since: Instant) {
        let key = fingerprint(tenant, &user.id);
        let (tenant, mut known) = (tenant.clone(), self.known());
        if known.peek(&key).is_none_or(|known| known.since <= since) {
            known.put(
                key,
                Known {
                    tenant,
                    user,
                    since,
                },
            );
        }
    }

    /// Forgets a person who was just written.
    pub(super) fn forget(&self, tenant: &TenantId, id: &UserId) {
        self.known().pop(&fingerprint(tenant, id));
    }
}

impl App {
    /// The users among `ids` that were ever seen in the actor's tenant, remembered for a moment.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] and [`Error::Internal`].
    pub async fn users_lately(
        &self,
        actor: &Actor,
        ids: &[UserId],
    ) -> Result<Vec<Arc<User>>, Error> {
        let since = Instant::now();
        let users = self.users_by_ids(actor, ids).await?.into_iter();
        let users: Vec<Arc<User>> = users.map(Arc::new).collect();
        for user in &users {
            self.people.learn(&actor.tenant, Arc::clone(user), since);
        }
        Ok(users)
    }
}
