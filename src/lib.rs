//! Colloquy: a GraphQL chat server beside one Postgres.

pub mod model;
pub mod store;

mod schema;
