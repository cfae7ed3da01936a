//! What is in the database, and the two operations under load.
//!
//! The rows are written with SQL, past the server: a chat of 100 000 messages, and 100 empty ones that every
//! user is in. Their ids are made of numbers, so that pgbench can name a chat at random as the clients do.

use anyhow::Result;
use colloquy::app::{Claims, Clock, Tokens};
use colloquy::model::{ChatId, ListCursor, ListKey, UserId};
use secrecy::SecretString;
use serde_json::json;
use std::time::Duration;
use tokio_postgres::NoTls;

use crate::client::post;
use crate::server::{SECRET, Server};

/// The users, one a client.
const USERS: u32 = 256;
/// The chats that are sent to: numbers 1 to 100.
const CHATS: u32 = 100;
/// The number of the chat that everybody sends to at once.
const HOT_CHAT: u32 = 999;
/// The number of the chat that is read.
const LONG_CHAT: u32 = 1000;
/// Numbers of the chats of the inbox that is read, each with [`SHORT`] messages.
const INBOX: std::ops::RangeInclusive<u32> = 20_001..=21_000;
/// Who has them, besides the one who writes to them.
const INBOX_USER: &str = "inbox";
/// How many messages a chat of the inbox has.
const SHORT: u32 = 20;
/// How far in front of the newest message a deep page ends.
const DEEP: u32 = LONG / 2;
/// How many messages that one has.
const LONG: u32 = 100_000;
/// The text of every message.
pub(crate) const BODY: &str =
    "The quick brown fox jumps over the lazy dog, and nobody minds it at all.";
/// A chat's id in SQL, from its number `:chat`.
const CHAT_SQL: &str = "('00000000-0000-7000-8000-' || lpad(:chat::text, 12, '0'))::uuid";
/// A message's id in SQL: it grows with time as the server's do.
const ID_SQL: &str = "overlay(gen_random_uuid()::text placing overlay(lpad(to_hex((extract(epoch FROM \
     clock_timestamp()) * 1000)::bigint), 12, '0') placing '-' from 9 for 0) from 1 for 13)::uuid";

/// A connection of our own.
pub(crate) struct Database {
    pub(crate) client: tokio_postgres::Client,
    _driver: tokio::task::JoinSet<()>,
}

impl Database {
    pub(crate) async fn connect(server: &Server) -> Result<Self> {
        let (client, connection) = tokio_postgres::connect(&server.url(), NoTls).await?;
        let mut driver = tokio::task::JoinSet::new();
        driver.spawn(async move {
            connection.await.ok();
        });
        Ok(Self {
            client,
            _driver: driver,
        })
    }

    pub(crate) async fn run(&self, sql: &str) -> Result<()> {
        Ok(self.client.batch_execute(sql).await?)
    }

    /// Fills the database, so that there are `messages` in all.
    pub(crate) async fn seed(&self, messages: u32) -> Result<()> {
        let id = CHAT_SQL.replace(":chat", "n");
        let (first, last) = (INBOX.start(), INBOX.end());
        let long = CHAT_SQL.replace(":chat", &LONG_CHAT.to_string());
        self.run(&format!(
            "INSERT INTO users (tenant_id, id, created_at)
                SELECT 'default', 'user-' || n, now() FROM generate_series(1, {USERS}) AS n;
             INSERT INTO users (tenant_id, id, created_at) VALUES ('default', '{INBOX_USER}', now());
             INSERT INTO chats (id, tenant_id, kind, title, created_at, last_seq, last_activity_at)
                SELECT {id}, 'default', 1, 'Chat ' || n, now(),
                    CASE WHEN n = {LONG_CHAT} THEN {LONG} WHEN n >= {first} THEN {SHORT} ELSE 0 END,
                    now() - n * interval '1 s'
                FROM (SELECT generate_series(1, {CHATS}) UNION SELECT {HOT_CHAT} UNION SELECT {LONG_CHAT}
                    UNION SELECT generate_series({first}, {last})) AS chat (n);
             INSERT INTO participants (chat_id, user_id, tenant_id, role, joined_at, joined_seq, read_seq)
                SELECT c.id, u.id, 'default', 0, now(), 0, 0 FROM chats AS c CROSS JOIN users AS u
                WHERE CASE WHEN c.last_seq = {SHORT} THEN u.id IN ('user-1', '{INBOX_USER}') ELSE u.id <> '{INBOX_USER}' END;
             INSERT INTO messages (chat_id, seq, id, tenant_id, sender_id, body, created_at)
                SELECT {long}, n, gen_random_uuid(), 'default', 'user-' || 1 + n % {USERS}, '{BODY}',
                    now() - {LONG} * interval '1 min' + n * interval '1 min'
                FROM generate_series(1, {LONG}) AS n;
             INSERT INTO messages (chat_id, seq, id, tenant_id, sender_id, body, created_at)
                SELECT c.id, n, gen_random_uuid(), 'default', 'user-1', '{BODY}', c.last_activity_at
                FROM chats AS c CROSS JOIN generate_series(1, {SHORT}) AS n WHERE c.last_seq = {SHORT};"
        ))
        .await?;
        self.fill(messages).await?;
        // pgbench has a connection for each client. It holds from the next start.
        self.run("ALTER SYSTEM SET max_connections = 320").await?;
        self.run("VACUUM (ANALYZE)").await?;
        self.run("CHECKPOINT").await
    }

