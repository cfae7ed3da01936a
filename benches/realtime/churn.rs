//! People who come, follow, are told something, and go: memory in the end is as it was.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::time::timeout;
use uuid::Uuid;

use crate::audience::{connect, rest};
use crate::client::Client;
use crate::figures::Figures;
use crate::live::{Stage, warm_up};
use crate::people::{Member, VISITED, body, chat_id, place, token};
use crate::process;
use crate::sender::request;
use crate::server::Server;

/// After how many rounds memory is as it will be: what is remembered of people and documents is then remembered.
const FIRST: u32 = 5;

/// A delivery that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// By how much memory may differ: what an allocator keeps is not the same each time.
const GROWTH_MOST: f64 = 1.25;

/// Comes and goes for so long.
pub(crate) async fn play(
    server: &Server,
    epoch: Uuid,
    so_long: Duration,
    figures: &mut Figures,
) -> Result<()> {
    warm_up(Stage::of(server), epoch).await?;
    let guests: Vec<Member> = VISITED.members().collect();
    let (mut rounds, mut before) = (0, 0.0);
    let mut began = Instant::now();
    while rounds < FIRST || began.elapsed() < so_long {
        if rounds == FIRST {
            rest(server.pid()).await?;
            (before, began) = (process::resident_kib(server.pid())?, Instant::now());
        }
        round(server, epoch, &guests, rounds + 1).await?;
        rounds += 1;
    }
    rest(server.pid()).await?;
    let after = process::resident_kib(server.pid())?;
    let line = format!(
        "churn: MiB after {} more rounds of {} who come and go; before them",
        rounds - FIRST,
        guests.len()
    );
    figures.beside(&line, 1, after / 1024.0, before / 1024.0);
    ensure!(
        after < before * GROWTH_MOST,
        "memory grew from {before} to {after} KiB in {rounds} rounds"
    );
    Ok(())
}

/// Everybody comes, is told of a new message in their chat, and goes.
async fn round(server: &Server, epoch: Uuid, guests: &[Member], round: u32) -> Result<()> {
    let mut sockets = connect(server.address, guests.iter().copied()).await?;
    for (guest, socket) in &mut sockets {
        let after = place(guest.chat, epoch, i64::from(round) - 1)?;
        socket.subscribe(&chat_id(guest.chat)?, &after).await?;
    }
    let mut client = Client::connect(server.address).await?;
    for chat in VISITED.first..VISITED.first + VISITED.count {
        let request = request(&token(VISITED.sender(chat))?, chat, round)?;
        client.ask(&request, "\"userErrors\":[]").await?;
    }
    for (guest, socket) in &mut sockets {
        let body = body(guest.chat, round);
        let told = async {
            let mut told = false;
            while !told {
                let hear = |answer: &[u8]| {
                    told = String::from_utf8_lossy(answer).contains(&body);
                    ensure!(told, "{}", String::from_utf8_lossy(answer));
                    Ok(())
                };
                socket.hear(hear).await?;
            }
            anyhow::Ok(())
        };
        timeout(PATIENCE, told).await.context("nothing is told")??;
    }
    Ok(())
}
