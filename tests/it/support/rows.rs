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
    let rows: Vec<Line> = diesel::sql_query(statement).load(conn).await.unwrap();
    rows.into_iter().map(|row| row.line).collect()
}
