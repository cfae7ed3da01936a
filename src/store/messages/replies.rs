//! The replies to messages.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{Array, BigInt, Nullable, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;

use super::lists::{Place, REPLIES, Window};
use super::{COLUMNS, MessageSql};
use crate::model::{ChatId, Message, Page, TenantId, Thread};
use crate::store::Connection;
use crate::store::statement::hot;

/// What answers the messages at these places: how many live ones, counted to `limit`, and the newest of them.
pub async fn threads(
    conn: &mut Connection,
    tenant: &TenantId,
    roots: &[Place],
    limit: i64,
) -> QueryResult<Vec<(Place, Thread)>> {
    let (chats, seqs) = roots.iter().copied().unzip();
    let rows: Vec<(Place, i64, Option<i64>)> = Threads {
        tenant,
        chats,
        seqs,
        limit,
    }
    .load(conn)
    .await?;
    let thread = |(root, count, last_seq)| (root, Thread { count, last_seq });
    Ok(rows.into_iter().map(thread).collect())
}

#[derive(Debug)]
struct Threads<'a> {
    tenant: &'a TenantId,
    chats: Vec<ChatId>,
    seqs: Vec<i64>,
    limit: i64,
}

hot!(Threads<'a> -> ((SqlUuid, BigInt), BigInt, Nullable<BigInt>));

impl QueryFragment<Pg> for Threads<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT want.chat_id, want.seq, t.count, t.last FROM unnest(");
        out.push_bind_param::<Array<SqlUuid>, _>(&self.chats)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<BigInt>, _>(&self.seqs)?;
        out.push_sql(
            ") AS want (chat_id, seq) CROSS JOIN LATERAL (SELECT count(*), max(newest.seq) AS last FROM (\
             SELECT m.seq FROM messages AS m WHERE m.chat_id = want.chat_id AND m.reply_to_seq = want.seq \
             AND m.deleted_at IS NULL AND m.tenant_id = ",
        );
        out.push_bind_param::<Text, _>(self.tenant)?;
        out.push_sql(" ORDER BY m.seq DESC LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.limit)?;
        out.push_sql(") AS newest) AS t");
        Ok(())
    }
}

/// For each of the messages at these places the same page of what answers it, in no order.
pub async fn replies(
    conn: &mut Connection,
    tenant: &TenantId,
    roots: &[Place],
    page: &Page<i64>,
) -> QueryResult<Vec<Message>> {
    let window = Window::new(tenant, roots, page);
    if page.from_end {
        ReplyPage::<true>(window).load(conn).await
    } else {
        ReplyPage::<false>(window).load(conn).await
    }
}

#[derive(Debug)]
struct ReplyPage<'a, const FROM_END: bool>(Window<'a>);

hot!(ReplyPage<'a, const FROM_END: bool> -> MessageSql);

impl<const FROM_END: bool> QueryFragment<Pg> for ReplyPage<'_, FROM_END> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.0.push(&mut out, COLUMNS, REPLIES, FROM_END)
    }
}
