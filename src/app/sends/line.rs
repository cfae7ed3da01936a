//! Who waits to be sent, and which chats are being written to.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::app::Error;
use crate::model::{ChatId, UserId};
use crate::store::messages::{NewMessage, Sent};

/// The most groups that have given way to the next one. Each holds a connection.
const SLOW_MAX: usize = 8;

/// The most messages of a group.
const GROUP_MAX: usize = 128;

/// How long a group may take to be written. One that took longer makes the next ones smaller: far below what a statement
/// may take, after which all of a group would have failed.
const GROUP_WITHIN: Duration = Duration::from_millis(500);

/// With whom a send may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Company {
    /// With any.
    Any,
    /// With those of its chat: the chat was locked when a group came to it.
    Chat,
    /// With none: a group that it was in failed.
    None,
}

/// A send that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) message: Arc<NewMessage>,
    pub(super) company: Company,
    /// Where whoever waits hears of it. Closed, where they have given up: then it is not sent.
    pub(super) tell: oneshot::Sender<Result<Sent, Error>>,
}

impl Waiting {
    pub(super) fn tell(self, sent: Result<Sent, Error>) {
        // Whoever has given up need not know.
        self.tell.send(sent).ok();
    }
}

/// Those who wait, and the lane.
#[derive(Debug)]
pub(super) struct Line {
    /// Whether a group is of one tenant: a connection sees no more.
    confined: bool,
    /// Whether nothing is in the lane. There is one: measured, two make smaller groups and send less
    /// (docs/performance.md).
    free: bool,
    /// The most messages of the next group.
    most: usize,
    /// How many are still being written that have given way.
    slow: usize,
    /// The chats that are being written to.
    busy: HashSet<ChatId>,
    /// While the lane is free, all of these are for chats that are busy.
    waiting: VecDeque<Waiting>,
}

impl Line {
    pub(super) fn new(confined: bool) -> Self {
        Self {
            confined,
            free: true,
            most: GROUP_MAX,
            slow: 0,
            busy: HashSet::new(),
            waiting: VecDeque::new(),
        }
    }

    /// Takes the lane for a chat, if both are free.
    pub(super) fn enter(&mut self, chat: ChatId) -> bool {
        let enters = self.free && self.busy.insert(chat);
        self.free &= !enters;
        enters
    }

    /// Has the next go in before this one has ended. Not all may do so.
    pub(super) fn give_way(&mut self) -> bool {
        let gives = self.slow < SLOW_MAX;
        if gives {
            self.slow += 1;
            self.free = true;
        }
        gives
    }

    /// Learns how long a group took.
    pub(super) fn learn(&mut self, size: usize, took: Duration) {
        self.most = if took > GROUP_WITHIN {
            (size / 2).max(1)
        } else {
            (self.most * 2).min(GROUP_MAX)
        };
    }

    /// Gives the lane back, unless that was done by giving way.
    pub(super) fn leave(&mut self, chats: &[ChatId], gave_way: bool) {
        if gave_way {
            self.slow -= 1;
        } else {
            self.free = true;
        }
        for chat in chats {
            self.busy.remove(chat);
        }
    }

    pub(super) fn join(&mut self, one: Waiting) {
        self.waiting.push_back(one);
    }

    /// Puts those in front who have been in a group for nothing.
    pub(super) fn rejoin(&mut self, group: Vec<Waiting>, company: Company) {
        for one in group.into_iter().rev() {
            self.waiting.push_front(Waiting { company, ..one });
        }
    }

    /// Takes the lane for the next group, if there is one.
    pub(super) fn take(&mut self) -> Option<Vec<Waiting>> {
        if !self.free {
            return None;
        }
        let mut group = Group {
            most: self.most,
            ..Group::default()
        };
        let mut rest = VecDeque::with_capacity(self.waiting.len());
        for one in self.waiting.drain(..) {
            if one.tell.is_closed() {
                continue;
            }
            if self.busy.contains(&one.message.chat_id) {
                rest.push_back(one);
            } else if let Err(one) = group.take(one, self.confined) {
                rest.push_back(one);
            }
        }
        self.waiting = rest;
        let group = group.sends;
        if group.is_empty() {
            return None;
        }
        self.free = false;
        self.busy
            .extend(group.iter().map(|one| one.message.chat_id));
        Some(group)
    }
}

/// Sends that can be written together.
#[derive(Debug, Default)]
struct Group {
    most: usize,
    sends: Vec<Waiting>,
    /// Whose key stands for which message of a chat: no two may be the same.
    keys: HashSet<(ChatId, UserId, String)>,
}

impl Group {
    /// Takes one in, unless it cannot be written with the others.
    fn take(&mut self, one: Waiting, confined: bool) -> Result<(), Waiting> {
        if self.suits(&one, confined) && self.keeps_key(&one.message) {
            self.sends.push(one);
            Ok(())
        } else {
            Err(one)
        }
    }

    fn suits(&self, one: &Waiting, confined: bool) -> bool {
        let Some(first) = self.sends.first() else {
            return true;
        };
        let same_tenant = !confined || first.message.tenant == one.message.tenant;
        let same_chat = first.message.chat_id == one.message.chat_id;
        let suits = match (first.company, one.company) {
            (Company::Any, Company::Any) => true,
            (Company::None, _) | (_, Company::None) => false,
            (Company::Chat, _) | (_, Company::Chat) => same_chat,
        };
        suits && same_tenant && self.sends.len() < self.most
    }

    fn keeps_key(&mut self, message: &NewMessage) -> bool {
        let Some(key) = &message.idempotency_key else {
            return true;
        };
        let key = (message.chat_id, message.sender.clone(), key.clone());
        self.keys.insert(key)
    }
}
