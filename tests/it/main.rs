//! The integration tests: one binary, users speaking through the real router on a real Postgres.

mod architecture;
mod authorization;
mod chats;
mod idempotency;
mod messages;
mod nodes;
mod participants;
mod permissions;
mod reading;
mod support;
mod tokens;
mod users;
