//! The integration tests: one binary, users speaking through the real router on a real Postgres.

mod architecture;
mod authorization;
mod chats;
mod cursors;
mod hot_path;
mod http;
mod idempotency;
mod loaders;
mod messages;
mod migrations;
mod nodes;
mod paging;
mod participants;
mod permissions;
mod process;
mod reading;
mod schema;
mod support;
mod tls;
mod tokens;
mod users;
