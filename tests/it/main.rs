//! The integration tests: one binary, users speaking through the real router on a real Postgres.

mod architecture;
mod cursors;
mod hot_path;
mod http;
mod loaders;
mod messages;
mod process;
mod migrations;
mod paging;
mod schema;
mod support;
mod tls;
