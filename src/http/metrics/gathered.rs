//! What the other layers have counted, and what is read when somebody asks.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::gauge::ConstGauge;

use crate::app::{App, Limit};
use crate::graphql::{Cohorts, Followed, Schema};
use crate::http::Connections;

/// How many times a bound of this layer has refused somebody.
#[derive(Debug, Clone, Default)]
pub(super) struct Bounds {
    /// Operations at a time on one WebSocket.
    pub(super) operations: Counter,
    /// Connections of everybody.
    pub(super) open: Counter,
}

/// Reads the other layers whenever the metrics are written.
pub(super) struct Gathered {
    app: Arc<App>,
    cohorts: Option<Arc<Cohorts>>,
    connections: Connections,
    bounds: Bounds,
}

impl fmt::Debug for Gathered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gathered").finish_non_exhaustive()
    }
}

/// Writes metrics one after the other.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.one(name, help, &ConstCounter::new(value))
    }

    fn gauge(&mut self, name: &str, help: &str, value: usize) -> fmt::Result {
        self.one(name, help, &gauge(value))
    }

    fn one(&mut self, name: &str, help: &str, metric: &impl EncodeMetric) -> fmt::Result {
        let ty = metric.metric_type();
        metric.encode(self.0.encode_descriptor(name, help, None, ty)?)
    }

    /// A metric for each value of a label.
    fn each<M: EncodeMetric>(
        &mut self,
        (name, help): (&str, &str),
        label: &'static str,
        metrics: &[(&'static str, M)],
    ) -> fmt::Result {
        let Some((_, first)) = metrics.first() else {
            return Ok(());
        };
        let ty = first.metric_type();
        let mut encoder = self.0.encode_descriptor(name, help, None, ty)?;
        for (value, metric) in metrics {
            metric.encode(encoder.encode_family(&[(label, *value)])?)?;
        }
        Ok(())
    }
}

fn gauge(value: usize) -> ConstGauge<u64> {
    ConstGauge::new(u64::try_from(value).unwrap_or(u64::MAX))
}

impl Collector for Gathered {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        self.store(&mut page)?;
        self.doorbell(&mut page)?;
        self.hub(&mut page)?;
        self.clients(&mut page)?;
        self.deliveries(&mut page)?;
        self.refusals(&mut page)
    }
}

impl Gathered {
    pub(super) fn new(
        app: &Arc<App>,
        schema: &Schema,
        connections: &Connections,
        bounds: Bounds,
    ) -> Self {
        Self {
            app: Arc::clone(app),
            cohorts: schema.data::<Arc<Cohorts>>().cloned(),
            connections: connections.clone(),
            bounds,
        }
    }

    fn store(&self, page: &mut Page<'_>) -> fmt::Result {
        let (pool, store) = (&self.app.pool, self.app.pool.metrics());
        page.each(
            (
                "colloquy_sql_seconds",
                "Times of statements, and of the beginnings and ends of transactions.",
            ),
            "kind",
            &[
                ("statement", &store.statements),
                ("transaction", &store.transactions),
            ]
            .map(|(kind, times)| (kind, times.clone())),
        )?;
        page.one(
            "colloquy_sql_failures",
            "Statements that failed; violated constraints are none.",
            &store.failures,
        )?;
        page.one(
            "colloquy_pool_wait_seconds",
            "Times that connections to the database were waited for.",
            &store.waits,
        )?;
        page.one(
            "colloquy_pool_loan_seconds",
            "Times that connections to the database were lent.",
            &store.loans,
        )?;
        page.one(
            "colloquy_pool_closed",
            "Connections to the database that were closed because they were not fit for another request.",
            &store.closed,
        )?;
        let (open, lent) = pool.open();
        page.each(
            (
                "colloquy_pool_connections",
                "Open connections to the database.",
            ),
            "state",
            &[
                ("idle", gauge(open.saturating_sub(lent))),
                ("lent", gauge(lent)),
            ],
        )?;
        page.gauge(
            "colloquy_pool_size",
            "The most connections to the database.",
            pool.most(),
        )?;
        page.gauge(
            "colloquy_pool_waiting",
            "Requests that wait for a connection to the database.",
            pool.waiting(),
        )
    }

