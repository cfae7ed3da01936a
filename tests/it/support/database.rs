//! Looking behind the API's back: what the database holds of a chat.

use colloquy::model::{ChatId, EventKind};
use diesel::sql_types::{BigInt, SmallInt, Text, Uuid as SqlUuid};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;

use super::server::Server;

#[derive(Debug, QueryableByName)]
struct Entry {
    #[diesel(sql_type = BigInt)]
    seq: i64,
    #[diesel(sql_type = SmallInt)]
    kind: EventKind,
}

#[derive(Debug, QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

/// The whole log of a chat, sends included.
const LOG: &str = "SELECT seq, 0::smallint AS kind FROM messages WHERE chat_id = $1 \
     UNION ALL SELECT seq, kind FROM chat_events WHERE chat_id = $1 ORDER BY seq";

impl Server {
    /// What happened in a chat, in order: `ParticipantAdded`, `MessageSent`. The log has no gap.
    pub(crate) async fn log(&self, chat: &str) -> Vec<String> {
        let mut conn = self.sql().await;
        let id = chat.parse::<ChatId>().unwrap().0;
        let query = sql_query(LOG).bind::<SqlUuid, _>(id);
        let entries: Vec<Entry> = query.load(&mut conn).await.unwrap();
        let seqs: Vec<i64> = entries.iter().map(|entry| entry.seq).collect();
        let head = format!("SELECT last_seq AS number FROM chats WHERE id = '{id}'");
        let gapless: Vec<i64> = (1..=self.number(&head).await).collect();
        assert_eq!(seqs, gapless, "the log of {chat} has a gap or a seq twice");
        let kind = |entry: &Entry| format!("{:?}", entry.kind);
        entries.iter().map(kind).collect()
    }

    /// The one number a query gives, named `number`.
    pub(crate) async fn number(&self, query: &str) -> i64 {
        let mut conn = self.sql().await;
        let row: Number = sql_query(query).get_result(&mut conn).await.unwrap();
        row.number
    }

    /// How many unread messages a user has in a chat, counted by hand and without a limit.
    pub(crate) async fn recounts_unread(&self, chat: &str, user: &str) -> i64 {
        let mut conn = self.sql().await;
        let id = chat.parse::<ChatId>().unwrap().0;
        let row: Number = sql_query(
            "SELECT count(*) AS number FROM messages m JOIN participants p USING (chat_id) \
             WHERE p.chat_id = $1 AND p.user_id = $2 AND m.seq > p.read_seq \
             AND m.sender_id <> $2 AND m.deleted_at IS NULL",
        )
        .bind::<SqlUuid, _>(id)
        .bind::<Text, _>(user)
        .get_result(&mut conn)
        .await
        .unwrap();
        row.number
    }
}
