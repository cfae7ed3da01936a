//! The board: for each chat whose signals somebody here follows, what is so now. Pure: it reads no clock and
//! no database.
//!
//! Of each person and kind of signal it holds one place, numbered anew whenever it changes. A subscriber
//! holds the number it has come to, so it costs no memory, and a slow one finds the latest state.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;

use super::followed::{AccessAnswer, Cursor, Followed, Found};
use super::place::{Kind, Place};
use crate::model::{ChatId, Presence, TenantId, UserId};
use crate::store::presences::Person;
use crate::store::signals::Signalled;

/// What is to be read.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// The chats whose access to read, with the question that this answers.
    pub(super) access: HashMap<ChatId, u64>,
    /// Of whom.
    pub(super) followers: HashSet<UserId>,
    /// The chats whose people to read.
    pub(super) chats: Vec<ChatId>,
    /// The people whose presence to read.
    pub(super) people: Vec<Person>,
}

impl Wanted {
    pub(super) fn is_empty(&self) -> bool {
        self.access.is_empty() && self.chats.is_empty() && self.people.is_empty()
    }
}

#[derive(Debug)]
pub(super) struct Board {
    /// The most people that are known of a chat.
    people_max: usize,
    chats: HashMap<ChatId, Followed>,
    /// The followed chats that each person is known in.
    of_person: HashMap<Person, HashSet<ChatId>>,
    /// When whose typing stops holding.
    expiries: BTreeSet<(Instant, ChatId, UserId)>,
    /// How many times access was asked for, of all chats: no question is taken for an older one.
    questions: u64,
    /// The chats of which something is to be read.
    unread: HashSet<ChatId>,
    /// Whose presence is to be read.
    people: HashSet<Person>,
}

impl Board {
    pub(super) fn new(people_max: usize) -> Self {
        Self {
            people_max,
            chats: HashMap::new(),
            of_person: HashMap::new(),
            expiries: BTreeSet::new(),
            questions: 0,
            unread: HashSet::new(),
            people: HashSet::new(),
        }
    }

    /// Adds a subscriber.
    pub(super) fn follow(
        &mut self,
        tenant: &TenantId,
        id: ChatId,
        user: &UserId,
    ) -> watch::Receiver<u64> {
        let chat = self.chats.entry(id);
        let chat = chat.or_insert_with(|| Followed::new(tenant));
        *chat.followers.entry(user.clone()).or_default() += 1;
        chat.wake.subscribe()
    }

    /// Takes note that a subscriber's access was read; says whether there is something to read now.
    pub(super) fn begin(&mut self, tenant: &TenantId, id: ChatId, acl_version: i64) -> bool {
        let Some(chat) = self.chats.get_mut(&id) else {
            return false;
        };
        if acl_version > chat.access.version {
            chat.access.version = acl_version;
            chat.wake();
        }
        if chat.loaded {
            return false;
        }
        // Whoever only followed, an outsider who waits to be refused, may be of another tenant.
        chat.tenant.clone_from(tenant);
        chat.wanted = true;
        self.unread.insert(id);
        true
    }

