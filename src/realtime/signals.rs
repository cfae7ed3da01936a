//! Signals: typing, presence, and marks as they move. State that is told while it is true, never in the log.
//!
//! The [`board`] holds what is so in the chats that somebody here follows. What happens on this server is
//! noted there at once and told to the others by the doorbell. Marks and presence are written first and told
//! then, and what gets lost on the way is found by comparing now and then; typing runs out by itself.

mod board;
mod followed;
mod here;
mod hints;
mod look;
mod marks;
mod place;
mod typing;
mod watch;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use here::Arrival;
pub(super) use hints::{Marks, SignalHints};
pub use place::Sign;
pub use watch::{Next, SignalWatch};

use self::board::Board;
use self::here::Here;
use self::marks::Deliveries;
use self::typing::Typists;
use super::doorbell::Doorbell;
use super::{Realtime, RealtimeOptions};
use crate::model::{ChatId, TenantId, UserId};
use crate::store::Pool;
use crate::store::marks::DeliveryMark;
use crate::store::presences::Person;

/// The times of signals.
#[derive(Debug, Clone, Copy)]
pub struct SignalOptions {
    /// For how long someone types after they said so last.
    pub typing: Duration,
    /// How long after one change of someone's typing the next one is told at the earliest.
    pub typing_pause: Duration,
    /// For how long marks, arrivals and departures gather before they are written together.
    pub gather: Duration,
    /// How often marks and presence are compared with the database.
    pub compare: Duration,
    /// How often a server renews its row while people are connected to it.
    pub renew: Duration,
    /// For how long a server's row holds without being renewed.
    pub lease: Duration,
    /// How long after their last connection someone counts as gone.
    pub grace: Duration,
    /// Of how many people in a chat something is known at most.
    pub people: u16,
}

impl Default for SignalOptions {
    fn default() -> Self {
        Self {
            typing: Duration::from_secs(6),
            typing_pause: Duration::from_secs(1),
            gather: Duration::from_millis(200),
            compare: Duration::from_secs(10),
            renew: Duration::from_secs(15),
            lease: Duration::from_secs(45),
            grace: Duration::from_secs(5),
            people: 1000,
        }
    }
}

/// Says that too many marks wait for the database already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many delivery marks wait to be written")]
pub struct Full;

/// The part of the engine that tells signals.
pub(super) struct Signals {
    options: RealtimeOptions,
    pool: Pool,
    /// Tells the other servers, where they are told: with the sweep alone they compare now and then.
    doorbell: Option<Arc<Doorbell>>,
    shutdown: CancellationToken,
    board: Mutex<Board>,
    /// There is something to read.
    unread: Notify,
    /// Somebody began to type.
    typing: Notify,
    typists: Mutex<Typists>,
    deliveries: Deliveries,
    here: Here,
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signals").finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Signals {
    fn tell_others(&self, note: impl FnOnce(&mut SignalHints)) {
        if let Some(doorbell) = &self.doorbell {
            doorbell.tell(note);
        }
    }