    /// Messages of chats that nobody asks for, in the order in which they would have come: a hundred thousand a chat.
    async fn fill(&self, messages: u32) -> Result<()> {
        let chats = messages.saturating_sub(LONG) / LONG;
        for number in 0..chats {
            let chat = CHAT_SQL.replace(":chat", &(10_000 + number).to_string());
            self.run(&format!(
                "INSERT INTO chats (id, tenant_id, kind, title, created_at, last_seq, last_activity_at)
                    VALUES ({chat}, 'default', 1, 'Filler', now(), {LONG}, now());
                 INSERT INTO messages (chat_id, seq, id, tenant_id, sender_id, body, created_at)
                    SELECT {chat}, n, {ID_SQL}, 'default', 'user-1', '{BODY}', now()
                    FROM generate_series(1, {LONG}) AS n;"
            ))
            .await?;
        }
        Ok(())
    }
}

/// Makes a request from a token, the client's number and the request's.
type MakeRequest = Box<dyn Fn(&str, u32, u32) -> Vec<u8>>;

/// An operation under load, and how pgbench does the same.
pub(crate) struct Operation {
    /// What the report calls it.
    pub(crate) name: &'static str,
    /// The request of a client, as so many'th of that client.
    pub(crate) request: MakeRequest,
    /// Who asks, where it is one and the same.
    user: Option<&'static str>,
    /// What the end of a good answer holds.
    pub(crate) wanted: &'static str,
    /// How its main statement begins, and the statement's parameters for pgbench.
    pub(crate) statement: (&'static str, Vec<String>),
    /// What pgbench draws for each transaction.
    pub(crate) prelude: String,
}

/// How SQL stands for the sender.
const USER_SQL: &str = "('user-' || :user)";

const SEND: &str = "mutation Send($input: SendMessageInput!) { sendMessage(input: $input) \
    { message { id createdAt } userErrors { code message } } }";

/// What a page asks for. The yardstick's schema has the same.
pub(crate) const PAGE: &str = "query Page($id: ID!, $before: String) { chat(id: $id) { messages(last: 50, before: $before) { \
    edges { cursor node { id body sender { id } createdAt } } \
    pageInfo { startCursor endCursor hasNextPage hasPreviousPage } } } }";

const CHATS_PAGE: &str = "query Inbox { chats(first: 50) { edges { node { id title unreadCount lastMessage \
    { id body createdAt sender { id } } } } pageInfo { endCursor hasNextPage } } }";

impl Operation {
    /// `sendMessage`, with an idempotency key as a careful client does, to one of 100 chats at random.
    pub(crate) fn send() -> Self {
        Self::send_to(
            "send",
            || 1 + fastrand::u32(0..CHATS),
            &format!("random(1, {CHATS})"),
        )
    }

    /// The same, all to one chat.
    pub(crate) fn hot() -> Self {
        Self::send_to("send, one chat", || HOT_CHAT, &HOT_CHAT.to_string())
    }

