//! LISTEN and NOTIFY: never in a transaction that writes.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{Array, Bool, Text};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection as _};

use super::Connection;
use super::statement::hot;

/// The one channel of a database.
const CHANNEL: &str = "colloquy";

/// The most bytes a payload may have: Postgres takes fewer than 8000.
pub const PAYLOAD_MAX_BYTES: usize = 7_999;

/// Begins to listen. Notifications of transactions that commit from now on arrive on this connection.
pub async fn listen(conn: &mut Connection) -> QueryResult<()> {
    conn.batch_execute(&format!("LISTEN {CHANNEL}")).await
}

/// Sends payloads in one transaction of its own.
pub async fn notify(conn: &mut Connection, payloads: &[String]) -> QueryResult<()> {
    let statement = Notify { payloads };
    statement.load::<bool>(conn).await?;
    Ok(())
}

/// Makes sure that the connection is alive.
pub async fn probe(conn: &mut Connection) -> QueryResult<()> {
    conn.batch_execute("SELECT 1").await
}

#[derive(Debug)]
struct Notify<'a> {
    payloads: &'a [String],
}

hot!(Notify<'a> -> Bool);

impl QueryFragment<Pg> for Notify<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT pg_notify(");
        out.push_bind_param::<Text, _>(CHANNEL)?;
        // pg_notify returns void, which has no type here.
        out.push_sql(", payload) IS NULL FROM unnest(");
        out.push_bind_param::<Array<Text>, _>(&self.payloads)?;
        out.push_sql(") AS payload");
        Ok(())
    }
}
