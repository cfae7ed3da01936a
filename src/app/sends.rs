//! Group commit: sends that would wait for the database are written together, with one flush to its disk.
//!
//! A send that finds the lane free is written at once, and by itself. Else it waits in line, and when the lane comes
//! free, all who wait go in together, as far as they can. So nobody waits for others to come, and the more are waiting,
//! the less each costs. What is written slowly gives way: a lock or a slow disk stops nobody else.
//!
//! What a group cannot do, it does not try for the others' sake: messages of a chat that somebody else has locked
//! are left out and wait for the lock by themselves, and where a group's statement fails, each of its messages is sent
//! alone. A chat is written to once at a time: its messages never wait in the database for each other.

mod line;
mod memberships;

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use self::line::{Company, Line, Waiting};
pub(super) use self::memberships::{Membership, Memberships};
use super::{Clock, Error};
use crate::model::{ChatId, Message};
use crate::realtime::Realtime;
use crate::store::Pool;
use crate::store::messages::{self, Locked, NewMessage, Sent, Together, Written};

/// Writes sends, those that wait together, and tells the subscribers.
#[derive(Debug, Clone)]
pub struct Sends(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pool: Pool,
    realtime: Realtime,
    clock: Clock,
    memberships: Memberships,
    line: Mutex<Line>,
    tasks: TaskTracker,
}

impl Inner {
    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// After what time a group gives way to the next one.
const PATIENCE: Duration = Duration::from_millis(20);

/// The lane, with the chats that are in it. Dropped, it lets in who is next in line.
#[derive(Debug)]
struct Lane {
    sends: Sends,
    chats: Vec<ChatId>,
    gave_way: bool,
}

impl Drop for Lane {
    fn drop(&mut self) {
        let next = {
            // In one go, so that nobody who has just come goes in before them.
            let mut line = self.sends.0.line();
            line.leave(&self.chats, self.gave_way);
            line.take()
        };
        self.sends.start(next);
    }
}

impl Sends {
    pub(super) fn new(pool: Pool, realtime: Realtime, clock: Clock) -> Self {
        let line = Mutex::new(Line::new(pool.is_confined()));
        Self(Arc::new(Inner {
            pool,
            realtime,
            clock,
            memberships: Memberships::default(),
            line,
            tasks: TaskTracker::new(),
        }))
    }

    /// What was last read of who may send where.
    pub(super) fn memberships(&self) -> &Memberships {
        &self.0.memberships
    }

    /// Sends a message. When it says `Written`, the message is durable and told of.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`], also where too many wait; [`Error::Internal`]. What was not told may have been written.
    pub(super) async fn write(&self, message: &Arc<NewMessage>) -> Result<Sent, Error> {
        if self.0.line().enter(message.chat_id) {
            let mut lane = Lane {
                sends: self.clone(),
                chats: vec![message.chat_id],
                gave_way: false,
            };
            return lane.patiently(self.write_one(message)).await;
        }
        let (tell, told) = oneshot::channel();
        let next = {
            let mut line = self.0.line();
            self.0.pool.has_room(line.len())?;
            line.join(Waiting {
                message: Arc::clone(message),
                company: Company::Any,
                tell,
            });
            // The lane may have come free in between.
            line.take()
        };
        self.start(next);
        let sent = told.await;
        sent.unwrap_or_else(|_| Err(Error::Internal("a send was forgotten".into())))
    }

    /// Starts to write a group that was let in.
    fn start(&self, group: Option<Vec<Waiting>>) {
        if let Some(group) = group
            && let Ok(runtime) = Handle::try_current()
        {
            let mut chats: Vec<ChatId> = group.iter().map(|one| one.message.chat_id).collect();
            chats.sort_unstable();
            chats.dedup();
            let lane = Lane {
                sends: self.clone(),
                chats,
                gave_way: false,
            };
            // It ends within the time that a connection and a statement may take, and those who wait for it keep the
            // server from stopping before.
            self.0.tasks.spawn_on(lane.write(group), &runtime);
        }
    }

    async fn write_one(&self, message: &NewMessage) -> Result<Sent, Error> {
        let mut conn = self.0.pool.get_for(&message.tenant).await?;
        let begun = Begun::now(self);
        let sent = messages::send(&mut conn, message, self.0.clock.now()).await?;
        drop(conn);
        if let Sent::Written(written) = &sent {
            self.tell([(message, written)], &begun);
        }
        Ok(sent)
    }

    /// Tells of messages that were written: here, so that those of one chat are told of in their order.
    fn tell<'a>(
        &self,
        sent: impl IntoIterator<Item = (&'a NewMessage, &'a Written)>,
        begun: &Begun,
    ) {
        let realtime = &self.0.realtime;
        let told = |(message, written): (&NewMessage, &Written)| {
            if let Some(sender) = &written.sender {
                let sender = Arc::new(sender.clone());
                realtime.people().learn(&message.tenant, sender, begun.at);
            }
            stored(message, written)
        };
        let messages = sent.into_iter().map(told);
        realtime.sent(begun.epoch, messages.collect());
    }

