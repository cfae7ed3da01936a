//! The listener: hears the other servers' doorbells, one connection a server. It reads no tables: it only
//! passes hints on, and asks for a comparison of all heads whenever it may have missed some.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::StreamExt as _;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::hints::Hints;
use super::hub::Hub;
use super::revocations::Revocations;
use super::signals::Signals;
use super::{BackOff, RealtimeMetrics, RealtimeOptions};
use crate::sabotage::{self, Sabotage};
use crate::store::{self, Connection, Database};

#[derive(Debug)]
pub(super) struct Listener {
    options: RealtimeOptions,
    database: Database,
    server: u64,
    shutdown: CancellationToken,
    live: AtomicBool,
    signals: Arc<Signals>,
    revocations: Arc<Revocations>,
    metrics: Arc<RealtimeMetrics>,
    commits: Arc<Notify>,
}

/// Why a connection is given up.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("the connection cannot be made: {0}")]
    Connect(#[from] diesel::ConnectionError),
    #[error("the connection failed: {0}")]
    Failed(#[from] diesel::result::Error),
    #[error("the connection ended")]
    Ended,
    #[error("the connection does not answer")]
    Silent(#[from] tokio::time::error::Elapsed),
}

impl Listener {
    pub(super) fn new(
        options: RealtimeOptions,
        database: &Database,
        server: u64,
        shutdown: CancellationToken,
        (signals, revocations): (Arc<Signals>, Arc<Revocations>),
    ) -> Self {
        Self {
            options,
            database: database.serving_as("listener"),
            server,
            shutdown,
            live: AtomicBool::new(false),
            signals,
            revocations,
            metrics: Arc::default(),
            commits: Arc::default(),
        }
    }

    /// The same, measured.
    pub(super) fn measured(self, metrics: &Arc<RealtimeMetrics>) -> Self {
        let metrics = Arc::clone(metrics);
        Self { metrics, ..self }
    }

    /// The same, which tells of every commit that it hears of.
    pub(super) fn telling(self, commits: &Arc<Notify>) -> Self {
        let commits = Arc::clone(commits);
        Self { commits, ..self }
    }

    pub(super) fn is_live(&self) -> bool {
        self.live.load(Ordering::Acquire)
    }

    /// Listens until the engine stops, reconnecting for ever.
    pub(super) async fn run(self: Arc<Self>, hub: Arc<Hub>) {
        let mut back_off = BackOff::new(self.options.back_off);
        let listen = async {
            loop {
                let lost = self.listen(&hub, &mut back_off).await;
                self.live.store(false, Ordering::Release);
                self.metrics.listener_losses.inc();
                tracing::warn!(error = %lost, "the listener lost its connection");
                back_off.wait().await;
            }
        };
        tokio::select! {
            () = listen => {}
            () = self.shutdown.cancelled() => self.live.store(false, Ordering::Release),
        }
    }

    async fn listen(&self, hub: &Hub, back_off: &mut BackOff) -> Lost {
        let early = sabotage::is(Sabotage::ScanBeforeListen);
        if early {
            hub.ask_for_sweep();
        }
        match self.connect().await {
            Ok(mut conn) => {
                back_off.reset();
                // LISTEN first, compare then: what commits between the two is heard.
                self.live.store(true, Ordering::Release);
                if !early {
                    hub.ask_for_sweep();
                }
                self.signals.ask_for_comparison();
                self.revocations.ask_for_reading();
                tracing::debug!("listening");
                self.hear(hub, &mut conn).await
            }
            Err(lost) => lost,
        }
    }

    async fn connect(&self) -> Result<Connection, Lost> {
        timeout(self.options.patience, async {
            let mut conn = self.database.connect().await?;
            store::doorbell::listen(&mut conn).await?;
            Ok(conn)
        })
        .await?
    }

    /// Passes hints on until the connection is lost. A silent connection must prove that it is alive: the
    /// stream of notifications borrows it, so the stream is made anew after the proof; nothing is lost by
    /// that, what came meanwhile waits in the connection.
    async fn hear(&self, hub: &Hub, conn: &mut Connection) -> Lost {
        loop {
            if let Err(lost) = self.hear_until_silent(hub, conn).await {
                return lost;
            }
            match timeout(self.options.patience, store::doorbell::probe(conn)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return error.into(),
                Err(elapsed) => return elapsed.into(),
            }
        }
    }

    async fn hear_until_silent(&self, hub: &Hub, conn: &mut Connection) -> Result<(), Lost> {
        let mut notifications = pin!(conn.notifications_stream());
        while let Ok(next) = timeout(self.options.probe, notifications.next()).await {
            let notification = next.ok_or(Lost::Ended)??;
            self.pass_on(hub, &notification.payload);
        }
        Ok(())
    }

    fn pass_on(&self, hub: &Hub, payload: &str) {
        let Some((server, hints)) = Hints::parse(payload) else {
            tracing::debug!("a notification that is no hint");
            return;
        };
        // This server's own subscribers were woken when it rang.
        if server == self.server {
            return;
        }
        if !hints.chats.is_empty() {
            self.commits.notify_one();
        }
        for (chat, seq) in hints.chats {
            hub.grew(chat, seq);
        }
        for (person, chat) in hints.people {
            hub.concerns(person, chat);
        }
        self.signals.hear(hints.signals);
        if hints.revocations || hints.all {
            self.revocations.ask_for_reading();
        }
        if hints.all {
            hub.ask_for_sweep();
            self.signals.ask_for_comparison();
        }
    }
}
