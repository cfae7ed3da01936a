//! Users.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{Array, BigInt, Bool, Nullable, Record, Text, Timestamptz};
use diesel_async::RunQueryDsl;

use super::Connection;
use super::statement::hot;
use crate::model::{Profile, TenantId, User, UserId};
use crate::schema::users;

/// The columns of [`UserSql`], of `users AS u`.
pub(super) const VALUE: &str =
    "ROW(u.id, u.display_name, u.avatar_url, u.presence_visible, u.receipts_visible)";

/// A person, as a value in a row of something else.
pub(super) type UserSql = Nullable<Record<(Text, Nullable<Text>, Nullable<Text>, Bool, Bool)>>;

/// The same as it is loaded.
pub(super) type UserValue = (UserId, Option<String>, Option<String>, bool, bool);

/// The person of a value.
pub(super) fn of_value(value: UserValue) -> User {
    let (id, display_name, avatar_url, presence_visible, receipts_visible) = value;
    User {
        id,
        display_name,
        avatar_url,
        presence_visible,
        receipts_visible,
    }
}

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

/// Somebody whose token was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bearer {
    /// The person's tenant.
    pub tenant_id: TenantId,
    /// The person.
    pub user_id: UserId,
    /// What the token says of them.
    pub profile: Profile,
}

/// Makes the bearers of tokens exist, in one statement that writes only what is news. Name and picture are
/// taken where the token carries them and none of a newer token stands there. Each person may be named once.
pub async fn observe(
    conn: &mut Connection,
    bearers: &[Bearer],
    at: DateTime<Utc>,
) -> QueryResult<()> {
    let profiles = || bearers.iter().map(|bearer| &bearer.profile);
    // A token from the future must not keep every later one from being heard.
    let issued = |profile: &Profile| profile.issued_at.unwrap_or(at).min(at);
    let statement = Observe {
        at,
        tenants: bearers.iter().map(|b| b.tenant_id.as_str()).collect(),
        users: bearers.iter().map(|b| b.user_id.as_str()).collect(),
        names: profiles().map(|p| p.display_name.as_deref()).collect(),
        urls: profiles().map(|p| p.avatar_url.as_deref()).collect(),
        issued: profiles().map(issued).collect(),
    };
    statement.execute(conn).await?;
    Ok(())
}

#[derive(Debug)]
struct Observe<'a> {
    at: DateTime<Utc>,
    tenants: Vec<&'a str>,
    users: Vec<&'a str>,
    names: Vec<Option<&'a str>>,
    urls: Vec<Option<&'a str>>,
    issued: Vec<DateTime<Utc>>,
}

hot!(Observe<'a> -> BigInt);

impl QueryFragment<Pg> for Observe<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("WITH seen AS (SELECT * FROM unnest(");
        out.push_bind_param::<Array<Text>, _>(&self.tenants)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.users)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.names)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.urls)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Timestamptz>, _>(&self.issued)?;
        // Rows are locked in one order, and only where there is something to write: a server that starts
        // again meets everybody at once, and nearly all of them are known.
        out.push_sql(
            ") AS seen (tenant_id, id, name, url, at)) \
             INSERT INTO users AS u (tenant_id, id, display_name, display_name_at, avatar_url, avatar_url_at, created_at) \
             SELECT seen.tenant_id, seen.id, seen.name, CASE WHEN seen.name IS NOT NULL THEN seen.at END, \
             seen.url, CASE WHEN seen.url IS NOT NULL THEN seen.at END, ",
        );
        out.push_bind_param::<Timestamptz, _>(&self.at)?;
        out.push_sql(
            " FROM seen LEFT JOIN users AS old ON old.tenant_id = seen.tenant_id AND old.id = seen.id \
             WHERE old.id IS NULL \
             OR seen.name IS NOT NULL AND (old.display_name_at IS NULL OR old.display_name_at < seen.at \
             OR old.display_name_at = seen.at AND old.display_name <> seen.name) \
             OR seen.url IS NOT NULL AND (old.avatar_url_at IS NULL OR old.avatar_url_at < seen.at \
             OR old.avatar_url_at = seen.at AND old.avatar_url <> seen.url) \
             ORDER BY seen.tenant_id, seen.id ON CONFLICT (tenant_id, id) DO UPDATE SET \
             display_name = CASE WHEN excluded.display_name_at >= coalesce(u.display_name_at, '-infinity') \
             THEN excluded.display_name ELSE u.display_name END, \
             display_name_at = greatest(u.display_name_at, excluded.display_name_at), \
             avatar_url = CASE WHEN excluded.avatar_url_at >= coalesce(u.avatar_url_at, '-infinity') \
             THEN excluded.avatar_url ELSE u.avatar_url END, \
             avatar_url_at = greatest(u.avatar_url_at, excluded.avatar_url_at)",
        );
        Ok(())
    }
}
