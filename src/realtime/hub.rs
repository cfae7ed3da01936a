//! The hub: the chats that somebody subscribes to, each with a tail of its log.
//!
//! A hint moves a chat's target. One reader at a time reads all chats whose tail is behind their target, in
//! one statement, and appends strictly the next entry, and the next. Subscribers are not sent anything: they
//! are woken, and read the tail from where their cursor stands.
//!
//! What holds of one chat's log is decided by [`Log`], without locks or awaits; the hub adds who is to be
//! woken, and what is to be read. Its lock is held for look-ups in memory only.

use std::collections::hash_map::Entry as MapEntry;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(super) use self::reading::ReadError;
use super::feed::FeedState;
use super::log::{Entry, Log, Missing, Read, View};
use super::{BackOff, HubSize, People, RealtimeMetrics, RealtimeOptions};
use crate::model::{ChatId, Event, TenantId};
use crate::store::Pool;
use crate::store::events::LogRange;

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
    pub(super) people: People,
    pub(super) metrics: Arc<RealtimeMetrics>,
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
    /// The chats whose log is to be read.
    behind: HashSet<ChatId>,
    /// How many tails ever began.
    lives: u64,
    /// The life of the database's logs, as last read.
    epoch: Option<Uuid>,
}

/// A chat that somebody subscribes to.
#[derive(Debug)]
struct Chat {
    tenant: TenantId,
    log: Log<Event>,
    /// How many watch the chat's events.
    watchers: usize,
    /// Wakes those who watch.
    wake: watch::Sender<()>,
    /// The feeds of people who are in the chat, by number.
    feeds: HashMap<u64, Arc<FeedState>>,
}

/// What the tail of a chat has for a subscriber.
#[derive(Debug)]
pub(super) enum Tail {
    /// See [`View`].
    Of(View<Event>),
    /// The logs live another life than the one that the subscriber began in.
    Expired,
}

/// A read that was taken up.
type Task = (LogRange, Missing);

impl Entry for Event {
    fn seq(&self) -> i64 {
        self.seq
    }

    /// A message's own entry is the first about it: a send changes nothing that stood there before.
    fn only_adds(&self) -> bool {
        let message = self.change.message();
        message.is_some_and(|message| message.seq == self.seq)
    }

