//! Users.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{Array, BigInt, Text, Timestamptz};
use diesel_async::RunQueryDsl;

use super::Connection;
use super::statement::hot;
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
    let mut ids: Vec<&str> = ids.iter().map(UserId::as_str).collect();
    ids.sort_unstable();
    let ensure = Ensure { tenant, ids, at };
    ensure.execute(conn).await?;
    Ok(())
}

/// One statement for however many, so that it is prepared once a connection: everybody who connects runs it.
#[derive(Debug)]
struct Ensure<'a> {
    tenant: &'a TenantId,
    ids: Vec<&'a str>,
    at: DateTime<Utc>,
}

hot!(Ensure<'a> -> BigInt);

impl QueryFragment<Pg> for Ensure<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("INSERT INTO users (tenant_id, id, created_at) SELECT ");
        out.push_bind_param::<Text, _>(self.tenant)?;
        out.push_sql(", new.id, ");
        out.push_bind_param::<Timestamptz, _>(&self.at)?;
        out.push_sql(" FROM unnest(");
        out.push_bind_param::<Array<Text>, _>(&self.ids)?;
        out.push_sql(") AS new (id) ON CONFLICT DO NOTHING");
        Ok(())
    }
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
