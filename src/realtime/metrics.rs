//! What the engine measures.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;

/// The bounds of the doorbell's lag, in seconds: it rests for a few milliseconds between two notifications, and gives
/// up after twice its patience.
const LAG_SECONDS: [f64; 13] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

/// What is measured of the engine.
#[derive(Debug)]
pub struct RealtimeMetrics {
    /// How long the oldest hint of each notification waited, in seconds: from its ring until the database had
    /// committed the notification.
    pub doorbell_lag: Histogram,
    /// How many times the doorbell was rung, by whatever there was to tell.
    pub doorbell_rings: Counter,
    /// How many times what was rung for could not be told, after a second try, and was left to the sweeps.
    pub doorbell_failures: Counter,
    /// How many times the listener lost its connection, or could not make one.
    pub listener_losses: Counter,
    /// How many times the sweep compared everything.
    pub sweeps: Counter,
    /// How many times it could not.
    pub sweep_failures: Counter,
}

impl Default for RealtimeMetrics {
    fn default() -> Self {
        Self {
            doorbell_lag: Histogram::new(LAG_SECONDS),
            doorbell_rings: Counter::default(),
            doorbell_failures: Counter::default(),
            listener_losses: Counter::default(),
            sweeps: Counter::default(),
            sweep_failures: Counter::default(),
        }
    }
}

/// How large the hub is at the moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HubSize {
    /// The chats that somebody follows.
    pub chats: usize,
    /// Who follows the events of one chat.
    pub watchers: usize,
    /// Who follows all of their chats.
    pub feeds: usize,
    /// The events that are kept in memory.
    pub events: usize,
}
