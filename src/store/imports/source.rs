//! The tables of the SourceLoop chat service, read in one snapshot and in one order.
//!
//! They have no index but those of their primary keys, so that neither a channel nor a time can be asked for: each is
//! sorted once, by Postgres, and read through a cursor. All cursors have the order of channels and, in a channel, of
//! messages, so that who reads them side by side holds one channel's people and one batch of its messages at a time.
//!
//! Columns are read as texts where installations have uuids or texts.

use diesel::QueryResult;
use diesel::deserialize::QueryableByName;
use diesel::pg::Pg;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel_async::{RunQueryDsl as _, SimpleAsyncConnection as _};

use super::super::Connection;

/// What can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Channels.
    Chats,
    /// Who wrote or received in them.
    People,
    /// Messages.
    Messages,
    /// Who received which.
    Recipients,
    /// Their files.
    Files,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Chats => "source_chats",
            Self::People => "source_people",
            Self::Messages => "source_messages",
            Self::Recipients => "source_recipients",
            Self::Files => "source_files",
        }
    }

    fn query(self) -> String {
        let select = match self {
            Self::Chats => {
                "SELECT key, min(channel) AS channel, min(channel_type) AS channel_type, count(*) AS messages, \
                 bool_and(addressee IS NOT NULL) AS addressed FROM m WHERE key IS NOT NULL GROUP BY key ORDER BY key"
            }
            Self::People => {
                "SELECT key, person, min(at) AS first_at, min(at) FILTER (WHERE wrote) AS wrote_at, \
                 bool_or(named) AS named FROM (\
                 SELECT key, author AS person, created_on AS at, true AS wrote, true AS named FROM m \
                 UNION ALL SELECT key, addressee, created_on, false, true FROM m \
                 UNION ALL SELECT m.key, r.person, m.created_on, false, false FROM r JOIN m ON m.id = r.message \
                 WHERE NOT r.deleted) AS seen WHERE key IS NOT NULL AND person IS NOT NULL \
                 GROUP BY key, person ORDER BY key, first_at, person"
            }
            Self::Messages => {
                "SELECT m.*, p.key AS parent_key, coalesce((p.created_on, p.id) < (m.created_on, m.id), false) \
                 AS parent_before FROM m LEFT JOIN m AS p ON p.id = m.parent WHERE m.key IS NOT NULL \
                 ORDER BY m.key, m.created_on, m.id"
            }
            Self::Recipients => {
                "SELECT r.* FROM r JOIN m ON m.id = r.message WHERE m.key IS NOT NULL \
                 ORDER BY m.key, m.created_on, m.id, r.person, r.is_read DESC, r.id"
            }
            Self::Files => {
                "SELECT m.id AS message, to_jsonb(f) AS file FROM main.message_files AS f \
                 JOIN m ON m.id = to_jsonb(f) ->> 'message_id' WHERE m.key IS NOT NULL \
                 AND coalesce(to_jsonb(f) ->> 'deleted', 'false') = 'false' \
                 ORDER BY m.key, m.created_on, m.id, to_jsonb(f) ->> 'id'"
            }
        };
        format!("{TABLES} {select}")
    }
}