    pub(super) fn new(
        options: RealtimeOptions,
        pool: Pool,
        doorbell: Option<Arc<Doorbell>>,
        server: u64,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            options,
            pool,
            doorbell,
            shutdown,
            board: Mutex::new(Board::new(options.signals.people.into())),
            unread: Notify::new(),
            typing: Notify::new(),
            typists: Mutex::default(),
            deliveries: Deliveries::default(),
            here: Here::new(server),
        }
    }

    pub(super) fn start(self: &Arc<Self>, tasks: &TaskTracker) {
        tasks.spawn(look::run(Arc::clone(self)));
        tasks.spawn(marks::run(Arc::clone(self)));
        tasks.spawn(here::run(Arc::clone(self)));
        tasks.spawn(Arc::clone(self).expire());
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        lock(&self.board)
    }

    /// Takes note of what another server told.
    pub(super) fn hear(&self, hints: SignalHints) {
        if hints.is_empty() {
            return;
        }
        let now = Instant::now();
        let mut board = self.board();
        let mut unread = false;
        for chat in hints.access {
            unread |= board.access_changed(chat);
        }
        for person in hints.people {
            unread |= board.presence_changed(&person);
        }
        for ((chat, user), marks) in hints.marks {
            board.marked(chat, &user, marks.read, marks.delivered);
            if marks.sent {
                board.typing(chat, &user, None);
            }
        }
        for ((chat, user), millis) in hints.typing {
            // A server of other settings cannot make it last.
            let left = Duration::from_millis(millis.into()).min(self.options.signals.typing);
            board.typing(chat, &user, (millis > 0).then(|| now + left));
        }
        drop(board);
        self.typing.notify_one();
        if unread {
            self.unread.notify_one();
        }
    }

    /// Has everything be compared with the database.
    pub(super) fn ask_for_comparison(&self) {
        if self.board().compare_all() {
            self.unread.notify_one();
        }
    }

    fn tell_marks(&self, chat: ChatId, user: &UserId, marks: Marks) {
        let mut board = self.board();
        board.marked(chat, user, marks.read, marks.delivered);
        if marks.sent {
            board.typing(chat, user, None);
        }
        drop(board);
        let user = user.clone();
        self.tell_others(|hints| hints.mark(chat, user, marks));
    }

    fn tell_typing(&self, chat: ChatId, user: &UserId, types: bool, now: Instant) {
        let typing = self.options.signals.typing;
        let until = types.then(|| now + typing);
        self.board().typing(chat, user, until);
        self.typing.notify_one();
        let millis = if types { typing.as_millis() } else { 0 };
        let millis = u32::try_from(millis).unwrap_or(u32::MAX);
        let key = (chat, user.clone());
        self.tell_others(|hints| {
            hints.typing.insert(key, millis);
        });
    }

    /// Has the presence of people be looked at, here and on the other servers.
    fn tell_presence(&self, people: Vec<Person>) {
        if people.is_empty() {
            return;
        }
        let mut board = self.board();
        let mut unread = false;
        for person in &people {
            unread |= board.presence_changed(person);
        }
        drop(board);
        if unread {
            self.unread.notify_one();
        }
        self.tell_others(|hints| hints.people.extend(people));
    }

    /// Ends the typing that has run out, and tells what typists said while it was too early to tell it.
    async fn expire(self: Arc<Self>) {
        let expire = async {
            loop {
                let now = Instant::now();
                let next = self.board().expire(now);
                let (told, due) = lock(&self.typists).due(now, &self.options.signals);
                for (chat, user, types) in told {
                    self.tell_typing(chat, &user, types, now);
                }
                let next = [next, due].into_iter().flatten().min();
                let wait = async {
                    match next {
                        Some(next) => sleep_until(next.into()).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    () = wait => {}
                    () = self.typing.notified() => {}
                }
            }
        };
        tokio::select! {
            () = expire => {}
            () = self.shutdown.cancelled() => {}
        }
    }
}

impl Realtime {
    /// Registers interest in the signals of a chat. To be called before access is read.
    #[must_use]
    pub fn watch_signals(&self, tenant: &TenantId, chat: ChatId, user: &UserId) -> SignalWatch {
        SignalWatch::new(Arc::clone(&self.signals), tenant, chat, user)
    }

    /// Takes note that a person is connected to this server, until the guard is dropped.
    #[must_use]
    pub fn arrive(&self, tenant: &TenantId, user: &UserId) -> Arrival {
        Arrival::new(Arc::clone(&self.signals), (tenant.clone(), user.clone()))
    }

    /// Tells that someone types, or does not any more. What comes too soon after the last change is told
    /// later, if it still holds then.
    pub fn set_typing(&self, chat: ChatId, user: &UserId, types: bool) {
        let (signals, now) = (&self.signals, Instant::now());
        let told = lock(&signals.typists).say(chat, user, types, now, &signals.options.signals);
        if told {
            signals.tell_typing(chat, user, types, now);
        }
        signals.typing.notify_one();
    }

    /// Tells that someone sent the message at `seq`: it is read by them, and they stopped typing.
    pub(crate) fn sent_by(&self, chat: ChatId, user: &UserId, seq: i64) {
        lock(&self.signals.typists).forget(chat, user);
        let marks = Marks {
            read: seq,
            delivered: 0,
            sent: true,
        };
        self.signals.tell_marks(chat, user, marks);
    }

    /// Tells that someone's read mark was moved to `seq`.
    pub fn marked_read(&self, chat: ChatId, user: &UserId, seq: i64) {
        let marks = Marks {
            read: seq,
            ..Marks::default()
        };
        self.signals.tell_marks(chat, user, marks);
    }

    /// Takes delivery marks to be written soon, and told when they are.
    ///
    /// # Errors
    ///
    /// [`Full`] where too many wait already; none is taken then.
    pub fn deliver(&self, marks: Vec<DeliveryMark>) -> Result<(), Full> {
        self.signals.deliveries.take_in(marks)
    }

    /// Tells that membership, a role or deletion of a chat changed: to be called after the commit.
    pub fn access_changed(&self, chat: ChatId) {
        if self.signals.board().access_changed(chat) {
            self.signals.unread.notify_one();
        }
        self.signals.tell_others(|hints| {
            hints.access.insert(chat);
        });
    }

    /// Tells that a person shows their presence from now on, or does not: to be called after the commit.
    pub fn presence_changed(&self, tenant: &TenantId, user: &UserId) {
        let person = (tenant.clone(), user.clone());
        self.signals.tell_presence(vec![person]);
    }
}
