//! What failed is tried again later, or given up.

use std::time::Duration;

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{BigInt, Double, Integer, Nullable, SmallInt, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;

use super::super::Connection;
use super::super::statement::hot;
use crate::model::{Failure, FailureKind, Lane};

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

/// Gives a delivery up after a failed try, and with it up to so many of its lane that have waited for longer than `kept`. The
/// rest of the lane is due after `wait`. Says how many were given up.
pub async fn give_up(
    conn: &mut Connection,
    lane: &Lane,
    (delivery, failure): (i64, Failure),
    wait: Duration,
    kept: Duration,
) -> QueryResult<usize> {
    let statement = GiveUp {
        lane: LetGo::new(lane, failure.kind, wait),
        delivery,
        kind: failure.kind,
        status: failure.status,
        kept: kept.as_secs_f64(),
    };
    statement.execute(conn).await
}

#[derive(Debug)]
struct GiveUp<'a> {
    lane: LetGo<'a>,
    delivery: i64,
    kind: FailureKind,
    status: Option<i16>,
    kept: f64,
}

/// How many deliveries are given up at once.
const GIVEN_UP_MOST: i64 = 1_000;

hot!(GiveUp<'a> -> BigInt);

impl QueryFragment<Pg> for GiveUp<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.lane.walk_ast(out.reborrow())?;
        out.push_sql(
            ", dead AS (DELETE FROM deliveries AS d USING lane CROSS JOIN LATERAL (SELECT f.id FROM \
             (SELECT o.id, o.created_at FROM deliveries AS o WHERE o.lane_id = lane.id ORDER BY o.id LIMIT ",
        );
        out.push_bind_param::<BigInt, _>(&GIVEN_UP_MOST)?;
        out.push_sql(") AS f WHERE f.id = ");
        out.push_bind_param::<BigInt, _>(&self.delivery)?;
        out.push_sql(" OR f.created_at < now() - make_interval(secs => ");
        out.push_bind_param::<Double, _>(&self.kept)?;
        out.push_sql(
            ")) AS o WHERE d.lane_id = lane.id AND d.id = o.id \
             RETURNING d.seq, d.from_seq, d.attempts + (d.id = ",
        );
        out.push_bind_param::<BigInt, _>(&self.delivery)?;
        out.push_sql(
            ")::integer AS attempts, d.created_at) \
             INSERT INTO dead_letters (tenant_id, sink, chat_id, user_id, seq, from_seq, attempts, created_at, failure, status) \
             SELECT lane.tenant_id, lane.sink, lane.chat_id, lane.user_id, dead.seq, dead.from_seq, dead.attempts, dead.created_at, ",
        );
        out.push_bind_param::<SmallInt, _>(&self.kind)?;
        out.push_sql(", ");
        out.push_bind_param::<Nullable<SmallInt>, _>(&self.status)?;
        out.push_sql(" FROM lane, dead");
        Ok(())
    }
}
