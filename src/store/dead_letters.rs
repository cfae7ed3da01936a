//! Deliveries that were given up.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{Array, BigInt, Double, Text};
use diesel_async::RunQueryDsl;

use super::Connection;
use super::statement::hot;
use crate::model::{ChatId, DeadLetter, FailureKind, TenantId, UserId};
use crate::schema::dead_letters;

/// A part of the list: the numbers between two, neither included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Between {
    /// Only those below.
    pub below: i64,
    /// Only those above.
    pub above: i64,
}

impl Default for Between {
    /// All of it.
    fn default() -> Self {
        Self {
            below: i64::MAX,
            above: i64::MIN,
        }
    }
}

/// A part of a tenant's dead letters, the newest first; from its end, in reverse.
pub async fn page(
    conn: &mut Connection,
    tenant: &TenantId,
    between: Between,
    oldest_first: bool,
    limit: i64,
) -> QueryResult<Vec<DeadLetter>> {
    use dead_letters::{id, table, tenant_id};
    let part = table
        .filter(tenant_id.eq(tenant))
        .filter(id.lt(between.below))
        .filter(id.gt(between.above))
        .limit(limit)
        .select(Row::as_select());
    let rows: Vec<Row> = if oldest_first {
        part.order(id.asc()).load(conn).await?
    } else {
        part.order(id.desc()).load(conn).await?
    };
    Ok(rows.into_iter().map(DeadLetter::from).collect())
}

#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = dead_letters, check_for_backend(Pg))]
struct Row {
    id: i64,
    sink: String,
    chat_id: ChatId,
    user_id: String,
    seq: i64,
    from_seq: Option<i64>,
    attempts: i32,
    failure: FailureKind,
    status: Option<i16>,
    created_at: DateTime<Utc>,
    died_at: DateTime<Utc>,
}

impl From<Row> for DeadLetter {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            sink: row.sink,
            chat_id: row.chat_id,
            // Of events it is empty, which is nobody's id.
            recipient: UserId::new(row.user_id).ok(),
            seq: row.seq,
            from_seq: row.from_seq,
            attempts: row.attempts,
            failure: row.failure,
            status: row.status,
            created_at: row.created_at,
            died_at: row.died_at,
        }
    }
}

/// Makes deliveries again of those of a tenant's dead letters whose sink is there, and returns which. They stand behind what
/// waits for the same target.
pub async fn replay(
    conn: &mut Connection,
    tenant: &TenantId,
    ids: &[i64],
) -> QueryResult<Vec<i64>> {
    Replay { tenant, ids }.load(conn).await
}

#[derive(Debug)]
struct Replay<'a> {
    tenant: &'a TenantId,
    ids: &'a [i64],
}

hot!(Replay<'a> -> BigInt);

impl QueryFragment<Pg> for Replay<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "WITH dead AS (DELETE FROM dead_letters AS d USING sinks AS s WHERE d.tenant_id = ",
        );
        out.push_bind_param::<Text, _>(self.tenant)?;
        out.push_sql(" AND d.id = ANY(");
        out.push_bind_param::<Array<BigInt>, _>(&self.ids)?;
        // Who delivers to the target just now has the lane for the time that it says.
        out.push_sql(
            ") AND s.tenant_id = d.tenant_id AND s.name = d.sink \
             RETURNING d.id, d.tenant_id, d.sink, d.chat_id, d.user_id, d.seq, d.from_seq), \
             lane AS (INSERT INTO delivery_lanes AS l (tenant_id, sink, chat_id, user_id, due_at) \
             SELECT DISTINCT tenant_id, sink, chat_id, user_id, now() FROM dead ORDER BY tenant_id, sink, chat_id, user_id \
             ON CONFLICT (tenant_id, sink, chat_id, user_id) DO UPDATE \
             SET due_at = CASE WHEN l.holder IS NULL THEN now() ELSE l.due_at END \
             RETURNING id, tenant_id, sink, chat_id, user_id), \
             made AS (INSERT INTO deliveries (lane_id, tenant_id, seq, from_seq) \
             SELECT lane.id, dead.tenant_id, dead.seq, dead.from_seq FROM dead JOIN lane ON lane.tenant_id = dead.tenant_id \
             AND lane.sink = dead.sink AND lane.chat_id = dead.chat_id AND lane.user_id = dead.user_id ORDER BY dead.id) \
             SELECT id FROM dead ORDER BY id",
        );
        Ok(())
    }
}

/// Removes up to `limit` of those that were given up longer ago than `kept`; says how many.
pub async fn forget(conn: &mut Connection, kept: Duration, limit: i64) -> QueryResult<usize> {
    diesel::sql_query(
        "DELETE FROM dead_letters AS d USING (SELECT tenant_id, id FROM dead_letters \
         WHERE died_at < now() - make_interval(secs => $1) LIMIT $2) AS old \
         WHERE d.tenant_id = old.tenant_id AND d.id = old.id",
    )
    .bind::<Double, _>(kept.as_secs_f64())
    .bind::<BigInt, _>(limit)
    .execute(conn)
    .await
}
