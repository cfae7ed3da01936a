//! The send: one message in one statement, or many messages of many chats in one.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::result::{DatabaseErrorKind, Error};
use diesel::sql_types::{
    Array, BigInt, Bool, Jsonb, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid,
};
use diesel_async::RunQueryDsl;

use super::super::Connection;
use super::super::constraint::OnConstraint as _;
use super::super::outbox::put;
use super::super::statement::hot;
use super::super::users::{self, UserSql, UserValue};
use crate::model::{ChatId, MessageId, Metadata, Origin, TenantId, User, UserId};

/// The unique index of idempotency keys.
const KEYS: &str = "messages_idempotency_key";

/// A message to send.
#[derive(Debug, Clone)]
pub struct NewMessage {
    /// The tenant of the chat.
    pub tenant: TenantId,
    /// The chat.
    pub chat_id: ChatId,
    /// The access version on which the sender's right was decided.
    pub acl_version: i64,
    /// The new message's id.
    pub id: MessageId,
    /// The author.
    pub sender: UserId,
    /// The text.
    pub body: String,
    /// The message it answers.
    pub reply_to_seq: Option<i64>,
    /// The sender's key.
    pub idempotency_key: Option<String>,
    /// The line above the text.
    pub subject: Option<String>,
    /// What the application keeps with it.
    pub metadata: Option<Metadata>,
    /// Where it is forwarded from.
    pub forwarded_from: Option<Origin>,
    /// Whether somebody waits to be shown it: the sender is read along then.
    pub is_awaited: bool,
}

/// What came of a send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// It is written.
    Written(Written),
    /// Access to the chat changed since it was read: nothing is written.
    Stale,
    /// A message with the sender's key exists: nothing is written.
    Duplicate,
}

/// What a message got when it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Its place in the chat's log.
    pub seq: i64,
    /// Its time.
    pub created_at: DateTime<Utc>,
    /// Who sent it, where the message was to be shown.
    pub sender: Option<User>,
}

/// Sends a message: takes the seq under the chat's row lock, writes the message, moves the sender's read
/// mark, in one autocommit statement. When it returns `Written`, the message is durable.
pub async fn send(
    conn: &mut Connection,
    message: &NewMessage,
    at: DateTime<Utc>,
) -> QueryResult<Sent> {
    let row: QueryResult<Option<SentRow>> = Send { message, at }.get_result(conn).await.optional();
    row.map(|row| row.map_or(Sent::Stale, |row| Sent::Written(row.into())))
        .on_unique(KEYS, || Sent::Duplicate)
}

/// Whether a statement failed because a message with a sender's key exists.
#[must_use]
pub fn is_key_taken(error: &Error) -> bool {
    matches!(error, Error::DatabaseError(DatabaseErrorKind::UniqueViolation, info)
        if info.constraint_name() == Some(KEYS))
}

#[derive(Debug, Queryable)]
struct SentRow {
    seq: i64,
    created_at: DateTime<Utc>,
    sender: Option<UserValue>,
}

impl From<SentRow> for Written {
    fn from(row: SentRow) -> Self {
        Self {
            seq: row.seq,
            created_at: row.created_at,
            sender: row.sender.map(users::of_value),
        }
    }
}

#[derive(Debug)]
struct Send<'a> {
    message: &'a NewMessage,
    at: DateTime<Utc>,
}

