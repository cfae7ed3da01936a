//! The pool, and the queue of those who wait for its connections.
//!
//! A queue without a bound makes everybody late when more is asked than the database can do: each request waits for
//! all before it, its client gives up and asks again, and the work is done for nobody. So two things end it. Only so
//! many may wait. And where nobody's wait has been [`BRIEF`] for a whole [`PoolOptions::standing`], the queue takes up no
//! burst any more but only makes everybody wait: then those who come wait for [`HURRIED`] at most, and who could not be
//! served by then is refused at once. This is the idea of `CoDel` (RFC 8289), with a fixed bound in place of a schedule:
//! that a queue is long says nothing, and that it stays so everything.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use deadpool::managed::{PoolError as LendError, TimeoutType, Timeouts};

use super::connection::Connection;
use super::metrics::StoreMetrics;
use super::pool::{Manager, PoolOptions};
use super::{RoleName, Scope};
use crate::model::TenantId;

/// How long a request waits that comes to a standing queue.
const HURRIED: Duration = Duration::from_millis(100);

/// A wait that is shorter shows that the queue moves. It has to be well below [`HURRIED`], or a queue that stands and is
/// kept short by that would seem to move.
const BRIEF: Duration = Duration::from_millis(50);

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
}

/// A connection as the pool's library lends it.
type Lent = deadpool::managed::Object<Manager>;

/// A connection on loan from the pool, which is given back when it is dropped.
#[derive(Debug)]
pub struct PooledConnection {
    lent: Lent,
    loan: Loan,
}

/// How long a connection has been lent. It is measured when this is dropped.
#[derive(Debug)]
struct Loan {
    begun: Instant,
    metrics: Arc<StoreMetrics>,
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.metrics
            .loans
            .observe(self.begun.elapsed().as_secs_f64());
    }
}

impl Deref for PooledConnection {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.lent
    }
}

impl DerefMut for PooledConnection {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.lent
    }
}

impl PooledConnection {
    /// Throws the connection away instead of giving it back.
    pub(super) fn discard(self) {
        let Self { lent, loan } = self;
        drop((Lent::take(lent), loan));
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
            queue: Arc::new(Queue {
                most: options.queue,
                connections: options.size,
                standing: options.standing,
                ..Queue::default()
            }),
            role: None,
            metrics,
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
        let metrics = Arc::clone(&self.metrics);
        let loan = Loan { begun, metrics };
        Ok(PooledConnection { lent, loan })
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

    /// Tells whether a request that comes now would find room in the queue, without taking any. It costs next to
    /// nothing, so that a request can be refused before anything is spent on it.
    ///
    /// # Errors
    ///
    /// [`PoolError::Full`], which counts as a refusal.
    pub fn has_room(&self) -> Result<(), PoolError> {
        self.queue.has_room_at(Instant::now())
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
        place.served = lent.is_ok();
        if matches!(lent, Err(LendError::Timeout(TimeoutType::Wait))) {
            self.queue.refused.fetch_add(1, Ordering::Relaxed);
        }
        Ok(lent?)
    }

    /// How many requests wait for a connection.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue.waiting.load(Ordering::Relaxed)
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
        self.queue.refused.load(Ordering::Relaxed)
    }

    /// Lends nothing any more.
    pub fn close(&self) {
        self.connections.close();
    }
}

/// Those who wait.
#[derive(Debug, Default)]
struct Queue {
    most: usize,
    connections: usize,
    standing: Duration,
    waiting: AtomicUsize,
    pace: Mutex<Pace>,
    refused: AtomicU64,
}

/// Whether a queue stands or moves.
#[derive(Debug, Default)]
struct Pace {
    stands: bool,
    /// Since when all who waited have done so for long; where it stands, since when the last of them has not.
    since: Option<Instant>,
    /// How many have been served since when, and how many were served in [`HURRIED`] before that.
    served: usize,
    counted_from: Option<Instant>,
    served_before: usize,
}

