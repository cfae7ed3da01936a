//! Marks: one person's read mark, and the delivery marks of many people at once. Each move is kept with its time.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{Array, BigInt, Bool, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;

use super::Connection;
use super::statement::hot;
use crate::model::{ChatId, TenantId, UserId};

/// Moves someone's read mark forward to `seq`, at some time. Says whether they show it, where it moved.
pub async fn mark_read(
    conn: &mut Connection,
    tenant: &TenantId,
    (chat, user): (ChatId, &UserId),
    seq: i64,
    at: DateTime<Utc>,
) -> QueryResult<Option<bool>> {
    let mark = MarkRead {
        tenant,
        chat,
        user,
        seq,
        at,
    };
    mark.get_result(conn).await.optional()
}

#[derive(Debug)]
struct MarkRead<'a> {
    tenant: &'a TenantId,
    chat: ChatId,
    user: &'a UserId,
    seq: i64,
    at: DateTime<Utc>,
}

hot!(MarkRead<'a> -> Bool);

impl QueryFragment<Pg> for MarkRead<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        // The row is locked before it is looked at, so that it is known from where the mark moves.
        out.push_sql(
            "WITH moved AS (SELECT p.chat_id, p.user_id, p.tenant_id, p.read_seq FROM participants AS p WHERE p.chat_id = ",
        );
        out.push_bind_param::<SqlUuid, _>(&self.chat)?;
        out.push_sql(" AND p.user_id = ");
        out.push_bind_param::<Text, _>(self.user)?; // $2
        out.push_sql(" AND p.tenant_id = ");
        out.push_bind_param::<Text, _>(self.tenant)?; // $3
        out.push_sql(" AND p.read_seq < ");
        out.push_bind_param::<BigInt, _>(&self.seq)?; // $4
        // A mark that was set back, since one was added again, comes by the same places.
        out.push_sql(
            " FOR NO KEY UPDATE), \
             written AS (UPDATE participants AS p SET read_seq = $4 FROM moved \
             WHERE p.chat_id = moved.chat_id AND p.user_id = moved.user_id AND p.tenant_id = moved.tenant_id), \
             kept AS (INSERT INTO receipts (chat_id, user_id, kind, seq, from_seq, tenant_id, marked_at) \
             SELECT chat_id, user_id, 0, $4, read_seq, tenant_id, ",
        );
        out.push_bind_param::<Timestamptz, _>(&self.at)?;
        out.push_sql(
            " FROM moved ON CONFLICT DO NOTHING) \
             SELECT u.receipts_visible FROM moved JOIN users AS u ON u.tenant_id = $3 AND u.id = $2",
        );
        Ok(())
    }
}

/// A participant's delivery mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryMark {
    /// The chat.
    pub chat_id: ChatId,
    /// The person.
    pub user_id: UserId,
    /// The tenant of both.
    pub tenant_id: TenantId,
    /// Everything up to this log entry is delivered.
    pub seq: i64,
}

/// Moves delivery marks forward, in one statement, and returns those that moved: chat, person, place, and whether the
/// person shows it. Of each participant `marks` holds one. What is read already is delivered, so a mark at or before the
/// read mark is not written.
pub async fn deliver(
    conn: &mut Connection,
    marks: &[DeliveryMark],
) -> QueryResult<Vec<(ChatId, UserId, i64, bool)>> {
    let statement = Deliver {
        chats: marks.iter().map(|mark| mark.chat_id).collect(),
        users: marks.iter().map(|mark| mark.user_id.as_str()).collect(),
        tenants: marks.iter().map(|mark| mark.tenant_id.as_str()).collect(),
        seqs: marks.iter().map(|mark| mark.seq).collect(),
    };
    statement.load(conn).await
}

#[derive(Debug)]
struct Deliver<'a> {
    chats: Vec<ChatId>,
    users: Vec<&'a str>,
    tenants: Vec<&'a str>,
    seqs: Vec<i64>,
}

hot!(Deliver<'a> -> (SqlUuid, Text, BigInt, Bool));

impl QueryFragment<Pg> for Deliver<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        // Rows are locked in one order: two servers that write marks of the same people take turns.
        out.push_sql(
            "WITH moved AS (SELECT p.chat_id, p.user_id, want.seq, greatest(p.read_seq, p.delivered_seq) AS before \
             FROM participants AS p JOIN unnest(",
        );
        out.push_bind_param::<Array<SqlUuid>, _>(&self.chats)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.users)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.tenants)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<BigInt>, _>(&self.seqs)?;
        out.push_sql(
            ") AS want (chat_id, user_id, tenant_id, seq) ON p.chat_id = want.chat_id \
             AND p.user_id = want.user_id AND p.tenant_id = want.tenant_id \
             WHERE greatest(p.read_seq, p.delivered_seq) < want.seq \
             ORDER BY p.chat_id, p.user_id FOR NO KEY UPDATE OF p), \
             written AS (UPDATE participants AS p SET delivered_seq = greatest(p.delivered_seq, moved.seq) FROM moved \
             WHERE p.chat_id = moved.chat_id AND p.user_id = moved.user_id \
             RETURNING p.chat_id, p.user_id, p.tenant_id, p.delivered_seq, moved.before), \
             kept AS (INSERT INTO receipts (chat_id, user_id, kind, seq, from_seq, tenant_id, marked_at) \
             SELECT chat_id, user_id, 1, delivered_seq, before, tenant_id, date_trunc('milliseconds', now()) FROM written \
             ON CONFLICT DO NOTHING) \
             SELECT w.chat_id, w.user_id, w.delivered_seq, u.receipts_visible FROM written AS w \
             JOIN users AS u ON u.tenant_id = w.tenant_id AND u.id = w.user_id",
        );
        Ok(())
    }
}