hot!(Send<'a> -> (BigInt, Timestamptz, UserSql));

impl QueryFragment<Pg> for Send<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let message = self.message;
        // The chat's row is updated first and held to commit: it orders the chat's writers, and takes the
        // time along, which therefore never runs backwards within a chat.
        out.push_sql("WITH chat AS (UPDATE chats SET last_seq = last_seq + 1, last_activity_at = greatest(last_activity_at, ");
        out.push_bind_param::<Timestamptz, _>(&self.at)?; // $1
        out.push_sql(") WHERE id = ");
        out.push_bind_param::<SqlUuid, _>(&message.chat_id)?; // $2
        out.push_sql(" AND tenant_id = ");
        out.push_bind_param::<Text, _>(&message.tenant)?; // $3
        out.push_sql(" AND deleted_at IS NULL AND acl_version = ");
        out.push_bind_param::<BigInt, _>(&message.acl_version)?; // $4
        out.push_sql(
            " RETURNING id, tenant_id, last_seq, last_activity_at), mark AS (\
             UPDATE participants AS p SET read_seq = greatest(p.read_seq, chat.last_seq) FROM chat \
             WHERE p.chat_id = $2 AND p.tenant_id = $3 AND p.user_id = ",
        );
        out.push_bind_param::<Text, _>(&message.sender)?; // $5
        out.push_sql("), ");
        out.push_sql(put!("chat.tenant_id, chat.id, chat.last_seq FROM chat", tenant: "$3"));
        out.push_sql(
            " INSERT INTO messages (chat_id, seq, tenant_id, created_at, sender_id, id, body, \
             reply_to_seq, idempotency_key, subject, metadata, forwarded_from) \
             SELECT chat.id, chat.last_seq, chat.tenant_id, chat.last_activity_at, $5, ",
        );
        out.push_bind_param::<SqlUuid, _>(&message.id)?;
        out.push_sql(", ");
        out.push_bind_param::<Text, _>(&message.body)?;
        out.push_sql(", ");
        out.push_bind_param::<Nullable<BigInt>, _>(&message.reply_to_seq)?;
        out.push_sql(", ");
        out.push_bind_param::<Nullable<Text>, _>(&message.idempotency_key)?;
        out.push_sql(", ");
        out.push_bind_param::<Nullable<Text>, _>(&message.subject)?;
        out.push_sql(", ");
        out.push_bind_param::<Nullable<Jsonb>, _>(&message.metadata)?;
        out.push_sql(", ");
        out.push_bind_param::<Nullable<Jsonb>, _>(&message.forwarded_from)?;
        // Where nobody waits for the message, the planner's one-time filter keeps the table from being looked at.
        out.push_sql(" FROM chat RETURNING seq, created_at, (SELECT ");
        out.push_sql(users::VALUE);
        out.push_sql(" FROM users AS u WHERE ");
        out.push_bind_param::<Bool, _>(&message.is_awaited)?;
        out.push_sql(" AND u.tenant_id = $3 AND u.id = $5)");
        Ok(())
    }
}

/// What to do about a chat that somebody else writes to just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Locked {
    /// Wait for it. Only for the messages of one chat: who waits for one and holds another can deadlock.
    Wait,
    /// Leave its messages out.
    Skip,
}

/// What came of a message that was sent together with others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Together {
    /// What would have come of it alone.
    Sent(Sent),
    /// Somebody else writes to its chat: nothing is written.
    Skipped,
}

/// Sends messages in one autocommit statement, and says of each, in their order, what came of it. Those of the same
/// chat get their seqs in that order, which is the same as if each had been sent alone. No two of them may have the same
/// chat, sender and key.
///
/// # Errors
///
/// Besides what keeps the database from answering, a unique violation where somebody else has meanwhile sent one with
/// its key: nothing is written then, and the same can be tried again.
pub async fn send_together(
    conn: &mut Connection,
    messages: &[&NewMessage],
    at: DateTime<Utc>,
    locked: Locked,
) -> QueryResult<Vec<Together>> {
    let rows: Vec<Outcome> = match locked {
        Locked::Wait => SendTogether::<true>::new(messages, at).load(conn).await?,
        Locked::Skip => SendTogether::<false>::new(messages, at).load(conn).await?,
    };
    let mut outcomes = vec![Together::Sent(Sent::Stale); messages.len()];
    for outcome in rows {
        let place = usize::try_from(outcome.place - 1).ok();
        let slot = place.and_then(|place| outcomes.get_mut(place));
        let slot = slot.ok_or(Error::NotFound)?;
        *slot = outcome.into_together(locked);
    }
    Ok(outcomes)
}

