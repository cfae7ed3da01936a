//! What an import writes. What it reads from the other service is in [`source`].

pub mod source;

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;

use super::Connection;
use crate::model::{
    Chat, ChatId, EventData, EventKind, MessageId, Metadata, NewEvent, TenantId, UserId,
};
use crate::schema::{chat_events, chats, messages};

/// A message that was sent elsewhere.
#[derive(Debug, Insertable)]
#[diesel(table_name = messages)]
pub struct ImportedMessage<'a> {
    /// The chat.
    pub chat_id: ChatId,
    /// Its place in the chat's log.
    pub seq: i64,
    /// Its id.
    pub id: MessageId,
    /// The tenant of the chat.
    pub tenant_id: &'a TenantId,
    /// Its author.
    pub sender_id: UserId,
    /// Its text.
    pub body: String,
    /// The message that it answers.
    pub reply_to_seq: Option<i64>,
    /// When it was sent.
    pub created_at: DateTime<Utc>,
    /// When it was deleted.
    pub deleted_at: Option<DateTime<Utc>>,
    /// Who deleted it.
    pub deleted_by: Option<UserId>,
    /// The line above the text.
    pub subject: Option<String>,
    /// What belongs to it.
    pub metadata: Option<Metadata>,
}

/// The chat with an id, whichever tenant it is of: an import asks whether the id is free.
pub async fn chat(conn: &mut Connection, id: ChatId) -> QueryResult<Option<Chat>> {
    let query = chats::table.find(id).select(Chat::as_select());
    query.first(conn).await.optional()
}

/// The messages among `ids` that are there: their chats and places, and whether they are deleted.
pub async fn present(
    conn: &mut Connection,
    tenant: &TenantId,
    ids: &[MessageId],
) -> QueryResult<Vec<(MessageId, ChatId, i64, bool)>> {
    messages::table
        .filter(messages::id.eq_any(ids))
        .filter(messages::tenant_id.eq(tenant))
        .select((
            messages::id,
            messages::chat_id,
            messages::seq,
            messages::deleted_at.is_not_null(),
        ))
        .load(conn)
        .await
}

/// Who left a chat, or was removed, at some time.
pub async fn departed(
    conn: &mut Connection,
    tenant: &TenantId,
    chat: ChatId,
) -> QueryResult<HashSet<UserId>> {
    let data: Vec<serde_json::Value> = chat_events::table
        .filter(chat_events::chat_id.eq(chat))
        .filter(chat_events::tenant_id.eq(tenant))
        .filter(chat_events::kind.eq(EventKind::ParticipantRemoved))
        .select(chat_events::data)
        .load(conn)
        .await?;
    let users = data.into_iter().filter_map(|data| {
        let data: EventData = serde_json::from_value(data).ok()?;
        data.user
    });
    Ok(users.collect())
}

/// Writes that people joined, from the entry `first` of the chat's log on, which its row counts already. Nothing is put
/// into the outbox, as for messages: nobody is to be notified of what happened elsewhere, long ago.
pub async fn insert_joins(
    conn: &mut Connection,
    (tenant, chat): (&TenantId, ChatId),
    by: &UserId,
    first: i64,
    at: DateTime<Utc>,
    joins: Vec<NewEvent>,
) -> QueryResult<()> {
    let mut rows = Vec::with_capacity(joins.len());
    for (seq, join) in (first..).zip(joins) {
        let (kind, message_seq, data) = join.into_columns();
        let data = serde_json::to_value(&data)
            .map_err(|error| diesel::result::Error::SerializationError(error.into()))?;
        rows.push((
            chat_events::chat_id.eq(chat),
            chat_events::seq.eq(seq),
            chat_events::tenant_id.eq(tenant),
            chat_events::kind.eq(kind),
            chat_events::actor_id.eq(by),
            chat_events::occurred_at.eq(at),
            chat_events::message_seq.eq(message_seq),
            chat_events::data.eq(data),
        ));
    }
    diesel::insert_into(chat_events::table)
        .values(rows)
        .execute(conn)
        .await?;
    Ok(())
}

