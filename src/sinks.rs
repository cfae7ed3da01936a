//! Sinks: how what is delivered leaves the server. Each kind is a file of its own behind one trait.
//!
//! Nothing here knows the database. What is to be sent comes as a [`Parcel`], and what came of it goes back as a
//! [`Failure`] or as nothing: retries, order and bookkeeping are `app::deliveries`'.

mod file;
mod pubnub;
mod smtp;
mod template;
mod webhook;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

pub use file::SinksError;

use crate::model::{ChatId, Failure, RegisteredSink, SinkId, SinkKind, UserId};

/// Something to deliver. It has the same id whenever and by whomever it is tried.
#[derive(Debug, Clone)]
pub struct Parcel {
    /// The id, by which a receiver knows what it has already.
    pub id: String,
    /// What it tells of, such as `message.sent`.
    pub kind: &'static str,
    /// When that happened.
    pub at: DateTime<Utc>,
    /// The chat.
    pub chat_id: ChatId,
    /// Whom it is for; `None` where it is for the application.
    pub recipient: Option<UserId>,
    /// What there is to say.
    pub data: Value,
}

impl Parcel {
    /// The parcel as JSON, with the members that Standard Webhooks names.
    #[must_use]
    pub fn json(&self) -> Bytes {
        let timestamp = self.at.to_rfc3339_opts(SecondsFormat::Millis, true);
        let whole = json!({ "type": self.kind, "timestamp": timestamp, "data": self.data });
        whole.to_string().into()
    }
}

/// Where parcels are sent to.
pub trait Sink: fmt::Debug + Send + Sync {
    /// Sends a parcel, once. Returns when the sink has taken it; the caller bounds the time.
    fn send<'a>(
        &'a self,
        parcel: &'a Parcel,
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<(), Failure>>;

    /// How long it may take for that, where it is more than others.
    fn within(&self) -> Option<Duration> {
        None
    }
}

/// A sink of the operator's file.
#[derive(Debug, Clone)]
pub struct Configured {
    /// What the database is told of it.
    pub registered: RegisteredSink,
    /// How many deliveries to it there may be at a time from one server.
    pub at_once: u16,
    /// The sink itself.
    pub sink: Arc<dyn Sink>,
}

/// All sinks of a server.
#[derive(Debug, Clone, Default)]
pub struct Sinks(HashMap<SinkId, Configured>);

impl Sinks {
    /// The sinks, by tenant and name.
    pub fn all(&self) -> impl Iterator<Item = &Configured> {
        self.0.values()
    }

    /// A sink, if this server has it.
    #[must_use]
    pub fn get(&self, id: &SinkId) -> Option<&Configured> {
        self.0.get(id)
    }

    /// The kind of a sink, if this server has it.
    #[must_use]
    pub fn kind(&self, id: &SinkId) -> Option<SinkKind> {
        Some(self.get(id)?.registered.kind)
    }
}
