//! Lists that hang on messages, of which one statement reads the same page for many: replies and revisions.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{Array, BigInt, Bool, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;

use crate::model::{ChatId, Page, TenantId};
use crate::store::Connection;
use crate::store::statement::hot;

/// The place of a message in its chat's log.
pub(super) type Place = (ChatId, i64);

/// Where the elements of the list of a message `want` stand, as a table `o`, but for their tenant.
pub(super) const REPLIES: &str =
    "FROM messages AS o WHERE o.chat_id = want.chat_id AND o.reply_to_seq = want.seq";
pub(super) const REVISIONS: &str = "FROM chat_events AS o WHERE o.chat_id = want.chat_id AND o.message_seq = want.seq AND o.kind = 1";

/// A page of the lists of messages.
#[derive(Debug)]
pub(super) struct Window<'a> {
    tenant: &'a TenantId,
    chats: Vec<ChatId>,
    seqs: Vec<i64>,
    after: i64,
    before: i64,
    limit: i64,
}

impl<'a> Window<'a> {
    pub(super) fn new(tenant: &'a TenantId, roots: &[Place], page: &Page<i64>) -> Self {
        let (chats, seqs) = roots.iter().copied().unzip();
        Self {
            tenant,
            chats,
            seqs,
            after: page.after.unwrap_or(0),
            before: page.before.unwrap_or(i64::MAX),
            limit: page.read_limit(),
        }
    }

    fn push_wanted<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(" FROM unnest(");
        out.push_bind_param::<Array<SqlUuid>, _>(&self.chats)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<BigInt>, _>(&self.seqs)?;
        out.push_sql(") AS want (chat_id, seq)");
        Ok(())
    }

    /// Selects columns of the elements, as a table `m`.
    pub(super) fn push<'b>(
        &'b self,
        out: &mut AstPass<'_, 'b, Pg>,
        columns: &str,
        list: &str,
        from_end: bool,
    ) -> QueryResult<()> {
        out.push_sql("SELECT ");
        out.push_sql(columns);
        self.push_wanted(out)?;
        out.push_sql(" CROSS JOIN LATERAL (SELECT o.* ");
        out.push_sql(list);
        out.push_sql(" AND o.tenant_id = ");
        out.push_bind_param::<Text, _>(self.tenant)?;
        out.push_sql(" AND o.seq > ");
        out.push_bind_param::<BigInt, _>(&self.after)?;
        out.push_sql(" AND o.seq < ");
        out.push_bind_param::<BigInt, _>(&self.before)?;
        out.push_sql(" ORDER BY o.seq");
        out.push_sql(if from_end { " DESC LIMIT " } else { " LIMIT " });
        out.push_bind_param::<BigInt, _>(&self.limit)?;
        out.push_sql(") AS m");
        Ok(())
    }
}

/// Which lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// The messages that answer a message.
    Replies,
    /// The earlier texts of a message.
    Revisions,
}

/// For each of the messages at these places: whether its list has elements up to the page's `after`, and whether it has
/// some from its `before` on.
pub async fn around(
    conn: &mut Connection,
    tenant: &TenantId,
    list: List,
    roots: &[Place],
    page: &Page<i64>,
) -> QueryResult<Vec<(Place, bool, bool)>> {
    let window = Window::new(tenant, roots, page);
    match list {
        List::Replies => Around::<false>(window).load(conn).await,
        List::Revisions => Around::<true>(window).load(conn).await,
    }
}

#[derive(Debug)]
struct Around<'a, const OF_REVISIONS: bool>(Window<'a>);

hot!(Around<'a, const OF_REVISIONS: bool> -> ((SqlUuid, BigInt), Bool, Bool));

impl<const OF_REVISIONS: bool> QueryFragment<Pg> for Around<'_, OF_REVISIONS> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let window = &self.0;
        let list = if OF_REVISIONS { REVISIONS } else { REPLIES };
        out.push_sql("SELECT want.chat_id, want.seq, EXISTS (SELECT ");
        out.push_sql(list);
        out.push_sql(" AND o.tenant_id = ");
        out.push_bind_param::<Text, _>(window.tenant)?; // $1
        out.push_sql(" AND o.seq <= ");
        out.push_bind_param::<BigInt, _>(&window.after)?;
        out.push_sql("), EXISTS (SELECT ");
        out.push_sql(list);
        out.push_sql(" AND o.tenant_id = $1 AND o.seq >= ");
        out.push_bind_param::<BigInt, _>(&window.before)?;
        out.push_sql(")");
        window.push_wanted(&mut out)
    }
}
