//! Deliveries and the lanes they wait in.
//!
//! A lane is claimed for a time, by the database's clock, and everything that its holder does says which claim it holds:
//! whoever was away for longer than that changes nothing any more.

use std::collections::HashMap;
use std::time::Duration;

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{
    Array, BigInt, Bool, Double, Integer, Nullable, SmallInt, Text, Uuid as SqlUuid,
};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::Connection;
use super::outbox::Entry;
use super::statement::hot;
use crate::model::{
    ChatId, Delivery, Failure, FailureKind, Lane, Notice, SinkId, TenantId, UserId,
};
use crate::schema::{deliveries, delivery_lanes};

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

/// Claims lanes that are due, of each sink up to so many, until `lease` from now.
pub async fn claim(
    conn: &mut Connection,
    sinks: &[(&SinkId, i64)],
    holder: Uuid,
    lease: Duration,
) -> QueryResult<Vec<Lane>> {
    let statement = Claim {
        tenants: sinks.iter().map(|(sink, _)| sink.tenant.as_str()).collect(),
        names: sinks.iter().map(|(sink, _)| sink.name.as_str()).collect(),
        most: sinks.iter().map(|(_, most)| *most).collect(),
        holder,
        lease: lease.as_secs_f64(),
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
    holder: Uuid,
    lease: f64,
}

hot!(Claim<'a> -> (BigInt, Text, Text, SqlUuid, Text, Integer, Bool));

impl QueryFragment<Pg> for Claim<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("WITH due AS (SELECT d.id, d.holder FROM unnest(");
        out.push_bind_param::<Array<Text>, _>(&self.tenants)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.names)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<BigInt>, _>(&self.most)?;
        out.push_sql(
            ") AS want (tenant_id, sink, most) CROSS JOIN LATERAL (\
             SELECT l.id, l.holder FROM delivery_lanes AS l WHERE l.tenant_id = want.tenant_id AND l.sink = want.sink \
             AND l.due_at <= now() ORDER BY l.due_at LIMIT want.most FOR UPDATE SKIP LOCKED) AS d) \
             UPDATE delivery_lanes AS l SET due_at = now() + make_interval(secs => ",
        );
        out.push_bind_param::<Double, _>(&self.lease)?;
        out.push_sql("), holder = ");
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

type DeliveryRow = (i64, i64, Option<i64>, i32);

impl From<DeliveryRow> for Delivery {
    fn from((id, seq, from_seq, attempts): DeliveryRow) -> Self {
        Self {
            id,
            seq,
            from_seq,
            attempts,
        }
    }
}

#[derive(Debug)]
struct Heads<'a> {
    lanes: &'a [i64],
}

hot!(Heads<'a> -> (BigInt, (BigInt, BigInt, Nullable<BigInt>, Integer)));

impl QueryFragment<Pg> for Heads<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT want.lane_id, d.id, d.seq, d.from_seq, d.attempts FROM unnest(");
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

/// Notes a failed try: the lane is let go, and is due after `wait`. Nothing happens where it is not held any more.
pub async fn fail(
    conn: &mut Connection,
    lane: &Lane,
    delivery: i64,
    kind: FailureKind,
    wait: Duration,
) -> QueryResult<()> {
    let lane = LetGo::new(lane, kind, wait);
    let statement = Fail { lane, delivery };
    statement.execute(conn).await?;
    Ok(())
}

/// The beginning of a statement that goes on with a lane: lets it go after a failure.
#[derive(Debug)]
struct LetGo<'a> {
    lane: &'a Lane,
    failures: i32,
    wait: f64,
}

impl<'a> LetGo<'a> {
    fn new(lane: &'a Lane, kind: FailureKind, wait: Duration) -> Self {
        // That a server died says nothing of the sink.
        let failed = i32::from(kind != FailureKind::ServerDied);
        Self {
            lane,
            failures: lane.failures.saturating_add(failed),
            wait: wait.as_secs_f64(),
        }
    }
}

impl QueryFragment<Pg> for LetGo<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("WITH lane AS (UPDATE delivery_lanes SET holder = NULL, failures = ");
        out.push_bind_param::<Integer, _>(&self.failures)?;
        out.push_sql(", due_at = now() + make_interval(secs => ");
        out.push_bind_param::<Double, _>(&self.wait)?;
        out.push_sql(") WHERE id = ");
        out.push_bind_param::<BigInt, _>(&self.lane.id)?;
        out.push_sql(" AND holder = ");
        out.push_bind_param::<SqlUuid, _>(&self.lane.holder)?;
        out.push_sql(" RETURNING id, tenant_id, sink, chat_id, user_id)");
        Ok(())
    }
}

#[derive(Debug)]
struct Fail<'a> {
    lane: LetGo<'a>,
    delivery: i64,
}

hot!(Fail<'a> -> BigInt);

impl QueryFragment<Pg> for Fail<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.lane.walk_ast(out.reborrow())?;
        out.push_sql(
            " UPDATE deliveries AS d SET attempts = d.attempts + 1 FROM lane WHERE d.lane_id = lane.id AND d.id = ",
        );
        out.push_bind_param::<BigInt, _>(&self.delivery)?;
        Ok(())
    }
}

/// Gives a delivery up after a failed try. The rest of its lane is due after `wait`.
pub async fn give_up(
    conn: &mut Connection,
    lane: &Lane,
    delivery: i64,
    failure: Failure,
    wait: Duration,
) -> QueryResult<()> {
    let statement = GiveUp {
        lane: LetGo::new(lane, failure.kind, wait),
        delivery,
        kind: failure.kind,
        status: failure.status,
    };
    statement.execute(conn).await?;
    Ok(())
}

#[derive(Debug)]
struct GiveUp<'a> {
    lane: LetGo<'a>,
    delivery: i64,
    kind: FailureKind,
    status: Option<i16>,
}

hot!(GiveUp<'a> -> BigInt);

impl QueryFragment<Pg> for GiveUp<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.lane.walk_ast(out.reborrow())?;
        out.push_sql(
            ", dead AS (DELETE FROM deliveries AS d USING lane WHERE d.lane_id = lane.id AND d.id = ",
        );
        out.push_bind_param::<BigInt, _>(&self.delivery)?;
        out.push_sql(
            " RETURNING d.seq, d.from_seq, d.attempts, d.created_at) \
             INSERT INTO dead_letters (tenant_id, sink, chat_id, user_id, seq, from_seq, attempts, created_at, failure, status) \
             SELECT lane.tenant_id, lane.sink, lane.chat_id, lane.user_id, dead.seq, dead.from_seq, dead.attempts + 1, dead.created_at, ",
        );
        out.push_bind_param::<SmallInt, _>(&self.kind)?;
        out.push_sql(", ");
        out.push_bind_param::<Nullable<SmallInt>, _>(&self.status)?;
        out.push_sql(" FROM lane, dead");
        Ok(())
    }
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