/// The tables with the columns that are read of them. The key of a message is its channel or, where it has none, the two
/// people, in a way that no channel is called. The collation gives every cursor one order.
const TABLES: &str = "WITH m AS (SELECT id::text COLLATE \"C\" AS id, body, subject::text AS subject, \
     coalesce(status, 0)::integer AS status, created_by::text COLLATE \"C\" AS author, \
     to_user_id::text COLLATE \"C\" AS addressee, created_on::timestamptz AS created_on, \
     coalesce(modified_on, created_on)::timestamptz AS modified_on, modified_by::text AS modified_by, \
     coalesce(deleted, false) AS deleted, deleted_on::timestamptz AS deleted_on, deleted_by::text AS deleted_by, \
     parent_message_id::text COLLATE \"C\" AS parent, channel_id::text COLLATE \"C\" AS channel, \
     channel_type::text COLLATE \"C\" AS channel_type, CASE \
     WHEN channel_id::text ~ '^(direct|channel):' THEN 'channel:' || channel_id::text \
     WHEN channel_id IS NOT NULL THEN channel_id::text \
     WHEN created_by::text <> to_user_id::text THEN 'direct:' || jsonb_build_array( \
     least(created_by::text COLLATE \"C\", to_user_id::text), greatest(created_by::text COLLATE \"C\", to_user_id::text))::text \
     END COLLATE \"C\" AS key \
     FROM main.messages), \
     r AS (SELECT id::text COLLATE \"C\" AS id, message_id::text COLLATE \"C\" AS message, \
     recipient_id::text COLLATE \"C\" AS person, coalesce(is_read, false) AS is_read, \
     coalesce(is_favorite, false) AS is_favorite, coalesce(is_forwarded, false) AS is_forwarded, \
     forwarded_by::text AS forwarded_by, coalesce(deleted, false) AS deleted, \
     coalesce(modified_on, created_on)::timestamptz AS modified_on FROM main.message_recipients)";

/// What the source has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tables {
    /// Messages and their recipients.
    pub messages: bool,
    /// Files. No migration of the service makes their table.
    pub files: bool,
}

/// Begins the one transaction in which the source is read: it writes nothing, and sees one moment.
pub async fn begin(conn: &mut Connection) -> QueryResult<()> {
    conn.batch_execute(
        "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = 0; \
         SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL client_min_messages = warning",
    )
    .await
}

/// Ends it.
pub async fn end(conn: &mut Connection) -> QueryResult<()> {
    conn.batch_execute("ROLLBACK").await
}

/// Which tables there are.
pub async fn tables(conn: &mut Connection) -> QueryResult<Tables> {
    let mut found = Vec::new();
    for table in ["messages", "message_recipients", "message_files"] {
        let query = format!("SELECT to_regclass('main.{table}')::text AS line");
        let line: Line = sql_query(query).get_result(conn).await?;
        found.push(line.line.is_some());
    }
    let has = |place: usize| found.get(place).copied().unwrap_or_default();
    Ok(Tables {
        messages: has(0) && has(1),
        files: has(2),
    })
}

/// Opens the cursor of a part.
pub async fn open(conn: &mut Connection, part: Part) -> QueryResult<()> {
    let (name, query) = (part.name(), part.query());
    conn.batch_execute(&format!("DECLARE {name} NO SCROLL CURSOR FOR {query}"))
        .await
}

/// The next rows of a part; none at its end.
pub async fn next<T>(conn: &mut Connection, part: Part, count: usize) -> QueryResult<Vec<T>>
where
    T: QueryableByName<Pg> + Send + 'static,
{
    let name = part.name();
    sql_query(format!("FETCH FORWARD {count} FROM {name}"))
        .load(conn)
        .await
}

/// How many messages have neither a channel nor two people, and some of them.
pub async fn stray(conn: &mut Connection, examples: usize) -> QueryResult<(i64, Vec<String>)> {
    let query = format!(
        "{TABLES} SELECT id AS line, count(*) OVER () AS count FROM m WHERE key IS NULL ORDER BY id LIMIT {examples}"
    );
    let rows: Vec<Stray> = sql_query(query).load(conn).await?;
    let count = rows.as_slice().first().map_or(0, |row| row.count);
    Ok((count, rows.into_iter().map(|row| row.line).collect()))
}

#[derive(Debug, diesel::QueryableByName)]
struct Stray {
    #[diesel(sql_type = Text)]
    line: String,
    #[diesel(sql_type = BigInt)]
    count: i64,
}

#[derive(Debug, diesel::QueryableByName)]
struct Line {
    #[diesel(sql_type = Nullable<Text>)]
    line: Option<String>,
}
