//! Every line of SQL and every diesel query.
//!
//! A function takes the connection and returns `QueryResult`. It opens no transaction, checks no permission
//! and reads no clock: those are `app`'s. No function that serves a user takes an id without the tenant it
//! must belong to; `chats::heads`, `revocations::behind` and `signals` serve the engine.
//!
//! What is hot is a [`statement::hot`] statement: SQL of its own with a static query id, prepared once a
//! connection. Everything else is diesel's query DSL, whose `SELECT`s are cached likewise and whose writes
//! are parsed on each call. Behind a proxy of transactions nothing is kept: see [`PoolMode`].

pub mod attachment_downloads;
pub mod attachments;
pub mod audit_entries;
pub mod chats;
mod connection;
pub mod constraint;
pub mod databases;
pub mod dead_letters;
pub mod deliveries;
pub mod doorbell;
pub mod events;
pub mod imports;
mod lending;
pub mod marks;
pub mod message_attachments;
pub mod messages;
mod metrics;
pub mod migrations;
pub mod notices;
pub mod notification_settings;
pub mod outbox;
pub mod participants;
mod pool;
pub mod presences;
mod queue;
pub mod receipts;
pub mod revocations;
pub mod row_security;
pub mod signals;
pub mod sinks;
pub mod stars;
mod statement;
mod tls;
pub mod trail;
pub mod users;

pub use connection::{Connection, Field, Row, Scope};
pub use lending::{Pool, PoolError, PooledConnection};
pub use metrics::StoreMetrics;
pub use pool::{Database, DatabaseError, PoolMode, PoolOptions};
pub use queue::Entry;
pub use row_security::{RoleName, RoleNameError, RowSecurityError};
