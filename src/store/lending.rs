//! The pool as requests know it: connections on loan, in turn.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool::managed::{PoolError as LendError, TimeoutType, Timeouts};
use diesel_async::pooled_connection::PoolableConnection as _;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::connection::Connection;
use super::metrics::StoreMetrics;
use super::pool::{Manager, PoolOptions};
use super::queue::{Entry, HURRIED, Queue};
use super::{RoleName, Scope};
use crate::model::TenantId;

/// Why the pool lent no connection.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// None came free in time, or none could be opened.
    #[error(transparent)]
    Lend(#[from] LendError<diesel_async::pooled_connection::PoolError>),
    /// As many wait as may.
    #[error("{0} requests wait for a connection already")]
    Full(usize),
}

/// A bounded pool of connections, with a bounded queue in front of it.
#[derive(Clone)]
pub struct Pool {
    connections: deadpool::managed::Pool<Manager>,
    queue: Arc<Queue>,
    /// As whom connections see the rows of one tenant.
    role: Option<RoleName>,
    metrics: Arc<StoreMetrics>,
    /// Connections that are made fit to be lent again.
    recoveries: TaskTracker,
}

/// A connection as the pool's library lends it.
type Lent = deadpool::managed::Object<Manager>;

/// How long a connection whose borrower has gone amid a statement may take to answer, before it is closed. Statements take
/// a few milliseconds, and opening another connection costs Postgres more than most of them.
const RECOVERY: Duration = Duration::from_millis(100);

/// A connection on loan from the pool, which is given back when it is dropped. Where it is busy then or in a transaction,
/// because whoever waited has given up, it is given back once it has answered and the transaction is rolled back; if that
/// takes long, it is closed instead, which ends both.
#[derive(Debug)]
pub struct PooledConnection {
    /// Until it is dropped.
    loan: Option<Loan>,
}

/// A connection and how long it is lent.
struct Loan {
    // Dropped first, so that it is back in the pool when the loan is measured.
    lent: Lent,
    length: Length,
    recoveries: TaskTracker,
}

impl fmt::Debug for Loan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loan")
            .field("begun", &self.length.begun)
            .finish_non_exhaustive()
    }
}

/// The time of a loan, which is measured when this is dropped.
struct Length {
    begun: Instant,
    metrics: Arc<StoreMetrics>,
}

impl Drop for Length {
    fn drop(&mut self) {
        self.metrics
            .loans
            .observe(self.begun.elapsed().as_secs_f64());
    }
}

impl Loan {
    /// Gives the connection back once it may be lent again, or closes it.
    async fn recover(mut self) {
        let recovered = timeout(RECOVERY, self.lent.recover()).await;
        if !matches!(recovered, Ok(Ok(()))) || self.lent.is_broken() {
            self.length.metrics.closed.inc();
            drop(Lent::take(self.lent));
        }
    }
}

impl Drop for PooledConnection {
    fn drop(&mut self) {
        let Some(mut loan) = self.loan.take() else {
            return;
        };
        // A runtime that is going down runs no more tasks: then the pool, which looks too, closes what is not fit.
        if loan.lent.is_broken() && Handle::try_current().is_ok() {
            let recoveries = loan.recoveries.clone();
            recoveries.spawn(loan.recover());
        }
    }
}

impl Deref for PooledConnection {
    type Target = Connection;

    #[expect(clippy::expect_used, reason = "only drop takes it")]
    fn deref(&self) -> &Connection {
        &self.loan.as_ref().expect("not dropped").lent
    }
}

impl DerefMut for PooledConnection {
    #[expect(clippy::expect_used, reason = "only drop takes it")]
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.loan.as_mut().expect("not dropped").lent
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("status", &self.connections.status())
            .finish_non_exhaustive()
    }
}

impl Pool {
    pub(super) fn new(
        connections: deadpool::managed::Pool<Manager>,
        options: PoolOptions,
        metrics: Arc<StoreMetrics>,
    ) -> Self {
        Self {
            connections,
            queue: Arc::new(Queue::new(&options)),
            role: None,
            metrics,
            recoveries: TaskTracker::new(),
        }
    }

    /// The same pool, whose connections for one tenant see the rows of it alone, as this role.
    #[must_use]
    pub fn confined_as(self, role: Option<RoleName>) -> Self {
        Self { role, ..self }
    }

    /// What a connection for a tenant sees; everything, where no role is there for that.
    fn scope(&self, tenant: &TenantId) -> Option<Scope> {
        let role = self.role.clone()?;
        let tenant = tenant.clone();
        Some(Scope { role, tenant })
    }

