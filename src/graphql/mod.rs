//! The GraphQL schema: types, resolvers, loaders, error mapping.
//!
//! A resolver decodes ids, calls [`crate::app`] and wraps what comes back. It never names the store, diesel
//! or axum. The doc comments of what is exposed are the schema's descriptions, so they speak to its users.

mod chat;
mod connection;
mod context;
mod error;
mod event;
mod execute;
mod loaders;
mod message;
mod node;
mod participant;
mod payload;
mod root;
mod scalar;
mod signal;
mod update;
mod user;

pub use context::RequestContext;
pub use error::{classify, refusal_response};
pub use execute::{execute, execute_stream};
pub use root::{Schema, operation_type, schema, sdl};
