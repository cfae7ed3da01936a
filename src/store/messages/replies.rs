//! The replies to messages.

use diesel::dsl::exists;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;

use super::{COLUMNS, MessageSql};
use crate::model::{ChatId, Message, Page, TenantId, Thread};
use crate::schema::messages;
use crate::store::Connection;
use crate::store::statement::hot;

/// The place of a message in its chat's log.
type Place = (ChatId, i64);

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

/// For each of the messages at these places the same page of what answers it, in no order. With each reply: whether there
/// are some up to the page's `after`, and whether there are some from its `before` on.
pub async fn replies(
    conn: &mut Connection,
    tenant: &TenantId,
    roots: &[Place],
    page: &Page<i64>,
) -> QueryResult<Vec<(Message, bool, bool)>> {
    let (chats, seqs) = roots.iter().copied().unzip();
    let window = Window {
        tenant,
        chats,
        seqs,
        after: page.after.unwrap_or(0),
        before: page.before.unwrap_or(i64::MAX),
        limit: page.read_limit(),
    };
    if page.from_end {
        ReplyPage::<true>(window).load(conn).await
    } else {
        ReplyPage::<false>(window).load(conn).await
    }
}

#[derive(Debug)]
struct Window<'a> {
    tenant: &'a TenantId,
    chats: Vec<ChatId>,
    seqs: Vec<i64>,
    after: i64,
    before: i64,
    limit: i64,
}

#[derive(Debug)]
struct ReplyPage<'a, const FROM_END: bool>(Window<'a>);

hot!(ReplyPage<'a, const FROM_END: bool> -> (MessageSql, Bool, Bool));

impl<const FROM_END: bool> QueryFragment<Pg> for ReplyPage<'_, FROM_END> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        const OF_ROOT: &str = "FROM messages AS o WHERE o.chat_id = want.chat_id AND o.reply_to_seq = want.seq \
             AND o.tenant_id = $3";
        let window = &self.0;
        out.push_sql("SELECT ");
        out.push_sql(COLUMNS);
        out.push_sql(", m.some_before, m.some_behind FROM unnest(");
        out.push_bind_param::<Array<SqlUuid>, _>(&window.chats)?; // $1
        out.push_sql(", ");
        out.push_bind_param::<Array<BigInt>, _>(&window.seqs)?; // $2
        out.push_sql(") AS want (chat_id, seq) CROSS JOIN LATERAL (SELECT o.*, EXISTS (SELECT ");
        // The parameters in the order of their numbers.
        out.push_sql("FROM messages AS o WHERE o.chat_id = want.chat_id AND o.reply_to_seq = want.seq AND o.tenant_id = ");
        out.push_bind_param::<Text, _>(window.tenant)?; // $3
        out.push_sql(" AND o.seq <= ");
        out.push_bind_param::<BigInt, _>(&window.after)?; // $4
        out.push_sql(") AS some_before, EXISTS (SELECT ");
        out.push_sql(OF_ROOT);
        out.push_sql(" AND o.seq >= ");
        out.push_bind_param::<BigInt, _>(&window.before)?; // $5
        out.push_sql(") AS some_behind ");
        out.push_sql(OF_ROOT);
        out.push_sql(" AND o.seq > $4 AND o.seq < $5 ORDER BY o.seq");
        out.push_sql(if FROM_END { " DESC LIMIT " } else { " LIMIT " });
        out.push_bind_param::<BigInt, _>(&window.limit)?;
        out.push_sql(") AS m");
        Ok(())
    }
}

/// Whether a message is answered by one with a seq from `from` to `to`.
pub async fn any_reply_between(
    conn: &mut Connection,
    tenant: &TenantId,
    (chat, root): Place,
    from: i64,
    to: i64,
) -> QueryResult<bool> {
    let query = messages::table
        .filter(messages::chat_id.eq(chat))
        .filter(messages::tenant_id.eq(tenant))
        .filter(messages::reply_to_seq.eq(root))
        .filter(messages::seq.ge(from))
        .filter(messages::seq.le(to));
    diesel::select(exists(query)).get_result(conn).await
}
