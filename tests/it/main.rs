//! The integration tests: one binary, users speaking through the real router on a real Postgres.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::pedantic,
    clippy::disallowed_methods,
    clippy::cognitive_complexity,
    clippy::as_conversions,
    clippy::cloned_ref_to_slice_refs,
    reason = "a test says what is wrong by panicking, and is read once where it fails"
)]

mod administration;
mod architecture;
mod at_once;
mod attachments;
mod attack;
mod authorization;
mod chats;
mod cohorts;
mod compression;
mod contents;
mod cursors;
mod dead_letters;
mod event_cursors;
mod filters;
mod forwards;
mod fuzz;
mod grants;
mod hang_ups;
mod history;
mod hostile;
mod hot_path;
mod http;
mod http2;
mod idempotency;
mod imports;
mod issuers;
mod loaders;
mod mcp;
mod messages;
mod metrics;
mod migrations;
mod multipart;
mod nodes;
mod notifications;
mod operations;
mod origins;
mod outage;
mod overload;
mod paging;
mod participants;
mod permissions;
mod plans;
mod pooler;
mod process;
mod rates;
mod reading;
mod receipts;
mod reconnection;
mod references;
mod replies;
mod revisions;
mod revocation;
mod row_security;
mod scaffold;
mod schema;
mod sends;
mod servers;
mod signals;
mod sinks;
mod slow_clients;
mod snapshots;
mod socketio;
mod sockets;
mod sse;
mod stars;
mod subscription_ends;
mod subscriptions;
mod support;
mod tls;
mod tls_serving;
mod tokens;
mod trail;
mod updates;
mod users;
mod websocket;
mod websocket_bounds;
