//! Where a forwarded message comes from.

use chrono::{DateTime, Utc};
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::pg::{Pg, PgValue};
use diesel::serialize::{self, Output, ToSql};
use diesel::sql_types::Jsonb;
use serde::{Deserialize, Serialize};

use super::metadata::write_jsonb;
use super::{ChatId, Message, MessageId, UserId};

/// The first original of a forwarded message: what is forwarded again keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, AsExpression, FromSqlRow)]
#[diesel(sql_type = Jsonb)]
pub struct Origin {
    /// The chat it was sent to.
    pub chat: ChatId,
    /// Its place in that chat's log.
    pub seq: i64,
    /// Its id.
    pub message: MessageId,
    /// Who sent it.
    pub sender: UserId,
    /// When it was sent.
    pub sent_at: DateTime<Utc>,
}

impl Origin {
    /// What a message that forwards this one has as its origin.
    #[must_use]
    pub fn of(message: &Message) -> Self {
        message.forwarded_from.clone().unwrap_or_else(|| Self {
            chat: message.chat_id,
            seq: message.seq,
            message: message.id,
            sender: message.sender_id.clone(),
            sent_at: message.created_at,
        })
    }
}

impl FromSql<Jsonb, Pg> for Origin {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        let value = <serde_json::Value as FromSql<Jsonb, Pg>>::from_sql(value)?;
        Ok(serde_json::from_value(value)?)
    }
}

impl ToSql<Jsonb, Pg> for Origin {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        write_jsonb(out, self)
    }
}
