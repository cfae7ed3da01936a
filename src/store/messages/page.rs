//! Pages of a chat's history.

use diesel::dsl::exists;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{BigInt, Bool, Text, Uuid as SqlUuid};
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