    /// Takes a subscriber away, and with the last one the chat.
    pub(super) fn unfollow(&mut self, id: ChatId, user: &UserId) {
        let Some(chat) = self.chats.get_mut(&id) else {
            return;
        };
        if let Some(count) = chat.followers.get_mut(user) {
            *count -= 1;
            if *count == 0 {
                chat.followers.remove(user);
            }
        }
        if chat.followers.is_empty() {
            let users: Vec<UserId> = chat.people.keys().cloned().collect();
            for user in users {
                self.forget(id, &user);
            }
            self.chats.remove(&id);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chats.is_empty()
    }

    pub(super) fn chats(&self) -> Vec<ChatId> {
        self.chats.keys().copied().collect()
    }

    /// What a subscriber gets next.
    pub(super) fn next(&mut self, id: ChatId, cursor: &mut Cursor, now: Instant) -> Found {
        let Some(chat) = self.chats.get_mut(&id) else {
            return Found::Nothing;
        };
        let found = chat.next(cursor, now);
        if found == Found::Ask {
            self.questions += 1;
            chat.ask(self.questions);
            self.unread.insert(id);
        }
        found
    }

    /// Has the access of a chat be read anew before anything more is told of it; says whether anybody
    /// follows it.
    pub(super) fn access_changed(&mut self, id: ChatId) -> bool {
        let Some(chat) = self.chats.get_mut(&id) else {
            return false;
        };
        self.questions += 1;
        chat.ask(self.questions);
        // Who is in it may have changed.
        chat.wanted |= chat.loaded;
        self.unread.insert(id);
        true
    }

    /// Takes note of the version of a chat's access; says whether that was news.
    pub(super) fn access_seen(&mut self, id: ChatId, version: i64) -> bool {
        let known = self.chats.get(&id).map(|chat| chat.access.version);
        let news = known.is_some_and(|known| version > known);
        if news {
            self.access_changed(id);
        }
        news
    }

    /// Takes note of what was read of a chat's access, for the question it answers.
    pub(super) fn access_read(&mut self, id: ChatId, question: u64, answer: AccessAnswer) {
        if let Some(chat) = self.chats.get_mut(&id) {
            let version = answer.access.as_ref().map(|access| access.acl_version);
            chat.access.version = chat.access.version.max(version.unwrap_or(i64::MAX));
            chat.access.answered = chat.access.answered.max(question);
            chat.access.known = Some(Arc::new(answer));
            if chat.is_asking() {
                self.unread.insert(id);
            }
            chat.wake();
        }
    }

    /// Has all chats be compared.
    pub(super) fn compare_all(&mut self) -> bool {
        for chat in self.chats.values_mut() {
            chat.wanted |= chat.loaded;
        }
        self.unread.extend(self.chats.keys());
        !self.chats.is_empty()
    }

    /// Has a person's presence be read, if anybody follows a chat of theirs.
    pub(super) fn presence_changed(&mut self, person: &Person) -> bool {
        let known = self.of_person.contains_key(person);
        if known {
            self.people.insert(person.clone());
        }
        known
    }

    /// Takes what is to be read.
    pub(super) fn take_wanted(&mut self) -> Wanted {
        let mut wanted = Wanted {
            people: self.people.drain().collect(),
            ..Wanted::default()
        };
        for id in self.unread.drain() {
            let Some(chat) = self.chats.get_mut(&id) else {
                continue;
            };
            if chat.is_asking() {
                wanted.access.insert(id, chat.access.asked);
                wanted.followers.extend(chat.followers.keys().cloned());
            }
            if std::mem::take(&mut chat.wanted) {
                wanted.chats.push(id);
            }
        }
        wanted
    }

    /// Puts back what could not be read. (Access is asked for until it is answered.)
    pub(super) fn put_back(&mut self, wanted: Wanted) {
        self.people.extend(wanted.people);
        self.unread.extend(wanted.access.into_keys());
        for id in wanted.chats {
            self.unread.insert(id);
            if let Some(chat) = self.chats.get_mut(&id) {
                chat.wanted = true;
            }
        }
    }

    /// Takes note of the people of a chat; `whole` says that these are all. Says how many marks and presences
    /// nobody had told of.
    pub(super) fn people_read(&mut self, id: ChatId, people: Vec<Signalled>) -> usize {
        let Some(chat) = self.chats.get(&id) else {
            return 0;
        };
        let was_loaded = chat.loaded;
        let now: HashSet<&UserId> = people.iter().map(|person| &person.user_id).collect();
        let gone = chat.people.keys().filter(|user| !now.contains(user));
        let gone: Vec<UserId> = gone.cloned().collect();
        for user in gone {
            self.forget(id, &user);
        }
        let mut news = 0;
        for person in people {
            let user = &person.user_id;
            let moved = self.marked(id, user, person.read_seq, person.delivered_seq);
            news += usize::from(moved) + usize::from(self.present(id, user, person.presence));
        }
        if let Some(chat) = self.chats.get_mut(&id) {
            chat.loaded = true;
            chat.wake();
        }
        if was_loaded { news } else { 0 }
    }

    /// Takes note of where someone's marks stand; says whether one moved.
    pub(super) fn marked(&mut self, id: ChatId, user: &UserId, read: i64, delivered: i64) -> bool {
        let Some(place) = self.place(id, user) else {
            return false;
        };
        let read_moved = read > place.read;
        let delivered_moved = delivered > place.delivered;
        place.read = place.read.max(read);
        place.delivered = place.delivered.max(delivered);
        let beyond = place.delivered > place.read;
        self.changed(id, user, Kind::Read, read_moved);
        self.changed(id, user, Kind::Delivered, delivered_moved && beyond);
        read_moved || delivered_moved
    }

    /// Takes note of someone's presence; says whether it changed.
    pub(super) fn present(
        &mut self,
        id: ChatId,
        user: &UserId,
        presence: Option<Presence>,
    ) -> bool {
        let Some(place) = self.place(id, user) else {
            return false;
        };
        let news = place.presence != presence;
        place.presence = presence;
        self.changed(id, user, Kind::Presence, news);
        news
    }

    /// Takes note of people's presence in all their chats.
    pub(super) fn presences_read(&mut self, people: Vec<(Person, Option<Presence>)>) {
        for (person, presence) in people {
            let chats = self.of_person.get(&person).cloned().unwrap_or_default();
            for id in chats {
                self.present(id, &person.1, presence);
            }
        }
    }

    /// Takes note that someone types until then, or does not any more.
    pub(super) fn typing(&mut self, id: ChatId, user: &UserId, until: Option<Instant>) {
        // Whoever is not known to type need not be made known for not typing.
        let known = self.chats.get(&id).map(|chat| chat.people.get(user));
        let types = known.flatten().and_then(|place| place.typing);
        if until.is_none() && types.is_none() {
            return;
        }
        let Some(place) = self.place(id, user) else {
            return;
        };
        let before = std::mem::replace(&mut place.typing, until);
        if let Some(before) = before {
            self.expiries.remove(&(before, id, user.clone()));
        }
        if let Some(until) = until {
            self.expiries.insert((until, id, user.clone()));
        }
        self.changed(id, user, Kind::Typing, true);
    }

    /// Ends the typing that does not hold any more, and says when the next does not.
    pub(super) fn expire(&mut self, now: Instant) -> Option<Instant> {
        while let Some((until, id, user)) = self.expiries.first().cloned() {
            if until > now {
                return Some(until);
            }
            self.expiries.pop_first();
            self.typing(id, &user, None);
        }
        None
    }

    /// What is known of someone in a chat; `None` where nobody follows it, or too many are known already.
    fn place(&mut self, id: ChatId, user: &UserId) -> Option<&mut Place> {
        let chat = self.chats.get_mut(&id)?;
        if !chat.people.contains_key(user) {
            if chat.people.len() >= self.people_max {
                return None;
            }
            chat.people.insert(user.clone(), Place::default());
            let person = (chat.tenant.clone(), user.clone());
            self.of_person.entry(person).or_default().insert(id);
        }
        chat.people.get_mut(user)
    }

    fn changed(&mut self, id: ChatId, user: &UserId, kind: Kind, news: bool) {
        if let Some(chat) = self.chats.get_mut(&id).filter(|_| news) {
            chat.changed(user, kind);
        }
    }

    fn forget(&mut self, id: ChatId, user: &UserId) {
        let Some(chat) = self.chats.get_mut(&id) else {
            return;
        };
        if let Some(place) = chat.people.remove(user) {
            for number in place.numbers.values() {
                chat.changes.remove(number);
            }
            if let Some(until) = place.typing {
                self.expiries.remove(&(until, id, user.clone()));
            }
        }
        let person = (chat.tenant.clone(), user.clone());
        if let Some(chats) = self.of_person.get_mut(&person) {
            chats.remove(&id);
            if chats.is_empty() {
                self.of_person.remove(&person);
            }
        }
    }
}

#[cfg(test)]
mod tests;
