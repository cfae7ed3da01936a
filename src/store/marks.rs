//! Delivery marks, written for many people at once.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{Array, BigInt, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;

use super::Connection;
use super::statement::hot;
use crate::model::{ChatId, TenantId, UserId};

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

/// Moves delivery marks forward, in one statement, and returns those that moved: chat, person, place. Of each
/// participant `marks` holds one. What is read already is delivered, so a mark at or before the read mark
/// is not written.
pub async fn deliver(
    conn: &mut Connection,
    marks: &[DeliveryMark],
) -> QueryResult<Vec<(ChatId, UserId, i64)>> {
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

hot!(Deliver<'a> -> (SqlUuid, Text, BigInt));

impl QueryFragment<Pg> for Deliver<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        // Rows are locked in one order: two servers that write marks of the same people take turns.
        out.push_sql(
            "WITH moved AS (SELECT p.chat_id, p.user_id, want.seq FROM participants AS p JOIN unnest(",
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
             ORDER BY p.chat_id, p.user_id FOR NO KEY UPDATE OF p) \
             UPDATE participants AS p SET delivered_seq = greatest(p.delivered_seq, moved.seq) FROM moved \
             WHERE p.chat_id = moved.chat_id AND p.user_id = moved.user_id \
             RETURNING p.chat_id, p.user_id, p.delivered_seq",
        );
        Ok(())
    }
}
