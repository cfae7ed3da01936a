//! The queue of those who wait for a connection.
//!
//! A queue without a bound makes everybody late when more is asked than the database can do: each request waits for
//! all before it, its client gives up and asks again, and the work is done for nobody. So two things end it. Only so
//! many may wait. And where nobody's wait has been [`BRIEF`] for a whole [`PoolOptions::standing`], the queue takes up no
//! burst any more but only makes everybody wait: then those who come wait for [`HURRIED`] at most, and who could not be
//! served by then is refused at once. This is the idea of `CoDel` (RFC 8289), with a fixed bound in place of a schedule:
//! that a queue is long says nothing, and that it stays so everything.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::lending::PoolError;
use super::pool::PoolOptions;

/// How long a request waits that comes to a standing queue.
pub(super) const HURRIED: Duration = Duration::from_millis(100);

/// A wait that is shorter shows that the queue moves. It has to be well below [`HURRIED`], or a queue that stands and is
/// kept short by that would seem to move.
const BRIEF: Duration = Duration::from_millis(50);

/// Those who wait.
#[derive(Debug, Default)]
pub(super) struct Queue {
    most: usize,
    connections: usize,
    standing: Duration,
    waiting: AtomicUsize,
    /// How many requests were let in and are not done: they wait, have a connection, or come to one or the other.
    inside: AtomicUsize,
    pace: Mutex<Pace>,
    refused: AtomicU64,
}

/// A request that was let in, until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Entry(Arc<Queue>);

impl Drop for Entry {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::Relaxed);
    }
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
pub(super) struct Place<'a> {
    queue: &'a Queue,
    since: Instant,
    /// Whether the queue was standing when this one came.
    pub(super) hurries: bool,
    /// Whether it came to its turn.
    served: bool,
}

impl Place<'_> {
    /// Says that it came to its turn.
    pub(super) fn was_served(&mut self) {
        self.served = true;
    }
}

impl Queue {
    pub(super) fn new(options: &PoolOptions) -> Self {
        Self {
            most: options.queue,
            connections: options.size,
            standing: options.standing,
            ..Self::default()
        }
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Counts somebody who was not served.
    pub(super) fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether one more may wait beside so many elsewhere.
    pub(super) fn has_room(&self, waiting: usize) -> Result<(), PoolError> {
        if waiting >= self.most {
            self.refuse();
            return Err(PoolError::Full(self.most));
        }
        Ok(())
    }

    pub(super) fn join(&self) -> Result<Place<'_>, PoolError> {
        self.join_at(Instant::now())
    }

    /// Lets a request in that will want a connection, before anything is spent on it.
    pub(super) fn enter(self: &Arc<Self>) -> Result<Entry, PoolError> {
        self.enter_at(Instant::now())
    }

    fn enter_at(self: &Arc<Self>, now: Instant) -> Result<Entry, PoolError> {
        // The usual case takes no lock.
        let inside = self.inside.fetch_add(1, Ordering::Relaxed);
        let entry = Entry(Arc::clone(self));
        if inside >= self.connections {
            let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
            self.room(&mut pace, now, inside - self.connections)?;
        }
        Ok(entry)
    }

    /// Whether one more may wait beside so many.
    fn room(&self, pace: &mut Pace, now: Instant, waiting: usize) -> Result<(), PoolError> {
        pace.go_on(now);
        let most = if pace.stands {
            pace.served_before
                .clamp(self.connections, self.most.max(self.connections))
        } else {
            self.most
        };
        if waiting >= most {
            self.refuse();
            return Err(PoolError::Full(most));
        }
        Ok(())
    }

    fn join_at(&self, now: Instant) -> Result<Place<'_>, PoolError> {
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        pace.look(now, self.standing);
        // The lock is held, so the count and the pace fit each other.
        let waiting = self.waiting.load(Ordering::Relaxed);
        if waiting == 0 {
            // What was served before nobody waited says nothing.
            pace.served = 0;
            pace.counted_from = Some(now);
        }
        self.room(&mut pace, now, waiting)?;
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
        queue: Arc<Queue>,
        begun: Instant,
    }

    impl Times {
        fn new() -> Self {
            Self {
                queue: Arc::new(queue(1000)),
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
        let before = times.queue.refused.load(Ordering::Relaxed);
        assert!(times.queue.join_at(times.at(1_240)).is_err());
        assert_eq!(times.queue.refused.load(Ordering::Relaxed), before + 1);
        times.go(waiting.pop_front().unwrap(), true, 1_241);
        let again = times.come(1_241);
        times.go(again, true, 1_242);
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

    #[test]
    fn who_is_let_in_counts_until_they_are_done() {
        let times = Times::new();
        let enter = |ms| times.queue.enter_at(times.at(ms));
        // Two connections, and a thousand who may wait.
        let mut inside: Vec<_> = (0..1_002).map(|_| enter(0).unwrap()).collect();
        assert!(matches!(enter(0), Err(PoolError::Full(1_000))));
        inside.pop();
        inside.push(enter(0).unwrap());
        // Nobody is served for a second: two connections, and two who may wait.
        let (first, second) = (times.come(0), times.come(1_000));
        assert!(second.hurries);
        inside.truncate(3);
        let fourth = enter(1_000).unwrap();
        assert!(matches!(enter(1_000), Err(PoolError::Full(2))));
        drop(fourth);
        assert!(enter(1_000).is_ok());
        times.go(first, true, 1_001);
        times.go(second, true, 1_002);
    }
}
