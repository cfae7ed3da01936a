//! The database, seen from behind the servers' backs and around their proxies.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::sleep;
use tokio_postgres::{Client, Config, Error, NoTls};
use uuid::Uuid;

use crate::history::{ChatRows, Entry, Kind, Row, Rows, Snapshot};

/// A database of a Postgres that may be away.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    pub(crate) socket_dir: PathBuf,
    pub(crate) name: String,
}

impl Database {
    /// Makes a database from the migrated template.
    pub(crate) async fn create(socket_dir: &Path, name: &str) -> Self {
        let database = Self {
            socket_dir: socket_dir.to_owned(),
            name: name.to_owned(),
        };
        let postgres = database.named("postgres").connect().await.unwrap();
        let create =
            format!("CREATE DATABASE {name} TEMPLATE template_colloquy STRATEGY FILE_COPY");
        postgres.batch_execute(&create).await.unwrap();
        database
    }

    fn named(&self, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..self.clone()
        }
    }

    pub(crate) async fn connect(&self) -> Result<Client, Error> {
        let mut config = Config::new();
        config.host_path(&self.socket_dir).user("colloquy");
        config.dbname(&self.name).application_name("faults");
        let (client, connection) = config.connect(NoTls).await?;
        tokio::task::spawn(connection);
        Ok(client)
    }

    /// Connects, as often as it takes.
    pub(crate) async fn insist(&self) -> Client {
        loop {
            match self.connect().await {
                Ok(client) => return client,
                Err(_) => sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Ends those connections of a server that have this name; says how many.
    pub(crate) async fn terminate(&self, application: &str) -> Result<i64, Error> {
        let statement = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                         WHERE application_name = $1 AND datname = current_database()";
        let client = self.connect().await?;
        Ok(client.query_one(statement, &[&application]).await?.get(0))
    }

    /// Holds a chat's row in a transaction that does nothing, for a while.
    pub(crate) async fn hog(&self, chat: Uuid, time: Duration) -> Result<(), Error> {
        let client = self.connect().await?;
        let lock = format!("BEGIN; SELECT FROM chats WHERE id = '{chat}' FOR UPDATE");
        client.batch_execute(&lock).await?;
        sleep(time).await;
        client.batch_execute("ROLLBACK").await
    }

    /// The newest number of each chat.
    pub(crate) async fn heads(&self) -> Result<HashMap<Uuid, i64>, Error> {
        let client = self.connect().await?;
        let rows = client
            .query("SELECT id::text, last_seq FROM chats", &[])
            .await?;
        Ok(rows
            .iter()
            .map(|row| (uuid(row.get(0)), row.get(1)))
            .collect())
    }

    /// Who is in each chat.
    pub(crate) async fn members(&self) -> Result<HashSet<(Uuid, String)>, Error> {
        let client = self.connect().await?;
        let members = "SELECT chat_id::text, user_id FROM participants";
        let rows = client.query(members, &[]).await?;
        Ok(rows
            .iter()
            .map(|row| (uuid(row.get(0)), row.get(1)))
            .collect())
    }

    /// Looks at every chat's number and log in one statement.
    pub(crate) async fn snapshots(&self, client: &Client) -> Result<Vec<Snapshot>, Error> {
        // Of long logs, the newest thousand are looked at each time.
        let statement = "SELECT c.id::text, c.last_seq, \
             greatest(c.last_seq - 1000, 0) + count(log.seq), \
             coalesce(max(log.seq), 0) FROM chats c LEFT JOIN LATERAL (\
             SELECT seq FROM messages m WHERE m.chat_id = c.id AND m.seq > c.last_seq - 1000 \
             UNION ALL SELECT seq FROM chat_events e WHERE e.chat_id = c.id AND e.seq > c.last_seq - 1000\
             ) AS log ON true GROUP BY c.id";
        let rows = client.query(statement, &[]).await?;
        Ok(rows
            .iter()
            .map(|row| Snapshot {
                chat: uuid(row.get(0)),
                head: row.get(1),
                count: row.get(2),
                newest: row.get(3),
            })
            .collect())
    }

    /// Everything that the checker wants.
    pub(crate) async fn rows(&self) -> Result<Rows, Error> {
        let client = self.connect().await?;
        let mut rows = Rows::new();
        for row in client
            .query("SELECT id::text, last_seq FROM chats", &[])
            .await?
        {
            let chat: &mut ChatRows = rows.entry(uuid(row.get(0))).or_default();
            chat.last_seq = row.get(1);
        }
        let marks = "SELECT chat_id::text, user_id, read_seq FROM participants";
        for row in client.query(marks, &[]).await? {
            let chat = rows.entry(uuid(row.get(0))).or_default();
            chat.marks.insert(row.get(1), row.get(2));
        }
        let messages = "SELECT chat_id::text, seq, id::text, sender_id, idempotency_key, \
             deleted_at IS NOT NULL FROM messages ORDER BY chat_id, seq";
        for row in client.query(messages, &[]).await? {
            let chat = rows.entry(uuid(row.get(0))).or_default();
            chat.messages.push(Row {
                seq: row.get(1),
                id: uuid(row.get(2)),
                sender: row.get(3),
                key: row.get(4),
                deleted: row.get(5),
            });
        }
        let log = "SELECT l.chat_id::text, l.seq, l.kind, m.id::text, l.subject, \
             (extract(epoch FROM l.at) * 1000)::bigint FROM (\
             SELECT chat_id, seq, 0::smallint AS kind, seq AS message_seq, NULL AS subject, created_at AS at \
             FROM messages UNION ALL \
             SELECT chat_id, seq, kind, message_seq, data->>'user', occurred_at FROM chat_events) AS l \
             LEFT JOIN messages AS m ON m.chat_id = l.chat_id AND m.seq = l.message_seq \
             ORDER BY l.chat_id, l.seq";
        for row in client.query(log, &[]).await? {
            let chat = rows.entry(uuid(row.get(0))).or_default();
            chat.log.push(Entry {
                seq: row.get(1),
                kind: kind(row.get(2)),
                message: row.get::<_, Option<&str>>(3).map_or(Uuid::nil(), uuid),
                subject: row.get(4),
                occurred_at: row.get(5),
            });
        }
        Ok(rows)
    }
}

fn uuid(text: &str) -> Uuid {
    text.parse().unwrap()
}

/// The kinds as the table numbers them.
fn kind(number: i16) -> Kind {
    match number {
        0 => Kind::Sent,
        1 => Kind::Edited,
        2 => Kind::Deleted,
        3 => Kind::Restored,
        4 => Kind::Added,
        5 => Kind::Removed,
        _ => Kind::Other,
    }
}
