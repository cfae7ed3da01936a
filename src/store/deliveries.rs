//! Deliveries and the lanes they wait in.
//!
//! A lane is claimed for a time, by the database's clock, and everything that its holder does says which claim it holds:
//! whoever was away for longer than that changes nothing any more.

mod failing;
mod making;

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{
    Array, BigInt, Bool, Double, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid,
};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

pub use self::failing::{fail, give_up};
pub use self::making::{of_events, of_notices};
use super::Connection;
use super::statement::hot;
use crate::model::{ChatId, Delivery, Lane, SinkId, TenantId, UserId};
use crate::schema::{deliveries, delivery_lanes};

/// Claims lanes that are due, of each sink up to so many, for so long.
pub async fn claim(
    conn: &mut Connection,
    sinks: &[(&SinkId, i64, Duration)],
    holder: Uuid,
) -> QueryResult<Vec<Lane>> {
    let all = || sinks.iter();
    let statement = Claim {
        tenants: all().map(|(sink, ..)| sink.tenant.as_str()).collect(),
        names: all().map(|(sink, ..)| sink.name.as_str()).collect(),
        most: all().map(|(_, most, _)| *most).collect(),
        leases: all().map(|(.., lease)| lease.as_secs_f64()).collect(),
        holder,
    };
    let rows: Vec<LaneRow> = statement.load(conn).await?;
    Ok(rows.into_iter().map(|row| row.into_lane(holder)).collect())
}

#[derive(Debug, Queryable)]
struct LaneRow {
    id: i64,
    tenant: TenantId,
    sink: String,
    chat_id: ChatId,
    user_id: String,
    failures: i32,
    was_left: bool,
}

impl LaneRow {
    fn into_lane(self, holder: Uuid) -> Lane {
        Lane {
            id: self.id,
            sink: SinkId {
                tenant: self.tenant,
                name: self.sink,
            },
            chat_id: self.chat_id,
            // Of events it is empty, which is nobody's id.
            recipient: UserId::new(self.user_id).ok(),
            failures: self.failures,
            was_left: self.was_left,
            holder,
        }
    }
}

#[derive(Debug)]
struct Claim<'a> {
    tenants: Vec<&'a str>,
    names: Vec<&'a str>,
    most: Vec<i64>,
    leases: Vec<f64>,
    holder: Uuid,
}

hot!(Claim<'a> -> (BigInt, Text, Text, SqlUuid, Text, Integer, Bool));

impl QueryFragment<Pg> for Claim<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("WITH due AS (SELECT d.id, d.holder, want.lease FROM unnest(");
        out.push_bind_param::<Array<Text>, _>(&self.tenants)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.names)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<BigInt>, _>(&self.most)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Double>, _>(&self.leases)?;
        out.push_sql(
            ") AS want (tenant_id, sink, most, lease) CROSS JOIN LATERAL (\
             SELECT l.id, l.holder FROM delivery_lanes AS l WHERE l.tenant_id = want.tenant_id AND l.sink = want.sink \
             AND l.due_at <= now() ORDER BY l.due_at LIMIT want.most FOR UPDATE SKIP LOCKED) AS d) \
             UPDATE delivery_lanes AS l SET due_at = now() + make_interval(secs => due.lease), holder = ",
        );
        out.push_bind_param::<SqlUuid, _>(&self.holder)?;
        out.push_sql(
            " FROM due WHERE l.id = due.id RETURNING l.id, l.tenant_id, l.sink, l.chat_id, l.user_id, l.failures, \
             due.holder IS NOT NULL",
        );
        Ok(())
    }
}

/// What is first in lanes, by their numbers. A lane that is not named is empty.
pub async fn heads(conn: &mut Connection, lanes: &[i64]) -> QueryResult<HashMap<i64, Delivery>> {
    let rows: Vec<(i64, DeliveryRow)> = Heads { lanes }.load(conn).await?;
    let heads = rows.into_iter();
    Ok(heads.map(|(lane, row)| (lane, row.into())).collect())
}

type DeliveryRow = (i64, i64, Option<i64>, i32, DateTime<Utc>);

impl From<DeliveryRow> for Delivery {
    fn from((id, seq, from_seq, attempts, created_at): DeliveryRow) -> Self {
        Self {
            id,
            seq,
            from_seq,
            attempts,
            created_at,
        }
    }
}

#[derive(Debug)]
struct Heads<'a> {
    lanes: &'a [i64],
}

