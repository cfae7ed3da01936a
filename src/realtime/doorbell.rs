//! The doorbell: tells the other servers what has changed, a moment after the commit, on a connection of its
//! own. The first hint goes at once; then what gathers within a tick goes together.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use diesel::result::Error;
use tokio::sync::Notify;
use tokio::time::{sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::hints::Hints;
use super::signals::SignalHints;
use super::{BackOff, RealtimeMetrics, RealtimeOptions};
use crate::model::ChatId;
use crate::store::{self, Connection, Database};

#[derive(Debug)]
pub(super) struct Doorbell {
    options: RealtimeOptions,
    database: Database,
    server: u64,
    shutdown: CancellationToken,
    pending: Mutex<Pending>,
    rung: Notify,
    metrics: Arc<RealtimeMetrics>,
}

/// What is to be told.
#[derive(Debug, Default)]
struct Pending {
    hints: Hints,
    /// When the first of it was rung for.
    since: Option<Instant>,
}

impl Doorbell {
    pub(super) fn new(
        options: RealtimeOptions,
        database: &Database,
        server: u64,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            options,
            // A hint need not survive a crash, so its commit need not wait for the disk.
            database: database
                .serving_as("doorbell")
                .with_options("-c synchronous_commit=off"),
            server,
            shutdown,
            pending: Mutex::default(),
            rung: Notify::new(),
            metrics: Arc::default(),
        }
    }

    /// The same, measured.
    pub(super) fn measured(self, metrics: &Arc<RealtimeMetrics>) -> Self {
        let metrics = Arc::clone(metrics);
        Self { metrics, ..self }
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what has changed. It goes with the next notification.
    pub(super) fn ring(&self, chat: ChatId, seq: Option<i64>, people: &[u64]) {
        self.note(|hints| hints.add(chat, seq, people));
    }

    /// Notes what there is to tell of signals.
    pub(super) fn tell(&self, note: impl FnOnce(&mut SignalHints)) {
        self.note(|hints| note(&mut hints.signals));
    }

    /// Notes that there are new revocations.
    pub(super) fn tell_of_revocations(&self) {
        self.note(|hints| hints.revocations = true);
    }

    fn note(&self, note: impl FnOnce(&mut Hints)) {
        let mut pending = self.pending();
        note(&mut pending.hints);
        pending.since.get_or_insert_with(Instant::now);
        drop(pending);
        self.metrics.doorbell_rings.inc();
        self.rung.notify_one();
    }

    /// Rings until the engine stops, and then for what is still pending.
    pub(super) async fn run(self: Arc<Self>) {
        let mut conn = None;
        let mut back_off = BackOff::new(self.options.back_off);
        loop {
            tokio::select! {
                () = self.rung.notified() => {}
                () = self.shutdown.cancelled() => break,
            }
            // From ring to ring: what a ring takes is a part of the tick.
            let next = Instant::now() + self.options.tick;
            let next = if self.flush(&mut conn).await {
                back_off.reset();
                // Where rings take that long, others want the lock that they hold.
                next.max(Instant::now() + self.options.tick / 4)
            } else {
                Instant::now() + back_off.take()
            };
            tokio::select! {
                () = sleep_until(next.into()) => {}
                () = self.shutdown.cancelled() => break,
            }
        }
        self.flush(&mut conn).await;
    }

    /// Tells what is pending; says whether that went well. What could not be told is dropped: the sweeps of
    /// the other servers find it.
    async fn flush(&self, conn: &mut Option<Connection>) -> bool {
        let Pending { hints, since } = std::mem::take(&mut *self.pending());
        if hints.is_empty() {
            return true;
        }
        let payloads = hints.pack(self.server);
        // A connection that died while it rested is found out only now: one more try, on a new one.
        for _ in 0..2 {
            match timeout(self.options.patience, self.notify(conn, &payloads)).await {
                Ok(Ok(())) => {
                    if let Some(since) = since {
                        let lag = since.elapsed().as_secs_f64();
                        self.metrics.doorbell_lag.observe(lag);
                    }
                    return true;
                }
                Ok(Err(error)) => tracing::warn!(%error, "the doorbell did not ring"),
                Err(_) => tracing::warn!("the doorbell did not ring in time"),
            }
            *conn = None;
        }
        self.metrics.doorbell_failures.inc();
        false
    }

    async fn notify(
        &self,
        conn: &mut Option<Connection>,
        payloads: &[String],
    ) -> Result<(), Error> {
        let open = if let Some(open) = conn {
            open
        } else {
            let new = self.database.connect().await;
            conn.insert(new.map_err(|error| Error::QueryBuilderError(error.into()))?)
        };
        store::doorbell::notify(open, payloads).await
    }
}
