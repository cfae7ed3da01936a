//! Subscribers: each holds a cursor, never a queue.

use std::sync::Arc;

use tokio::sync::watch;

use super::hub::Hub;
use super::tail::View;
use super::{BackOff, Closed};
use crate::model::{ChatId, Event, TenantId};
use crate::store::events::LogRange;

/// How many events are handed over at once.
const HANDFUL: usize = 64;

/// Interest in a chat's log, registered before its head is read.
#[derive(Debug)]
pub struct Watch {
    hub: Arc<Hub>,
    tenant: TenantId,
    chat: ChatId,
    wake: watch::Receiver<i64>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.hub.unwatch(self.chat);
    }
}

impl Watch {
    pub(super) fn new(hub: Arc<Hub>, tenant: &TenantId, chat: ChatId) -> Self {
        Self {
            wake: hub.watch(tenant, chat),
            tenant: tenant.clone(),
            chat,
            hub,
        }
    }

    /// Begins behind the entry `after`. `head` is the chat's newest entry, read since the watch was made.
    #[must_use]
    pub fn start(self, head: i64, after: i64) -> Subscriber {
        self.hub.begin(&self.tenant, self.chat, head);
        Subscriber {
            back_off: BackOff::new(self.hub.options.back_off),
            cursor: after,
            watch: self,
        }
    }
}

/// A reader of a chat's log.
#[derive(Debug)]
pub struct Subscriber {
    watch: Watch,
    cursor: i64,
    back_off: BackOff,
}

impl Subscriber {
    /// The entry behind which the next ones come.
    #[must_use]
    pub fn cursor(&self) -> i64 {
        self.cursor
    }

    /// The next events: the entry behind the cursor, the one behind that, and so on; one at least. Waits
    /// until there is one, and while the database is away. Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// [`Closed`] when the engine stops.
    pub async fn next(&mut self) -> Result<Vec<Arc<Event>>, Closed> {
        let shutdown = self.watch.hub.shutdown.clone();
        let events = tokio::select! {
            biased;
            () = shutdown.cancelled() => return Err(Closed),
            events = self.wait() => events,
        };
        if let Some(last) = events.last() {
            self.cursor = last.seq;
        }
        Ok(events)
    }

    async fn wait(&mut self) -> Vec<Arc<Event>> {
        loop {
            // Seen before the look: what is appended after it wakes the wait below.
            self.watch.wake.borrow_and_update();
            match self.watch.hub.view(self.watch.chat, self.cursor, HANDFUL) {
                View::Events(events) => return events,
                View::TooOld => {
                    if let Some(events) = self.replay().await {
                        return events;
                    }
                }
                View::Nothing => {
                    // The tail lives as long as this watch, so its end is no case.
                    self.watch.wake.changed().await.ok();
                }
            }
        }
    }

    /// Reads the next entries from the log itself; `None` where that has to be tried again.
    async fn replay(&mut self) -> Option<Vec<Arc<Event>>> {
        let range = LogRange {
            tenant: self.watch.tenant.clone(),
            chat_id: self.watch.chat,
            after: self.cursor,
        };
        let events = match self.watch.hub.read(&[range]).await {
            Ok(events) => events,
            Err(error) => {
                tracing::warn!(%error, "a subscriber cannot read the log");
                self.back_off.wait().await;
                return None;
            }
        };
        let numbered = events.into_iter().zip(self.cursor + 1..);
        let next = numbered
            .take_while(|(event, seq)| event.seq == *seq)
            .map(|(event, _)| Arc::new(event));
        let next: Vec<_> = next.collect();
        if next.is_empty() {
            tracing::error!(chat = %self.watch.chat, after = self.cursor, "the log has a gap");
            self.back_off.wait().await;
            return None;
        }
        self.back_off.reset();
        Some(next)
    }
}
