//! What was just read of people: events show who they are about, and many events are about the same few.
//!
//! It is for subscriptions alone, whose answers to an event may be shared for as long. Queries and mutations read.
//! Whatever reads a message for subscriptions reads its sender along.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;

use crate::model::{TenantId, User, UserId, fingerprint};

/// How long what was read of a person may be shown: what another server writes of them is told by nobody.
const FRESH: Duration = Duration::from_secs(1);

/// The most people who are remembered: some 4 MiB.
const MOST: NonZeroUsize = NonZeroUsize::new(10_000).expect("it is not zero");

/// The most bytes of a name and a picture's address together that are remembered.
const PROFILE_MAX: usize = 512;

/// A person as they were read.
#[derive(Debug)]
struct Known {
    tenant: TenantId,
    id: UserId,
    /// Nobody where they have only been written since.
    user: Option<Arc<User>>,
    /// When the reading began.
    since: Instant,
}

/// The people who were read last.
#[derive(Debug)]
pub struct People(
    /// By fingerprint.
    Mutex<LruCache<u64, Known>>,
);

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
    #[must_use]
    pub fn lately(&self, tenant: &TenantId, id: &UserId) -> Option<Arc<User>> {
        let mut known = self.known();
        let known = known.get(&fingerprint(tenant, id))?;
        let same = known.tenant == *tenant && known.id == *id;
        let user = known.user.as_ref().filter(|_| same);
        user.filter(|_| known.since.elapsed() < FRESH).cloned()
    }

    /// Remembers a person, whose reading began at `since`.
    pub fn learn(&self, tenant: &TenantId, user: Arc<User>, since: Instant) {
        let profile = [&user.display_name, &user.avatar_url].into_iter().flatten();
        if profile.map(String::len).sum::<usize>() > PROFILE_MAX {
            return;
        }
        self.put(tenant, user.id.clone(), Some(user), since);
    }

    /// Forgets a person who was just written: what is read of them now began to be read before.
    pub fn forget(&self, tenant: &TenantId, id: &UserId) {
        self.put(tenant, id.clone(), None, Instant::now());
    }

    fn put(&self, tenant: &TenantId, id: UserId, user: Option<Arc<User>>, since: Instant) {
        let (key, tenant) = (fingerprint(tenant, &id), tenant.clone());
        let mut people = self.known();
        if people.peek(&key).is_none_or(|known| known.since <= since) {
            let known = Known {
                tenant,
                id,
                user,
                since,
            };
            people.put(key, known);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_before_it_was_written_is_not_shown() {
        let (people, tenant) = (People::default(), TenantId::default());
        let user = Arc::new(User {
            id: UserId::new("alice").unwrap(),
            display_name: Some("Alice".to_owned()),
            avatar_url: None,
            presence_visible: true,
            receipts_visible: true,
        });
        let before = Instant::now();
        people.learn(&tenant, Arc::clone(&user), before);
        assert_eq!(people.lately(&tenant, &user.id), Some(Arc::clone(&user)));
        let other = TenantId::new("other").unwrap();
        assert_eq!(people.lately(&other, &user.id), None);
        people.forget(&tenant, &user.id);
        people.learn(&tenant, Arc::clone(&user), before);
        assert_eq!(people.lately(&tenant, &user.id), None);
        people.learn(&tenant, Arc::clone(&user), Instant::now());
        assert_eq!(people.lately(&tenant, &user.id), Some(Arc::clone(&user)));
        let old = Instant::now().checked_sub(FRESH).unwrap();
        let bob = User {
            id: UserId::new("bob").unwrap(),
            ..(*user).clone()
        };
        people.learn(&tenant, Arc::new(bob.clone()), old);
        assert_eq!(people.lately(&tenant, &bob.id), None);
    }
}
