//! What grows with the number of chats that are followed: what the server and Postgres do while nothing happens, its
//! memory, and how long a message takes.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::time::{sleep, timeout};

use crate::audience::rest;
use crate::client::Client;
use crate::figures::Figures;
use crate::people::{CROWDED, Chats, chat_id, token};
use crate::process;
use crate::report::median;
use crate::sender::request;
use crate::server::Server;
use crate::socket::Socket;
use crate::world::Database;

/// How many chats each person is in.
const EACH: u32 = 1000;

/// At how many followed chats it is measured.
const STEPS: [u32; 3] = [1000, 10_000, 100_000];

/// For how long nothing happens.
const SILENCE: Duration = Duration::from_secs(10);

/// How many messages are sent at each step.
const MESSAGES: u32 = 50;

/// A delivery that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Has a hundred people follow a thousand chats each, on a socket for each of them.
pub(crate) async fn play(
    server: &Server,
    database: &Database,
    figures: &mut Figures,
) -> Result<()> {
    seed(database).await?;
    rest(server.pid()).await?;
    let empty = process::resident_kib(server.pid())?;
    let mut sockets = Vec::new();
    for step in STEPS {
        let before = sockets.len();
        while sockets.len() < usize::try_from(step / EACH)? {
            let user = CROWDED.first + u32::try_from(sockets.len())?;
            let mut socket = Socket::open(server.address, &token(user)?).await?;
            socket.subscribe_to_all().await?;
            sockets.push(socket);
        }
        // Whoever has just come follows all of theirs once they are told of a message.
        for person in before..sockets.len() {
            let socket = sockets.get_mut(person).context("a socket")?;
            sent_to(server, u32::try_from(person)?, u32::MAX, socket).await?;
        }
        rest(server.pid()).await?;
        silence(server, step, empty, figures).await?;
        let mut took = Vec::new();
        for number in 0..MESSAGES {
            let socket = sockets.first_mut().context("a socket")?;
            took.push(sent_to(server, 0, step + number, socket).await?);
        }
        let line = format!("{step} followed chats: ms from request to the follower, p50");
        figures.alone(&line, 2, median(&took));
    }
    Ok(())
}

/// Measures while nothing happens.
async fn silence(server: &Server, step: u32, empty: f64, figures: &mut Figures) -> Result<()> {
    let postgres = server.postgres()?;
    let before = (process::cpu(server.pid())?, process::family_cpu(postgres)?);
    sleep(SILENCE).await;
    let after = (process::cpu(server.pid())?, process::family_cpu(postgres)?);
    let each = |before: Duration, after: Duration| {
        after.saturating_sub(before).as_secs_f64() * 1e3 / SILENCE.as_secs_f64()
    };
    for (who, used) in [
        ("server", each(before.0, after.0)),
        ("Postgres", each(before.1, after.1)),
    ] {
        let line = format!("{step} followed chats: ms of processor time a second at rest, {who}");
        figures.alone(&line, 1, used);
    }
    let kib = process::resident_kib(server.pid())? - empty;
    let line = format!("{step} followed chats: KiB of memory each");
    figures.alone(&line, 2, kib / f64::from(step));
    Ok(())
}

/// Somebody sends to the last of a person's chats: how many ms until the person is told.
async fn sent_to(server: &Server, person: u32, number: u32, socket: &mut Socket) -> Result<f64> {
    let chat = CROWDED.first + person * EACH + EACH - 1;
    let mut client = Client::connect(server.address).await?;
    let request = request(&token(CROWDED.first + person)?, chat, number)?;
    let began = Instant::now();
    client.ask(&request, "\"userErrors\":[]").await?;
    let id = chat_id(chat)?;
    let told = async {
        let mut told = false;
        while !told {
            let hear = |text: &[u8]| {
                told |= String::from_utf8_lossy(text).contains(&id);
                Ok(())
            };
            socket.hear(hear).await?;
        }
        anyhow::Ok(())
    };
    timeout(PATIENCE, told).await.context("nothing is told")??;
    Ok(began.elapsed().as_secs_f64() * 1e3)
}

/// The people and their chats, in which nobody has written yet.
async fn seed(database: &Database) -> Result<()> {
    let Chats { first, count, .. } = CROWDED;
    let last = first + count - 1;
    let id = "('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid";
    database
        .run(&format!(
            "INSERT INTO users (tenant_id, id, created_at)
                SELECT 'default', 'user-' || n, now()
                FROM generate_series({first}, {first} + {count} / {EACH} - 1) AS n;
             INSERT INTO chats (id, tenant_id, kind, title, created_at, last_seq, last_activity_at)
                SELECT {id}, 'default', 1, 'Chat ' || n, now(), 0, now()
                FROM generate_series({first}, {last}) AS n;
             INSERT INTO participants (chat_id, user_id, tenant_id, role, joined_at, joined_seq, read_seq)
                SELECT {id}, 'user-' || {first} + (n - {first}) / {EACH}, 'default', 0, now(), 0, 0
                FROM generate_series({first}, {last}) AS n;"
        ))
        .await?;
    database.run("VACUUM (ANALYZE)").await
}
