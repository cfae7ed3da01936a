//! The participants of many chats at once, a page of each.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{Array, BigInt, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;

use super::super::Connection;
use super::super::statement::hot;
use crate::model::{ChatId, Page, Participant, TenantId};

/// The first or last participants of each of the chats, in the order in which a page of one is read.
pub async fn of_chats(
    conn: &mut Connection,
    tenant: &TenantId,
    chats: &[ChatId],
    page: &Page<()>,
) -> QueryResult<Vec<Participant>> {
    let ends = Ends {
        tenant,
        chats,
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
    chats: &'a [ChatId],
    limit: i64,
}

#[derive(Debug)]
struct OfChats<'a, const FROM_END: bool>(Ends<'a>);

hot!(OfChats<'a, const FROM_END: bool> -> (SqlUuid, Text, SmallInt, Timestamptz, BigInt, BigInt, BigInt));

impl<const FROM_END: bool> QueryFragment<Pg> for OfChats<'_, FROM_END> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let ends = &self.0;
        let (of_each, of_all) = if FROM_END {
            (
                "q.joined_at DESC, q.user_id DESC",
                "p.joined_at DESC, p.user_id DESC",
            )
        } else {
            ("q.joined_at, q.user_id", "p.joined_at, p.user_id")
        };
        out.push_sql(
            "SELECT p.chat_id, p.user_id, p.role, p.joined_at, p.joined_seq, p.read_seq, p.delivered_seq FROM unnest(",
        );
        out.push_bind_param::<Array<SqlUuid>, _>(ends.chats)?;
        out.push_sql(
            ") AS want (chat_id) CROSS JOIN LATERAL (SELECT * FROM participants AS q \
             WHERE q.chat_id = want.chat_id AND q.tenant_id = ",
        );
        out.push_bind_param::<Text, _>(ends.tenant)?;
        out.push_sql(" ORDER BY ");
        out.push_sql(of_each);
        out.push_sql(" LIMIT ");
        out.push_bind_param::<BigInt, _>(&ends.limit)?;
        out.push_sql(") AS p ORDER BY p.chat_id, ");
        out.push_sql(of_all);
        Ok(())
    }
}
