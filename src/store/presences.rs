//! Presence: which server people are connected to, and until when that holds.
//!
//! The times are the database's own: servers whose clocks differ agree on them.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{Array, BigInt, Bool, Double, Nullable, Text, Timestamptz};
use diesel_async::RunQueryDsl;

use super::Connection;
use super::statement::hot;
use crate::model::{Presence, TenantId, UserId};
use crate::schema::{servers, users};

/// A person, wherever they are.
pub type Person = (TenantId, UserId);

/// Whether the person shows their presence, whether they are online, and when they were last.
pub(super) type PresenceSql = (Bool, Bool, Nullable<Timestamptz>);

/// The same as it is read.
pub(super) type PresenceRow = (bool, bool, Option<DateTime<Utc>>);

/// The joins behind [`PRESENCE`], of a table named `p` with a tenant and a user. Each person is looked up by
/// index, however many are asked for: the limit keeps the planner from reading all users instead.
pub(super) const PRESENCE_JOIN: &str = "CROSS JOIN LATERAL (\
     SELECT users.* FROM users WHERE users.tenant_id = p.tenant_id AND users.id = p.user_id LIMIT 1) AS u \
     LEFT JOIN LATERAL (SELECT bool_or(s.expires_at > now()) AS online, max(s.seen_at) AS seen_at \
     FROM presences AS r JOIN servers AS s ON s.id = r.server_id \
     WHERE r.tenant_id = p.tenant_id AND r.user_id = p.user_id) AS here ON true";

/// The columns of [`PresenceSql`]. Who was with a server that died was last seen when it was.
pub(super) const PRESENCE: &str =
    "u.presence_visible, coalesce(here.online, false), greatest(u.last_seen_at, here.seen_at)";

/// What the columns of [`PRESENCE`] mean; `None` for who does not show it.
pub(super) fn presence((visible, online, last_seen_at): PresenceRow) -> Option<Presence> {
    let presence = if online {
        Presence::Online
    } else {
        Presence::Offline { last_seen_at }
    };
    visible.then_some(presence)
}

/// Renews a server's row, and says whether it had to be made.
pub async fn renew(conn: &mut Connection, server: i64, lease: Duration) -> QueryResult<bool> {
    let lease = lease.as_secs_f64();
    let statement = Renew { server, lease };
    statement.get_result(conn).await
}

#[derive(Debug)]
struct Renew {
    server: i64,
    lease: f64,
}

impl diesel::query_builder::QueryId for Renew {
    type QueryId = Self;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl diesel::query_builder::Query for Renew {
    type SqlType = Bool;
}

impl QueryFragment<Pg> for Renew {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("INSERT INTO servers AS s (id, seen_at, expires_at) VALUES (");
        out.push_bind_param::<BigInt, _>(&self.server)?;
        out.push_sql(", now(), now() + make_interval(secs => ");
        out.push_bind_param::<Double, _>(&self.lease)?;
        // Only a row that an update has locked carries an xmax.
        out.push_sql(
            ")) ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at, \
             expires_at = excluded.expires_at RETURNING s.xmax = 0",
        );
        Ok(())
    }
}

/// Writes that people have arrived at a server, whose row is there.
pub async fn arrive(conn: &mut Connection, server: i64, people: &[Person]) -> QueryResult<()> {
    let (tenants, users) = columns(people);
    let arrive = Arrive {
        server,
        tenants,
        users,
    };
    arrive.execute(conn).await?;
    Ok(())
}

fn columns(people: &[Person]) -> (Vec<&str>, Vec<&str>) {
    let columns = people.iter();
    columns
        .map(|(tenant, user)| (tenant.as_str(), user.as_str()))
        .unzip()
}

#[derive(Debug)]
struct Arrive<'a> {
    server: i64,
    tenants: Vec<&'a str>,
    users: Vec<&'a str>,
}

hot!(Arrive<'a> -> BigInt);

impl QueryFragment<Pg> for Arrive<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("INSERT INTO presences (server_id, tenant_id, user_id, arrived_at) SELECT ");
        out.push_bind_param::<BigInt, _>(&self.server)?;
        out.push_sql(", here.tenant_id, here.user_id, now() FROM unnest(");
        out.push_bind_param::<Array<Text>, _>(&self.tenants)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.users)?;
        out.push_sql(") AS here (tenant_id, user_id) ON CONFLICT DO NOTHING");
        Ok(())
    }
}

/// Writes that people have left a server just now.
pub async fn leave(conn: &mut Connection, server: i64, people: &[Person]) -> QueryResult<()> {
    let (tenants, users) = columns(people);
    let leave = Leave {
        server,
        tenants,
        users,
    };
    leave.execute(conn).await?;
    Ok(())
}

