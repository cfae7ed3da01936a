//! What is measured of deliveries.

use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, Utc};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

use crate::model::{FailureKind, SinkKind};
use crate::store::outbox::Depth;

/// The bounds of the times from an event to its delivery, in seconds.
const SECONDS: [f64; 12] = [
    0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 600.0, 3600.0,
];

/// What is measured of the deliveries that this server makes, and of those that wait for any.
#[derive(Debug)]
pub struct DeliveryMetrics {
    /// What came of tries, by kind of sink.
    pub tries: Family<[(&'static str, &'static str); 2], Counter>,
    /// Events of which nobody was notified, because it could not be found out who was to be.
    pub passed_over: Counter,
    /// How long it was from an event to when a sink had taken it.
    pub lags: Histogram,
    /// The entries of the outbox, as they were last counted.
    pub entries: AtomicI64,
    /// The age of the oldest of them, in milliseconds.
    pub entries_age: AtomicI64,
    /// The deliveries that wait.
    pub deliveries: AtomicI64,
    /// The age of the oldest of them, in milliseconds.
    pub deliveries_age: AtomicI64,
    /// What was given up and is kept.
    pub dead: AtomicI64,
}

impl Default for DeliveryMetrics {
    fn default() -> Self {
        Self {
            tries: Family::default(),
            passed_over: Counter::default(),
            lags: Histogram::new(SECONDS),
            entries: AtomicI64::default(),
            entries_age: AtomicI64::default(),
            deliveries: AtomicI64::default(),
            deliveries_age: AtomicI64::default(),
            dead: AtomicI64::default(),
        }
    }
}

/// The same, for who measures.
#[derive(Debug, Default)]
pub(super) struct Measured(DeliveryMetrics);

impl Measured {
    pub(super) fn shown(&self) -> &DeliveryMetrics {
        &self.0
    }

    fn count(&self, kind: SinkKind, result: &'static str) {
        let labels = [("kind", kind.name()), ("result", result)];
        self.0.tries.get_or_create_owned(&labels).inc();
    }

    /// Something was delivered that happened at `at`.
    pub(super) fn delivered(&self, kind: SinkKind, at: DateTime<Utc>, now: DateTime<Utc>) {
        self.count(kind, "delivered");
        let lag = (now - at).to_std().unwrap_or_default();
        self.0.lags.observe(lag.as_secs_f64());
    }

    /// There was nothing to deliver any more.
    pub(super) fn skipped(&self, kind: SinkKind) {
        self.count(kind, "skipped");
    }

    pub(super) fn failed(&self, kind: SinkKind, failure: FailureKind) {
        self.count(kind, failure.name());
    }

    pub(super) fn passed_over(&self) {
        self.0.passed_over.inc();
    }

    pub(super) fn given_up(&self, kind: SinkKind, count: usize) {
        let labels = [("kind", kind.name()), ("result", "given_up")];
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.0.tries.get_or_create_owned(&labels).inc_by(count);
    }

    /// What was counted of all that waits.
    pub(super) fn wait(&self, depth: Depth, now: DateTime<Utc>) {
        let age = |oldest: Option<DateTime<Utc>>| {
            oldest.map_or(0, |oldest| (now - oldest).num_milliseconds().max(0))
        };
        let set = |gauge: &AtomicI64, value| gauge.store(value, Ordering::Relaxed);
        set(&self.0.entries, depth.entries);
        set(&self.0.entries_age, age(depth.oldest));
        set(&self.0.deliveries, depth.deliveries);
        set(&self.0.deliveries_age, age(depth.oldest_delivery));
        set(&self.0.dead, depth.dead);
    }
}
