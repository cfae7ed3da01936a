//! Revocations: writing them in order, and reading on.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Connection;
use crate::model::{Revocation, TenantId, UserId};
use crate::schema::revocations;

/// Keeps other writers out until the transaction ends, so that revisions become visible in their order.
pub async fn lock(conn: &mut Connection) -> QueryResult<()> {
    diesel::sql_query("LOCK TABLE revocations IN SHARE ROW EXCLUSIVE MODE")
        .execute(conn)
        .await?;
    Ok(())
}

/// Replaces the revocation of the same tokens, if there is one; it is returned. To be called under [`lock`].
pub async fn take(
    conn: &mut Connection,
    tenant: &TenantId,
    user: &UserId,
    token_id: &str,
) -> QueryResult<Option<Revocation>> {
    diesel::delete(revocations::table)
        .filter(revocations::tenant_id.eq(tenant))
        .filter(revocations::user_id.eq(user))
        .filter(revocations::token_id.eq(token_id))
        .returning(Revocation::as_returning())
        .get_result(conn)
        .await
        .optional()
}

/// Writes a revocation under the next revision. To be called under [`lock`], behind [`take`].
pub async fn insert(conn: &mut Connection, revocation: &Revocation) -> QueryResult<()> {
    diesel::insert_into(revocations::table)
        .values(revocation)
        .execute(conn)
        .await?;
    Ok(())
}

/// How many revocations a user has.
pub async fn count(conn: &mut Connection, tenant: &TenantId, user: &UserId) -> QueryResult<i64> {
    revocations::table
        .filter(revocations::tenant_id.eq(tenant))
        .filter(revocations::user_id.eq(user))
        .count()
        .get_result(conn)
        .await
}

/// Deletes what has expired before a moment.
pub async fn delete_expired(conn: &mut Connection, before: DateTime<Utc>) -> QueryResult<()> {
    diesel::delete(revocations::table)
        .filter(revocations::expires_at.lt(before))
        .execute(conn)
        .await?;
    Ok(())
}

/// The revocations of all tenants behind a revision, in order, at most `limit`, each with its revision. It
/// serves the engine.
pub async fn behind(
    conn: &mut Connection,
    revision: i64,
    limit: i64,
) -> QueryResult<Vec<(i64, Revocation)>> {
    revocations::table
        .filter(revocations::revision.gt(revision))
        .order(revocations::revision)
        .limit(limit)
        .select((revocations::revision, Revocation::as_select()))
        .load(conn)
        .await
}