    fn amended_by(&self, later: &Self) -> Option<Self> {
        let (own, now) = (self.change.message()?, later.change.message()?);
        (own.seq == now.seq).then(|| Self {
            change: self.change.with_message(now),
            attachments: later.attachments.clone(),
            ..self.clone()
        })
    }
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
            people: People::default(),
            metrics: Arc::default(),
        }
    }

    /// The same, measured.
    pub(super) fn measured(self, metrics: &Arc<RealtimeMetrics>) -> Self {
        let metrics = Arc::clone(metrics);
        Self { metrics, ..self }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note that a chat's log has grown to `seq`; says whether that was news to a subscriber here.
    pub(super) fn grew(&self, id: ChatId, seq: i64) -> bool {
        let mut state = self.state();
        let news = state.tell(id, seq, None);
        if state.ask(id) {
            self.behind.notify_one();
        }
        news
    }

    /// Takes messages that this server has written in the life `epoch`, after their commit. Where one is the next
    /// entry, those who watch need not wait until it is read. They are woken once, however many there are.
    pub(super) fn wrote(&self, epoch: Option<Uuid>, events: Vec<Event>) {
        let mut state = self.state();
        let same_life = epoch.is_some() && state.epoch == epoch;
        let ids: Vec<ChatId> = events.iter().map(|event| event.chat_id).collect();
        let mut grown = HashSet::new();
        for event in events {
            let id = event.chat_id;
            state.tell(id, event.seq, None);
            let chat = state.chats.get_mut(&id).filter(|_| same_life);
            if chat.is_some_and(|chat| chat.log.hand(event, self.options.ring)) {
                grown.insert(id);
            }
        }
        for chat in grown.iter().filter_map(|id| state.chats.get(id)) {
            chat.wake.send_replace(());
        }
        let mut asks = false;
        for id in ids {
            asks |= state.ask(id);
        }
        if asks {
            self.behind.notify_one();
        }
    }

    /// Whether somebody watches a chat's events.
    pub(super) fn is_watched(&self, id: ChatId) -> bool {
        let state = self.state();
        state.chats.get(&id).is_some_and(|chat| chat.watchers > 0)
    }

    /// Takes note that something in a chat concerns a person.
    pub(super) fn concerns(&self, person: u64, chat: ChatId) {
        for feed in self.state().feeds.get(&person).into_iter().flatten() {
            feed.mark(chat);
        }
    }

    /// Takes note of the life that the database's logs live. Another one than before ends what was read of
    /// the earlier: every subscriber is woken to see it.
    pub(super) fn observe_epoch(&self, epoch: Uuid) {
        let mut state = self.state();
        let before = state.epoch.replace(epoch);
        if before.is_none_or(|before| before == epoch) {
            return;
        }
        tracing::warn!(%epoch, "the logs begin a new life: cursors of the earlier one have expired");
        state.behind.clear();
        for chat in state.chats.values_mut() {
            chat.log = Log::default();
            chat.wake.send_replace(());
        }
    }

    /// The life that the database's logs live, as last read.
    pub(super) fn epoch(&self) -> Option<Uuid> {
        self.state().epoch
    }

    /// Adds a watcher of a chat's events.
    pub(super) fn watch(&self, tenant: &TenantId, id: ChatId) -> watch::Receiver<()> {
        let mut state = self.state();
        let chat = state.chat(tenant, id);
        chat.watchers += 1;
        chat.wake.subscribe()
    }

    /// Lets a chat's tail begin behind `head`, which was read after [`Hub::watch`] in the life `epoch`. A
    /// tail that has begun already only learns of the head.
    ///
    /// Whoever read the head is of the chat's tenant. Who only watched may not be: an outsider who waits to
    /// be refused.
    pub(super) fn begin(&self, tenant: &TenantId, id: ChatId, head: i64, epoch: Uuid) {
        let mut state = self.state();
        if state.epoch != Some(epoch) {
            return;
        }
        state.lives += 1;
        let life = state.lives;
        if let Some(chat) = state.chats.get_mut(&id) {
            chat.tenant.clone_from(tenant);
            if chat.watchers > 0 {
                chat.log.begin(head, life);
            }
        }
        state.tell(id, head, None);
        if state.ask(id) {
            self.behind.notify_one();
        }
    }

    /// Takes a watcher of a chat's events away, and with the last one the tail.
    pub(super) fn unwatch(&self, id: ChatId) {
        let mut state = self.state();
        if let MapEntry::Occupied(mut entry) = state.chats.entry(id) {
            let chat = entry.get_mut();
            chat.watchers = chat.watchers.saturating_sub(1);
            if chat.watchers == 0 {
                chat.log.evict();
            }
            if chat.is_idle() {
                entry.remove();
            }
        }
    }

    /// What a chat's tail has behind a cursor, for a subscriber that began in the life `epoch`.
    pub(super) fn tail(&self, id: ChatId, epoch: Uuid, cursor: i64, most: usize) -> Tail {
        let state = self.state();
        if state.epoch != Some(epoch) {
            return Tail::Expired;
        }
        let chat = state.chats.get(&id);
        Tail::Of(chat.map_or(View::Nothing, |chat| chat.log.view(cursor, most)))
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
        state.tell(id, head, Some(feed.number));
        if state.ask(id) {
            self.behind.notify_one();
        }
    }

    /// Has a feed hear of a chat no more.
    pub(super) fn untrack(&self, feed: u64, chat: ChatId) {
        self.state().untrack(feed, chat);
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

    pub(super) fn size(&self) -> HubSize {
        let state = self.state();
        let mut size = HubSize {
            chats: state.chats.len(),
            feeds: state.feeds.values().map(Vec::len).sum(),
            ..HubSize::default()
        };
        for chat in state.chats.values() {
            size.watchers += chat.watchers;
            size.events += chat.log.kept();
        }
        size
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
            log: Log::default(),
            watchers: 0,
            wake: watch::Sender::default(),
            feeds: HashMap::new(),
        })
    }

    /// Takes note of the newest entry of a chat's log, whoever told of it; says whether it was news. Whoever
    /// moves the target tells all feeds but the one that knows: a later hint of the same entry is no news.
    fn tell(&mut self, id: ChatId, seq: i64, teller: Option<u64>) -> bool {
        let Some(chat) = self.chats.get_mut(&id) else {
            return false;
        };
        let news = chat.log.tell(seq);
        if news {
            let feeds = chat.feeds.values();
            for feed in feeds.filter(|feed| Some(feed.number) != teller) {
                feed.mark(id);
            }
        }
        news
    }

    /// Has a chat's log be read where entries are missing; says whether the reader is to be woken.
    fn ask(&mut self, id: ChatId) -> bool {
        let asks = self.chats.get_mut(&id).is_some_and(|chat| chat.log.ask());
        if asks {
            self.behind.insert(id);
        }
        asks
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
    fn is_idle(&self) -> bool {
        self.watchers == 0 && self.feeds.is_empty()
    }
}

mod reader;
mod reading;
#[cfg(test)]
mod tests;
