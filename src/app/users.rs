//! Users: known from their tokens, or from being added.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, PoisonError};

use super::{Actor, App, Error, Session};
use crate::model::{Profile, User, UserId};
use crate::store;

/// The most users that are remembered as known.
const KNOWN_MAX: usize = 100_000;

/// Whose token has been seen, with the profile it carried: what is known need not be written again.
#[derive(Debug, Default)]
pub struct KnownUsers {
    seen: Mutex<HashMap<Actor, u64>>,
    hasher: RandomState,
}

impl KnownUsers {
    fn fingerprint(&self, profile: &Profile) -> u64 {
        self.hasher.hash_one(profile)
    }

    fn knows(&self, actor: &Actor, profile: u64) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(actor) == Some(&profile)
    }

    fn learn(&self, actor: Actor, profile: u64) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // Forgetting all costs each user one statement, and happens once in 100 000 users.
        if seen.len() >= KNOWN_MAX {
            seen.clear();
        }
        seen.insert(actor, profile);
    }
}

impl App {
    /// Accepts a token, and makes its bearer exist with the profile it carries.
    ///
    /// # Errors
    ///
    /// [`Error::Token`] for a token that is not accepted; [`Error::Unavailable`], [`Error::Internal`].
    pub async fn authenticate(&self, token: &str) -> Result<Session, Error> {
        let (session, profile) = self.tokens.read(token)?;
        let fingerprint = self.known_users.fingerprint(&profile);
        if !self.known_users.knows(&session.actor, fingerprint) {
            self.user_observe(&session.actor, &profile).await?;
            self.known_users.learn(session.actor.clone(), fingerprint);
        }
        Ok(session)
    }

    /// Makes a person exist with a profile, as a token would.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] and [`Error::Internal`].
    pub async fn user_observe(&self, actor: &Actor, profile: &Profile) -> Result<(), Error> {
        let mut conn = self.connection().await?;
        let (Actor { tenant, user }, now) = (actor, self.clock.now());
        Ok(store::users::observe(&mut conn, tenant, user, profile, now).await?)
    }

    /// The users among `ids` that were ever seen in the actor's tenant.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] and [`Error::Internal`].
    pub async fn users_by_ids(&self, actor: &Actor, ids: &[UserId]) -> Result<Vec<User>, Error> {
        let mut conn = self.connection().await?;
        Ok(store::users::by_ids(&mut conn, &actor.tenant, ids).await?)
    }
}
