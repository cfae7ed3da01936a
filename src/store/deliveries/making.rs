//! Events and notices become deliveries.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;

use super::super::Connection;
use super::super::outbox::Entry;
use super::super::statement::hot;
use crate::model::{ChatId, Notice};

/// Makes deliveries of events, in this order, to each sink that gets its tenant's events; says how many.
pub async fn of_events(conn: &mut Connection, entries: &[Entry]) -> QueryResult<usize> {
    let all = || entries.iter();
    let statement = Make {
        tenants: all().map(|entry| entry.tenant.as_str()).collect(),
        chats: all().map(|entry| entry.chat_id).collect(),
        users: vec![NOBODY; entries.len()],
        seqs: all().map(|entry| entry.seq).collect(),
        from_seqs: vec![None; entries.len()],
        notifications: false,
    };
    statement.execute(conn).await
}

/// Makes deliveries of notices to each sink that gets its tenant's notifications; says how many.
pub async fn of_notices(conn: &mut Connection, notices: &[&Notice]) -> QueryResult<usize> {
    let all = || notices.iter();
    let statement = Make {
        tenants: all().map(|notice| notice.tenant.as_str()).collect(),
        chats: all().map(|notice| notice.chat_id).collect(),
        users: all().map(|notice| notice.user.as_str()).collect(),
        seqs: all().map(|notice| notice.seq).collect(),
        from_seqs: all().map(|notice| Some(notice.from_seq)).collect(),
        notifications: true,
    };
    statement.execute(conn).await
}

/// Whom events are for: no user has an empty id.
const NOBODY: &str = "";

#[derive(Debug)]
struct Make<'a> {
    tenants: Vec<&'a str>,
    chats: Vec<ChatId>,
    users: Vec<&'a str>,
    seqs: Vec<i64>,
    from_seqs: Vec<Option<i64>>,
    notifications: bool,
}

hot!(Make<'a> -> BigInt);

impl QueryFragment<Pg> for Make<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("WITH wanted AS MATERIALIZED (SELECT e.*, s.name AS sink FROM unnest(");
        out.push_bind_param::<Array<Text>, _>(&self.tenants)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<SqlUuid>, _>(&self.chats)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.users)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<BigInt>, _>(&self.seqs)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<BigInt>>, _>(&self.from_seqs)?;
        out.push_sql(
            ") WITH ORDINALITY AS e (tenant_id, chat_id, user_id, seq, from_seq, place) \
             JOIN sinks AS s ON s.tenant_id = e.tenant_id AND CASE WHEN ",
        );
        out.push_bind_param::<Bool, _>(&self.notifications)?;
        // The update changes nothing but locks the lane: who empties it at the same time waits, or is waited for.
        out.push_sql(
            " THEN s.notifications ELSE s.events END), \
             lane AS (INSERT INTO delivery_lanes AS l (tenant_id, sink, chat_id, user_id, due_at) \
             SELECT DISTINCT tenant_id, sink, chat_id, user_id, now() FROM wanted \
             ORDER BY tenant_id, sink, chat_id, user_id \
             ON CONFLICT (tenant_id, sink, chat_id, user_id) DO UPDATE SET due_at = l.due_at \
             RETURNING id, tenant_id, sink, chat_id, user_id) \
             INSERT INTO deliveries (lane_id, tenant_id, seq, from_seq) \
             SELECT lane.id, w.tenant_id, w.seq, w.from_seq FROM wanted AS w JOIN lane ON lane.tenant_id = w.tenant_id \
             AND lane.sink = w.sink AND lane.chat_id = w.chat_id AND lane.user_id = w.user_id ORDER BY w.place",
        );
        Ok(())
    }
}
