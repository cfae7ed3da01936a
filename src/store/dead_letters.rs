//! Deliveries that were given up.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Double};
use diesel_async::RunQueryDsl;

use super::Connection;

/// Removes up to `limit` of those that were given up longer ago than `kept`; says how many.
pub async fn forget(conn: &mut Connection, kept: Duration, limit: i64) -> QueryResult<usize> {
    diesel::sql_query(
        "DELETE FROM dead_letters WHERE id IN (SELECT id FROM dead_letters \
         WHERE died_at < now() - make_interval(secs => $1) ORDER BY id LIMIT $2)",
    )
    .bind::<Double, _>(kept.as_secs_f64())
    .bind::<BigInt, _>(limit)
    .execute(conn)
    .await
}