/// A place in the queue, given back when it is dropped, also by a request that is given up.
#[derive(Debug)]
struct Place<'a> {
    queue: &'a Queue,
    since: Instant,
    /// Whether the queue was standing when this one came.
    hurries: bool,
    /// Whether it came to its turn.
    served: bool,
}

impl Queue {
    fn join(&self) -> Result<Place<'_>, PoolError> {
        self.join_at(Instant::now())
    }

    /// The same as joining, but for the place.
    fn has_room_at(&self, now: Instant) -> Result<(), PoolError> {
        if self.waiting.load(Ordering::Relaxed) < self.connections {
            // The usual case takes no lock.
            return Ok(());
        }
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        self.room(&mut pace, now)
    }

    fn room(&self, pace: &mut Pace, now: Instant) -> Result<(), PoolError> {
        pace.go_on(now);
        let most = if pace.stands {
            pace.served_before
                .clamp(self.connections, self.most.max(self.connections))
        } else {
            self.most
        };
        if self.waiting.load(Ordering::Relaxed) >= most {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(PoolError::Full(most));
        }
        Ok(())
    }

    fn join_at(&self, now: Instant) -> Result<Place<'_>, PoolError> {
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        pace.look(now, self.standing);
        // The lock is held, so the count and the pace fit each other.
        self.room(&mut pace, now)?;
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Ok(Place {
            queue: self,
            since: now,
            hurries: pace.stands,
            served: false,
        })
    }

    fn leave_at(&self, left: &Place<'_>, now: Instant) {
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        let empty = self.waiting.fetch_sub(1, Ordering::Relaxed) == 1;
        pace.go_on(now);
        pace.served += usize::from(left.served);
        let long = now.saturating_duration_since(left.since) >= BRIEF;
        if pace.stands && long {
            pace.since = Some(now);
        } else if !pace.stands && (empty || left.served && !long) {
            // Who gave up soon has not learned how long it would have been.
            pace.since = None;
        }
    }
}

impl Pace {
    /// Somebody comes who has to wait.
    fn look(&mut self, now: Instant, standing: Duration) {
        let since = *self.since.get_or_insert(now);
        let for_long = now.saturating_duration_since(since) >= standing;
        if for_long {
            self.stands = !self.stands;
            self.since = Some(now);
        }
    }

