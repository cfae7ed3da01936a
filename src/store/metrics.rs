//! What the store measures: the time of statements, and of waiting for connections and holding them.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use diesel::QueryResult;
use diesel::result::{DatabaseErrorKind, Error};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;

/// The bounds of all times, in seconds: from a statement that finds everything in memory to one that the database
/// ends.
const SECONDS: [f64; 15] = [
    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0,
];

/// What is measured of a pool and its connections. Connections that are not of the pool are not measured.
#[derive(Debug)]
pub struct StoreMetrics {
    /// How long statements took, in seconds: from when one is asked for until its answer has come whole.
    pub statements: Histogram,
    /// The same of what begins and ends transactions, of which the commit waits for the disk.
    pub transactions: Histogram,
    /// How many statements and transactions failed. Violated constraints are answers, and not among them.
    pub failures: Counter,
    /// How long connections were waited for, in seconds, also where none was lent.
    pub waits: Histogram,
    /// How long connections were lent, in seconds.
    pub loans: Histogram,
    /// How many connections came back unfit for another loan and were closed: gone, or left amid what takes too long.
    pub closed: Counter,
}

impl Default for StoreMetrics {
    fn default() -> Self {
        let seconds = || Histogram::new(SECONDS);
        Self {
            statements: seconds(),
            transactions: seconds(),
            failures: Counter::default(),
            waits: seconds(),
            loans: seconds(),
            closed: Counter::default(),
        }
    }
}

impl StoreMetrics {
    pub(super) fn of_statement<T>(&self, took: Duration, answer: &QueryResult<T>) {
        self.statements.observe(took.as_secs_f64());
        self.note(answer);
    }

    pub(super) fn of_transaction<T>(&self, took: Duration, answer: &QueryResult<T>) {
        self.transactions.observe(took.as_secs_f64());
        self.note(answer);
    }

    fn note<T>(&self, answer: &QueryResult<T>) {
        if answer.as_ref().is_err_and(is_failure) {
            self.failures.inc();
        }
    }
}

/// Whether an error is no answer of a sound database: a violated constraint is one.
fn is_failure(error: &Error) -> bool {
    use DatabaseErrorKind as K;
    !matches!(
        error,
        Error::DatabaseError(
            K::UniqueViolation
                | K::ForeignKeyViolation
                | K::NotNullViolation
                | K::CheckViolation
                | K::ExclusionViolation,
            _
        )
    )
}

/// A statement under way. It is measured when its answer has come; one that nobody waits for any more is not. The
/// future is wrapped in place, so that measuring allocates nothing.
#[derive(Debug)]
pub struct Timed<'a, F> {
    statement: F,
    begun: Instant,
    busy: &'a AtomicBool,
    metrics: Option<&'a StoreMetrics>,
}

impl<'a, F> Timed<'a, F> {
    /// The connection is `busy` until the answer is there, also if nobody waits for it any more.
    pub(super) fn new(
        statement: F,
        busy: &'a AtomicBool,
        metrics: Option<&'a StoreMetrics>,
    ) -> Self {
        busy.store(true, Ordering::Relaxed);
        Self {
            statement,
            begun: Instant::now(),
            busy,
            metrics,
        }
    }
}

impl<T, F: Future<Output = QueryResult<T>> + Unpin> Future for Timed<'_, F> {
    type Output = QueryResult<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.statement).poll(cx));
        self.busy.store(false, Ordering::Relaxed);
        if let Some(metrics) = self.metrics {
            metrics.of_statement(self.begun.elapsed(), &answer);
        }
        Poll::Ready(answer)
    }
}
