//! Pages of a chat's history.

use diesel::dsl::exists;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{Array, BigInt, Bool, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;

use super::{COLUMNS, MessageSql};
use crate::model::{ChatId, Message, Page, TenantId};
use crate::schema::messages;
use crate::store::Connection;
use crate::store::statement::hot;

/// A page of a chat's messages from `from` up to `head`, oldest first; for a page from the end, in reverse.
/// With each row: whether there are such messages up to `after`, and whether there are some from `before` on.
pub async fn page(
    conn: &mut Connection,
    tenant: &TenantId,
    chat: ChatId,
    (from, head): (i64, i64),
    page: &Page<i64>,
) -> QueryResult<Vec<(Message, bool, bool)>> {
    let window = Window {
        tenant,
        chat,
        after: page.after.unwrap_or(0),
        before: page.before.unwrap_or(i64::MAX),
        from,
        head,
        limit: page.read_limit(),
    };
    if page.from_end {
        MessagePage::<true>(window).load(conn).await
    } else {
        MessagePage::<false>(window).load(conn).await
    }
}

#[derive(Debug)]
struct Window<'a> {
    tenant: &'a TenantId,
    chat: ChatId,
    after: i64,
    before: i64,
    from: i64,
    head: i64,
    limit: i64,
}

#[derive(Debug)]
struct MessagePage<'a, const FROM_END: bool>(Window<'a>);

hot!(MessagePage<'a, const FROM_END: bool> -> (MessageSql, Bool, Bool));

impl<const FROM_END: bool> QueryFragment<Pg> for MessagePage<'_, FROM_END> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let window = &self.0;
        out.push_sql("SELECT ");
        out.push_sql(COLUMNS);
        out.push_sql(", EXISTS (SELECT FROM messages AS o WHERE o.chat_id = ");
        out.push_bind_param::<SqlUuid, _>(&window.chat)?; // $1
        out.push_sql(" AND o.tenant_id = ");
        out.push_bind_param::<Text, _>(window.tenant)?; // $2
        out.push_sql(" AND o.seq <= ");
        out.push_bind_param::<BigInt, _>(&window.after)?; // $3
        out.push_sql(" AND o.seq >= ");
        out.push_bind_param::<BigInt, _>(&window.from)?; // $4
        out.push_sql(
            "), EXISTS (SELECT FROM messages AS o WHERE o.chat_id = $1 AND o.tenant_id = $2 \
             AND o.seq >= $4 AND o.seq >= ",
        );
        out.push_bind_param::<BigInt, _>(&window.before)?; // $5
        out.push_sql(" AND o.seq <= ");
        out.push_bind_param::<BigInt, _>(&window.head)?; // $6
        out.push_sql(
            ") FROM messages AS m WHERE m.chat_id = $1 AND m.tenant_id = $2 AND m.seq > $3 AND m.seq >= $4 \
             AND m.seq < $5 AND m.seq <= $6",
        );
        out.push_sql(if FROM_END {
            " ORDER BY m.seq DESC LIMIT "
        } else {
            " ORDER BY m.seq LIMIT "
        });
        out.push_bind_param::<BigInt, _>(&window.limit)
    }
}

/// A chat, and the part of its log that somebody sees: from one entry up to another.
pub type Part = (ChatId, i64, i64);

/// The first or last messages of each of these parts, in the order in which a page of one is read, each with the number of
/// its part, from 1 on.
pub async fn of_chats(
    conn: &mut Connection,
    tenant: &TenantId,
    parts: &[Part],
    page: &Page<()>,
) -> QueryResult<Vec<(i64, Message)>> {
    let ends = Ends {
        tenant,
        chats: parts.iter().map(|(chat, ..)| *chat).collect(),
        from: parts.iter().map(|(_, from, _)| *from).collect(),
        heads: parts.iter().map(|(.., head)| *head).collect(),
        limit: page.read_limit(),
    };
    if page.from_end {
        OfChats::<true>(ends).load(conn).await
    } else {
        OfChats::<false>(ends).load(conn).await
    }
}

#[derive(Debug)]
struct Ends<'a> {
    tenant: &'a TenantId,
    chats: Vec<ChatId>,
    from: Vec<i64>,
    heads: Vec<i64>,
    limit: i64,
}

#[derive(Debug)]
struct OfChats<'a, const FROM_END: bool>(Ends<'a>);

hot!(OfChats<'a, const FROM_END: bool> -> (BigInt, MessageSql));

impl<const FROM_END: bool> QueryFragment<Pg> for OfChats<'_, FROM_END> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let (ends, order) = (&self.0, if FROM_END { "seq DESC" } else { "seq" });
        out.push_sql("SELECT want.place, ");
        out.push_sql(COLUMNS);
        out.push_sql(" FROM unnest(");
        out.push_bind_param::<Array<SqlUuid>, _>(&ends.chats)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<BigInt>, _>(&ends.from)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<BigInt>, _>(&ends.heads)?;
        out.push_sql(
            ") WITH ORDINALITY AS want (chat_id, first, last, place) CROSS JOIN LATERAL (SELECT * FROM messages AS o \
             WHERE o.chat_id = want.chat_id AND o.seq BETWEEN want.first AND want.last AND o.tenant_id = ",
        );
        out.push_bind_param::<Text, _>(ends.tenant)?;
        out.push_sql(" ORDER BY o.");
        out.push_sql(order);
        out.push_sql(" LIMIT ");
        out.push_bind_param::<BigInt, _>(&ends.limit)?;
        out.push_sql(") AS m ORDER BY want.place, m.");
        out.push_sql(order);
        Ok(())
    }
}

/// Whether a chat has messages with a seq from `from` to `to`.
pub async fn any_between(
    conn: &mut Connection,
    tenant: &TenantId,
    chat: ChatId,
    from: i64,
    to: i64,
) -> QueryResult<bool> {
    let query = messages::table
        .filter(messages::chat_id.eq(chat))
        .filter(messages::tenant_id.eq(tenant))
        .filter(messages::seq.ge(from))
        .filter(messages::seq.le(to));
    diesel::select(exists(query)).get_result(conn).await
}