/// The chat's row was not there to be taken. (1 is: its access version is another one.)
const ABSENT: i16 = 0;
/// The key is taken.
const DUPLICATE: i16 = 2;

/// What [`SendTogether`] says of a message.
#[derive(Debug, Queryable)]
struct Outcome {
    place: i64,
    seq: Option<i64>,
    created_at: Option<DateTime<Utc>>,
    reason: i16,
    sender: Option<UserValue>,
}

impl Outcome {
    fn into_together(self, locked: Locked) -> Together {
        match (self.seq, self.created_at) {
            (Some(seq), Some(created_at)) => Together::Sent(Sent::Written(Written {
                seq,
                created_at,
                sender: self.sender.map(users::of_value),
            })),
            _ if self.reason == DUPLICATE => Together::Sent(Sent::Duplicate),
            // What is not there is as good as locked: alone it turns out to be stale.
            _ if self.reason == ABSENT && locked == Locked::Skip => Together::Skipped,
            _ => Together::Sent(Sent::Stale),
        }
    }
}

#[derive(Debug)]
struct SendTogether<'a, const WAIT: bool> {
    chats: Vec<ChatId>,
    tenants: Vec<&'a str>,
    acl_versions: Vec<i64>,
    ids: Vec<MessageId>,
    senders: Vec<&'a str>,
    bodies: Vec<&'a str>,
    replies: Vec<Option<i64>>,
    keys: Vec<Option<&'a str>>,
    subjects: Vec<Option<&'a str>>,
    metadata: Vec<Option<&'a Metadata>>,
    origins: Vec<Option<&'a Origin>>,
    awaited: Vec<bool>,
    at: DateTime<Utc>,
}

hot!(SendTogether<'a, const WAIT: bool> -> (
    BigInt,
    Nullable<BigInt>,
    Nullable<Timestamptz>,
    SmallInt,
    UserSql,
));

impl<'a, const WAIT: bool> SendTogether<'a, WAIT> {
    fn new(messages: &[&'a NewMessage], at: DateTime<Utc>) -> Self {
        let all = || messages.iter().copied();
        Self {
            chats: all().map(|message| message.chat_id).collect(),
            tenants: all().map(|message| message.tenant.as_str()).collect(),
            acl_versions: all().map(|message| message.acl_version).collect(),
            ids: all().map(|message| message.id).collect(),
            senders: all().map(|message| message.sender.as_str()).collect(),
            bodies: all().map(|message| message.body.as_str()).collect(),
            replies: all().map(|message| message.reply_to_seq).collect(),
            keys: all()
                .map(|message| message.idempotency_key.as_deref())
                .collect(),
            subjects: all().map(|message| message.subject.as_deref()).collect(),
            metadata: all().map(|message| message.metadata.as_ref()).collect(),
            origins: all()
                .map(|message| message.forwarded_from.as_ref())
                .collect(),
            awaited: all().map(|message| message.is_awaited).collect(),
            at,
        }
    }

    /// The messages, as a parameter for each column.
    fn push_columns<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_bind_param::<Array<SqlUuid>, _>(&self.chats)?; // $1
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.tenants)?; // $2
        out.push_sql(", ");
        out.push_bind_param::<Array<BigInt>, _>(&self.acl_versions)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<SqlUuid>, _>(&self.ids)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.senders)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.bodies)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<BigInt>>, _>(&self.replies)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.keys)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.subjects)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Jsonb>>, _>(&self.metadata)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Jsonb>>, _>(&self.origins)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Bool>, _>(&self.awaited)?;
        Ok(())
    }
}

