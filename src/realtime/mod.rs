//! The realtime engine: the log is the truth, the doorbell is a hint.
//!
//! A write commits without notifying anybody. After the commit [`Realtime::ring`] wakes the subscribers of
//! this server and has the doorbell ring for the others. A hint says only how far a chat's log has grown;
//! what grew is read from the log. So a lost hint loses nothing: the sweep compares heads every second or
//! two and finds it. `docs/realtime.md` explains the whole.

mod admissions;
mod doorbell;
mod feed;
mod hints;
mod hub;
mod listener;
mod log;
mod metrics;
mod people;
mod replays;
mod revocations;
mod signals;
mod subscriber;
mod sweep;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

pub use admissions::{Admission, AdmissionError};
pub use feed::{Feed, Tracked};
pub use metrics::{HubSize, RealtimeMetrics};
pub use people::People;
pub use revocations::{TokenMark, Unknown};
pub use signals::{Arrival, Full, Next, Sign, SignalOptions, SignalWatch};
pub use subscriber::{Batch, Moment, Subscriber, Watch};

use crate::model::{Change, ChatId, Event, Message, TenantId, UserId, fingerprint};
use crate::store::{Database, Pool};
use admissions::Admissions;
use doorbell::Doorbell;
use hub::Hub;
use listener::Listener;
use replays::Replays;
use revocations::Revocations;
use signals::Signals;

/// What tells a server of the others' commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// Postgres' notifications at once, and the sweep for those that are lost.
    Notify,
    /// The sweep alone: for a database that is reached only through a proxy that pools transactions, where
    /// nothing can be listened to.
    Sweep,
}

/// Sizes and times of the engine.
#[derive(Debug, Clone, Copy)]
pub struct RealtimeOptions {
    /// What tells this server of the others' commits.
    pub carrier: Carrier,
    /// How many recent events are kept in memory for each chat whose events are watched. A subscriber whose
    /// place is older reads pages from the database.
    pub ring: usize,
    /// How many entries of a chat's log are read at once: also the size of those pages.
    pub batch: u16,
    /// How long it is from one notifying transaction of the doorbell to the next, at least.
    pub tick: Duration,
    /// How often heads are compared with the database, on average.
    pub sweep: Duration,
    /// After how long a silence the listener makes sure that its connection is alive.
    pub probe: Duration,
    /// How long a connection may take to answer or to be made.
    pub patience: Duration,
    /// How long to wait before trying again, at first and at most.
    pub back_off: (Duration, Duration),
    /// How often the revoked tokens are read on at the latest, also where nothing told of new ones.
    pub revocations: Duration,
    /// The times of typing, presence and marks.
    pub signals: SignalOptions,
}

impl Default for RealtimeOptions {
    fn default() -> Self {
        Self {
            carrier: Carrier::Notify,
            ring: 256,
            batch: 128,
            tick: Duration::from_millis(5),
            sweep: Duration::from_millis(1500),
            probe: Duration::from_secs(10),
            patience: Duration::from_secs(5),
            back_off: (Duration::from_millis(50), Duration::from_secs(5)),
            revocations: Duration::from_secs(1),
            signals: SignalOptions::default(),
        }
    }
}

/// Says that the engine has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server is stopping")]
pub struct Closed;

/// Why a subscriber gets no more events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// The engine stops.
    #[error("the server is stopping")]
    Stopping,
    /// The database's logs began another life (after a restore): places of the earlier one mean nothing.
    #[error("the logs have begun another life")]
    Expired,
}

/// What a commit changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// The chat's tenant.
    pub tenant: TenantId,
    /// The chat.
    pub chat_id: ChatId,
    /// The newest entry of its log, if it grew.
    pub seq: Option<i64>,
    /// Whom it concerns in person: who joined or left, or whose own read mark moved.
    pub people: Vec<UserId>,
}

/// The engine, as the application holds it.
#[derive(Debug, Clone)]
pub struct Realtime {
    hub: Arc<Hub>,
    replays: Replays,
    admissions: Admissions,
    /// What rings for the other servers and hears them, but where the sweep alone does that.
    notify: Option<(Arc<Doorbell>, Arc<Listener>)>,
    signals: Arc<Signals>,
    revocations: Arc<Revocations>,
    metrics: Arc<RealtimeMetrics>,
    commits: Arc<Notify>,
}

