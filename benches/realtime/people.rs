//! Who is in which chat. The rows are written with SQL, past the server, beside those of the load benchmark.

use anyhow::Result;
use colloquy::app::{Claims, Clock, Tokens};
use colloquy::model::{ChatId, EventCursor, UserId};
use secrecy::SecretString;
use std::time::Duration;
use uuid::Uuid;

use crate::server::SECRET;
use crate::world::Database;

/// A block of chats with equally many people. The people of a chat are numbered on from those of the one before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chats {
    /// The number of the first chat.
    pub(crate) first: u32,
    /// How many they are.
    pub(crate) count: u32,
    /// How many people are in each.
    pub(crate) people: u32,
    /// How many messages each has.
    pub(crate) past: u32,
}

/// One person, for warming up.
pub(crate) const WARM: Chats = Chats {
    first: 2000,
    count: 1,
    people: 1,
    past: 0,
};

/// Many chats with few people.
pub(crate) const MANY: Chats = Chats {
    first: 3000,
    count: 100,
    people: 10,
    past: 0,
};

/// One chat with very many.
pub(crate) const LARGE: Chats = Chats {
    first: 4000,
    count: 1,
    people: 5000,
    past: 0,
};

/// One chat with as many as files can be open.
pub(crate) const HUGE: Chats = Chats {
    first: 6000,
    count: 1,
    people: 15_000,
    past: 0,
};

/// Many chats of two.
pub(crate) const PAIRS: Chats = Chats {
    first: 7000,
    count: 100,
    people: 2,
    past: 0,
};

/// The same for two servers.
pub(crate) const APART: Chats = Chats {
    first: 7200,
    ..PAIRS
};

/// Chats whose people were away for a while.
pub(crate) const MISSED: Chats = Chats {
    first: 5000,
    count: 20,
    people: 100,
    past: 50,
};

/// Very many chats, a thousand for each of a hundred people. They are seeded by the part that follows them.
pub(crate) const CROWDED: Chats = Chats {
    first: 100_000,
    count: 100_000,
    people: 1,
    past: 0,
};

/// A chat of people who each see something else of it.
pub(crate) const VIEWERS: Chats = Chats {
    first: 4100,
    people: 1000,
    ..LARGE
};

/// Chats for who come and go.
pub(crate) const VISITED: Chats = Chats {
    first: 8000,
    count: 50,
    people: 10,
    past: 0,
};

/// The first of those whom the server has never seen.
pub(crate) const STRANGERS: u32 = 10_000_000;

/// A subscriber, by numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Member {
    pub(crate) chat: u32,
    pub(crate) user: u32,
}

impl Chats {
    /// All that are in them.
    pub(crate) fn members(self) -> impl Iterator<Item = Member> {
        let chats = 0..self.count;
        chats.flat_map(move |chat| {
            (1..=self.people).map(move |person| Member {
                chat: self.first + chat,
                user: chat * self.people + person,
            })
        })
    }

    /// The first person of a chat, who sends.
    pub(crate) fn sender(self, chat: u32) -> u32 {
        (chat - self.first) * self.people + 1
    }

    async fn seed(self, database: &Database) -> Result<()> {
        let Self {
            first,
            count,
            people,
            past,
        } = self;
        let last = first + count - 1;
        let user = |person: &str| format!("'user-' || (n - {first}) * {people} + {person}");
        database
            .run(&format!(
                "INSERT INTO chats (id, tenant_id, kind, title, created_at, last_seq, last_activity_at)
                    SELECT {ID}, 'default', 1, 'Chat ' || n, now(), {past}, now()
                    FROM generate_series({first}, {last}) AS n;
                 INSERT INTO participants (chat_id, user_id, tenant_id, role, joined_at, joined_seq, read_seq)
                    SELECT {ID}, {}, 'default', 0, now(), 0, 0
                    FROM generate_series({first}, {last}) AS n, generate_series(1, {people}) AS person;
                 INSERT INTO messages (chat_id, seq, id, tenant_id, sender_id, body, created_at)
                    SELECT {ID}, seq, gen_random_uuid(), 'default', {}, n || ' ' || seq || ' {TEXT}',
                        now() - interval '1 day' + seq * interval '1 s'
                    FROM generate_series({first}, {last}) AS n, generate_series(1, {past}) AS seq;",
                user("person"),
                user("1"),
            ))
            .await
    }
}

/// A chat's id in SQL, from its number `n`.
const ID: &str = "('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid";

/// What follows the numbers in each message.
const TEXT: &str = "The quick brown fox jumps over the lazy dog, and nobody minds it at all.";

/// Adds the people and their chats to the load benchmark's.
pub(crate) async fn seed(database: &Database) -> Result<()> {
    database
        .run(&format!(
            "INSERT INTO users (tenant_id, id, created_at)
                SELECT 'default', 'user-' || n, now() FROM generate_series(1, {}) AS n ON CONFLICT DO NOTHING",
            HUGE.people
        ))
        .await?;
    for chats in [
        WARM, MANY, LARGE, HUGE, PAIRS, APART, VIEWERS, VISITED, MISSED,
    ] {
        chats.seed(database).await?;
    }
    database.run("VACUUM (ANALYZE)").await?;
    database.run("CHECKPOINT").await
}

fn id(chat: u32) -> Result<ChatId> {
    Ok(ChatId(
        format!("00000000-0000-7000-8000-{chat:012}").parse()?,
    ))
}

/// A chat's public id.
pub(crate) fn chat_id(chat: u32) -> Result<String> {
    Ok(id(chat)?.to_string())
}

/// The cursor in front of everything in a chat.
pub(crate) fn beginning(chat: u32, epoch: Uuid) -> Result<String> {
    place(chat, epoch, 0)
}

/// The cursor behind an entry of a chat's log.
pub(crate) fn place(chat: u32, epoch: Uuid, seq: i64) -> Result<String> {
    let chat_id = id(chat)?;
    let cursor = EventCursor {
        epoch,
        chat_id,
        seq,
    };
    Ok(cursor.encode())
}

/// A message's text.
pub(crate) fn body(chat: u32, number: u32) -> String {
    format!("{chat} {number} {TEXT}")
}

/// A person's token.
pub(crate) fn token(user: u32) -> Result<String> {
    let user = UserId::new(format!("user-{user}"))?;
    let claims = Claims::new(&user, Clock.now(), Duration::from_hours(24));
    Ok(Tokens::new(&SecretString::from(SECRET), Duration::ZERO).make(&claims)?)
}
