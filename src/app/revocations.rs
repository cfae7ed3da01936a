//! Revoking tokens, and telling who is revoked.

use chrono::{DateTime, Datelike as _, Duration, SubsecRound as _, Utc};
use diesel_async::AsyncConnection as _;
use serde_json::json;

use super::{Actor, App, Error, Session};
use crate::model::{Act, AuditEntry, Refusal, Revocation, UserId, checked_token_id};
use crate::realtime::TokenMark;
use crate::store::{self, Connection};

/// The most revocations of one user: beyond that, all of their tokens are to be revoked.
const OF_USER_MAX: i64 = 1_000;

/// How long what has expired is kept: clocks differ, and expiry has a leeway.
const KEPT_FOR: Duration = Duration::days(1);

/// By how much the clock of who revokes may be ahead.
const AHEAD_MAX: Duration = Duration::minutes(1);

/// Which tokens to revoke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevokeTokens {
    /// Whose.
    pub user: UserId,
    /// The one with this name; else all.
    pub token_id: Option<String>,
    /// All that were issued up to this moment; else up to now.
    pub issued_before: Option<DateTime<Utc>>,
    /// From when on they have expired anyway, if that is known.
    pub expires_at: Option<DateTime<Utc>>,
}

impl Session {
    fn mark(&self) -> TokenMark {
        TokenMark {
            tenant: self.actor.tenant.clone(),
            user: self.actor.user.clone(),
            token_id: self.token_id.clone(),
            issued_at: self.issued_at,
        }
    }
}

impl App {
    /// Refuses a session whose token was revoked.
    pub(super) async fn refuse_revoked(&self, session: &Session) -> Result<(), Error> {
        let known = self.realtime.revocations_known().await;
        known.map_err(|unknown| Error::Unavailable(unknown.into()))?;
        if self.realtime.is_revoked(&session.mark()) {
            return Err(Error::Revoked);
        }
        Ok(())
    }

    /// Waits until the session's token is revoked.
    pub fn revoked(&self, session: &Session) -> impl Future<Output = ()> + Send + Sync + use<> {
        self.realtime.revoked(session.mark())
    }

    /// Revokes tokens of a user of the actor's tenant, on all servers, for good. Who administers the tenant may.
    ///
    /// # Errors
    ///
    /// `INVALID`, `TOO_LONG` and `TOO_MANY` for what cannot be revoked so; [`Error::Forbidden`] for who does not
    /// administer the tenant; [`Error::Unavailable`], [`Error::Internal`].
    pub async fn tokens_revoke(
        &self,
        actor: &Actor,
        revoke: RevokeTokens,
    ) -> Result<Revocation, Error> {
        actor.must_administer()?;
        let new = self.revocation(actor, revoke)?;
        let mut conn = self.connection().await?;
        let revocation = conn
            .transaction(async |conn| self.write_revocation(conn, actor, new).await)
            .await?;
        self.realtime.tokens_revoked(revocation.clone());
        Ok(revocation)
    }

    fn revocation(&self, actor: &Actor, revoke: RevokeTokens) -> Result<Revocation, Refusal> {
        let now = self.clock.now();
        let RevokeTokens {
            user,
            token_id,
            issued_before,
            expires_at,
        } = revoke;
        if token_id.is_some() && issued_before.is_some() {
            let why = "Name one token, or a moment for all of them, not both.";
            return Err(Refusal::invalid(why).at("issuedBefore"));
        }
        for (moment, field) in [(issued_before, "issuedBefore"), (expires_at, "expiresAt")] {
            if moment.is_some_and(|moment| !(1970..10_000).contains(&moment.year())) {
                let why = "A token's times lie between the years 1970 and 9999.";
                return Err(Refusal::invalid(why).at(field));
            }
        }
        if issued_before.is_some_and(|moment| moment > now + AHEAD_MAX) {
            let why =
                "The moment is in the future: tokens that are not issued yet cannot be revoked.";
            return Err(Refusal::invalid(why).at("issuedBefore"));
        }
        let token_id = token_id.map(checked_token_id).transpose();
        Ok(Revocation {
            tenant_id: actor.tenant.clone(),
            user_id: user,
            token_id: token_id
                .map_err(|refusal| refusal.at("tokenId"))?
                .unwrap_or_default(),
            // Tokens say in whole seconds when they were issued.
            issued_before: issued_before.unwrap_or(now).trunc_subsecs(0),
            expires_at,
        })
    }

    async fn write_revocation(
        &self,
        conn: &mut Connection,
        actor: &Actor,
        new: Revocation,
    ) -> Result<Revocation, Error> {
        let (tenant, user) = (&new.tenant_id, &new.user_id);
        store::revocations::lock(conn).await?;
        store::revocations::delete_expired(conn, self.clock.now() - KEPT_FOR).await?;
        let earlier = store::revocations::take(conn, tenant, user, &new.token_id).await?;
        let is_one = new.one_token().is_some();
        if is_one && store::revocations::count(conn, tenant, user).await? >= OF_USER_MAX {
            let why = "Too many single tokens of this user are revoked: revoke all of them.";
            return Err(Refusal::too_many(why).at("tokenId").into());
        }
        let revocation = match earlier {
            Some(earlier) => new.and(&earlier),
            None => new,
        };
        store::revocations::insert(conn, &revocation).await?;
        let entry = AuditEntry {
            user_id: Some(revocation.user_id.clone()),
            data: json!({
                "token_id": revocation.one_token(),
                "issued_before": revocation.issued_before,
                "expires_at": revocation.expires_at,
            }),
            ..actor.entry(Act::TokensRevoked)
        };
        store::audit_entries::append(conn, &[entry]).await?;
        Ok(revocation)
    }
}