impl Realtime {
    /// Starts the engine's tasks. They end when `shutdown` is cancelled, the doorbell once it has rung for
    /// what is pending.
    ///
    /// The doorbell and the listener have a connection each: `doorbell` and `listener` say to where. With
    /// [`Carrier::Sweep`] there is neither.
    #[must_use]
    pub fn start(
        options: RealtimeOptions,
        pool: Pool,
        doorbell: &Database,
        listener: &Database,
        tasks: &TaskTracker,
        shutdown: CancellationToken,
    ) -> Self {
        let server = fastrand::u64(..);
        let metrics = Arc::<RealtimeMetrics>::default();
        let commits = Arc::new(Notify::new());
        let hub = Hub::new(options, pool.clone(), shutdown.clone());
        let hub = Arc::new(hub.measured(&metrics));
        let doorbell = (options.carrier == Carrier::Notify).then(|| {
            let doorbell = Doorbell::new(options, doorbell, server, shutdown.clone());
            Arc::new(doorbell.measured(&metrics))
        });
        let revocations = Revocations::new(Arc::clone(&hub), doorbell.clone());
        let revocations = Arc::new(revocations);
        tasks.spawn(Arc::clone(&revocations).run());
        let signals = Signals::new(options, pool, doorbell.clone(), server, shutdown.clone());
        let signals = Arc::new(signals);
        signals.start(tasks);
        let (replays, wishes) = Replays::new();
        tasks.spawn(replays::run(Arc::clone(&hub), wishes));
        let (admissions, wishes) = Admissions::new();
        tasks.spawn(admissions::run(Arc::clone(&hub), wishes));
        tasks.spawn(Arc::clone(&hub).read_on());
        tasks.spawn(sweep::run(Arc::clone(&hub)));
        let notify = doorbell.map(|doorbell| {
            let heard_by = (Arc::clone(&signals), Arc::clone(&revocations));
            let listener = Listener::new(options, listener, server, shutdown, heard_by);
            let listener = listener.measured(&metrics).telling(&commits);
            let listener = Arc::new(listener);
            tasks.spawn(Arc::clone(&doorbell).run());
            tasks.spawn(Arc::clone(&listener).run(Arc::clone(&hub)));
            (doorbell, listener)
        });
        Self {
            hub,
            replays,
            admissions,
            notify,
            signals,
            revocations,
            metrics,
            commits,
        }
    }

    /// Tells of a commit: wakes the subscribers of this server at once, and rings for the other servers. To
    /// be called after the commit. It never waits and never fails.
    pub fn ring(&self, hint: &Hint) {
        let people = hint
            .people
            .iter()
            .map(|user| fingerprint(&hint.tenant, user));
        let people: Vec<u64> = people.collect();
        if let Some(seq) = hint.seq {
            self.hub.grew(hint.chat_id, seq);
        }
        for person in &people {
            self.hub.concerns(*person, hint.chat_id);
        }
        if let Some((doorbell, _)) = &self.notify {
            doorbell.ring(hint.chat_id, hint.seq, &people);
        }
        self.commits.notify_one();
    }

    /// Tells of messages that this server has just sent, as [`Realtime::ring`] does, and hands them to the subscribers of
    /// this server, so that they need not be read for them: of messages without attachments. `epoch` is the life that the logs lived before they were
    /// written. To be called after the commit, with those of one chat in their order: another order costs a read.
    pub fn sent(&self, epoch: Option<Uuid>, messages: Vec<Message>) {
        for message in &messages {
            let (chat, seq) = (message.chat_id, message.seq);
            if let Some((doorbell, _)) = &self.notify {
                doorbell.ring(chat, Some(seq), &[]);
            }
            self.sent_by(chat, &message.sender_id, seq);
        }
        let event = |message: Message| Event {
            chat_id: message.chat_id,
            seq: message.seq,
            occurred_at: message.created_at,
            actor: Some(message.sender_id.clone()),
            change: Change::MessageSent(Box::new(message)),
            // What has some is rung for, and read.
            attachments: Vec::new(),
        };
        let events = messages.into_iter().map(event);
        self.hub.wrote(epoch, events.collect());
        self.commits.notify_one();
    }