impl<const WAIT: bool> QueryFragment<Pg> for SendTogether<'_, WAIT> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("WITH sent AS MATERIALIZED (SELECT * FROM unnest(");
        self.push_columns(&mut out)?;
        out.push_sql(
            ") WITH ORDINALITY AS s (chat_id, tenant_id, acl_version, id, sender_id, body, \
             reply_to_seq, idempotency_key, subject, metadata, forwarded_from, is_awaited, place)), ",
        );
        // Locked first and in one order, and held to commit. A row that changed since the statement began is taken as it
        // is now.
        out.push_sql(
            "chat AS MATERIALIZED (SELECT id, tenant_id, acl_version, last_seq, greatest(last_activity_at, ",
        );
        out.push_bind_param::<Timestamptz, _>(&self.at)?;
        out.push_sql(
            ") AS at FROM chats WHERE id = ANY($1) AND tenant_id = ANY($2) AND deleted_at IS NULL \
             ORDER BY id FOR NO KEY UPDATE",
        );
        out.push_sql(if WAIT { "), " } else { " SKIP LOCKED), " });
        // A key that was taken before the statement began keeps its message from taking a seq. It is looked up one by one,
        // by the index: the limit keeps the planner from hashing the table.
        out.push_sql(
            "new AS MATERIALIZED (SELECT s.*, chat.at, chat.last_seq + row_number() OVER (PARTITION BY s.chat_id ORDER BY s.place) AS seq \
             FROM sent AS s JOIN chat ON chat.id = s.chat_id AND chat.tenant_id = s.tenant_id \
             AND chat.acl_version = s.acl_version \
             LEFT JOIN LATERAL (SELECT true AS is_taken FROM messages AS m WHERE m.chat_id = s.chat_id \
             AND m.tenant_id = s.tenant_id AND m.sender_id = s.sender_id AND m.idempotency_key = s.idempotency_key \
             LIMIT 1) AS key ON true WHERE key.is_taken IS NULL), \
             moved AS (UPDATE chats SET last_seq = head.seq, last_activity_at = head.at \
             FROM (SELECT chat_id, tenant_id, max(seq) AS seq, max(at) AS at FROM new GROUP BY chat_id, tenant_id) AS head \
             WHERE chats.id = head.chat_id AND chats.tenant_id = head.tenant_id), ",
        );
        // Delivery marks are written of many participants at once, in this order likewise.
        out.push_sql(
            "reader AS MATERIALIZED (SELECT p.chat_id, p.user_id, p.tenant_id, own.seq FROM participants AS p \
             JOIN (SELECT chat_id, tenant_id, sender_id, max(seq) AS seq FROM new GROUP BY chat_id, tenant_id, sender_id) AS own \
             ON p.chat_id = own.chat_id AND p.user_id = own.sender_id AND p.tenant_id = own.tenant_id \
             ORDER BY p.chat_id, p.user_id FOR NO KEY UPDATE OF p), \
             mark AS (UPDATE participants AS p SET read_seq = greatest(p.read_seq, reader.seq) FROM reader \
             WHERE p.chat_id = reader.chat_id AND p.user_id = reader.user_id AND p.tenant_id = reader.tenant_id), \
             written AS (INSERT INTO messages (chat_id, seq, tenant_id, created_at, sender_id, id, body, \
             reply_to_seq, idempotency_key, subject, metadata, forwarded_from) \
             SELECT chat_id, seq, tenant_id, at, sender_id, id, body, \
             reply_to_seq, idempotency_key, subject, metadata, forwarded_from FROM new), ",
        );
        out.push_sql(
            put!("tenant_id, chat_id, seq FROM new", tenant: "new.tenant_id", in_order_of: "seq"),
        );
        out.push_sql(
            " SELECT s.place, new.seq, new.at, CASE WHEN chat.id IS NULL THEN 0 \
             WHEN chat.acl_version <> s.acl_version OR chat.tenant_id <> s.tenant_id THEN 1 ELSE 2 END::smallint, \
             (SELECT ",
        );
        out.push_sql(users::VALUE);
        out.push_sql(
            " FROM users AS u WHERE s.is_awaited AND u.tenant_id = s.tenant_id AND u.id = s.sender_id) \
             FROM sent AS s LEFT JOIN chat ON chat.id = s.chat_id LEFT JOIN new ON new.place = s.place",
        );
        Ok(())
    }
}
