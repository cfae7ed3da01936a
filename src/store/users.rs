//! Users.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Connection;
use crate::model::{Profile, TenantId, User, UserId};
use crate::schema::users;

/// The users among `ids` that were ever seen in the tenant.
pub async fn by_ids(
    conn: &mut Connection,
    tenant: &TenantId,
    ids: &[UserId],
) -> QueryResult<Vec<User>> {
    users::table
        .filter(users::tenant_id.eq(tenant))
        .filter(users::id.eq_any(ids))
        .select(User::as_select())
        .load(conn)
        .await
}

/// Makes users exist, without a profile where they are new. Ids in one order: no deadlock with another
/// call that adds some of the same people.
pub async fn ensure(
    conn: &mut Connection,
    tenant: &TenantId,
    ids: &[UserId],
    at: DateTime<Utc>,
) -> QueryResult<()> {
    let mut ids: Vec<&UserId> = ids.iter().collect();
    ids.sort();
    let rows: Vec<_> = ids
        .into_iter()
        .map(|id| {
            (
                users::tenant_id.eq(tenant),
                users::id.eq(id),
                users::created_at.eq(at),
            )
        })
        .collect();
    diesel::insert_into(users::table)
        .values(rows)
        .on_conflict_do_nothing()
        .execute(conn)
        .await?;
    Ok(())
}

/// Makes the bearer of a token exist. Name and picture are taken where the token carries them and none of
/// a newer token stands there.
pub async fn observe(
    conn: &mut Connection,
    tenant: &TenantId,
    id: &UserId,
    profile: &Profile,
    at: DateTime<Utc>,
) -> QueryResult<()> {
    ensure(conn, tenant, std::slice::from_ref(id), at).await?;
    // A token from the future must not keep every later one from being heard.
    let issued_at = profile.issued_at.unwrap_or(at).min(at);
    let row = || {
        users::table
            .filter(users::tenant_id.eq(tenant))
            .filter(users::id.eq(id))
    };
    if let Some(name) = &profile.display_name {
        let older = users::display_name_at
            .is_null()
            .or(users::display_name_at.le(issued_at));
        diesel::update(row().filter(older))
            .set((
                users::display_name.eq(name),
                users::display_name_at.eq(issued_at),
            ))
            .execute(conn)
            .await?;
    }
    if let Some(url) = &profile.avatar_url {
        let older = users::avatar_url_at
            .is_null()
            .or(users::avatar_url_at.le(issued_at));
        diesel::update(row().filter(older))
            .set((
                users::avatar_url.eq(url),
                users::avatar_url_at.eq(issued_at),
            ))
            .execute(conn)
            .await?;
    }
    Ok(())
}