    /// What is measured of this pool and its connections.
    #[must_use]
    pub fn metrics(&self) -> &StoreMetrics {
        &self.metrics
    }

    /// Waits for a connection, and measures for how long.
    async fn waited<E>(
        &self,
        wait: impl Future<Output = Result<Lent, E>>,
    ) -> Result<PooledConnection, E> {
        let asked = Instant::now();
        let lent = wait.await;
        let begun = Instant::now();
        let waited = begun.saturating_duration_since(asked);
        self.metrics.waits.observe(waited.as_secs_f64());
        let lent = lent?;
        let loan = Loan {
            lent,
            length: Length {
                begun,
                metrics: Arc::clone(&self.metrics),
            },
            recoveries: self.recoveries.clone(),
        };
        Ok(PooledConnection { loan: Some(loan) })
    }

    /// Borrows a connection for the server's own work, which is little and must go on: it waits for as long as the
    /// pool lets it, however many wait.
    ///
    /// # Errors
    ///
    /// [`PoolError::Lend`].
    pub async fn get(&self) -> Result<PooledConnection, PoolError> {
        let mut lent = self.waited(self.connections.get()).await?;
        lent.confine(None);
        Ok(lent)
    }

    /// The same for work that is about one tenant.
    ///
    /// # Errors
    ///
    /// [`PoolError::Lend`].
    pub async fn get_for(&self, tenant: &TenantId) -> Result<PooledConnection, PoolError> {
        let mut lent = self.waited(self.connections.get()).await?;
        lent.confine(self.scope(tenant));
        Ok(lent)
    }

    /// Borrows a connection for a request: at once, or in its turn if the queue has room for it.
    ///
    /// # Errors
    ///
    /// [`PoolError`], at once where the queue is full.
    pub async fn get_in_turn(&self) -> Result<PooledConnection, PoolError> {
        let mut lent = self.lend_in_turn().await?;
        lent.confine(None);
        Ok(lent)
    }

    /// The same for a request that is about one tenant.
    ///
    /// # Errors
    ///
    /// [`PoolError`], at once where the queue is full.
    pub async fn get_in_turn_for(&self, tenant: &TenantId) -> Result<PooledConnection, PoolError> {
        let mut lent = self.lend_in_turn().await?;
        lent.confine(self.scope(tenant));
        Ok(lent)
    }

    /// Lets a request in that will want connections, until the entry is dropped. It costs next to nothing, so that a
    /// request can be refused before anything is spent on it.
    ///
    /// # Errors
    ///
    /// [`PoolError::Full`], where it could not be served in time.
    pub fn enter(&self) -> Result<Entry, PoolError> {
        self.queue.enter()
    }

    /// Whether one more may wait beside so many, for something else than a connection.
    ///
    /// # Errors
    ///
    /// [`PoolError::Full`], where as many wait as may wait for a connection.
    pub fn has_room(&self, waiting: usize) -> Result<(), PoolError> {
        self.queue.has_room(waiting)
    }

    /// Whether a connection for a tenant sees the rows of that alone.
    #[must_use]
    pub fn is_confined(&self) -> bool {
        self.role.is_some()
    }

    async fn lend_in_turn(&self) -> Result<PooledConnection, PoolError> {
        self.waited(self.take_turn()).await
    }

    async fn take_turn(&self) -> Result<Lent, PoolError> {
        let usual = self.connections.timeouts();
        let within = |wait| Timeouts { wait, ..usual };
        let at_once = within(Some(Duration::ZERO));
        match self.connections.timeout_get(&at_once).await {
            Err(LendError::Timeout(TimeoutType::Wait)) => {}
            lent => return Ok(lent?),
        }
        let mut place = self.queue.join()?;
        let wait = match usual.wait {
            Some(wait) if place.hurries => Some(wait.min(HURRIED)),
            None if place.hurries => Some(HURRIED),
            wait => wait,
        };
        let lent = self.connections.timeout_get(&within(wait)).await;
        if lent.is_ok() {
            place.was_served();
        }
        if matches!(lent, Err(LendError::Timeout(TimeoutType::Wait))) {
            self.queue.refuse();
        }
        Ok(lent?)
    }

    /// How many requests wait for a connection.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue.waiting()
    }

    /// The most connections.
    #[must_use]
    pub fn most(&self) -> usize {
        self.connections.status().max_size
    }

    /// How many connections are open, and how many of them are lent.
    #[must_use]
    pub fn open(&self) -> (usize, usize) {
        let status = self.connections.status();
        (status.size, status.size.saturating_sub(status.available))
    }

    /// How many requests got no connection because too many asked for one.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.queue.refused()
    }

    /// Lends nothing any more.
    pub fn close(&self) {
        self.connections.close();
    }
}
