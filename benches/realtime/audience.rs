//! Subscribers, each on a connection and a task of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::people::{Member, beginning, chat_id, token};
use crate::socket::Socket;
use crate::tally::Tally;

/// How many connect at the same time.
const CONNECTING: usize = 64;

/// How long to wait for a message that should not come.
const AFTERWARDS: Duration = Duration::from_millis(500);

/// Subscribers.
#[derive(Debug)]
pub(crate) struct Audience {
    tally: Arc<Tally>,
    tasks: JoinSet<Result<(u32, u32)>>,
    stop: CancellationToken,
}

/// Connects somebody for each place in a chat.
pub(crate) async fn connect(
    address: SocketAddr,
    members: impl Iterator<Item = Member>,
) -> Result<Vec<(Member, Socket)>> {
    let sockets = stream::iter(members).map(async |member| {
        let socket = Socket::open(address, &token(member.user)?).await?;
        anyhow::Ok((member, socket))
    });
    sockets.buffer_unordered(CONNECTING).try_collect().await
}

impl Audience {
    pub(crate) fn new(tally: Tally) -> Self {
        Self {
            tally: Arc::new(tally),
            tasks: JoinSet::new(),
            stop: CancellationToken::new(),
        }
    }

    pub(crate) fn tally(&self) -> Arc<Tally> {
        Arc::clone(&self.tally)
    }

    /// Has everybody subscribe from the beginning of their chat, at once.
    pub(crate) fn follow(
        &mut self,
        sockets: Vec<(Member, Socket)>,
        epoch: Uuid,
        query: &'static str,
    ) -> Result<()> {
        for (member, mut socket) in sockets {
            let (chat, after) = (chat_id(member.chat)?, beginning(member.chat, epoch)?);
            let (tally, stop) = (self.tally(), self.stop.clone());
            self.tasks.spawn(async move {
                socket.subscribe(query, &chat, &after).await?;
                let heard = listen(socket, member.chat, &tally, &stop).await?;
                Ok((member.chat, heard))
            });
        }
        Ok(())
    }

    /// Waits until so many deliveries have been made. Fails at once where a subscriber fails.
    pub(crate) async fn until(&mut self, delivered: u64, within: Duration) -> Result<()> {
        let began = Instant::now();
        while self.tally.delivered() < delivered {
            let so_far = self.tally.delivered();
            ensure!(
                began.elapsed() < within,
                "{so_far} of {delivered} deliveries in {within:?}"
            );
            tokio::select! {
                Some(ended) = self.tasks.join_next() => bail!("a subscriber ended: {:?}", ended?),
                () = sleep(Duration::from_millis(5)) => {}
            }
        }
        Ok(())
    }

    /// Ends everybody. Each must have heard all of its chat, as `sent` says how much that is, and no more.
    pub(crate) async fn end(mut self, sent: impl Fn(u32) -> u32) -> Result<()> {
        sleep(AFTERWARDS).await;
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            let (chat, heard) = ended?.context("a subscriber")?;
            let sent = sent(chat);
            ensure!(heard == sent, "{heard} of {sent} messages of chat {chat}");
        }
        Ok(())
    }
}

/// Hears a chat's messages from the first on, each once and in order, and says how many.
async fn listen(
    mut socket: Socket,
    chat: u32,
    tally: &Tally,
    stop: &CancellationToken,
) -> Result<u32> {
    let mut heard = 0;
    loop {
        let hear = |answer: &[u8]| {
            tally.hears(chat, heard + 1, answer)?;
            heard += 1;
            Ok(())
        };
        tokio::select! {
            () = stop.cancelled() => return Ok(heard),
            more = socket.hear(hear) => more?,
        }
    }
}

/// Waits until the server does nothing any more that is worth speaking of.
pub(crate) async fn rest(server: u32) -> Result<()> {
    let quiet = async {
        let mut before = crate::process::cpu(server)?;
        loop {
            sleep(Duration::from_millis(500)).await;
            let now = crate::process::cpu(server)?;
            if now.saturating_sub(before) <= Duration::from_millis(20) {
                return anyhow::Ok(());
            }
            before = now;
        }
    };
    timeout(Duration::from_secs(30), quiet)
        .await
        .context("the server finds no rest")?
}
