//! The integration tests: one binary, users speaking through the real router on a real Postgres.

mod architecture;
mod messages;
mod process;
mod support;
