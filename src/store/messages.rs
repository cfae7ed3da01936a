//! Messages: look-ups and amendments. Pages of a chat's history are in `page.rs`, those of lists that hang on messages in
//! `lists.rs`, `replies.rs` and `revisions.rs`, the send is in `send.rs`.

mod filtered;
mod lists;
mod page;
mod replies;
mod revisions;
mod send;

use chrono::{DateTime, Utc};
use diesel::dsl::exists;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{Array, BigInt, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;

pub use self::filtered::{Kept, Range, filtered, first_since, looked_to};
pub use self::lists::{List, around};
pub use self::page::{Part, any_between, of_chats, page};
pub use self::replies::{replies, threads};
pub use self::revisions::revisions;
pub use self::send::{
    Locked, NewMessage, Sent, Together, Written, is_key_taken, send, send_together,
};
use super::Connection;
use super::statement::hot;
use crate::model::{ChatId, Message, MessageId, Metadata, TenantId, UnreadRange, UserId};
use crate::schema::{messages, participants};

/// The SQL types of [`COLUMNS`].
pub(super) type MessageSql = (
    SqlUuid,
    BigInt,
    SqlUuid,
    Text,
    Text,
    Nullable<BigInt>,
    Timestamptz,
    Nullable<Timestamptz>,
    Nullable<Timestamptz>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Jsonb>,
    Nullable<Jsonb>,
);

/// The columns of [`Message`], of a table named `m`.
pub(super) const COLUMNS: &str = "m.chat_id, m.seq, m.id, m.sender_id, m.body, m.reply_to_seq, \
     m.created_at, m.edited_at, m.deleted_at, m.deleted_by, m.subject, m.metadata, m.forwarded_from";

/// The first entry of a chat's log that a participant sees, of tables named `c` and `p`, as
/// `model::visible_from` says.
pub(super) const VISIBLE_FROM: &str = "CASE c.history WHEN 1 THEN p.joined_seq ELSE 1 END";

/// The message a sender sent to a chat with a key.
pub async fn by_key(
    conn: &mut Connection,
    tenant: &TenantId,
    chat: ChatId,
    sender: &UserId,
    key: &str,
) -> QueryResult<Option<Message>> {
    messages::table
        .filter(messages::chat_id.eq(chat))
        .filter(messages::tenant_id.eq(tenant))
        .filter(messages::sender_id.eq(sender))
        .filter(messages::idempotency_key.eq(key))
        .select(Message::as_select())
        .first(conn)
        .await
        .optional()
}

/// The messages that a sender sent to some of these chats with some of these keys, each with its key.
pub async fn by_keys(
    conn: &mut Connection,
    tenant: &TenantId,
    chats: &[ChatId],
    sender: &UserId,
    keys: &[&str],
) -> QueryResult<Vec<(Message, String)>> {
    messages::table
        .filter(messages::chat_id.eq_any(chats))
        .filter(messages::tenant_id.eq(tenant))
        .filter(messages::sender_id.eq(sender))
        .filter(messages::idempotency_key.eq_any(keys))
        .select((
            Message::as_select(),
            messages::idempotency_key.assume_not_null(),
        ))
        .load(conn)
        .await
}

/// The messages among `ids` in the tenant, whoever may see them.
pub async fn by_ids(
    conn: &mut Connection,
    tenant: &TenantId,
    ids: &[MessageId],
) -> QueryResult<Vec<Message>> {
    messages::table
        .filter(messages::id.eq_any(ids))
        .filter(messages::tenant_id.eq(tenant))
        .select(Message::as_select())
        .load(conn)
        .await
}

/// The chat of a message, where `viewer` is in it, or of any where there is none. For anybody else it is as if
/// there were no such message, so that nothing further is asked of the database for the one and not for the
/// other.
pub async fn chat_of(
    conn: &mut Connection,
    tenant: &TenantId,
    viewer: Option<&UserId>,
    id: MessageId,
) -> QueryResult<Option<ChatId>> {
    let mut query = messages::table
        .filter(messages::id.eq(id))
        .filter(messages::tenant_id.eq(tenant))
        .select(messages::chat_id)
        .into_boxed();
    if let Some(viewer) = viewer {
        let member = participants::table
            .filter(participants::chat_id.eq(messages::chat_id))
            .filter(participants::tenant_id.eq(tenant))
            .filter(participants::user_id.eq(viewer));
        query = query.filter(exists(member));
    }
    query.first(conn).await.optional()
}

/// The seq of a message of a chat.
pub async fn seq_of(
    conn: &mut Connection,
    tenant: &TenantId,
    chat: ChatId,
    id: MessageId,
) -> QueryResult<Option<i64>> {
    messages::table
        .filter(messages::id.eq(id))
        .filter(messages::chat_id.eq(chat))
        .filter(messages::tenant_id.eq(tenant))
        .select(messages::seq)
        .first(conn)
        .await
        .optional()
}

/// For each wanted place, the newest message of the chat at it or before it that `viewer` sees, of chats that
/// they are in. Each comes with the place it answers.
pub async fn up_to(
    conn: &mut Connection,
    tenant: &TenantId,
    viewer: &UserId,
    places: &[(ChatId, i64)],
) -> QueryResult<Vec<(ChatId, i64, Message)>> {
    let (chats, seqs): (Vec<ChatId>, Vec<i64>) = places.iter().copied().unzip();
    UpTo {
        tenant,
        viewer,
        chats,
        seqs,
    }
    .load(conn)
    .await
}

/// The same whoever may see it: for administrators of the tenant.
pub async fn any_up_to(
    conn: &mut Connection,
    tenant: &TenantId,
    places: &[(ChatId, i64)],
) -> QueryResult<Vec<(ChatId, i64, Message)>> {
    let (chats, seqs): (Vec<ChatId>, Vec<i64>) = places.iter().copied().unzip();
    AnyUpTo {
        tenant,
        chats,
        seqs,
    }
    .load(conn)
    .await
}

#[derive(Debug)]
struct AnyUpTo<'a> {
    tenant: &'a TenantId,
    chats: Vec<ChatId>,
    seqs: Vec<i64>,
}