    fn doorbell(&self, page: &mut Page<'_>) -> fmt::Result {
        let (realtime, engine) = (&self.app.realtime, self.app.realtime.metrics());
        page.one(
            "colloquy_doorbell_lag_seconds",
            "Times from a commit's ring to the committed notification; one for each notification.",
            &engine.doorbell_lag,
        )?;
        page.one(
            "colloquy_doorbell_rings",
            "Times that the doorbell was rung.",
            &engine.doorbell_rings,
        )?;
        page.one(
            "colloquy_doorbell_failures",
            "Notifications that were given up, and left to the sweeps.",
            &engine.doorbell_failures,
        )?;
        if let Some(live) = realtime.listener_is_live() {
            page.gauge(
                "colloquy_listener_up",
                "Whether the listener hears the other servers.",
                usize::from(live),
            )?;
        }
        page.one(
            "colloquy_listener_losses",
            "Times that the listener lost its connection or got none.",
            &engine.listener_losses,
        )?;
        page.one("colloquy_sweeps", "Sweeps.", &engine.sweeps)?;
        page.one(
            "colloquy_sweep_failures",
            "Sweeps that could not read the database.",
            &engine.sweep_failures,
        )?;
        page.counter(
            "colloquy_sweep_repairs",
            "Chats in which the sweep found what no hint had told.",
            realtime.repairs(),
        )
    }

    fn hub(&self, page: &mut Page<'_>) -> fmt::Result {
        let size = self.app.realtime.hub_size();
        page.gauge(
            "colloquy_hub_chats",
            "Chats that somebody follows on this server.",
            size.chats,
        )?;
        page.each(
            (
                "colloquy_hub_subscribers",
                "Readers of one chat's events, and of all chats of a person.",
            ),
            "stream",
            &[
                (Followed::ChatEvents.name(), gauge(size.watchers)),
                (Followed::ChatUpdates.name(), gauge(size.feeds)),
            ],
        )?;
        page.gauge(
            "colloquy_hub_events",
            "Events that are kept in memory.",
            size.events,
        )
    }

    fn clients(&self, page: &mut Page<'_>) -> fmt::Result {
        if let Some(cohorts) = &self.cohorts {
            let delivered = |followed: Followed| ConstCounter::new(cohorts.deliveries(followed));
            page.each(
                (
                    "colloquy_deliveries",
                    "Answers of subscriptions that were given to their connections.",
                ),
                "stream",
                &Followed::ALL.map(|followed| (followed.name(), delivered(followed))),
            )?;
            page.counter(
                "colloquy_event_executions",
                "Events that were executed for subscriptions; one serves many subscribers.",
                cohorts.executions(),
            )?;
        }
        page.gauge(
            "colloquy_connections",
            "WebSockets and streams over HTTP of users.",
            self.connections.open(),
        )?;
        page.gauge(
            "colloquy_subscriptions",
            "Subscriptions of users.",
            self.connections.subscriptions(),
        )
    }

    fn deliveries(&self, page: &mut Page<'_>) -> fmt::Result {
        let measured = self.app.deliveries.metrics();
        page.one(
            "colloquy_sink_deliveries",
            "Tries to deliver to sinks, by kind of sink and result.",
            &measured.tries,
        )?;
        page.one(
            "colloquy_sink_passed_over",
            "Events of which nobody was notified, because it could not be found out who was to be.",
            &measured.passed_over,
        )?;
        page.one(
            "colloquy_sink_lag_seconds",
            "Times from an event until a sink had taken it.",
            &measured.lags,
        )?;
        let count =
            |value: &AtomicI64| gauge(usize::try_from(value.load(Ordering::Relaxed)).unwrap_or(0));
        page.each(
            (
                "colloquy_sink_waiting",
                "What is to be delivered, in the database: as it was last counted, up to 100000.",
            ),
            "state",
            &[
                ("outbox", count(&measured.entries)),
                ("delivery", count(&measured.deliveries)),
                ("dead", count(&measured.dead)),
            ],
        )?;
        let seconds = |age: &AtomicI64| {
            let age =
                Duration::from_millis(u64::try_from(age.load(Ordering::Relaxed)).unwrap_or(0));
            ConstGauge::new(age.as_secs_f64())
        };
        page.each(
            (
                "colloquy_sink_oldest_seconds",
                "The age of the oldest that is to be delivered, as it was last looked at.",
            ),
            "state",
            &[
                ("outbox", seconds(&measured.entries_age)),
                ("delivery", seconds(&measured.deliveries_age)),
            ],
        )
    }

    fn refusals(&self, page: &mut Page<'_>) -> fmt::Result {
        let rates = Limit::ALL.map(|limit| (limit.name(), self.app.rates.refusals(limit)));
        let (connections, subscriptions) = self.connections.refusals();
        let others = [
            ("connections", connections),
            ("subscriptions", subscriptions),
            ("operations", self.bounds.operations.get()),
            ("open", self.bounds.open.get()),
            ("pool", self.app.pool.refused()),
        ];
        let all = rates.into_iter().chain(others);
        let all: Vec<_> = all
            .map(|(limit, count)| (limit, ConstCounter::new(count)))
            .collect();
        page.each(
            (
                "colloquy_refusals",
                "Times that a limit has refused somebody.",
            ),
            "limit",
            &all,
        )
    }
}