#[derive(Debug)]
struct Leave<'a> {
    server: i64,
    tenants: Vec<&'a str>,
    users: Vec<&'a str>,
}

hot!(Leave<'a> -> BigInt);

impl QueryFragment<Pg> for Leave<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("WITH gone AS (DELETE FROM presences AS r USING unnest(");
        out.push_bind_param::<Array<Text>, _>(&self.tenants)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.users)?;
        out.push_sql(
            ") AS gone (tenant_id, user_id) WHERE r.tenant_id = gone.tenant_id \
             AND r.user_id = gone.user_id AND r.server_id = ",
        );
        out.push_bind_param::<BigInt, _>(&self.server)?;
        out.push_sql(
            " RETURNING r.tenant_id, r.user_id) \
             UPDATE users AS u SET last_seen_at = greatest(u.last_seen_at, now()) FROM gone \
             WHERE u.tenant_id = gone.tenant_id AND u.id = gone.user_id",
        );
        Ok(())
    }
}

/// Lets a server's row expire after `grace`: who was connected to it finds another within that time.
pub async fn retire(conn: &mut Connection, server: i64, grace: Duration) -> QueryResult<()> {
    renew(conn, server, grace).await?;
    Ok(())
}

/// Removes the rows of servers that have expired, and returns who was connected to them.
pub async fn bury(conn: &mut Connection) -> QueryResult<Vec<Person>> {
    // Most often there is none, which takes no lock.
    let expired = servers::table.filter(servers::expires_at.lt(diesel::dsl::now));
    let any: bool = diesel::select(diesel::dsl::exists(expired))
        .get_result(conn)
        .await?;
    if any {
        Bury.load(conn).await
    } else {
        Ok(Vec::new())
    }
}

#[derive(Debug)]
struct Bury;

impl diesel::query_builder::QueryId for Bury {
    type QueryId = Self;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl diesel::query_builder::Query for Bury {
    type SqlType = (Text, Text);
}

impl QueryFragment<Pg> for Bury {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        // All parts see what was there before, so the people are read although their rows go with the server's.
        out.push_sql(
            "WITH dead AS (SELECT id, seen_at FROM servers WHERE expires_at < now() \
             FOR UPDATE SKIP LOCKED), \
             gone AS (SELECT r.tenant_id, r.user_id, max(dead.seen_at) AS seen_at FROM presences AS r \
             JOIN dead ON dead.id = r.server_id GROUP BY r.tenant_id, r.user_id), \
             seen AS (UPDATE users AS u SET last_seen_at = greatest(u.last_seen_at, gone.seen_at) FROM gone \
             WHERE u.tenant_id = gone.tenant_id AND u.id = gone.user_id), \
             buried AS (DELETE FROM servers AS s USING dead WHERE s.id = dead.id) \
             SELECT tenant_id, user_id FROM gone",
        );
        Ok(())
    }
}

/// The presence of people; who is not named was never seen, or does not show it.
pub async fn of_people(
    conn: &mut Connection,
    people: &[Person],
) -> QueryResult<Vec<(Person, Option<Presence>)>> {
    let (tenants, users) = columns(people);
    let rows: Vec<(TenantId, UserId, PresenceRow)> = OfPeople { tenants, users }.load(conn).await?;
    let known = rows.into_iter();
    Ok(known
        .map(|(tenant, user, row)| ((tenant, user), presence(row)))
        .collect())
}

#[derive(Debug)]
struct OfPeople<'a> {
    tenants: Vec<&'a str>,
    users: Vec<&'a str>,
}

hot!(OfPeople<'a> -> (Text, Text, PresenceSql));

impl QueryFragment<Pg> for OfPeople<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT u.tenant_id, u.id, ");
        out.push_sql(PRESENCE);
        out.push_sql(" FROM unnest(");
        out.push_bind_param::<Array<Text>, _>(&self.tenants)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.users)?;
        out.push_sql(") AS p (tenant_id, user_id) ");
        out.push_sql(PRESENCE_JOIN);
        Ok(())
    }
}

/// Has a person show their presence or not; says whether that changed something.
pub async fn set_visible(
    conn: &mut Connection,
    tenant: &TenantId,
    user: &UserId,
    visible: bool,
) -> QueryResult<bool> {
    let changed = diesel::update(users::table.find((tenant, user)))
        .filter(users::presence_visible.ne(visible))
        .set(users::presence_visible.eq(visible))
        .execute(conn)
        .await?;
    Ok(changed == 1)
}