hot!(AnyUpTo<'a> -> (SqlUuid, BigInt, MessageSql));

impl QueryFragment<Pg> for AnyUpTo<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT want.chat_id, want.seq, ");
        out.push_sql(COLUMNS);
        out.push_sql(" FROM unnest(");
        out.push_bind_param::<Array<SqlUuid>, _>(&self.chats)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<BigInt>, _>(&self.seqs)?;
        out.push_sql(
            ") AS want (chat_id, seq) CROSS JOIN LATERAL (SELECT * FROM messages \
             WHERE messages.chat_id = want.chat_id AND messages.seq <= want.seq \
             AND messages.tenant_id = ",
        );
        out.push_bind_param::<Text, _>(self.tenant)?;
        out.push_sql(" ORDER BY messages.seq DESC LIMIT 1) AS m");
        Ok(())
    }
}

#[derive(Debug)]
struct UpTo<'a> {
    tenant: &'a TenantId,
    viewer: &'a UserId,
    chats: Vec<ChatId>,
    seqs: Vec<i64>,
}

hot!(UpTo<'a> -> (SqlUuid, BigInt, MessageSql));

impl QueryFragment<Pg> for UpTo<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT want.chat_id, want.seq, ");
        out.push_sql(COLUMNS);
        out.push_sql(" FROM unnest(");
        out.push_bind_param::<Array<SqlUuid>, _>(&self.chats)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<BigInt>, _>(&self.seqs)?;
        out.push_sql(") AS want (chat_id, seq) JOIN participants AS p ON p.chat_id = want.chat_id AND p.tenant_id = ");
        out.push_bind_param::<Text, _>(self.tenant)?; // $3
        out.push_sql(" AND p.user_id = ");
        out.push_bind_param::<Text, _>(self.viewer)?;
        out.push_sql(
            " JOIN chats AS c ON c.id = want.chat_id AND c.tenant_id = $3 \
             CROSS JOIN LATERAL (SELECT * FROM messages WHERE messages.chat_id = want.chat_id \
             AND messages.tenant_id = $3 AND messages.seq <= want.seq AND messages.seq >= ",
        );
        out.push_sql(VISIBLE_FROM);
        out.push_sql(" ORDER BY messages.seq DESC LIMIT 1) AS m");
        Ok(())
    }
}

