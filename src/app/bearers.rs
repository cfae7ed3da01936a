//! Whose tokens have been seen: each person is written once, and many together.
//!
//! After a restart everybody comes at once, and each of them may be new. Who finds another one writing waits for
//! their turn, and is then written together with all others who waited: it takes few statements.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use super::{Actor, App, Error};
use crate::model::Profile;
use crate::store::{self, users::Bearer};

/// The most users that are remembered as known: some 20 MiB.
const KNOWN_MAX: NonZeroUsize = NonZeroUsize::new(100_000).expect("it is not zero");

/// The most bearers that one statement writes.
const TOGETHER_MAX: usize = 1_000;

/// The bearers of tokens that this server knows, and those that are about to be written.
#[derive(Debug)]
pub struct Bearers {
    /// With a hash of the profile that each was last seen with; those who were not seen for longest are forgotten first.
    known: Mutex<LruCache<Actor, u64>>,
    hasher: RandomState,
    waiting: Mutex<Vec<Waiting>>,
    /// Held by whoever writes.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Waiting {
    bearer: Bearer,
    written: oneshot::Sender<()>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Default for Bearers {
    fn default() -> Self {
        Self {
            known: Mutex::new(LruCache::new(KNOWN_MAX)),
            hasher: RandomState::new(),
            waiting: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }
}

impl Bearers {
    fn knows(&self, actor: &Actor, profile: u64) -> bool {
        lock(&self.known).get(actor) == Some(&profile)
    }

    fn learn(&self, actor: Actor, profile: u64) {
        lock(&self.known).put(actor, profile);
    }

    fn wait(&self, bearer: Bearer) -> oneshot::Receiver<()> {
        let (written, done) = oneshot::channel();
        lock(&self.waiting).push(Waiting { bearer, written });
        done
    }

    /// Those to be written next: each person once. The rest waits on.
    fn take(&self) -> Vec<Waiting> {
        let mut waiting = lock(&self.waiting);
        let mut people = HashSet::new();
        // Whoever has hung up is passed over.
        let mut next = Vec::new();
        let mut rest = Vec::new();
        for one in waiting.drain(..).filter(|one| !one.written.is_closed()) {
            let Bearer {
                tenant_id, user_id, ..
            } = &one.bearer;
            let new =
                next.len() < TOGETHER_MAX && people.insert((tenant_id.clone(), user_id.clone()));
            if new { &mut next } else { &mut rest }.push(one);
        }
        *waiting = rest;
        next
    }
}

impl App {
    /// Makes the bearer of a token exist with the profile it carries, unless this server knows them so.
    pub(super) async fn bearer_seen(&self, actor: &Actor, profile: Profile) -> Result<(), Error> {
        let fingerprint = self.bearers.hasher.hash_one(&profile);
        if self.bearers.knows(actor, fingerprint) {
            return Ok(());
        }
        let bearer = Bearer {
            tenant_id: actor.tenant.clone(),
            user_id: actor.user.clone(),
            profile,
        };
        self.write_in_turn(bearer).await?;
        let person = Actor::new(actor.tenant.clone(), actor.user.clone());
        self.bearers.learn(person, fingerprint);
        Ok(())
    }

    async fn write_in_turn(&self, bearer: Bearer) -> Result<(), Error> {
        let mut done = self.bearers.wait(bearer.clone());
        loop {
            let turn = self.bearers.turn.lock().await;
            match done.try_recv() {
                Ok(()) => return Ok(()),
                Err(TryRecvError::Empty) => self.write_the_waiting().await?,
                // What was to write this one failed, perhaps because of another one.
                Err(TryRecvError::Closed) => {
                    drop(turn);
                    return self.bearers_write(&[bearer]).await;
                }
            }
        }
    }

    async fn write_the_waiting(&self) -> Result<(), Error> {
        let waiting = self.bearers.take();
        let bearers: Vec<Bearer> = waiting.iter().map(|one| one.bearer.clone()).collect();
        self.bearers_write(&bearers).await?;
        for one in waiting {
            // Whoever has hung up need not know.
            one.written.send(()).ok();
        }
        Ok(())
    }

    /// Makes people exist with their profiles, as tokens would. Each may be named once.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] and [`Error::Internal`].
    pub async fn bearers_write(&self, bearers: &[Bearer]) -> Result<(), Error> {
        let mut conn = self.connection().await?;
        store::users::observe(&mut conn, bearers, self.clock.now()).await?;
        for bearer in bearers {
            let people = self.realtime.people();
            people.forget(&bearer.tenant_id, &bearer.user_id);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{TenantId, UserId};

    fn person(name: &str) -> Actor {
        let tenant = TenantId::new("default").expect("a tenant");
        Actor::new(tenant, UserId::new(name).expect("a user"))
    }

    #[test]
    fn who_is_seen_often_stays_known_and_who_was_seen_once_is_forgotten() {
        let bearers = Bearers::default();
        let (once, often) = (person("once"), person("often"));
        bearers.learn(once.clone(), 1);
        bearers.learn(often.clone(), 1);
        for number in 0..2 * KNOWN_MAX.get() {
            bearers.learn(person(&number.to_string()), 1);
            assert!(bearers.knows(&often, 1), "after {number} others");
        }
        assert!(!bearers.knows(&once, 1));
        assert_eq!(lock(&bearers.known).len(), KNOWN_MAX.get());
    }
}
