//! Deliveries: what is written to chats leaves the server for the sinks of its tenant.
//!
//! An event's entry of the outbox commits with the event. One server at a time takes entries out and makes deliveries of
//! them, in lanes; every server claims lanes, sends what is first in them, and removes what was taken. A server that dies
//! loses its claims after a while, and another goes on: so everything is delivered at least once, with the same id.
//! Nothing of it is waited for by who sends. Decision 0029 says why it is so.

mod content;
mod metrics;
mod notify;
mod spread;
mod work;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use diesel_async::AsyncConnection as _;
use tokio::sync::{Notify, Semaphore};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use metrics::DeliveryMetrics;

use super::{Clock, Error};
use crate::realtime::Realtime;
use crate::sinks::Sinks;
use crate::store::{self, Pool, PooledConnection};
use metrics::Measured;
use work::Busy;

/// How often at the latest a server looks whether there is anything to do, on average.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How long to wait after the database could not be asked.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// How many connections of the pool deliveries use at a time, so that requests find theirs.
const CONNECTIONS: usize = 2;

/// How often what is too old is removed, and what is waiting counted, on average.
const TIDY_EVERY: Duration = Duration::from_secs(15);

/// How many rows are removed at a time.
const TIDY_MOST: i64 = 1_000;

/// Up to how many rows are counted.
const COUNT_MOST: i64 = 100_000;

/// What an installation can set.
#[derive(Debug, Clone, Copy)]
pub struct DeliveryOptions {
    /// How long one try may take. A claim lasts three times as long.
    pub within: Duration,
    /// How often something is tried before it is given up.
    pub attempts: i32,
    /// How long something is tried at the most; as long what was given up is kept, and what waits for a sink that is gone.
    pub kept: Duration,
    /// How long after the last message somebody who is away is told of it.
    pub notify_after: Duration,
}

impl Default for DeliveryOptions {
    fn default() -> Self {
        Self {
            within: Duration::from_secs(10),
            attempts: 16,
            kept: Duration::from_hours(14 * 24),
            notify_after: Duration::from_secs(30),
        }
    }
}

/// The deliveries of a server.
#[derive(Clone)]
pub struct Deliveries(Arc<Inner>);

struct Inner {
    pool: Pool,
    realtime: Realtime,
    clock: Clock,
    sinks: Sinks,
    options: DeliveryOptions,
    connections: Semaphore,
    /// Rung when lanes may have become due, or a place for one free.
    due: Notify,
    busy: Busy,
    tasks: TaskTracker,
    metrics: Measured,
}

impl fmt::Debug for Deliveries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deliveries")
            .field("sinks", &self.0.sinks)
            .finish_non_exhaustive()
    }
}

impl Deliveries {
    pub(super) fn new(
        pool: Pool,
        realtime: Realtime,
        sinks: Sinks,
        options: DeliveryOptions,
    ) -> Self {
        Self(Arc::new(Inner {
            pool,
            realtime,
            clock: Clock,
            sinks,
            options,
            connections: Semaphore::new(CONNECTIONS),
            due: Notify::new(),
            busy: Busy::default(),
            tasks: TaskTracker::new(),
            metrics: Measured::default(),
        }))
    }

    /// What is measured of them.
    #[must_use]
    pub fn metrics(&self) -> &DeliveryMetrics {
        self.0.metrics.shown()
    }

    /// Has lanes be looked at that may have become due.
    pub(super) fn wake(&self) {
        self.0.due.notify_one();
    }

    /// Makes the sinks of the database those of this server. From its commit on, every event of their tenants is
    /// delivered: so it is to be called before anything is served.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] and [`Error::Internal`].
    pub async fn register(&self) -> Result<(), Error> {
        let sinks = self.0.sinks.all().map(|sink| sink.registered.clone());
        let mut sinks: Vec<_> = sinks.collect();
        // Servers that start at the same time lock the rows in the same order.
        sinks.sort_unstable_by(|one, other| one.id.cmp(&other.id));
        let mut conn = self.0.pool.get().await?;
        let removed = conn
            .transaction(async |conn| store::sinks::replace(conn, &sinks).await)
            .await?;
        tracing::info!(sinks = sinks.len(), removed, "the sinks are registered");
        Ok(())
    }

    /// How many sinks the database knows, of whichever server.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] and [`Error::Internal`].
    pub async fn registered(&self) -> Result<usize, Error> {
        let mut conn = self.0.pool.get().await?;
        Ok(store::sinks::all(&mut conn).await?.len())
    }

    /// Delivers until it is stopped, and then ends what is under way.
    pub async fn run(self, stop: CancellationToken) {
        let spread = self.0.spread_on();
        let (notify, tidy) = (self.0.notify_on(), self.0.tidy_on());
        let rest = async { tokio::join!(spread, notify, tidy) };
        tokio::join!(self.0.work_on(&stop), stop.run_until_cancelled(rest));
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }
}

impl Inner {
    /// Borrows one of the connections that deliveries may use.
    async fn connection(&self) -> Result<(PooledConnection, impl Drop + '_), Error> {
        let place = self.connections.acquire().await;
        let place = place.map_err(|error| Error::Unavailable(error.into()))?;
        Ok((self.pool.get().await?, place))
    }

    /// Removes what is too old, a bounded part of it at a time, and counts what waits.
    async fn tidy_on(&self) {
        loop {
            if let Err(error) = self.tidy().await {
                tracing::warn!(error = %Causes(&error), "old deliveries could not be removed");
            }
            sleep(about(TIDY_EVERY)).await;
        }
    }

    async fn tidy(&self) -> Result<(), Error> {
        let (mut conn, _place) = self.connection().await?;
        let kept = self.options.kept;
        store::dead_letters::forget(&mut conn, kept, TIDY_MOST).await?;
        conn.transaction(async |conn| {
            // Else something could come into a lane while it is removed.
            if store::outbox::lock(conn).await? {
                store::deliveries::forget(conn, kept, TIDY_MOST).await?;
            }
            Ok::<_, Error>(())
        })
        .await?;
        let depth = store::outbox::depth(&mut conn, COUNT_MOST).await?;
        self.metrics.wait(depth, self.clock.now());
        Ok(())
    }
}

/// A time, more or less by up to a third, so that servers do not work in step.
fn about(time: Duration) -> Duration {
    time.mul_f64(2.0 / 3.0 + fastrand::f64() * 2.0 / 3.0)
}

/// An error with its causes, for the log.
struct Causes<'a>(&'a dyn std::error::Error);

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut error = self.0;
        while let Some(cause) = error.source() {
            write!(f, ": {cause}")?;
            error = cause;
        }
        Ok(())
    }
}
