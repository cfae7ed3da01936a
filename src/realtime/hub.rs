//! The hub: the chats that somebody subscribes to, each with a tail of its log.
//!
//! A hint moves a chat's target. One reader at a time reads all chats whose tail is behind their target, in
//! one statement, and appends strictly the next entry, and the next. Subscribers are not sent anything: they
//! are woken, and read the tail from where their cursor stands.

use std::collections::hash_map::Entry as MapEntry;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use diesel::result::Error;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::feed::FeedState;
use super::tail::{Tail, View};
use super::{BackOff, RealtimeOptions};
use crate::model::{ChatId, Event, TenantId};
use crate::store::events::LogRange;
use crate::store::{self, Pool, PoolError};

/// Why the database was not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("no connection is free: {0}")]
    Pool(#[from] PoolError),
    #[error(transparent)]
    Query(#[from] Error),
}

pub(super) struct Hub {
    pub(super) options: RealtimeOptions,
    pub(super) pool: Pool,
    pub(super) shutdown: CancellationToken,
    state: Mutex<State>,
    /// There are tails behind their targets.
    behind: Notify,
    /// Somebody wants all heads compared.
    pub(super) sweep_wanted: Notify,
    repairs: AtomicU64,
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct State {
    chats: HashMap<ChatId, Chat>,
    /// The feeds of each person, by fingerprint.
    feeds: HashMap<u64, Vec<Arc<FeedState>>>,
    /// The chats whose tail is behind its target.
    behind: HashSet<ChatId>,
}

/// A chat that somebody subscribes to.
#[derive(Debug)]
struct Chat {
    tenant: TenantId,
    /// The newest entry anybody told of.
    target: i64,
    /// The tail, while the chat's events are watched, and by how many.
    tail: Option<(Tail, usize)>,
    /// The feeds of people who are in the chat, by number.
    feeds: HashMap<u64, Arc<FeedState>>,
}

impl Hub {
    pub(super) fn new(options: RealtimeOptions, pool: Pool, shutdown: CancellationToken) -> Self {
        Self {
            options,
            pool,
            shutdown,
            state: Mutex::default(),
            behind: Notify::new(),
            sweep_wanted: Notify::new(),
            repairs: AtomicU64::new(0),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note that a chat's log has grown to `seq`; says whether that was news to a subscriber here.
    pub(super) fn grew(&self, id: ChatId, seq: i64) -> bool {
        let mut state = self.state();
        let news = state.advance(id, seq, None);
        if news && state.is_behind(id) {
            self.behind.notify_one();
        }
        news
    }

    /// Takes note that something in a chat concerns a person.
    pub(super) fn concerns(&self, person: u64, chat: ChatId) {
        for feed in self.state().feeds.get(&person).into_iter().flatten() {
            feed.mark(chat);
        }
    }

    /// Adds a watcher of a chat's events.
    pub(super) fn watch(&self, tenant: &TenantId, id: ChatId) -> watch::Receiver<i64> {
        let mut state = self.state();
        let chat = state.chat(tenant, id);
        let (tail, watchers) = chat.tail.get_or_insert_with(|| (Tail::default(), 0));
        *watchers += 1;
        tail.subscribe()
    }

    /// Lets a chat's tail begin behind `head`, which was read after [`Hub::watch`]. A tail that has begun
    /// already only learns of the head.
    ///
    /// Whoever read the head is of the chat's tenant. Who only watched may not be: an outsider who waits to
    /// be refused.
    pub(super) fn begin(&self, tenant: &TenantId, id: ChatId, head: i64) {
        let mut state = self.state();
        if let Some(chat) = state.chats.get_mut(&id) {
            chat.tenant.clone_from(tenant);
            if let Some((tail, _)) = &mut chat.tail {
                tail.begin(head);
            }
        }
        state.advance(id, head, None);
        if state.is_behind(id) {
            self.behind.notify_one();
        }
    }

    /// Takes a watcher of a chat's events away, and with the last one the tail.
    pub(super) fn unwatch(&self, id: ChatId) {
        let mut state = self.state();
        if let MapEntry::Occupied(mut entry) = state.chats.entry(id) {
            let chat = entry.get_mut();
            chat.tail = chat
                .tail
                .take()
                .and_then(|(tail, watchers)| (watchers > 1).then(|| (tail, watchers - 1)));
            if chat.is_idle() {
                entry.remove();
            }
        }
    }

    /// What a chat's tail has behind a cursor.
    pub(super) fn view(&self, id: ChatId, cursor: i64, most: usize) -> View {
        let state = self.state();
        let tail = state.chats.get(&id).and_then(|chat| chat.tail.as_ref());
        tail.map_or(View::Nothing, |(tail, _)| tail.view(cursor, most))
    }

    /// Adds a feed.
    pub(super) fn follow(&self, feed: &Arc<FeedState>) {
        let mut state = self.state();
        let feeds = state.feeds.entry(feed.person).or_default();
        feeds.push(Arc::clone(feed));
    }

    /// Takes a feed away.
    pub(super) fn unfollow(&self, feed: &FeedState, chats: impl Iterator<Item = ChatId>) {
        let mut state = self.state();
        if let MapEntry::Occupied(mut entry) = state.feeds.entry(feed.person) {
            entry.get_mut().retain(|other| other.number != feed.number);
            if entry.get().is_empty() {
                entry.remove();
            }
        }
        for chat in chats {
            state.untrack(feed.number, chat);
        }
    }

    /// Has a feed hear of a chat from now on. To be called before the chat is read for it.
    pub(super) fn attend(&self, feed: &Arc<FeedState>, id: ChatId) {
        let mut state = self.state();
        let chat = state.chat(&feed.tenant, id);
        chat.feeds.insert(feed.number, Arc::clone(feed));
    }

    /// Takes note of the head that was read for a feed since [`Hub::attend`].
    pub(super) fn track(&self, feed: &FeedState, id: ChatId, head: i64) {
        let mut state = self.state();
        if state.advance(id, head, Some(feed.number)) && state.is_behind(id) {
            self.behind.notify_one();
        }
    }

    /// Has a feed hear of a chat no more.
    pub(super) fn untrack(&self, feed: u64, chat: ChatId) {
        self.state().untrack(feed, chat);
    }

    /// Reads what tails lack, until the engine stops.
    pub(super) async fn read_on(self: Arc<Self>) {
        let mut back_off = BackOff::new(self.options.back_off);
        let read = async {
            loop {
                let ranges = self.take_behind();
                if ranges.is_empty() {
                    self.behind.notified().await;
                    continue;
                }
                let again = self.catch_up(&ranges).await;
                if again.is_empty() {
                    back_off.reset();
                } else {
                    self.state().behind.extend(again);
                    back_off.wait().await;
                }
            }
        };
        tokio::select! {
            () = read => {}
            () = self.shutdown.cancelled() => {}
        }
    }

    /// Reads what tails lack, and returns the chats whose log has to be read again later.
    async fn catch_up(&self, ranges: &[LogRange]) -> Vec<ChatId> {
        let error = match self.read(ranges).await {
            Ok(events) => {
                self.append(ranges, events);
                return Vec::new();
            }
            Err(error) => error,
        };
        let misfit = matches!(error, ReadError::Query(Error::DeserializationError(_)));
        match ranges {
            // An entry that is not understood, of a later version perhaps. Reading it again does not help,
            // and it must hold up no other log.
            [range] if misfit => {
                tracing::error!(chat = %range.chat_id, %error, "the hub does not understand a log");
                // The next sweep finds it behind again, and takes it up once it is mended.
                if let Some(chat) = self.state().chats.get_mut(&range.chat_id) {
                    chat.forget_target();
                }
                Vec::new()
            }
            _ if misfit => {
                let mut again = Vec::new();
                for range in ranges {
                    let alone = std::slice::from_ref(range);
                    again.extend(Box::pin(self.catch_up(alone)).await);
                }
                again
            }
            _ => {
                tracing::warn!(%error, "the hub cannot read the log");
                ranges.iter().map(|range| range.chat_id).collect()
            }
        }
    }

    fn take_behind(&self) -> Vec<LogRange> {
        let mut state = self.state();
        let ids = std::mem::take(&mut state.behind);
        let range = |id| {
            let chat = state.chats.get(&id)?;
            let (tail, _) = chat.tail.as_ref()?;
            Some(LogRange {
                tenant: chat.tenant.clone(),
                chat_id: id,
                after: tail.last()?,
            })
        };
        ids.into_iter().filter_map(range).collect()
    }

    /// Reads parts of logs.
    pub(super) async fn read(&self, ranges: &[LogRange]) -> Result<Vec<Event>, ReadError> {
        let mut conn = self.pool.get().await?;
        let limit = i64::from(self.options.batch);
        Ok(store::events::read(&mut conn, ranges, limit).await?)
    }

    fn append(&self, ranges: &[LogRange], events: Vec<Event>) {
        let mut state = self.state();
        let State { chats, behind, .. } = &mut *state;
        let mut grown = HashSet::new();
        for event in events {
            let id = event.chat_id;
            let tail = chats.get_mut(&id).and_then(|chat| chat.tail.as_mut());
            if let Some((tail, _)) = tail
                && tail.append(event, self.options.ring)
            {
                grown.insert(id);
            }
        }
        for range in ranges {
            let id = range.chat_id;
            let Some(chat) = chats.get_mut(&id) else {
                continue;
            };
            if let Some((tail, _)) = &chat.tail {
                tail.wake();
            }
            if !chat.is_behind() {
                continue;
            }
            if grown.contains(&id) {
                behind.insert(id);
            } else if !behind.contains(&id) {
                // Nobody told anything while the log was read (that would be read next). A hint comes after
                // its commit, so the log was there to be read: the hint was none.
                tracing::warn!(chat = %id, "a hint told of more than the log holds");
                chat.forget_target();
            }
        }
    }

    /// Asks for a comparison of all heads.
    pub(super) fn ask_for_sweep(&self) {
        self.sweep_wanted.notify_one();
    }

    /// The chats whose heads to compare.
    pub(super) fn chats(&self) -> Vec<ChatId> {
        self.state().chats.keys().copied().collect()
    }

    /// Everybody's feeds.
    pub(super) fn feeds(&self) -> Vec<Arc<FeedState>> {
        self.state().feeds.values().flatten().cloned().collect()
    }

    pub(super) fn watched_chats(&self) -> usize {
        self.state().chats.len()
    }

    pub(super) fn repaired(&self) {
        self.repairs.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn repairs(&self) -> u64 {
        self.repairs.load(Ordering::Relaxed)
    }
}

impl State {
    fn chat(&mut self, tenant: &TenantId, id: ChatId) -> &mut Chat {
        self.chats.entry(id).or_insert_with(|| Chat {
            tenant: tenant.clone(),
            target: 0,
            tail: None,
            feeds: HashMap::new(),
        })
    }

    /// Takes note of the newest entry of a chat's log, whoever told of it; says whether it was news. Whoever
    /// moves the target tells all feeds but the one that knows: a later hint of the same entry is no news.
    fn advance(&mut self, id: ChatId, seq: i64, teller: Option<u64>) -> bool {
        let Some(chat) = self.chats.get_mut(&id) else {
            return false;
        };
        if seq <= chat.target {
            return false;
        }
        chat.target = seq;
        let feeds = chat.feeds.values();
        for feed in feeds.filter(|feed| Some(feed.number) != teller) {
            feed.mark(id);
        }
        true
    }

    /// Whether a chat's tail is behind its target, which is noted for the reader.
    fn is_behind(&mut self, id: ChatId) -> bool {
        let is_behind = self.chats.get(&id).is_some_and(Chat::is_behind);
        if is_behind {
            self.behind.insert(id);
        }
        is_behind
    }

    fn untrack(&mut self, feed: u64, id: ChatId) {
        if let MapEntry::Occupied(mut entry) = self.chats.entry(id) {
            entry.get_mut().feeds.remove(&feed);
            if entry.get().is_idle() {
                entry.remove();
            }
        }
    }
}

impl Chat {
    /// Whether the tail has begun and lacks entries. One that has not begun learns its target then.
    fn is_behind(&self) -> bool {
        let last = self.tail.as_ref().and_then(|(tail, _)| tail.last());
        last.is_some_and(|last| last < self.target)
    }

    fn is_idle(&self) -> bool {
        self.tail.is_none() && self.feeds.is_empty()
    }

    fn forget_target(&mut self) {
        if let Some(last) = self.tail.as_ref().and_then(|(tail, _)| tail.last()) {
            self.target = last;
        }
    }
}

#[cfg(test)]
mod tests;
