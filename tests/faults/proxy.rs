//! A TCP proxy that misbehaves on command: between clients and a server, and between a server and Postgres.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::wire::Notifications;

/// Where a proxy leads.
#[derive(Debug, Clone)]
pub(crate) enum Upstream {
    Tcp(SocketAddr),
    /// A Postgres behind a socket in this folder: the frames it sends are understood.
    Postgres(PathBuf),
}

/// How a proxy behaves.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Conduct {
    /// Counts how often all connections were cut. They end with a reset where `reset` is set.
    cuts: u64,
    reset: bool,
    /// Nobody gets through, and new connections are hung up on.
    pub(crate) down: bool,
    /// Nothing is passed on, in either direction; what comes waits.
    pub(crate) blackhole: bool,
    /// By how much each piece is late.
    pub(crate) delay: Duration,
    /// Small pieces only, one a millisecond.
    pub(crate) slice: bool,
    /// Notifications of Postgres are dropped.
    pub(crate) eat: bool,
    /// By how much new connections are late.
    pub(crate) late: Duration,
}

/// A proxy. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    conduct: watch::Sender<Conduct>,
    upstream: Arc<Mutex<Upstream>>,
    accepting: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut(false);
    }
}

/// Small, so that a client that does not read is soon felt by the server.
const BUFFER: u32 = 8 * 1024;

impl Proxy {
    pub(crate) async fn start(upstream: Upstream) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        // What is accepted inherits it.
        socket.set_send_buffer_size(BUFFER).unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let listener = socket.listen(1024).unwrap();
        let address = listener.local_addr().unwrap();
        let (conduct, behave) = watch::channel(Conduct::default());
        let upstream = Arc::new(Mutex::new(upstream));
        let to = Arc::clone(&upstream);
        let accepting = tokio::task::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let to = to.lock().unwrap().clone();
                tokio::task::spawn(serve(client, to, behave.clone()));
            }
        });
        Self {
            address,
            conduct,
            upstream,
            accepting,
        }
    }

    /// Leads new connections elsewhere.
    pub(crate) fn lead_to(&self, upstream: Upstream) {
        *self.upstream.lock().unwrap() = upstream;
    }

    /// Changes how it behaves, for open connections too.
    pub(crate) fn behave(&self, change: impl FnOnce(&mut Conduct)) {
        self.conduct.send_modify(change);
    }

    /// Ends all connections, in order or with a reset.
    pub(crate) fn cut(&self, reset: bool) {
        self.behave(|conduct| {
            conduct.cuts += 1;
            conduct.reset = reset;
        });
    }

    /// Behaves well again. Connections that are open stay open.
    pub(crate) fn heal(&self) {
        self.behave(|conduct| {
            *conduct = Conduct {
                cuts: conduct.cuts,
                reset: conduct.reset,
                ..Conduct::default()
            };
        });
    }
}

async fn serve(client: TcpStream, upstream: Upstream, behave: watch::Receiver<Conduct>) {
    let mut watch = behave.clone();
    let begun = *watch.borrow_and_update();
    if begun.down {
        return;
    }
    client.set_nodelay(true).ok();
    sleep(begun.late).await;
    let ended = async {
        watch
            .wait_for(|now| now.cuts != begun.cuts || now.down)
            .await
            .ok();
    };
    let (mut from_client, mut to_client) = client.into_split();
    let pumps = async {
        match upstream {
            Upstream::Tcp(address) => {
                let socket = TcpSocket::new_v4()?;
                socket.set_recv_buffer_size(BUFFER)?;
                let server = socket.connect(address).await?;
                server.set_nodelay(true)?;
                let (mut from_server, mut to_server) = server.into_split();
                tokio::select! {
                    up = pump(&mut from_client, &mut to_server, behave.clone(), None) => up,
                    down = pump(&mut from_server, &mut to_client, behave.clone(), None) => down,
                }
            }
            Upstream::Postgres(folder) => {
                let server = UnixStream::connect(folder.join(".s.PGSQL.5432")).await?;
                let (mut from_server, mut to_server) = server.into_split();
                let frames = Some(Notifications::default());
                tokio::select! {
                    up = pump(&mut from_client, &mut to_server, behave.clone(), None) => up,
                    down = pump(&mut from_server, &mut to_client, behave.clone(), frames) => down,
                }
            }
        }
    };
    let cut = tokio::select! {
        _ = pumps => false,
        () = ended => true,
    };
    let reset = cut && behave.borrow().reset;
    if reset && let Ok(client) = from_client.reunite(to_client) {
        // With a linger of zero, closing sends a reset.
        client.set_zero_linger().ok();
    }
}

/// Passes bytes on, as the conduct of the moment has it. Ends when either end does.
async fn pump(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    mut behave: watch::Receiver<Conduct>,
    mut frames: Option<Notifications>,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
    loop {
        behave.wait_for(|now| !now.blackhole).await.map_err(gone)?;
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        let delay = behave.borrow().delay;
        if !delay.is_zero() {
            sleep(delay).await;
        }
        // A piece that was read as the hole opened waits too.
        let now = *behave.wait_for(|now| !now.blackhole).await.map_err(gone)?;
        let bytes = match &mut frames {
            Some(frames) => frames.pass(&buffer[..count], now.eat),
            None => buffer[..count].to_vec(),
        };
        if now.slice {
            for piece in bytes.chunks((bytes.len() / 50).max(3)) {
                to.write_all(piece).await?;
                sleep(Duration::from_millis(1)).await;
            }
        } else {
            to.write_all(&bytes).await?;
        }
    }
}

#[cfg(test)]
mod tests;
