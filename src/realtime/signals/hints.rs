//! What signals look like on the wire between servers: words of their own in the doorbell's payloads.
//!
//! `a` tells that access to a chat changed, `m` where a participant's marks stand, `s` the same of someone
//! who has just sent a message, `t` for how many milliseconds someone types (0: not any more), `o` that a
//! person's presence is to be looked at again. Texts of people are written in base 64.

use std::collections::{HashMap, HashSet};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use crate::model::{ChatId, TenantId, UserId};
use crate::store::presences::Person;

/// Where a participant's marks stand.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(in crate::realtime) struct Marks {
    pub(in crate::realtime) read: i64,
    pub(in crate::realtime) delivered: i64,
    /// Whether they have just sent a message, and so stopped typing.
    pub(in crate::realtime) sent: bool,
}

/// What is not told yet of signals: of each person and kind the latest.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(in crate::realtime) struct SignalHints {
    /// Not a signal, but what decides who gets them: never dropped for want of room.
    pub(in crate::realtime) access: HashSet<ChatId>,
    pub(in crate::realtime) marks: HashMap<(ChatId, UserId), Marks>,
    pub(in crate::realtime) typing: HashMap<(ChatId, UserId), u32>,
    pub(in crate::realtime) people: HashSet<Person>,
}

impl SignalHints {
    pub(in crate::realtime) fn is_empty(&self) -> bool {
        self.access.is_empty()
            && self.marks.is_empty()
            && self.typing.is_empty()
            && self.people.is_empty()
    }

    pub(in crate::realtime) fn mark(&mut self, chat: ChatId, user: UserId, marks: Marks) {
        let key = (chat, user);
        if marks.sent {
            self.typing.remove(&key);
        }
        let known = self.marks.entry(key).or_default();
        known.read = known.read.max(marks.read);
        known.delivered = known.delivered.max(marks.delivered);
        known.sent |= marks.sent;
    }

    /// The words that must be told.
    pub(in crate::realtime) fn access_words(&self) -> impl Iterator<Item = String> {
        let chats = self.access.iter();
        chats.map(|chat| format!(" a{}", chat.0.simple()))
    }

    /// The words that may be dropped.
    pub(in crate::realtime) fn words(&self) -> impl Iterator<Item = String> {
        let marks = self.marks.iter().map(|((chat, user), marks)| {
            let kind = if marks.sent { 's' } else { 'm' };
            let (chat, user) = (chat.0.simple(), text(user.as_str()));
            format!(" {kind}{chat}:{}:{}:{user}", marks.read, marks.delivered)
        });
        let typing = self.typing.iter().map(|((chat, user), millis)| {
            format!(" t{}:{millis}:{}", chat.0.simple(), text(user.as_str()))
        });
        let people = self
            .people
            .iter()
            .map(|(tenant, user)| format!(" o{}:{}", text(tenant.as_str()), text(user.as_str())));
        marks.chain(typing).chain(people)
    }

    /// Reads a word; `None` where it is none of these.
    pub(in crate::realtime) fn read(&mut self, word: &str) -> Option<()> {
        let (kind, rest) = word.split_at_checked(1)?;
        let mut parts = rest.split(':');
        match kind {
            "a" => {
                self.access.insert(chat(parts.next()?)?);
            }
            "m" | "s" => {
                let chat = chat(parts.next()?)?;
                let marks = Marks {
                    read: parts.next()?.parse().ok()?,
                    delivered: parts.next()?.parse().ok()?,
                    sent: kind == "s",
                };
                self.mark(chat, user(parts.next()?)?, marks);
            }
            "t" => {
                let chat = chat(parts.next()?)?;
                let millis = parts.next()?.parse().ok()?;
                self.typing.insert((chat, user(parts.next()?)?), millis);
            }
            "o" => {
                let tenant = TenantId::new(plain(parts.next()?)?).ok()?;
                self.people.insert((tenant, user(parts.next()?)?));
            }
            _ => return None,
        }
        Some(())
    }
}

fn text(id: &str) -> String {
    URL_SAFE_NO_PAD.encode(id)
}

fn plain(text: &str) -> Option<String> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

fn user(text: &str) -> Option<UserId> {
    UserId::new(plain(text)?).ok()
}

fn chat(text: &str) -> Option<ChatId> {
    Uuid::try_parse(text).map(ChatId).ok()
}
