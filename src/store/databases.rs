//! Databases as a whole: for the private Postgres and the tests.

use diesel::QueryResult;
use diesel::sql_types::{Bool, Text};
use diesel_async::RunQueryDsl;

use super::Connection;

/// Makes sure that there is a database of this name.
pub async fn ensure(conn: &mut Connection, name: &str) -> QueryResult<()> {
    let exists =
        diesel::dsl::sql::<Bool>("SELECT EXISTS (SELECT FROM pg_database WHERE datname = ")
            .bind::<Text, _>(name)
            .sql(")");
    if exists.get_result(conn).await? {
        return Ok(());
    }
    let quoted = name.replace('"', "\"\"");
    diesel::sql_query(format!("CREATE DATABASE \"{quoted}\""))
        .execute(conn)
        .await?;
    Ok(())
}
