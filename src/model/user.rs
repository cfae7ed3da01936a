//! People, and the tenants they belong to.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::pg::{Pg, PgValue};
use diesel::serialize::{self, Output, ToSql};
use diesel::sql_types::Text;
use diesel::{Queryable, Selectable};

use super::{NodeId, Refusal};
use crate::schema::users;

/// The most characters (Unicode scalar values) a user's id may have.
pub const USER_ID_MAX_CHARS: usize = 255;

/// A shared text as the database has it. What derives this for a text of one's own does not know it.
macro_rules! text_in_sql {
    ($name:ident) => {
        impl ToSql<Text, Pg> for $name {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
                <str as ToSql<Text, Pg>>::to_sql(&self.0, out)
            }
        }

        impl FromSql<Text, Pg> for $name {
            fn from_sql(text: PgValue<'_>) -> deserialize::Result<Self> {
                Ok(Self(std::str::from_utf8(text.as_bytes())?.into()))
            }
        }
    };
}

/// A person's id: the subject of the application's own identity provider, as text. All that is kept of a connection
/// names its person, so the text is shared.
#[derive(
    Debug,
    Clone,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    AsExpression,
    FromSqlRow,
    serde::Serialize,
    serde::Deserialize,
)]
#[diesel(sql_type = Text)]
#[serde(transparent)]
pub struct UserId(Arc<str>);

text_in_sql!(UserId);

impl UserId {
    /// Takes a text of 1 to 255 characters without NUL that does not read as one of our typed ids.
    ///
    /// # Errors
    ///
    /// A refusal with code `INVALID` for any other text.
    pub fn new(text: impl Into<String>) -> Result<Self, Refusal> {
        let text = text.into();
        let invalid = |why: &str| Err(Refusal::invalid(format!("A user id {why}.")));
        match text.chars().count() {
            0 => return invalid("cannot be empty"),
            1..=USER_ID_MAX_CHARS => {}
            _ => return invalid("has at most 255 characters"),
        }
        if text.contains('\0') {
            return invalid("cannot contain the NUL character");
        }
        if NodeId::typed(&text).is_some() {
            return invalid("cannot have the form of a chat's, message's or participant's id");
        }
        Ok(Self(text.into()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The id of a tenant: an organisation whose chats and people no other tenant can see.
#[derive(
    Debug,
    Clone,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    AsExpression,
    FromSqlRow,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(transparent)]
#[diesel(sql_type = Text)]
pub struct TenantId(Arc<str>);

text_in_sql!(TenantId);

impl TenantId {
    /// Takes a text of 1 to 255 characters without NUL.
    ///
    /// # Errors
    ///
    /// A refusal with code `INVALID` for any other text.
    pub fn new(text: impl Into<String>) -> Result<Self, Refusal> {
        let text = text.into();
        if (1..=USER_ID_MAX_CHARS).contains(&text.chars().count()) && !text.contains('\0') {
            Ok(Self(text.into()))
        } else {
            Err(Refusal::invalid(
                "A tenant has 1 to 255 characters, none of them NUL.",
            ))
        }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for TenantId {
    /// The tenant of every token that names none.
    fn default() -> Self {
        Self("default".into())
    }
}

/// A person as the database knows them.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = users, check_for_backend(Pg))]
pub struct User {
    /// The subject of the person's tokens.
    pub id: UserId,
    /// The name to show; null until a token brought one.
    pub display_name: Option<String>,
    /// The picture to show; null until a token brought one.
    pub avatar_url: Option<String>,
    /// Whether they let others see whether they are online.
    pub presence_visible: bool,
    /// Whether they let others see what they have read and received.
    pub receipts_visible: bool,
}

/// What a token says of the person it stands for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Profile {
    /// The name claim.
    pub display_name: Option<String>,
    /// The picture claim.
    pub avatar_url: Option<String>,
    /// When the token was issued; null where it does not say.
    pub issued_at: Option<DateTime<Utc>>,
}

/// A short stand-in for a person, the same on every server and in every release: FNV-1a with 64 bits (Fowler,
/// Noll and Vo) over tenant and id. Two people with one fingerprint only wake each other for nothing.
#[must_use]
pub fn fingerprint(tenant: &TenantId, user: &UserId) -> u64 {
    let tenant = tenant.as_str().bytes();
    // No text of UTF-8 holds this byte, so that ("a", "bc") is not ("ab", "c").
    hash(tenant.chain([0xff]).chain(user.as_str().bytes()))
}

/// The hash of [`fingerprint`].
pub(super) fn hash(bytes: impl Iterator<Item = u8>) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    bytes.fold(OFFSET, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(PRIME)
    })
}
