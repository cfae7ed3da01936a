//! People who come, follow, are told something, and go: memory in the end is as it was.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tokio::time::timeout;
use uuid::Uuid;

use crate::audience::{connect, rest};
use crate::client::Client;
use crate::figures::Figures;
use crate::live::{Stage, warm_up};
use crate::people::{Member, STRANGERS, VISITED, body, chat_id, place, token};
use crate::process;
use crate::sender::request;
use crate::server::Server;
use crate::socket::{FOR_ALL, Socket};

/// After how long people and documents are remembered.
const FIRST: Duration = Duration::from_secs(5);

/// How many come in each round who were never seen before.
const NEW: u32 = 50;

/// A delivery that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// By how much memory may differ: what an allocator keeps is not the same each time.
const GROWTH_MOST: f64 = 1.1;

/// Has people come and go for so long. What is kept after half of it is all that is kept.
pub(crate) async fn play(
    server: &Server,
    epoch: Uuid,
    so_long: Duration,
    figures: &mut Figures,
) -> Result<()> {
    warm_up(Stage::of(server), epoch).await?;
    let guests: Vec<Member> = VISITED.members().collect();
    let mut rounds = 0;
    let mut mib = Vec::new();
    for until in [FIRST, so_long / 2, so_long / 2] {
        let began = Instant::now();
        while began.elapsed() < until {
            rounds += 1;
            round(server, epoch, &guests, rounds).await?;
            strangers(server, rounds).await?;
        }
        rest(server.pid()).await?;
        mib.push(process::resident_kib(server.pid())? / 1024.0);
        let line = format!(
            "churn: MiB after {rounds} rounds of {} guests and {NEW} strangers",
            guests.len()
        );
        figures.alone(&line, 1, mib.last().copied().unwrap_or_default());
    }
    let [_, half, all] = mib[..] else {
        return Ok(());
    };
    ensure!(
        all < half * GROWTH_MOST,
        "memory grew from {half} to {all} MiB in the second half of {rounds} rounds"
    );
    Ok(())
}

/// Everybody comes, is told of a new message in their chat, and goes.
async fn round(server: &Server, epoch: Uuid, guests: &[Member], round: u32) -> Result<()> {
    let mut sockets = connect(server.address, guests.iter().copied()).await?;
    for (guest, socket) in &mut sockets {
        let after = place(guest.chat, epoch, i64::from(round) - 1)?;
        let chat = chat_id(guest.chat)?;
        socket.subscribe(FOR_ALL, &chat, &after).await?;
    }
    let mut client = Client::connect(server.address).await?;
    for chat in VISITED.first..VISITED.first + VISITED.count {
        let request = request(&token(VISITED.sender(chat))?, chat, round)?;
        client.ask(&request, "\"userErrors\":[]").await?;
    }
    for (guest, socket) in &mut sockets {
        let body = body(guest.chat, round);
        hear_until(socket, &[], &body).await?;
    }
    Ok(())
}

/// People who are new to the server ask who they are with a document that is new as well, follow their chats, and go
/// without a word.
async fn strangers(server: &Server, round: u32) -> Result<()> {
    let first = STRANGERS + (round - 1) * NEW;
    let strangers = (first..first + NEW).map(|user| Member { chat: 0, user });
    let document = format!("query Round{round} {{ viewer {{ id displayName }} }}");
    for (stranger, mut socket) in connect(server.address, strangers).await? {
        socket.ask(&document, &json!({})).await?;
        let name = format!("user-{}", stranger.user);
        hear_until(&mut socket, &[&name], r#""type":"complete""#).await?;
        socket.subscribe_to_all().await?;
    }
    Ok(())
}

/// Hears until something is said. Before that, nothing but these may be.
async fn hear_until(socket: &mut Socket, before: &[&str], last: &str) -> Result<()> {
    let heard = async {
        let mut whole = false;
        while !whole {
            let hear = |answer: &[u8]| {
                let answer = String::from_utf8_lossy(answer);
                whole = answer.contains(last);
                let expected = whole || before.iter().any(|said| answer.contains(said));
                ensure!(expected, "{answer}");
                Ok(())
            };
            socket.hear(hear).await?;
        }
        anyhow::Ok(())
    };
    timeout(PATIENCE, heard).await.context("nothing is said")?
}