/// How many live messages of others than `viewer` each range has, counted to `limit` at most.
pub async fn unread_counts(
    conn: &mut Connection,
    tenant: &TenantId,
    viewer: &UserId,
    ranges: &[UnreadRange],
    limit: i64,
) -> QueryResult<Vec<(UnreadRange, i64)>> {
    let rows: Vec<((ChatId, i64, i64), i64)> = UnreadCounts {
        tenant,
        viewer,
        chats: ranges.iter().map(|range| range.chat_id).collect(),
        after: ranges.iter().map(|range| range.after).collect(),
        heads: ranges.iter().map(|range| range.head).collect(),
        limit,
    }
    .load(conn)
    .await?;
    let range = |(chat_id, after, head)| UnreadRange {
        chat_id,
        after,
        head,
    };
    Ok(rows
        .into_iter()
        .map(|(place, count)| (range(place), count))
        .collect())
}

#[derive(Debug)]
struct UnreadCounts<'a> {
    tenant: &'a TenantId,
    viewer: &'a UserId,
    chats: Vec<ChatId>,
    after: Vec<i64>,
    heads: Vec<i64>,
    limit: i64,
}

hot!(UnreadCounts<'a> -> ((SqlUuid, BigInt, BigInt), BigInt));

impl QueryFragment<Pg> for UnreadCounts<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT want.chat_id, want.after, want.head, u.count FROM unnest(");
        out.push_bind_param::<Array<SqlUuid>, _>(&self.chats)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<BigInt>, _>(&self.after)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<BigInt>, _>(&self.heads)?;
        out.push_sql(
            ") AS want (chat_id, after, head) CROSS JOIN LATERAL (SELECT count(*) FROM (\
             SELECT FROM messages AS m WHERE m.chat_id = want.chat_id AND m.seq > want.after \
             AND m.seq <= want.head AND m.deleted_at IS NULL AND m.tenant_id = ",
        );
        out.push_bind_param::<Text, _>(self.tenant)?;
        out.push_sql(" AND m.sender_id <> ");
        out.push_bind_param::<Text, _>(self.viewer)?;
        out.push_sql(" LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.limit)?;
        out.push_sql(") AS unread) AS u");
        Ok(())
    }
}

/// What can be edited of a message.
#[derive(Debug, Clone, PartialEq, Eq, AsChangeset)]
#[diesel(table_name = messages, treat_none_as_null = true)]
pub struct Contents {
    /// The text.
    pub body: String,
    /// The line above it.
    pub subject: Option<String>,
    /// What the application keeps with it.
    pub metadata: Option<Metadata>,
}

impl Contents {
    /// What a message has now.
    #[must_use]
    pub fn of(message: &Message) -> Self {
        Self {
            body: message.body.clone(),
            subject: message.subject.clone(),
            metadata: message.metadata.clone(),
        }
    }
}

/// What an operation changes of a message.
#[derive(Debug, Clone)]
pub enum Amendment<'a> {
    /// New contents, at some time.
    Edit(Contents, DateTime<Utc>),
    /// Deletion by someone, at some time.
    Delete(&'a UserId, DateTime<Utc>),
    /// Its end.
    Restore,
}

/// Changes a message and returns it as it is now.
pub async fn amend(
    conn: &mut Connection,
    tenant: &TenantId,
    chat: ChatId,
    seq: i64,
    amendment: Amendment<'_>,
) -> QueryResult<Message> {
    let row = messages::table
        .filter(messages::chat_id.eq(chat))
        .filter(messages::seq.eq(seq))
        .filter(messages::tenant_id.eq(tenant));
    match amendment {
        Amendment::Edit(contents, at) => {
            diesel::update(row)
                .set((contents, messages::edited_at.eq(at)))
                .returning(Message::as_select())
                .get_result(conn)
                .await
        }
        Amendment::Delete(by, at) => {
            diesel::update(row)
                .set((messages::deleted_at.eq(at), messages::deleted_by.eq(by)))
                .returning(Message::as_select())
                .get_result(conn)
                .await
        }
        Amendment::Restore => {
            diesel::update(row)
                .set((
                    messages::deleted_at.eq(None::<DateTime<Utc>>),
                    messages::deleted_by.eq(None::<UserId>),
                ))
                .returning(Message::as_select())
                .get_result(conn)
                .await
        }
    }
}