    /// Waits until a commit is told of, by this server or by another. One who waits is woken by the first that was told
    /// since they last were; some are never told of, and a wait is to be bounded.
    pub async fn committed(&self) {
        self.commits.notified().await;
    }

    /// Who was just read, to be shown in events.
    #[must_use]
    pub fn people(&self) -> &People {
        &self.hub.people
    }

    /// Whether somebody follows a chat's events on this server.
    #[must_use]
    pub fn is_watched(&self, chat: ChatId) -> bool {
        self.hub.is_watched(chat)
    }

    /// Whether this server hears the others: its listener is connected, or it has none because the sweep
    /// alone tells it of them.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.listener_is_live().unwrap_or(true)
    }

    /// Whether the listener is connected; `None` where there is none.
    #[must_use]
    pub fn listener_is_live(&self) -> Option<bool> {
        let (_, listener) = self.notify.as_ref()?;
        Some(listener.is_live())
    }

    /// Registers interest in a chat's log. To be called before access and head are read: hints of what
    /// commits from now on are kept.
    #[must_use]
    pub fn watch(&self, tenant: &TenantId, chat: ChatId) -> Watch {
        let (hub, replays) = (Arc::clone(&self.hub), self.replays.clone());
        Watch::new(hub, replays, tenant, chat)
    }

    /// Reads what a subscription begins with, in one statement for all who ask at the same time. To be called
    /// after [`Realtime::watch`].
    ///
    /// # Errors
    ///
    /// [`AdmissionError`] where the database cannot be read, and when the engine stops.
    pub async fn admit(
        &self,
        tenant: &TenantId,
        user: &UserId,
        chat: ChatId,
    ) -> Result<Admission, AdmissionError> {
        self.admissions.read(tenant, user, chat).await
    }

    /// The life that the database's logs live, as the engine last read it.
    #[must_use]
    pub fn epoch(&self) -> Option<Uuid> {
        self.hub.epoch()
    }

    /// Takes note of the life that the database's logs live. Subscribers of an earlier one are ended.
    pub fn observe_epoch(&self, epoch: Uuid) {
        self.hub.observe_epoch(epoch);
    }

    /// Registers interest in all that concerns a person. To be called before their chats are listed.
    #[must_use]
    pub fn follow(&self, tenant: &TenantId, user: &UserId) -> Feed {
        Feed::new(Arc::clone(&self.hub), tenant, user)
    }

    /// What is measured of the engine.
    #[must_use]
    pub fn metrics(&self) -> &RealtimeMetrics {
        &self.metrics
    }

    /// How large the hub is. It counts, and so takes a moment with many chats.
    #[must_use]
    pub fn hub_size(&self) -> HubSize {
        self.hub.size()
    }

    /// How many chats somebody subscribes to.
    #[must_use]
    pub fn watched_chats(&self) -> usize {
        self.hub.watched_chats()
    }

    /// How many times the sweep found what no hint had told.
    #[must_use]
    pub fn repairs(&self) -> u64 {
        self.hub.repairs()
    }
}

/// Waits that grow from try to try, with jitter, so that servers do not try in step.
#[derive(Debug)]
struct BackOff {
    first: Duration,
    most: Duration,
    next: Duration,
}

impl BackOff {
    fn new((first, most): (Duration, Duration)) -> Self {
        Self {
            first,
            most,
            next: first,
        }
    }

    fn reset(&mut self) {
        self.next = self.first;
    }

    /// How long to wait now: half to all of the next wait.
    fn take(&mut self) -> Duration {
        let wait = self.next.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.next = (self.next * 2).min(self.most);
        wait
    }

    async fn wait(&mut self) {
        tokio::time::sleep(self.take()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_most_and_begin_anew() {
        let (first, most) = (Duration::from_millis(50), Duration::from_secs(1));
        let mut back_off = BackOff::new((first, most));
        for step in [50, 100, 200, 400, 800, 1000, 1000] {
            let (wait, step) = (back_off.take(), Duration::from_millis(step));
            assert!(wait >= step / 2 && wait <= step, "{wait:?} of {step:?}");
        }
        back_off.reset();
        assert!(back_off.take() <= first);
    }
}
