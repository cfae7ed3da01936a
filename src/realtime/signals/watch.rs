//! Subscribers to signals: each holds a number, never a queue.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;

use super::followed::{Cursor, Found};
use super::{Sign, Signals};
use crate::model::{ChatId, Standing, TenantId, UserId};
use crate::realtime::Closed;

/// What a subscriber gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// What is told of someone.
    Sign(UserId, Sign),
    /// Access to the chat changed. Whoever may still see it goes on with [`SignalWatch::accept`].
    Access {
        /// The version of what decides.
        acl_version: i64,
        /// Where the subscriber stands in the chat; `None` where they are out of it.
        standing: Option<Standing>,
    },
}

/// Interest in a chat's signals.
#[derive(Debug)]
pub struct SignalWatch {
    signals: Arc<Signals>,
    tenant: TenantId,
    chat: ChatId,
    cursor: Cursor,
    wake: watch::Receiver<u64>,
}

impl Drop for SignalWatch {
    fn drop(&mut self) {
        let mut board = self.signals.board();
        board.unfollow(self.chat, &self.cursor.viewer);
    }
}

impl SignalWatch {
    pub(super) fn new(
        signals: Arc<Signals>,
        tenant: &TenantId,
        chat: ChatId,
        user: &UserId,
    ) -> Self {
        let wake = signals.board().follow(tenant, chat, user);
        let cursor = Cursor {
            viewer: user.clone(),
            acl_version: 0,
            at: 0,
            began: None,
        };
        Self {
            signals,
            tenant: tenant.clone(),
            chat,
            cursor,
            wake,
        }
    }

    /// Begins, or goes on, for who may see the chat by this version of its access.
    pub fn accept(&mut self, acl_version: i64) {
        self.cursor.acl_version = acl_version;
        let mut board = self.signals.board();
        if board.begin(&self.tenant, self.chat, acl_version) {
            self.signals.unread.notify_one();
        }
    }

    /// What comes next. Waits until there is something, and while the database is away. Dropping the future
    /// loses nothing.
    ///
    /// # Errors
    ///
    /// [`Closed`] when the engine stops.
    pub async fn next(&mut self) -> Result<Next, Closed> {
        let shutdown = self.signals.shutdown.clone();
        tokio::select! {
            biased;
            () = shutdown.cancelled() => Err(Closed),
            next = self.wait() => Ok(next),
        }
    }

    async fn wait(&mut self) -> Next {
        loop {
            // Seen before the look: what is noted after it wakes the wait below.
            self.wake.borrow_and_update();
            let now = Instant::now();
            let found = self.signals.board().next(self.chat, &mut self.cursor, now);
            match found {
                Found::Sign(user, sign) => return Next::Sign(user, sign),
                Found::Access {
                    acl_version,
                    standing,
                } => {
                    return Next::Access {
                        acl_version,
                        standing,
                    };
                }
                Found::Ask => self.signals.unread.notify_one(),
                Found::Nothing => {}
            }
            // The chat lives on the board as long as this watch, so the end of its waking is no case.
            self.wake.changed().await.ok();
        }
    }
}
