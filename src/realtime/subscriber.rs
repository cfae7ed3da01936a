//! Subscribers: each holds a cursor, never a queue.

use std::sync::Arc;

use tokio::sync::watch;
use uuid::Uuid;

use super::hub::{Hub, Tail};
use super::log::View;
use super::replays::Replays;
use super::{BackOff, Ended};
use crate::model::{ChatId, Event, TenantId};
use crate::store::events::LogRange;

/// How many events are handed over at once.
const HANDFUL: usize = 64;

/// Events that follow each other in a chat's log, as they read at one moment.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The events, in order, without a gap.
    pub events: Vec<Arc<Event>>,
    /// Which moment it is.
    pub moment: Moment,
}

/// The moment at which events were read: an event reads the same in two batches of one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Moment {
    /// While this entry was the newest that may have changed what older ones show.
    Changed(i64),
    /// In this read of the database.
    Replay(u64),
}

/// Interest in a chat's log, registered before its head is read.
#[derive(Debug)]
pub struct Watch {
    hub: Arc<Hub>,
    replays: Replays,
    tenant: TenantId,
    chat: ChatId,
    wake: watch::Receiver<()>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.hub.unwatch(self.chat);
    }
}

impl Watch {
    pub(super) fn new(hub: Arc<Hub>, replays: Replays, tenant: &TenantId, chat: ChatId) -> Self {
        Self {
            wake: hub.watch(tenant, chat),
            replays,
            tenant: tenant.clone(),
            chat,
            hub,
        }
    }

    /// Begins behind the entry `after`. `head` is the chat's newest entry and `epoch` the life of the logs,
    /// read since the watch was made.
    #[must_use]
    pub fn start(self, head: i64, epoch: Uuid, after: i64) -> Subscriber {
        self.hub.begin(&self.tenant, self.chat, head, epoch);
        Subscriber {
            cursor: after,
            epoch,
            watch: self,
        }
    }
}

/// A reader of a chat's log.
#[derive(Debug)]
pub struct Subscriber {
    watch: Watch,
    cursor: i64,
    epoch: Uuid,
}

impl Subscriber {
    /// The entry behind which the next ones come.
    #[must_use]
    pub fn cursor(&self) -> i64 {
        self.cursor
    }

    /// The chat.
    #[must_use]
    pub fn chat_id(&self) -> ChatId {
        self.watch.chat
    }

    /// The life of the logs in which the reader began.
    #[must_use]
    pub fn epoch(&self) -> Uuid {
        self.epoch
    }

    /// The next events: the entry behind the cursor, the one behind that, and so on; one at least. Waits
    /// until there is one, and while the database is away. Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// [`Ended`] when the engine stops, and when the logs begin another life.
    pub async fn next(&mut self) -> Result<Batch, Ended> {
        let batch = loop {
            // Seen before the look: what is appended after it wakes the wait below.
            self.watch.wake.borrow_and_update();
            let (chat, hub) = (self.watch.chat, &self.watch.hub);
            match hub.tail(chat, self.epoch, self.cursor, HANDFUL) {
                Tail::Expired => return Err(Ended::Expired),
                Tail::Of(View::Entries(events, changed)) => {
                    let moment = Moment::Changed(changed);
                    break Batch { events, moment };
                }
                // Boxed, for it is rare, and what waits for the next entry should be small.
                Tail::Of(View::TooOld) => break Box::pin(self.replay()).await?,
                Tail::Of(View::Nothing) => self.wait().await?,
            }
        };
        if let Some(last) = batch.events.last() {
            self.cursor = last.seq;
        }
        Ok(batch)
    }

    async fn wait(&mut self) -> Result<(), Ended> {
        tokio::select! {
            biased;
            () = self.watch.hub.shutdown.cancelled() => Err(Ended::Stopping),
            // The tail lives as long as this watch, so its end is no case.
            _ = self.watch.wake.changed() => Ok(()),
        }
    }

    /// Reads the next entries from the log itself, together with others who fell behind.
    async fn replay(&self) -> Result<Batch, Ended> {
        let mut back_off = BackOff::new(self.watch.hub.options.back_off);
        let read = async {
            loop {
                let range = LogRange {
                    tenant: self.watch.tenant.clone(),
                    chat_id: self.watch.chat,
                    after: self.cursor,
                };
                match self.watch.replays.read(range).await {
                    Some(batch) if !batch.events.is_empty() => return batch,
                    Some(_) => {
                        let (chat, after) = (self.watch.chat, self.cursor);
                        tracing::error!(%chat, after, "the log has a gap");
                    }
                    None => {}
                }
                back_off.wait().await;
            }
        };
        tokio::select! {
            biased;
            () = self.watch.hub.shutdown.cancelled() => Err(Ended::Stopping),
            batch = read => Ok(batch),
        }
    }
}
