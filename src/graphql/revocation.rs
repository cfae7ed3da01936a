//! Revoking tokens.

use async_graphql::{Context, ID, InputObject, Object, Result, SimpleObject};

use super::context::{ContextExt as _, nullable};
use super::error::UserError;
use super::payload::{outcome, user_id};
use super::scalar::DateTime;
use super::user::User;
use crate::app::RevokeTokens;
use crate::model::{self, Operation};

/// Tokens that are not accepted any more.
#[derive(Debug, SimpleObject)]
struct Revocation {
    /// Whose tokens they are.
    user: User,
    /// What the one revoked token is called. Null where it is all tokens that were issued up to a moment.
    token_id: Option<String>,
    /// The moment, in whole seconds: what was issued in that second is revoked too. For one token, when it was
    /// revoked.
    issued_before: DateTime,
    /// From when on the tokens have expired anyway. Null where that is not known.
    expires_at: Option<DateTime>,
}

impl From<model::Revocation> for Revocation {
    fn from(revocation: model::Revocation) -> Self {
        Self {
            token_id: revocation.one_token().map(str::to_owned),
            user: User::new(revocation.user_id),
            issued_before: revocation.issued_before.into(),
            expires_at: revocation.expires_at.map(DateTime::from),
        }
    }
}

/// Which tokens to revoke.
#[derive(Debug, InputObject)]
struct RevokeTokensInput {
    /// Whose tokens, of the viewer's tenant. The person need not have been here yet.
    user_id: ID,
    /// The name (`jti`) of the one token to revoke, 1 to 255 characters. Absent, all of the user's tokens that were
    /// issued up to a moment.
    token_id: Option<String>,
    /// The moment, not in the future; absent, now. Tokens say in whole seconds when they were issued, so those of
    /// the same second are revoked too; those that do not say count as the oldest. Not together with `tokenId`.
    issued_before: Option<DateTime>,
    /// When the last of these tokens expires, if it is known: a day later the revocation is forgotten. Absent, it
    /// is kept for ever.
    expires_at: Option<DateTime>,
}

/// What came of revoking tokens.
#[derive(Debug, SimpleObject)]
struct RevokeTokensPayload {
    /// What is revoked now. Null where `userErrors` says why.
    revocation: Option<Revocation>,
    /// What the caller can mend. Empty on success.
    user_errors: Vec<UserError>,
}

/// The mutation of tokens.
#[derive(Debug, Default)]
pub(super) struct RevocationMutation;

#[Object]
impl RevocationMutation {
    /// Revokes tokens of a user of the viewer's tenant, one or all up to a moment, for good: for administrators of
    /// the tenant. All servers refuse them within a second, and close what is open with them.
    async fn revoke_tokens(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which tokens to revoke.")] input: RevokeTokensInput,
    ) -> Option<Result<RevokeTokensPayload>> {
        nullable(async {
            let (app, actor) = ctx.fresh(Operation::RevokeTokens)?;
            let revoke = async {
                let user = user_id(&input.user_id, "userId")?;
                let revoke = RevokeTokens {
                    user,
                    token_id: input.token_id,
                    issued_before: input.issued_before.map(Into::into),
                    expires_at: input.expires_at.map(Into::into),
                };
                app.tokens_revoke(actor, revoke).await
            };
            let (revocation, user_errors) = outcome(revoke.await)?;
            Ok(Some(RevokeTokensPayload {
                revocation: revocation.map(Revocation::from),
                user_errors,
            }))
        })
        .await
    }
}