    async fn write_together(&self, group: &[&NewMessage]) -> Result<Vec<Together>, Failure> {
        let (Some(first), Some(last)) = (group.first(), group.last()) else {
            return Ok(Vec::new());
        };
        let one_chat = group.iter().all(|message| message.chat_id == last.chat_id);
        let locked = if one_chat { Locked::Wait } else { Locked::Skip };
        let conn = self.0.pool.get_for(&first.tenant).await;
        let mut conn = conn.map_err(|error| Failure::Whole(error.into()))?;
        let begun = Begun::now(self);
        let at = self.0.clock.now();
        let done = messages::send_together(&mut conn, group, at, locked).await;
        drop(conn);
        let outcomes = group.iter().copied().zip(done.iter().flatten());
        let written = outcomes.filter_map(|(message, outcome)| match outcome {
            Together::Sent(Sent::Written(written)) => Some((message, written)),
            Together::Sent(Sent::Stale | Sent::Duplicate) | Together::Skipped => None,
        });
        self.tell(written, &begun);
        done.map_err(|error| {
            if messages::is_key_taken(&error) {
                return Failure::Again;
            }
            let error = Error::from(error);
            if matches!(error, Error::Internal(_)) {
                Failure::Perhaps
            } else {
                Failure::Whole(error)
            }
        })
    }
}

/// What was so before a statement began.
struct Begun {
    epoch: Option<Uuid>,
    at: Instant,
}

impl Begun {
    fn now(sends: &Sends) -> Self {
        Self {
            epoch: sends.0.realtime.epoch(),
            at: Instant::now(),
        }
    }
}

/// A message as it was written.
pub(super) fn stored(new: &NewMessage, written: &Written) -> Message {
    Message {
        chat_id: new.chat_id,
        seq: written.seq,
        id: new.id,
        sender_id: new.sender.clone(),
        body: new.body.clone(),
        reply_to_seq: new.reply_to_seq,
        created_at: written.created_at,
        edited_at: None,
        deleted_at: None,
        deleted_by: None,
        subject: new.subject.clone(),
        metadata: new.metadata.clone(),
        forwarded_from: new.forwarded_from.clone(),
    }
}

/// Why a group was not written.
enum Failure {
    /// Somebody else has just sent one of them: the next statement sees that.
    Again,
    /// Because of one of them, perhaps.
    Perhaps,
    /// The database was away or had no time: so it is for each.
    Whole(Error),
}

impl Lane {
    /// Does what takes its time: gives way where it takes too much.
    async fn patiently<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        while !self.gave_way {
            if let Ok(done) = timeout(PATIENCE, &mut work).await {
                return done;
            }
            self.give_way();
        }
        work.await
    }

    /// Lets the next go in beside this one, unless too many do so already.
    fn give_way(&mut self) {
        let next = {
            let mut line = self.sends.0.line();
            self.gave_way = line.give_way();
            self.gave_way.then(|| line.take()).flatten()
        };
        self.sends.start(next);
    }

    /// Writes a group and tells each of it what came of them.
    async fn write(mut self, mut group: Vec<Waiting>) {
        let sends = self.sends.clone();
        if group.len() == 1
            && let Some(one) = group.pop()
        {
            let sent = self.patiently(sends.write_one(&one.message)).await;
            // The next go in before this one is told.
            drop(self);
            return one.tell(sent);
        }
        if group.iter().any(|one| one.company == Company::Chat) {
            // It waits for a lock.
            self.give_way();
        }
        let messages: Vec<&NewMessage> = group.iter().map(|one| &*one.message).collect();
        let begun = Instant::now();
        let done = self.patiently(sends.write_together(&messages)).await;
        sends.0.line().learn(messages.len(), begun.elapsed());
        match done {
            Ok(outcomes) => {
                let mut done = Vec::with_capacity(group.len());
                let mut skipped = Vec::new();
                for (one, outcome) in group.into_iter().zip(outcomes) {
                    match outcome {
                        Together::Sent(sent) => done.push((one, sent)),
                        Together::Skipped => skipped.push(one),
                    }
                }
                sends.0.line().rejoin(skipped, Company::Chat);
                drop(self);
                for (one, sent) in done {
                    one.tell(Ok(sent));
                }
            }
            Err(Failure::Again) => sends.0.line().rejoin(group, Company::Any),
            Err(Failure::Perhaps) => sends.0.line().rejoin(group, Company::None),
            Err(Failure::Whole(error)) => {
                drop(self);
                let error = Arc::new(error);
                for one in group {
                    one.tell(Err(Error::Unavailable(Arc::clone(&error).into())));
                }
            }
        }
    }
}