    /// Begins a new count, where the last is old enough.
    fn go_on(&mut self, now: Instant) {
        let begun = *self.counted_from.get_or_insert(now);
        let periods = now.saturating_duration_since(begun).as_millis() / HURRIED.as_millis();
        if let Ok(periods @ 1..) = usize::try_from(periods) {
            self.served_before = self.served / periods;
            self.served = 0;
            self.counted_from = Some(now);
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.queue.leave_at(self, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANDING: Duration = Duration::from_secs(1);

    fn queue(most: usize) -> Queue {
        Queue {
            most,
            connections: 2,
            standing: STANDING,
            ..Queue::default()
        }
    }

    #[test]
    fn only_so_many_wait_and_who_leaves_makes_room() {
        let queue = queue(2);
        let (one, two) = (queue.join().unwrap(), queue.join().unwrap());
        assert!(matches!(queue.join(), Err(PoolError::Full(2))));
        assert_eq!(queue.refused.load(Ordering::Relaxed), 1);
        drop(one);
        let three = queue.join().unwrap();
        drop((two, three));
        assert_eq!(queue.waiting.load(Ordering::Relaxed), 0);
    }

    /// Queues who come and go at given times, in milliseconds.
    struct Times {
        queue: Queue,
        begun: Instant,
    }

    impl Times {
        fn new() -> Self {
            Self {
                queue: queue(1000),
                begun: Instant::now(),
            }
        }

        fn at(&self, ms: u64) -> Instant {
            self.begun + Duration::from_millis(ms)
        }

        fn come(&self, ms: u64) -> Place<'_> {
            self.queue.join_at(self.at(ms)).unwrap()
        }

        /// Leaves at a time that is not now, which dropping would take.
        fn go(&self, mut place: Place<'_>, served: bool, ms: u64) {
            place.served = served;
            self.queue.leave_at(&place, self.at(ms));
            std::mem::forget(place);
        }

        /// Somebody who waits from one time to the other, while others do. Says whether they were hurried.
        fn wait(&self, from: u64, to: u64) -> bool {
            let place = self.come(from);
            let hurries = place.hurries;
            self.go(place, true, to);
            hurries
        }
    }

    #[test]
    fn a_queue_that_stands_hurries_those_who_come() {
        let times = Times::new();
        let (first, second) = (times.come(0), times.come(999));
        assert!(!first.hurries && !second.hurries);
        times.go(first, true, 999);
        let third = times.come(1_000);
        assert!(third.hurries, "nobody was served soon for a second");
        times.go(second, true, 1_100);
        times.go(third, true, 1_100);
        // That it is empty for a moment says little.
        assert!(times.wait(1_101, 1_102));
        // But when nobody has waited for long in a second, a new burst is taken in.
        assert!(times.wait(2_099, 2_100));
        assert!(!times.wait(2_100, 2_110));
        // Where it does not stand, it does: it begins anew.
        let fourth = times.come(2_500);
        times.go(fourth, true, 3_000);
        assert!(!times.wait(3_499, 3_600));
        assert!(!times.wait(3_600, 4_000));
    }

    #[test]
    fn a_queue_that_moves_does_not_stand_however_long_it_is() {
        let times = Times::new();
        let always = times.come(0);
        for ms in (0..5_000).step_by(10) {
            assert!(!times.wait(ms, ms + 49), "{ms}");
        }
        // Who is stopped for less than a second is no queue that stands.
        let stopped = times.come(5_000);
        times.go(stopped, true, 5_900);
        assert!(!times.wait(5_900, 5_920));
        // Who gives up soon shows nothing.
        let gives_up = times.come(6_000);
        times.go(gives_up, false, 6_010);
        assert!(times.come(7_000).hurries);
        times.go(always, true, 7_000);
    }

    #[test]
    fn a_queue_that_stood_moves_again_when_nobody_has_waited_for_long() {
        let times = Times::new();
        let always = times.come(0);
        assert!(times.wait(1_000, 1_090));
        for ms in (1_100..2_080).step_by(10) {
            assert!(times.wait(ms, ms + 20), "{ms}");
        }
        // One for long, and the second begins again.
        assert!(times.wait(2_080, 2_150));
        assert!(times.wait(3_149, 3_150));
        assert!(!times.wait(3_150, 3_170));
        times.go(always, true, 3_180);
    }

    #[test]
    fn who_cannot_be_served_in_time_does_not_wait_where_the_queue_stands() {
        let times = Times::new();
        // Each but the first waits for 300 ms. One comes and goes every 20 ms: five in the time that one may wait.
        let mut waiting: std::collections::VecDeque<_> = (0..15).map(|_| times.come(0)).collect();
        for ms in (20..1_240).step_by(20) {
            times.go(waiting.pop_front().unwrap(), true, ms);
            waiting.extend(times.queue.join_at(times.at(ms)));
        }
        assert_eq!(waiting.len(), 5);
        let full = || times.queue.has_room_at(times.at(1_240));
        assert!(matches!(full(), Err(PoolError::Full(5))), "{:?}", full());
        let before = times.queue.refused.load(Ordering::Relaxed);
        assert!(times.queue.join_at(times.at(1_240)).is_err());
        assert_eq!(times.queue.refused.load(Ordering::Relaxed), before + 1);
        times.go(waiting.pop_front().unwrap(), true, 1_241);
        assert!(times.queue.has_room_at(times.at(1_241)).is_ok());
        for place in waiting {
            times.go(place, true, 1_242);
        }
        // Where nothing is served at all, as many may wait as there are connections.
        let stuck = times.come(3_000);
        let next = times.come(4_100);
        assert!(next.hurries);
        assert!(matches!(
            times.queue.join_at(times.at(4_101)),
            Err(PoolError::Full(2))
        ));
        times.go(next, false, 4_200);
        times.go(stuck, false, 4_201);
    }
}