    fn send_to(name: &'static str, chat: fn() -> u32, chat_sql: &str) -> Self {
        let run = std::process::id();
        let values = [
            "now()",
            CHAT_SQL,
            "'default'",
            ":zero",
            USER_SQL,
            ID_SQL,
            "'The quick brown fox jumps over the lazy dog, and nobody minds it at all.'",
            "NULL::bigint",
            "gen_random_uuid()::text",
            "NULL::text",
            "NULL::jsonb",
            "NULL::jsonb",
            "false",
        ];
        Self {
            name,
            request: Box::new(move |token, client, number| {
                let key = format!("{run}-{client}-{number}-{:x}", fastrand::u64(..));
                let input =
                    json!({ "chatId": chat_id(chat()), "body": BODY, "idempotencyKey": key });
                post(
                    token,
                    &json!({ "query": SEND, "variables": { "input": input } }),
                )
            }),
            user: None,
            wanted: "\"userErrors\":[]",
            statement: (
                "WITH chat AS (UPDATE chats",
                values.map(str::to_owned).to_vec(),
            ),
            prelude: format!(
                "\\set chat {chat_sql}\n\\set user random(1, {USERS})\n\\set zero 0\n"
            ),
        }
    }

    /// The newest 50 messages of a chat of 100 000.
    pub(crate) fn page() -> Self {
        Self::page_before("page of 50, newest", None)
    }

    /// 50 from the middle of it.
    pub(crate) fn deep_page() -> Self {
        Self::page_before("page of 50, deep", Some(DEEP))
    }

    fn page_before(name: &'static str, before: Option<u32>) -> Self {
        let chat = chat_id(LONG_CHAT);
        let key = chat.parse().map(ListKey::Messages);
        let cursor = before.zip(key.ok());
        let cursor = cursor.map(|(seq, key)| ListCursor::Message(seq.into()).encode(&key));
        let variables = json!({ "id": chat, "before": cursor });
        let body = json!({ "query": PAGE, "variables": variables });
        let before = before.map_or_else(|| i64::MAX.to_string(), |seq| seq.to_string());
        let values = [
            ":chat_id",
            "'default'",
            ":zero",
            ":one",
            ":before",
            ":head",
            ":limit",
        ];
        Self {
            name,
            request: Box::new(move |token, _, _| post(token, &body)),
            user: None,
            wanted: "\"hasPreviousPage\":true",
            statement: ("SELECT m.chat_id", values.map(str::to_owned).to_vec()),
            prelude: format!(
                "\\set zero 0\n\\set one 1\n\\set before {before}\n\\set head {LONG}\n\\set limit 51\n"
            ),
        }
    }

    /// The first 50 of somebody's 1 000 chats, with the last message of each and how many are unread.
    pub(crate) fn inbox() -> Self {
        let body = json!({ "query": CHATS_PAGE });
        let values = [
            "'default'",
            "'inbox'",
            "NULL::smallint",
            "false",
            "ARRAY[1]::smallint[]",
            "ARRAY[2]::smallint[]",
            "NULL::timestamptz",
            "NULL::uuid",
            "NULL::timestamptz",
            "NULL::uuid",
            "51",
            "true",
            "true",
            "100",
        ];
        Self {
            name: "inbox of 50",
            request: Box::new(move |token, _, _| post(token, &body)),
            user: Some(INBOX_USER),
            wanted: "\"hasNextPage\":true",
            statement: (
                "SELECT c.id, c.tenant_id, c.kind",
                values.map(str::to_owned).to_vec(),
            ),
            prelude: String::new(),
        }
    }

    /// The token of one of its clients.
    pub(crate) fn token(&self, client: u32) -> Result<String> {
        match self.user {
            Some(user) => token_of(user),
            None => token(client),
        }
    }
}

/// The public id of a chat.
pub(crate) fn chat_id(number: u32) -> String {
    let low = format!("00000000-0000-7000-8000-{number:012}");
    low.parse()
        .map(|uuid| ChatId(uuid).to_string())
        .unwrap_or_default()
}

/// What pgbench knows by name besides what it draws.
pub(crate) fn definitions() -> [String; 1] {
    [format!("chat_id=00000000-0000-7000-8000-{LONG_CHAT:012}")]
}

/// A client's token.
pub(crate) fn token(client: u32) -> Result<String> {
    token_of(&format!("user-{}", 1 + client % USERS))
}

fn token_of(user: &str) -> Result<String> {
    let user = UserId::new(user)?;
    let claims = Claims::new(&user, Clock.now(), Duration::from_hours(24));
    Ok(Tokens::new(&SecretString::from(SECRET), Duration::ZERO).make(&claims)?)
}
