//! One method an operation: check, write, ring.
//!
//! This layer owns transactions, access, the clock and limits. It knows neither GraphQL nor HTTP. Methods
//! are named noun first (`chat_rename`, `message_send`), so that a search for the noun lists them.

mod access;
mod actor;
mod attachments;
mod audit_entries;
mod bearers;
mod chats;
mod clock;
mod dead_letters;
mod deliveries;
mod error;
mod events;
mod forwards;
mod imports;
mod messages;
mod notification_settings;
mod of_chats;
mod participants;
mod permissions;
mod rates;
mod receipts;
mod references;
mod revocations;
mod sends;
mod signals;
mod stars;
mod token;
mod trail;
mod updates;
mod users;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

pub use actor::{Actor, Session};
pub use attachments::{
    AttachmentRules, Attachments, Download, FILE_SIZE_MAX, NewUpload, Received, Refused, Upload,
};
pub use audit_entries::Administration;
pub use bearers::Bearers;
pub use chats::NewGroup;
pub use clock::{Clock, IdMaker};
pub use deliveries::{Deliveries, DeliveryMetrics, DeliveryOptions};
pub use error::Error;
pub use events::{ChatEvents, EventBatch};
pub use forwards::{ForwardMessages, no_such_chat, no_such_message};
pub use imports::{Import, ImportError, ImportPlan};
pub use messages::{EditMessage, ListedChat, Patch, SendMessage};
pub use notification_settings::ChangeNotificationSettings;
pub use permissions::{Coarse, Permissions};
pub use rates::{Limit, Network, Rate, RateLimited, RateLimits, Rates};
pub use receipts::ReceiptPage;
pub use revocations::RevokeTokens;
pub use sends::Sends;
pub use signals::{ChatSignals, Delivery};
pub use token::{
    AddressError, Claims, KeyAddress, KeySource, Mapping, Name, Pointer, PointerError, Refresher,
    RootsError, Rules, SourceError, Times, TokenError, Tokens, is_private,
};
pub use updates::{ChatUpdate, ChatUpdateKind, ChatUpdates};

use crate::model::{Message, Refusal};
use crate::realtime::Realtime;
use crate::sinks::Sinks;
pub use crate::store::Entry;
use crate::store::{self, Pool, PooledConnection};

/// The most ids one call may name.
pub const IDS_MAX: usize = 100;

/// What an installation can set.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The most participants a group may have.
    pub participants_max: u32,
    /// For how long after it was sent a message may be edited; `None` for ever.
    pub edit_window: Option<Duration>,
    /// For how long it is kept when marks moved.
    pub receipt_retention: Duration,
    /// How often anybody may ask; `None` where no rate is limited.
    pub rates: Option<RateLimits>,
}

impl Limits {
    /// Refuses to edit a message that is too old.
    fn refuse_late_edit(&self, message: &Message, now: DateTime<Utc>) -> Result<(), Refusal> {
        let Some(window) = self.edit_window else {
            return Ok(());
        };
        let age = now.signed_duration_since(message.created_at);
        if age.to_std().is_ok_and(|age| age > window) {
            let text = humantime::format_duration(window);
            let why = format!("A message can be edited for {text} after it was sent.");
            return Err(Refusal::conflict(why).at("messageId"));
        }
        Ok(())
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            participants_max: 10_000,
            edit_window: None,
            receipt_retention: Duration::from_hours(24 * 90),
            rates: Some(RateLimits::default()),
        }
    }
}

/// The parts of the application, built once and shared.
pub struct App {
    /// Connections to the database.
    pub pool: Pool,
    /// The doorbell and the hub.
    pub realtime: Realtime,
    /// Writes messages.
    pub sends: Sends,
    /// Delivers what was written to sinks.
    pub deliveries: Deliveries,
    /// The time.
    pub clock: Clock,
    /// New ids.
    pub ids: IdMaker,
    /// Reads and makes tokens.
    pub tokens: Tokens,
    /// Whose token has been seen already.
    pub bearers: Bearers,
    /// How often everybody has asked.
    pub rates: Rates,
    /// What an installation can set.
    pub limits: Limits,
    /// What tokens permit.
    pub permissions: Permissions,
    /// Where attachments are kept; nowhere, if nobody has set that.
    pub attachments: Option<Attachments>,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("pool", &self.pool)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// The application as everyone holds it.
pub type SharedApp = Arc<App>;

impl App {
    /// Puts the parts together.
    #[must_use]
    pub fn new(pool: Pool, realtime: Realtime, tokens: Tokens, limits: Limits) -> Self {
        let (sinks, options) = (Sinks::default(), DeliveryOptions::default());
        Self {
            sends: Sends::new(pool.clone(), realtime.clone(), Clock),
            deliveries: Deliveries::new(pool.clone(), realtime.clone(), sinks, options),
            pool,
            realtime,
            clock: Clock,
            ids: IdMaker,
            tokens,
            bearers: Bearers::default(),
            rates: Rates::new(limits.rates),
            limits,
            permissions: Permissions::default(),
            attachments: None,
        }
    }

    /// The same with a place for attachments.
    #[must_use]
    pub fn with_attachments(self, attachments: Option<Attachments>) -> Self {
        Self {
            attachments,
            ..self
        }
    }

    /// The same with other rules of what tokens permit.
    #[must_use]
    pub fn with_permissions(self, permissions: Permissions) -> Self {
        Self {
            permissions,
            ..self
        }
    }

    /// The same with sinks to deliver to. They are still to be registered, and delivered to.
    #[must_use]
    pub fn with_sinks(self, sinks: Sinks, options: DeliveryOptions) -> Self {
        let (pool, realtime) = (self.pool.clone(), self.realtime.clone());
        Self {
            deliveries: Deliveries::new(pool, realtime, sinks, options),
            ..self
        }
    }

    /// Borrows a connection in its turn for work about the actor's tenant, of which alone it sees the rows where row
    /// level security has a role for that. Refused as [`App::connection`] is.
    pub(crate) async fn connection_for(&self, actor: &Actor) -> Result<PooledConnection, Error> {
        Ok(self.pool.get_in_turn_for(&actor.tenant).await?)
    }

    /// Borrows a connection in its turn that sees all tenants' rows: for what is not about one of them. Refused as
    /// unavailable where none comes free in time, or at once where too many wait.
    pub(crate) async fn connection(&self) -> Result<PooledConnection, Error> {
        Ok(self.pool.get_in_turn().await?)
    }

    /// Lets a request in, until the entry is dropped. Refused is what the database has no time for, before anything is
    /// spent on it.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`].
    pub fn enter(&self) -> Result<Entry, Error> {
        Ok(self.pool.enter()?)
    }

    /// The epoch that every event cursor of this database carries.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] and [`Error::Internal`].
    pub async fn epoch(&self) -> Result<Uuid, Error> {
        if let Some(epoch) = self.realtime.epoch() {
            return Ok(epoch);
        }
        let mut conn = self.connection().await?;
        let epoch = store::events::current_epoch(&mut conn).await?;
        self.realtime.observe_epoch(epoch);
        Ok(epoch)
    }

    /// Whether the database answers.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] and [`Error::Internal`].
    pub async fn ping(&self) -> Result<(), Error> {
        // A server that has much to do is not away: it is not to be taken out of service for that.
        let mut conn = self.pool.get().await?;
        store::events::current_epoch(&mut conn).await?;
        Ok(())
    }
}
