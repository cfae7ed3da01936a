//! The outbox: events of which no delivery has been made yet.
//!
//! An entry is written by the statement that writes its event, so neither is there without the other. They are taken by
//! one server at a time, under a lock of the database: entries of one chat become deliveries in the order of the log.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{BigInt, Bool, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;

use super::Connection;
use super::statement::hot;
use crate::model::{ChatId, TenantId};

/// The number of the advisory lock under which entries are taken.
const TAKING: i64 = 0x636f_6c6c_6f71_0b0c;

/// A part of a statement that writes events: puts what is selected (a tenant, a chat, a place of its log) into the outbox,
/// where that tenant has a sink. Several of one chat are put in the order of the log.
macro_rules! put {
    ($entries:literal, tenant: $tenant:literal $(, in_order_of: $seq:literal)?) => {
        concat!(
            "put AS (INSERT INTO outbox (tenant_id, chat_id, seq) SELECT ",
            $entries,
            " WHERE EXISTS (SELECT FROM sinks WHERE sinks.tenant_id = ",
            $tenant,
            ")",
            $(" ORDER BY ", $seq,)?
            ")"
        )
    };
}

pub(super) use put;

/// An event that is to be delivered.
#[derive(Debug, Clone, PartialEq, Eq, Queryable)]
pub struct Entry {
    /// Its number. Entries of one chat are numbered in the order of the log.
    pub id: i64,
    /// The tenant of the chat.
    pub tenant: TenantId,
    /// The chat.
    pub chat_id: ChatId,
    /// The event: the place in the chat's log.
    pub seq: i64,
}

/// Whether the outbox has an entry.
pub async fn is_filled(conn: &mut Connection) -> QueryResult<bool> {
    use crate::schema::outbox;
    diesel::select(diesel::dsl::exists(outbox::table.select(outbox::id)))
        .get_result(conn)
        .await
}

/// Keeps other servers from making deliveries, to the end of the transaction; says whether none of them does just now.
pub async fn lock(conn: &mut Connection) -> QueryResult<bool> {
    let lock = diesel::sql_query("SELECT pg_try_advisory_xact_lock($1) AS taken");
    let lock: Lock = lock.bind::<BigInt, _>(TAKING).get_result(conn).await?;
    Ok(lock.taken)
}

/// Takes up to `limit` entries out, in their order; none where another server does so just now. What is not made of them
/// in the same transaction is lost.
pub async fn take(conn: &mut Connection, limit: i64) -> QueryResult<Vec<Entry>> {
    // The lock first, the look then: whoever held it before has committed.
    if !lock(conn).await? {
        return Ok(Vec::new());
    }
    let mut entries: Vec<Entry> = Take { limit }.load(conn).await?;
    entries.sort_unstable_by_key(|entry| entry.id);
    Ok(entries)
}

#[derive(Debug, QueryableByName)]
struct Lock {
    #[diesel(sql_type = Bool)]
    taken: bool,
}

#[derive(Debug)]
struct Take {
    limit: i64,
}

impl diesel::query_builder::QueryId for Take {
    type QueryId = Self;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl diesel::query_builder::Query for Take {
    type SqlType = (BigInt, Text, SqlUuid, BigInt);
}

impl QueryFragment<Pg> for Take {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("DELETE FROM outbox WHERE id IN (SELECT id FROM outbox ORDER BY id LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.limit)?;
        out.push_sql(") RETURNING id, tenant_id, chat_id, seq");
        Ok(())
    }
}

/// How much there is to deliver, each counted up to a bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Queryable)]
pub struct Depth {
    /// The entries of the outbox.
    pub entries: i64,
    /// When the oldest of them was written, by the database's clock.
    pub oldest: Option<DateTime<Utc>>,
    /// The deliveries.
    pub deliveries: i64,
    /// When the oldest of them came into its lane.
    pub oldest_delivery: Option<DateTime<Utc>>,
    /// What was given up and is kept.
    pub dead: i64,
}

/// Counts what there is to deliver, each up to `most`. The oldest delivery is that of the lanes which wait for longest.
pub async fn depth(conn: &mut Connection, most: i64) -> QueryResult<Depth> {
    DepthOf { most: &most }.get_result(conn).await
}

#[derive(Debug)]
struct DepthOf<'a> {
    most: &'a i64,
}

hot!(DepthOf<'a> -> (BigInt, Nullable<Timestamptz>, BigInt, Nullable<Timestamptz>, BigInt));

impl QueryFragment<Pg> for DepthOf<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT (SELECT count(*) FROM (SELECT FROM outbox LIMIT ");
        out.push_bind_param::<BigInt, _>(self.most)?;
        out.push_sql(
            ") AS entries), (SELECT written_at FROM outbox ORDER BY id LIMIT 1), \
             (SELECT count(*) FROM (SELECT FROM deliveries LIMIT $1) AS deliveries), \
             (SELECT min(created_at) FROM (SELECT created_at FROM deliveries ORDER BY lane_id, id LIMIT $1) AS old), \
             (SELECT count(*) FROM (SELECT FROM dead_letters LIMIT $1) AS dead)",
        );
        Ok(())
    }
}
