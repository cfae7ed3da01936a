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
            // A group of one would teach nothing any more.
            (size / 2).max(2)
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

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
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

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::model::{MessageId, TenantId};

    type Told = oneshot::Receiver<Result<Sent, Error>>;

    fn chat(number: u128) -> ChatId {
        ChatId(Uuid::from_u128(number))
    }

    fn waiting(tenant: &str, number: u128, key: Option<&str>) -> (Waiting, Told) {
        let (tell, told) = oneshot::channel();
        let message = NewMessage {
            tenant: TenantId::new(tenant).unwrap(),
            chat_id: chat(number),
            acl_version: 0,
            id: MessageId(Uuid::nil()),
            sender: UserId::new("alice").unwrap(),
            body: "hello".to_owned(),
            reply_to_seq: None,
            idempotency_key: key.map(str::to_owned),
            subject: None,
            metadata: None,
            forwarded_from: None,
            is_awaited: false,
        };
        let one = Waiting {
            message: Arc::new(message),
            company: Company::Any,
            tell,
        };
        (one, told)
    }

    /// A line in which some wait for a lane that is taken, and those who wait to be told.
    fn line(confined: bool, ones: &[(&str, u128, Option<&str>)]) -> (Line, Vec<Told>) {
        let mut line = Line::new(confined);
        assert!(line.enter(chat(0)));
        let mut told = Vec::new();
        for (tenant, number, key) in ones {
            let (one, listens) = waiting(tenant, *number, *key);
            line.join(one);
            told.push(listens);
        }
        assert!(line.take().is_none(), "the lane is taken");
        line.leave(&[chat(0)], false);
        (line, told)
    }

    fn chats(group: &[Waiting]) -> Vec<ChatId> {
        group.iter().map(|one| one.message.chat_id).collect()
    }

    #[test]
    fn all_who_wait_go_in_together() {
        let (mut line, _told) = line(false, &[("a", 1, None), ("b", 2, None), ("a", 1, None)]);
        let group = line.take().unwrap();
        assert_eq!(chats(&group), [chat(1), chat(2), chat(1)]);
        assert!(!line.enter(chat(3)), "one at a time");
    }

    #[test]
    fn a_group_is_of_one_tenant_where_connections_see_one() {
        let (mut line, _told) = line(true, &[("a", 1, None), ("b", 2, None), ("a", 3, None)]);
        assert_eq!(chats(&line.take().unwrap()), [chat(1), chat(3)]);
    }

    #[test]
    fn the_same_key_is_not_twice_in_a_group() {
        let same = ("a", 1, Some("key"));
        let (mut line, _told) = line(false, &[same, same, ("a", 1, Some("other"))]);
        assert_eq!(line.take().unwrap().len(), 2);
        assert!(line.give_way());
        assert!(line.take().is_none(), "its chat is busy");
        line.leave(&[chat(1)], true);
        assert_eq!(line.take().unwrap().len(), 1);
    }

    #[test]
    fn who_has_given_up_is_not_sent() {
        let (mut line, mut told) = line(false, &[("a", 1, None), ("a", 2, None)]);
        drop(told.remove(0));
        assert_eq!(chats(&line.take().unwrap()), [chat(2)]);
    }

    #[test]
    fn what_failed_or_was_locked_keeps_to_itself() {
        let (mut line, _told) = line(false, &[("a", 1, None), ("a", 1, None), ("a", 2, None)]);
        let group = line.take().unwrap();
        line.rejoin(group, Company::None);
        line.leave(&[chat(1), chat(2)], false);
        assert_eq!(chats(&line.take().unwrap()), [chat(1)]);
        line.leave(&[chat(1)], false);
        let group = line.take().unwrap();
        line.rejoin(group, Company::Chat);
        line.leave(&[chat(1)], false);
        assert_eq!(chats(&line.take().unwrap()), [chat(1)]);
    }

    #[test]
    fn slow_groups_become_small_and_only_so_many_give_way() {
        let ones: Vec<_> = (1..=200).map(|number| ("a", number, None)).collect();
        let (mut line, _told) = line(false, &ones);
        assert_eq!(line.take().unwrap().len(), GROUP_MAX);
        line.learn(GROUP_MAX, GROUP_WITHIN * 2);
        assert!(line.give_way());
        assert_eq!(line.take().unwrap().len(), GROUP_MAX / 2);
        line.learn(2, GROUP_WITHIN * 2);
        line.learn(2, GROUP_WITHIN / 2);
        assert_eq!(line.most, 4, "it grows again");
        for _ in 1..SLOW_MAX {
            assert!(line.give_way());
        }
        assert!(!line.give_way());
    }
}