/// Writes messages whose places the chat's row counts already.
pub async fn insert_messages(
    conn: &mut Connection,
    new: &[ImportedMessage<'_>],
) -> QueryResult<()> {
    diesel::insert_into(messages::table)
        .values(new)
        .execute(conn)
        .await?;
    Ok(())
}

/// Says that a chat was last active at some time. It never runs backwards.
pub async fn set_active(
    conn: &mut Connection,
    tenant: &TenantId,
    chat: ChatId,
    at: DateTime<Utc>,
) -> QueryResult<()> {
    diesel::update(chats::table)
        .filter(chats::id.eq(chat))
        .filter(chats::tenant_id.eq(tenant))
        .filter(chats::last_activity_at.lt(at))
        .set(chats::last_activity_at.eq(at))
        .execute(conn)
        .await?;
    Ok(())
}

/// Moves read marks forward, none of them over an unread message in one of the stretches `between`, from its first to its
/// last place. Says how many moved.
pub async fn mark_read(
    conn: &mut Connection,
    (tenant, chat): (&TenantId, ChatId),
    marks: &[(UserId, i64)],
    between: &[(i64, i64)],
) -> QueryResult<usize> {
    let (firsts, lasts): (Vec<i64>, Vec<i64>) = between.iter().copied().unzip();
    let (users, seqs): (Vec<&str>, Vec<i64>) = marks
        .iter()
        .map(|(user, seq)| (user.as_str(), *seq))
        .unzip();
    diesel::sql_query(
        "UPDATE participants AS p SET read_seq = moved.seq FROM (SELECT w.user_id, least(w.seq, \
         (SELECT min(m.seq) - 1 FROM unnest($5, $6) AS b (first, last) JOIN messages AS m ON m.chat_id = $3 \
         AND m.tenant_id = $4 AND m.deleted_at IS NULL AND m.seq BETWEEN greatest(b.first, q.read_seq + 1) AND b.last)) AS seq \
         FROM unnest($1, $2) AS w (user_id, seq) JOIN participants AS q ON q.chat_id = $3 AND q.tenant_id = $4 \
         AND q.user_id = w.user_id) AS moved \
         WHERE p.chat_id = $3 AND p.tenant_id = $4 AND p.user_id = moved.user_id AND p.read_seq < moved.seq",
    )
    .bind::<Array<Text>, _>(users)
    .bind::<Array<BigInt>, _>(seqs)
    .bind::<SqlUuid, _>(chat)
    .bind::<Text, _>(tenant)
    .bind::<Array<BigInt>, _>(firsts)
    .bind::<Array<BigInt>, _>(lasts)
    .execute(conn)
    .await
}

/// Sets the stars that participants do not have yet. Says how many those were.
pub async fn star(
    conn: &mut Connection,
    tenant: &TenantId,
    chat: ChatId,
    stars: &[(UserId, i64, DateTime<Utc>)],
) -> QueryResult<usize> {
    let users: Vec<&str> = stars.iter().map(|(user, ..)| user.as_str()).collect();
    let seqs: Vec<i64> = stars.iter().map(|(_, seq, _)| *seq).collect();
    let times: Vec<DateTime<Utc>> = stars.iter().map(|(.., at)| *at).collect();
    diesel::sql_query(
        "INSERT INTO stars (chat_id, user_id, seq, tenant_id, starred_at) \
         SELECT $1, want.user_id, want.seq, $2, want.at FROM unnest($3, $4, $5) AS want (user_id, seq, at) \
         ON CONFLICT DO NOTHING",
    )
    .bind::<SqlUuid, _>(chat)
    .bind::<Text, _>(tenant)
    .bind::<Array<Text>, _>(users)
    .bind::<Array<BigInt>, _>(seqs)
    .bind::<Array<Timestamptz>, _>(times)
    .execute(conn)
    .await
}
