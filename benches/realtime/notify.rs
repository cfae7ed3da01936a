//! Postgres' notifications: a bare round trip as a yardstick, and what they cost a writer.

use std::future::poll_fn;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_postgres::{AsyncMessage, NoTls};

use crate::figures::Figures;
use crate::report::median;
use crate::server::Server;
use crate::world::{Database, Operation};
use crate::{pgbench, statements};

/// How long the doorbell rests between two rings, as the server's does.
const TICK: Duration = Duration::from_millis(5);

/// How many clients write.
const CLIENTS: u32 = 32;

/// A connection that listens, and says when something comes.
pub(crate) struct Listener {
    _client: tokio_postgres::Client,
    _driver: JoinSet<()>,
    heard: mpsc::UnboundedReceiver<()>,
}

impl Listener {
    pub(crate) async fn connect(server: &Server, channel: &str) -> Result<Self> {
        let (client, mut connection) = tokio_postgres::connect(&server.url(), NoTls).await?;
        let (tell, heard) = mpsc::unbounded_channel();
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
                if matches!(message, AsyncMessage::Notification(_)) {
                    tell.send(()).ok();
                }
            }
        });
        client.batch_execute(&format!("LISTEN {channel}")).await?;
        Ok(Self {
            _client: client,
            _driver: driver,
            heard,
        })
    }
}

/// Two connections: one notifies, the other listens. The notifying commits do not wait for the disk, for the
/// server's doorbell does not either: the stricter yardstick.
pub(crate) struct RoundTrips {
    notifier: Database,
    listener: Listener,
}

impl RoundTrips {
    pub(crate) async fn connect(server: &Server) -> Result<Self> {
        let notifier = Database::connect(server).await?;
        notifier.run("SET synchronous_commit = off").await?;
        let listener = Listener::connect(server, "yardstick").await?;
        Ok(Self { notifier, listener })
    }

    /// So many round trips with a pause between them, in milliseconds each.
    pub(crate) async fn make(&mut self, count: u32, pause: Duration) -> Result<Vec<f64>> {
        let mut took = Vec::new();
        for _ in 0..count {
            let began = Instant::now();
            let heard = async {
                let heard = timeout(Duration::from_secs(5), self.listener.heard.recv()).await;
                heard.context("no notification")?.context("no listener")?;
                anyhow::Ok(began.elapsed())
            };
            let notified = async { self.notifier.run("NOTIFY yardstick, 'x'").await };
            let (elapsed, ()) = tokio::try_join!(heard, notified)?;
            took.push(elapsed.as_secs_f64() * 1e3);
            sleep(pause).await;
        }
        Ok(took)
    }
}

/// The send's own statement at 32 clients, with a listener attached: with a notification in each transaction,
/// and with a doorbell beside it that rings once in a tick. In turns.
pub(crate) async fn in_transaction(
    server: &Server,
    database: &Database,
    seconds: u32,
    figures: &mut Figures,
) -> Result<()> {
    let send = statements::of(server, database, &Operation::send()).await?;
    let send = send.script;
    let with = ", pg_notify('yardstick', chat_id::text || ':' || seq);";
    let notifying = send.trim_end().trim_end_matches(';').to_owned() + with;
    let _listener = Listener::connect(server, "yardstick").await?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        database.run("CHECKPOINT").await?;
        let run = pgbench::run(server, CLIENTS, seconds, &send);
        ours.push(tokio::select! {
            run = run => run?.0,
            failed = ring(server) => return failed,
        });
        database.run("CHECKPOINT").await?;
        let run = pgbench::run(server, CLIENTS, seconds, &notifying).await?;
        theirs.push(run.0);
    }
    let (ours, theirs) = (median(&ours), median(&theirs));
    figures.beside(
        "sends a second, 32 clients: doorbell; NOTIFY in the transaction",
        0,
        ours,
        theirs,
    );
    Ok(())
}

/// Rings for ever, with as much as thirty chats' hints take.
async fn ring(server: &Server) -> Result<()> {
    let doorbell = Database::connect(server).await?;
    doorbell.run("SET synchronous_commit = off").await?;
    let payload = "x".repeat(1000);
    loop {
        doorbell
            .run(&format!("NOTIFY yardstick, '{payload}'"))
            .await?;
        sleep(TICK).await;
    }
}
