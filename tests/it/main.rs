//! The integration tests: one binary, users speaking through the real router on a real Postgres.

mod architecture;
mod event_cursors;
mod messages;
mod outage;
mod servers;
mod subscription_ends;
mod subscriptions;
mod support;
mod updates;
mod websocket;
