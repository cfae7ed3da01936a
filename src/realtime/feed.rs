//! Feeds: what concerns a person, as a set of chats to look at again.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::Closed;
use super::hub::Hub;
use crate::model::{ChatId, TenantId, UserId, fingerprint};
use crate::store::participants::Membership;

static NUMBERS: AtomicU64 = AtomicU64::new(0);

/// What is known of one of a person's chats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tracked {
    /// The chat.
    pub chat_id: ChatId,
    /// The newest entry of its log.
    pub head: i64,
    /// The person's read mark.
    pub read_seq: i64,
    /// The entry that added the person.
    pub joined_seq: i64,
}

/// A feed, as the hub knows it.
#[derive(Debug)]
pub(super) struct FeedState {
    pub(super) number: u64,
    pub(super) person: u64,
    pub(super) tenant: TenantId,
    pub(super) user: UserId,
    inner: Mutex<Inner>,
    marked: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    /// The chats to look at again.
    changed: HashSet<ChatId>,
    /// The read mark and the joining of each chat, as last known.
    known: HashMap<ChatId, (i64, i64)>,
}

impl FeedState {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a chat be looked at again.
    pub(super) fn mark(&self, chat: ChatId) {
        self.inner().changed.insert(chat);
        self.marked.notify_one();
    }

    /// Compares the person's memberships with what is known of them; says how many differ.
    pub(super) fn compare(&self, memberships: &[&Membership]) -> usize {
        let mut inner = self.inner();
        let now: HashMap<ChatId, (i64, i64)> = memberships
            .iter()
            .map(|member| (member.chat_id, (member.read_seq, member.joined_seq)))
            .collect();
        let new = now
            .iter()
            .filter(|(chat, marks)| inner.known.get(chat) != Some(marks));
        let gone = inner.known.keys().filter(|chat| !now.contains_key(chat));
        let differ: HashSet<ChatId> = new.map(|(chat, _)| *chat).chain(gone.copied()).collect();
        inner.known = now;
        let count = differ.len();
        if count > 0 {
            inner.changed.extend(differ);
            self.marked.notify_one();
        }
        count
    }
}

/// Interest in all that concerns a person.
#[derive(Debug)]
pub struct Feed {
    hub: Arc<Hub>,
    state: Arc<FeedState>,
    tracked: Mutex<HashSet<ChatId>>,
}

impl Drop for Feed {
    fn drop(&mut self) {
        let tracked = std::mem::take(&mut *self.tracked());
        self.hub.unfollow(&self.state, tracked.into_iter());
    }
}

impl Feed {
    pub(super) fn new(hub: Arc<Hub>, tenant: &TenantId, user: &UserId) -> Self {
        let state = Arc::new(FeedState {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            person: fingerprint(tenant, user),
            tenant: tenant.clone(),
            user: user.clone(),
            inner: Mutex::default(),
            marked: Notify::new(),
        });
        hub.follow(&state);
        Self {
            hub,
            state,
            tracked: Mutex::default(),
        }
    }

    fn tracked(&self) -> MutexGuard<'_, HashSet<ChatId>> {
        self.tracked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Listens to chats. To be called before they are read: what commits from now on is heard of.
    pub fn attend(&self, chats: impl IntoIterator<Item = ChatId>) {
        for chat in chats {
            self.tracked().insert(chat);
            self.hub.attend(&self.state, chat);
        }
    }

    /// Takes note of chats of the person as they were read since [`Feed::attend`].
    pub fn track(&self, chats: impl IntoIterator<Item = Tracked>) {
        for chat in chats {
            let marks = (chat.read_seq, chat.joined_seq);
            self.state.inner().known.insert(chat.chat_id, marks);
            // One that was joined in between is attended only now: what was missed of it, the sweep finds.
            self.attend([chat.chat_id]);
            self.hub.track(&self.state, chat.chat_id, chat.head);
        }
    }

    /// Listens to a chat no more.
    pub fn untrack(&self, chat: ChatId) {
        self.state.inner().known.remove(&chat);
        self.tracked().remove(&chat);
        self.hub.untrack(self.state.number, chat);
    }

    /// The chats that may have changed since the last call, one at least; waits until there is one. A chat
    /// may be named for nothing; none is left out. Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// [`Closed`] when the engine stops.
    pub async fn changed(&mut self) -> Result<Vec<ChatId>, Closed> {
        loop {
            let changed = std::mem::take(&mut self.state.inner().changed);
            if !changed.is_empty() {
                return Ok(changed.into_iter().collect());
            }
            tokio::select! {
                () = self.state.marked.notified() => {}
                () = self.hub.shutdown.cancelled() => return Err(Closed),
            }
        }
    }
}
