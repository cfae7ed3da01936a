//! Looking at the database behind the API's back.

use colloquy::store::Connection;
use diesel::QueryableByName;
use diesel::sql_types::Text;
use diesel_async::RunQueryDsl as _;

#[derive(Debug, QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

/// The rows of a statement with one column of text, which is named `line`.
pub(crate) async fn lines(conn: &mut Connection, statement: &str) -> Vec<String> {
    try_lines(conn, statement).await.unwrap()
}

/// The same for a statement that may be refused: why.
pub(crate) async fn try_lines(
    conn: &mut Connection,
    statement: &str,
) -> Result<Vec<String>, String> {
    let rows = diesel::sql_query(statement).load::<Line>(conn).await;
    let rows = rows.map_err(|error| error.to_string())?;
    Ok(rows.into_iter().map(|row| row.line).collect())
}
