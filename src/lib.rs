//! Colloquy: a GraphQL chat server beside one Postgres.
//!
//! The modules are layers. What stands left may be imported by what stands right, never the other way:
//!
//! ```text
//! sabotage, schema, outgoing ← model ← store, blobs ← realtime ← sinks ← app ← graphql ← scaffold ← mcp ← http ← main
//!                      config, telemetry, embedded, development ← main only
//! ```
//!
//! A noun (chat, participant, message, user) has one file of its name in each layer. `docs/architecture.md`
//! says what each layer owns; `tests/it/architecture.rs` holds it to that.

pub mod app;
pub mod blobs;
pub mod config;
pub mod development;
pub mod embedded;
#[cfg(test)]
mod fuzz;
pub mod graphql;
pub mod http;
pub mod mcp;
pub mod model;
pub mod outgoing;
pub mod realtime;
pub mod sabotage;
pub mod scaffold;
pub mod sinks;
pub mod store;
pub mod telemetry;

#[expect(
    clippy::doc_markdown,
    reason = "generated from the database's comments"
)]
mod schema;
