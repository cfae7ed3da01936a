//! The GraphQL schema: types, resolvers, loaders, error mapping.
//!
//! A resolver decodes ids, calls [`crate::app`] and wraps what comes back. It never names the store, diesel
//! or axum. The doc comments of what is exposed are the schema's descriptions, so they speak to its users.

mod answer;
mod at_once;
mod attachment;
mod attachment_download;
mod chat;
mod cohort;
mod connection;
mod context;
mod dead_letter;
mod document;
mod error;
mod event;
mod execute;
mod feed;
mod filter;
mod forward;
mod loaders;
mod message;
mod node;
mod notification;
mod participant;
mod payload;
mod receipt;
mod reference;
mod revision;
mod revocation;
mod root;
mod scalar;
mod selection;
mod signal;
mod star;
mod subscribe;
mod trail;
mod update;
mod user;

pub use answer::{Answer, was_refused};
pub use cohort::Cohorts;
pub use context::RequestContext;
pub use document::{DocumentLimits, Fault, Prepared, Rejected, prepare};
pub use error::{classify, code, code_of_response, refusal_as, refusal_response};
pub use execute::execute;
pub use feed::Followed;
pub use root::{Mutation, Query, Schema, SchemaOptions, Subscription, schema, schema_builder, sdl};
pub use subscribe::subscribe;