hot!(Heads<'a> -> (BigInt, (BigInt, BigInt, Nullable<BigInt>, Integer, Timestamptz)));

impl QueryFragment<Pg> for Heads<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "SELECT want.lane_id, d.id, d.seq, d.from_seq, d.attempts, d.created_at FROM unnest(",
        );
        out.push_bind_param::<Array<BigInt>, _>(&self.lanes)?;
        out.push_sql(
            ") AS want (lane_id) CROSS JOIN LATERAL (SELECT * FROM deliveries \
             WHERE deliveries.lane_id = want.lane_id ORDER BY deliveries.id LIMIT 1) AS d",
        );
        Ok(())
    }
}

/// Locks a lane to the end of the transaction and holds it for longer; says whether it is still held. Where something
/// was `delivered`, it has not failed any more.
pub async fn hold(
    conn: &mut Connection,
    lane: &Lane,
    lease: Duration,
    delivered: bool,
) -> QueryResult<bool> {
    let lease = lease.as_secs_f64();
    let failures = if delivered { 0 } else { lane.failures };
    let held = Hold {
        lane,
        lease,
        failures,
    };
    Ok(held.execute(conn).await? == 1)
}

#[derive(Debug)]
struct Hold<'a> {
    lane: &'a Lane,
    lease: f64,
    failures: i32,
}

hot!(Hold<'a> -> BigInt);

impl QueryFragment<Pg> for Hold<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("UPDATE delivery_lanes SET due_at = now() + make_interval(secs => ");
        out.push_bind_param::<Double, _>(&self.lease)?;
        out.push_sql("), failures = ");
        out.push_bind_param::<Integer, _>(&self.failures)?;
        out.push_sql(" WHERE id = ");
        out.push_bind_param::<BigInt, _>(&self.lane.id)?;
        out.push_sql(" AND holder = ");
        out.push_bind_param::<SqlUuid, _>(&self.lane.holder)?;
        Ok(())
    }
}

/// Removes what was delivered, and returns what is next in its lane, which is locked.
pub async fn finish(
    conn: &mut Connection,
    lane: i64,
    delivery: i64,
) -> QueryResult<Option<Delivery>> {
    diesel::delete(deliveries::table.find((lane, delivery)))
        .execute(conn)
        .await?;
    Ok(heads(conn, &[lane]).await?.remove(&lane))
}

/// Removes a lane, which is locked and empty.
pub async fn close(conn: &mut Connection, lane: i64) -> QueryResult<()> {
    diesel::delete(delivery_lanes::table.find(lane))
        .execute(conn)
        .await?;
    Ok(())
}

/// Lets lanes go that nothing was tried for, so that others need not wait for the end of the lease.
pub async fn release(conn: &mut Connection, lanes: &[i64], holder: Uuid) -> QueryResult<()> {
    diesel::update(delivery_lanes::table)
        .filter(delivery_lanes::id.eq_any(lanes))
        .filter(delivery_lanes::holder.eq(holder))
        .set((
            delivery_lanes::holder.eq(None::<Uuid>),
            delivery_lanes::due_at.eq(diesel::dsl::now),
        ))
        .execute(conn)
        .await?;
    Ok(())
}

/// Removes up to `limit` deliveries of sinks that are gone which are older than `kept`, and as many empty lanes of such. To be
/// called while no deliveries are made.
pub async fn forget(conn: &mut Connection, kept: Duration, limit: i64) -> QueryResult<usize> {
    let gone =
        "NOT EXISTS (SELECT FROM sinks AS s WHERE s.tenant_id = l.tenant_id AND s.name = l.sink)";
    let removed = diesel::sql_query(format!(
        "WITH old AS (SELECT d.lane_id, d.id FROM delivery_lanes AS l JOIN deliveries AS d ON d.lane_id = l.id \
         WHERE {gone} AND d.created_at < now() - make_interval(secs => $1) LIMIT $2) \
         DELETE FROM deliveries AS d USING old WHERE d.lane_id = old.lane_id AND d.id = old.id"
    ));
    let removed = removed
        .bind::<Double, _>(kept.as_secs_f64())
        .bind::<BigInt, _>(limit)
        .execute(conn)
        .await?;
    diesel::sql_query(format!(
        "DELETE FROM delivery_lanes WHERE id IN (SELECT l.id FROM delivery_lanes AS l \
         WHERE {gone} AND NOT EXISTS (SELECT FROM deliveries AS d WHERE d.lane_id = l.id) LIMIT $1 FOR UPDATE SKIP LOCKED)"
    ))
    .bind::<BigInt, _>(limit)
    .execute(conn)
    .await?;
    Ok(removed)
}
