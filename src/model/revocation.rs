//! Revocations: tokens that are not accepted any more although their time is not over.

use chrono::{DateTime, Utc};
use diesel::{Insertable, Queryable, Selectable};

use super::{Refusal, TenantId, UserId};
use crate::schema::revocations;

/// The most characters of a token's name (`jti`) by which it can be revoked.
pub const TOKEN_ID_MAX_CHARS: usize = 255;

/// Which tokens of a user are revoked.
#[derive(Debug, Clone, PartialEq, Eq, Insertable, Queryable, Selectable)]
#[diesel(table_name = revocations, check_for_backend(diesel::pg::Pg))]
pub struct Revocation {
    /// The tenant of the user.
    pub tenant_id: TenantId,
    /// Whose tokens.
    pub user_id: UserId,
    /// The one token; empty for all that were issued up to a moment.
    pub token_id: String,
    /// The moment, in whole seconds; of one token, when it was revoked.
    pub issued_before: DateTime<Utc>,
    /// From when on the tokens have expired anyway; null where that is not known.
    pub expires_at: Option<DateTime<Utc>>,
}

impl Revocation {
    /// The one token it is about, if it is about one.
    #[must_use]
    pub fn one_token(&self) -> Option<&str> {
        (!self.token_id.is_empty()).then_some(self.token_id.as_str())
    }

    /// The same, and what an earlier one of the same tokens says besides: a revocation is never taken back.
    #[must_use]
    pub fn and(self, earlier: &Self) -> Self {
        Self {
            issued_before: self.issued_before.max(earlier.issued_before),
            // Where one of them is not known, neither is the later one.
            expires_at: self
                .expires_at
                .zip(earlier.expires_at)
                .map(|(one, other)| one.max(other)),
            ..self
        }
    }
}

/// Checks the name of a token.
///
/// # Errors
///
/// `INVALID` for an empty one or one with the NUL character, `TOO_LONG` beyond 255 characters.
pub fn checked_token_id(text: String) -> Result<String, Refusal> {
    if text.is_empty() || text.contains('\0') {
        return Err(Refusal::invalid(
            "A token's name cannot be empty or contain the NUL character.",
        ));
    }
    if text.chars().count() > TOKEN_ID_MAX_CHARS {
        let why = "A token's name has at most 255 characters: revoke all of the user's tokens.";
        return Err(Refusal::too_long(why));
    }
    Ok(text)
}
