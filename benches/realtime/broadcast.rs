//! The transport's own limit: the same bytes to everybody, by tokio-tungstenite and a channel of tokio's. No user, no
//! database, no cursor, no order to keep, nobody who is slow.
//!
//! It runs in a process of its own, which is this program again with `--serve-broadcast`; what stands on a line of its
//! standard input goes to all.

use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures_util::SinkExt as _;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::broadcast;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use crate::figures::Figures;
use crate::process;
use crate::socket::Socket;

/// What an event of the crowd looks like on the wire.
const EVENT: &str = r#"{"id":"1","type":"next","payload":{"data":{"chatEvents":{"cursor":"AWVyDBr1Yk9JQpz0n5tJAAAAAAAAAHAAgAAAAAAAABOIAAAAAAAAADI","message":{"body":"message 50 of chat 5000","id":"msg_01kb0hx3yhfxqrq7gkx9k5d1cw","createdAt":"2026-11-26T12:00:00.000Z","sender":{"id":"member-00001","displayName":null}}}}}}"#;

/// How many connect at the same time.
const CONNECTING: usize = 64;

/// Serves until its standard input ends.
pub(crate) async fn serve(address: SocketAddr) -> Result<()> {
    let listener = tokio::net::TcpListener::bind(address).await?;
    let (tell, _) = broadcast::channel(1024);
    let accept = async {
        let mut people = JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await?;
            people.spawn(follow(stream, tell.subscribe()));
        }
    };
    let speaker = tell.clone();
    let speak = tokio::task::spawn_blocking(move || {
        for line in std::io::stdin().lines() {
            speaker.send(Utf8Bytes::from(line?)).ok();
        }
        anyhow::Ok(())
    });
    tokio::select! {
        failed = accept => failed,
        ended = speak => ended?,
    }
}

async fn follow(stream: TcpStream, mut events: broadcast::Receiver<Utf8Bytes>) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut socket = tokio_tungstenite::accept_async(stream).await?;
    socket.next().await.context("no connection_init")??;
    let acknowledged = Message::text(r#"{"type":"connection_ack"}"#);
    socket.send(acknowledged).await?;
    loop {
        tokio::select! {
            event = events.recv() => socket.send(Message::Text(event?)).await?,
            said = socket.next() => if said.is_none() { return Ok(()); },
        }
    }
}

struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    async fn start() -> Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let child = Command::new(std::env::current_exe()?)
            .args(["--serve-broadcast", &address.to_string()])
            .stdin(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        while TcpStream::connect(address).await.is_err() {
            sleep(Duration::from_millis(5)).await;
        }
        Ok(Self { child, address })
    }
}

/// So many people, and so many events a second for some time: the server's processor time for a delivery, in
/// microseconds, and its resident memory for each of them at rest, in KiB.
pub(crate) async fn play(
    people: usize,
    per_second: u32,
    events: u32,
    figures: &mut Figures,
) -> Result<()> {
    let mut server = Server::start().await?;
    let pid = server.child.id().context("the yardstick has ended")?;
    let empty = process::resident_kib(pid)?;
    let sockets = stream::iter(0..people).map(|_| Socket::open(server.address, ""));
    let sockets: Vec<Socket> = sockets.buffer_unordered(CONNECTING).try_collect().await?;
    crate::audience::rest(pid).await?;
    let each = (process::resident_kib(pid)? - empty) / crate::report::real(people);
    let line = format!("{people} in one chat, bare broadcast: KiB of memory a socket");
    figures.alone(&line, 1, each);
    let mut listening = JoinSet::new();
    for mut socket in sockets {
        listening.spawn(async move {
            let mut heard = 0;
            while heard < events {
                let hear = |text: &[u8]| {
                    ensure!(text == EVENT.as_bytes(), "another text");
                    heard += 1;
                    Ok(())
                };
                socket.hear(hear).await?;
            }
            anyhow::Ok(socket)
        });
    }
    let before = process::cpu(pid)?;
    let began = Instant::now();
    let mut say = server.child.stdin.take().context("no standard input")?;
    for event in 0..events {
        let due = Duration::from_secs(1) * event / per_second;
        sleep(due.saturating_sub(began.elapsed())).await;
        say.write_all(format!("{EVENT}\n").as_bytes()).await?;
    }
    let heard = async {
        while let Some(ended) = listening.join_next().await {
            ended??;
        }
        anyhow::Ok(())
    };
    timeout(Duration::from_mins(1), heard).await??;
    let spent = process::cpu(pid)?.saturating_sub(before);
    let deliveries = crate::report::real(people) * f64::from(events);
    let line =
        format!("{people} in one chat, bare broadcast: server µs of processor time a delivery");
    figures.alone(&line, 1, spent.as_secs_f64() * 1e6 / deliveries);
    Ok(())
}
