//! Users: known from their tokens, or from being added.

use std::sync::Arc;
use std::time::Instant;

use super::{Actor, App, Error, Session};
use crate::model::{User, UserId};
use crate::store;

impl App {
    /// Accepts a token, and makes its bearer exist with the profile it carries.
    ///
    /// # Errors
    ///
    /// [`Error::Token`] for a token that is not accepted, [`Error::Revoked`] for one that is not any more; [`Error::Unavailable`], [`Error::Internal`].
    pub async fn authenticate(&self, token: &str) -> Result<Session, Error> {
        let (session, profile) = self.tokens.read(token, self.clock.now()).await?;
        let session = self.granted(session);
        self.refuse_revoked(&session).await?;
        self.bearer_seen(&session.actor, profile).await?;
        Ok(session)
    }

    /// The users among `ids` that were ever seen in the actor's tenant.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] and [`Error::Internal`].
    pub async fn users_by_ids(&self, actor: &Actor, ids: &[UserId]) -> Result<Vec<User>, Error> {
        let mut conn = self.connection_for(actor).await?;
        Ok(store::users::by_ids(&mut conn, &actor.tenant, ids).await?)
    }

    /// The same for a subscription, remembered for the events that come next.
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
            let people = self.realtime.people();
            people.learn(&actor.tenant, Arc::clone(user), since);
        }
        Ok(users)
    }
}
