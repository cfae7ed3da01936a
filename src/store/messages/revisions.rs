//! The earlier texts of messages, which stand in the log.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{BigInt, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;

use super::lists::{Place, REVISIONS, Window};
use crate::model::{Page, Revision, TenantId};
use crate::store::Connection;
use crate::store::statement::hot;

/// For each of the messages at these places the same page of its earlier texts, in no order.
pub async fn revisions(
    conn: &mut Connection,
    tenant: &TenantId,
    roots: &[Place],
    page: &Page<i64>,
) -> QueryResult<Vec<Revision>> {
    let window = Window::new(tenant, roots, page);
    if page.from_end {
        RevisionPage::<true>(window).load(conn).await
    } else {
        RevisionPage::<false>(window).load(conn).await
    }
}

#[derive(Debug)]
struct RevisionPage<'a, const FROM_END: bool>(Window<'a>);

hot!(RevisionPage<'a, const FROM_END: bool> -> (SqlUuid, BigInt, BigInt, Text, Nullable<Text>, Timestamptz, Nullable<Text>));

impl<const FROM_END: bool> QueryFragment<Pg> for RevisionPage<'_, FROM_END> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let columns = "m.chat_id, m.message_seq, m.seq, coalesce(m.data->>'previous', ''), \
             m.data->>'previous_subject', m.occurred_at, m.actor_id";
        self.0.push(&mut out, columns, REVISIONS, FROM_END)
    }
}
