//! What is in the database, and the two operations under load.
//!
//! The rows are written with SQL, past the server: a chat of 100 000 messages, and 100 empty ones that every
//! user is in. Their ids are made of numbers, so that pgbench can name a chat at random as the clients do.

use anyhow::Result;
use colloquy::app::{Claims, Clock, Tokens};
use colloquy::model::{ChatId, UserId};
use secrecy::SecretString;
use serde_json::json;
use std::time::Duration;
use tokio_postgres::NoTls;

use crate::client::post;
use crate::server::{SECRET, Server};

/// The users, one a client.
const USERS: u32 = 32;
/// The chats that are sent to: numbers 1 to 100.
const CHATS: u32 = 100;
/// The number of the chat that is read.
const LONG_CHAT: u32 = 1000;
/// How many messages that one has.
const LONG: u32 = 100_000;
/// The text of every message.
const BODY: &str = "The quick brown fox jumps over the lazy dog, and nobody minds it at all.";
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

    pub(crate) async fn seed(&self) -> Result<()> {
        let id = CHAT_SQL.replace(":chat", "n");
        self.run(&format!(
            "INSERT INTO users (tenant_id, id, created_at)
                SELECT 'default', 'user-' || n, now() FROM generate_series(1, {USERS}) AS n;
             INSERT INTO chats (id, tenant_id, kind, title, created_at, last_seq, last_activity_at)
                SELECT {id}, 'default', 1, 'Chat ' || n, now(), CASE n WHEN {LONG_CHAT} THEN {LONG} ELSE 0 END, now()
                FROM (SELECT generate_series(1, {CHATS}) UNION SELECT {LONG_CHAT}) AS chat (n);
             INSERT INTO participants (chat_id, user_id, tenant_id, role, joined_at, joined_seq, read_seq)
                SELECT c.id, u.id, 'default', 0, now(), 0, 0 FROM chats AS c CROSS JOIN users AS u;
             INSERT INTO messages (chat_id, seq, id, tenant_id, sender_id, body, created_at)
                SELECT {}, n, gen_random_uuid(), 'default', 'user-' || 1 + n % {USERS}, '{BODY}',
                    now() - {LONG} * interval '1 min' + n * interval '1 min'
                FROM generate_series(1, {LONG}) AS n;",
            CHAT_SQL.replace(":chat", &LONG_CHAT.to_string()),
        ))
        .await?;
        self.run("VACUUM (ANALYZE)").await?;
        self.run("CHECKPOINT").await
    }
}

/// Makes a request from a token, the client's number and the request's.
type MakeRequest = Box<dyn Fn(&str, u32, u32) -> Vec<u8>>;

/// An operation under load, and how pgbench does the same.
pub(crate) struct Operation {
    /// The request of a client, as so many'th of that client.
    pub(crate) request: MakeRequest,
    /// What the end of a good answer holds.
    pub(crate) wanted: &'static str,
    /// How the statement that reads the membership begins, and its parameters for pgbench.
    pub(crate) membership: (&'static str, &'static [&'static str]),
    /// How the main statement begins, and its parameters.
    pub(crate) statement: (&'static str, &'static [&'static str]),
    /// What pgbench draws for each transaction.
    pub(crate) prelude: String,
}

/// How SQL stands for the sender.
const USER_SQL: &str = "('user-' || :user)";

impl Operation {
    /// `sendMessage`, with an idempotency key as a careful client does, to one of 100 chats at random.
    pub(crate) fn send() -> Self {
        const SEND: &str = "mutation Send($input: SendMessageInput!) { sendMessage(input: $input) \
            { message { id createdAt } userErrors { code message } } }";
        let run = std::process::id();
        Self {
            request: Box::new(move |token, client, number| {
                let chat = chat_id(1 + fastrand::u32(0..CHATS));
                let key = format!("{run}-{client}-{number}-{:x}", fastrand::u64(..));
                let input = json!({ "chatId": chat, "body": BODY, "idempotencyKey": key });
                post(
                    token,
                    &json!({ "query": SEND, "variables": { "input": input } }),
                )
            }),
            wanted: "\"userErrors\":[]",
            membership: (
                "SELECT \"chats\"",
                &[CHAT_SQL, "'default'", USER_SQL, ":one"],
            ),
            statement: (
                "WITH chat AS (UPDATE chats",
                &[
                    "now()",
                    CHAT_SQL,
                    "'default'",
                    ":zero",
                    USER_SQL,
                    ID_SQL,
                    "'The quick brown fox jumps over the lazy dog, and nobody minds it at all.'",
                    "NULL::bigint",
                    "gen_random_uuid()::text",
                ],
            ),
            prelude: format!(
                "\\set chat random(1, {CHATS})\n\\set user random(1, {USERS})\n\\set zero 0\n\\set one 1\n"
            ),
        }
    }

    /// The newest 50 messages of a chat of 100 000.
    pub(crate) fn page() -> Self {
        const PAGE: &str = "query Page($id: ID!) { chat(id: $id) { messages(last: 50) { \
            edges { cursor node { id body sender { id } createdAt } } \
            pageInfo { startCursor endCursor hasNextPage hasPreviousPage } } } }";
        let body = json!({ "query": PAGE, "variables": { "id": chat_id(LONG_CHAT) } });
        Self {
            request: Box::new(move |token, _, _| post(token, &body)),
            wanted: "\"hasPreviousPage\":true",
            membership: (
                "SELECT \"chats\"",
                &["ARRAY[:chat_id::uuid]", "'default'", USER_SQL],
            ),
            statement: (
                "SELECT m.chat_id",
                &[
                    ":chat_id",
                    ":zero",
                    ":one",
                    ":last",
                    ":head",
                    "'default'",
                    ":limit",
                ],
            ),
            prelude: format!(
                "\\set user random(1, {USERS})\n\\set zero 0\n\\set one 1\n\\set last 9223372036854775807\n\
                 \\set head {LONG}\n\\set limit 51\n"
            ),
        }
    }
}

/// The public id of a chat.
fn chat_id(number: u32) -> String {
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
    let user = UserId::new(format!("user-{}", 1 + client % USERS))?;
    let claims = Claims::new(&user, Clock.now(), Duration::from_hours(24));
    Ok(Tokens::new(&SecretString::from(SECRET), Duration::ZERO).make(&claims)?)
}
