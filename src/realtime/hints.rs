//! What hints look like on the wire between servers: the payloads of NOTIFY.
//!
//! A payload is words separated by spaces: a version, the sender's number, and entries. `c` tells how far a
//! chat's log has grown, `p` that a chat concerns a person, `r` that tokens were revoked, `*` that there was too much to tell: compare all.
//! The words of signals stand behind these, and are left out where there is no room for them.

#[cfg(test)]
mod fuzz;

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use uuid::Uuid;

use super::signals::SignalHints;
use crate::model::ChatId;
use crate::store::doorbell::PAYLOAD_MAX_BYTES;

const VERSION: &str = "1";

/// Beyond so many payloads it is cheaper for everybody to compare all heads.
const PAYLOADS_MAX: usize = 64;

/// What has changed and is not told yet: each chat once, at its newest.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Hints {
    pub(super) chats: HashMap<ChatId, i64>,
    pub(super) people: HashSet<(u64, ChatId)>,
    /// Whether more changed than is told here.
    pub(super) all: bool,
    /// Whether tokens were revoked.
    pub(super) revocations: bool,
    pub(super) signals: SignalHints,
}

impl Hints {
    pub(super) fn is_empty(&self) -> bool {
        let nothing = self.chats.is_empty() && self.people.is_empty() && self.signals.is_empty();
        nothing && !self.all && !self.revocations
    }

    pub(super) fn add(&mut self, chat: ChatId, seq: Option<i64>, people: &[u64]) {
        if let Some(seq) = seq {
            let newest = self.chats.entry(chat).or_insert(seq);
            *newest = seq.max(*newest);
        }
        self.people
            .extend(people.iter().map(|person| (*person, chat)));
    }

    /// Writes the hints as few payloads, each within Postgres' limit.
    pub(super) fn pack(&self, server: u64) -> Vec<String> {
        let head = format!("{VERSION} {server:016x}");
        let chats = self.chats.iter();
        let chats = chats.map(|(chat, seq)| format!(" c{}:{seq}", chat.0.simple()));
        let people = self.people.iter();
        let people = people.map(|(person, chat)| format!(" p{person:016x}:{}", chat.0.simple()));
        let access = self.signals.access_words();
        let mut payloads = Vec::new();
        let revocations = self.revocations.then(|| " r".to_owned());
        for entry in revocations
            .into_iter()
            .chain(chats)
            .chain(people)
            .chain(access)
        {
            add(&mut payloads, &head, &entry);
        }
        if self.all || payloads.len() > PAYLOADS_MAX {
            let mut rescan = head;
            write!(rescan, " *").ok();
            return vec![rescan];
        }
        for entry in self.signals.words() {
            add(&mut payloads, &head, &entry);
        }
        payloads.truncate(PAYLOADS_MAX);
        payloads
    }

    /// Reads a payload and who sent it. Words of a later version's making are passed over.
    pub(super) fn parse(payload: &str) -> Option<(u64, Self)> {
        let mut words = payload.split(' ');
        if words.next()? != VERSION {
            return None;
        }
        let server = u64::from_str_radix(words.next()?, 16).ok()?;
        let mut hints = Self::default();
        for word in words {
            hints.read(word);
        }
        Some((server, hints))
    }

    fn read(&mut self, word: &str) -> Option<()> {
        if word == "*" {
            self.all = true;
        } else if word == "r" {
            self.revocations = true;
        } else if let Some((chat, seq)) = word.strip_prefix('c').and_then(|w| w.split_once(':')) {
            let chat = ChatId(Uuid::try_parse(chat).ok()?);
            self.add(chat, Some(seq.parse().ok()?), &[]);
        } else if let Some((person, chat)) = word.strip_prefix('p').and_then(|w| w.split_once(':'))
        {
            let chat = ChatId(Uuid::try_parse(chat).ok()?);
            self.add(chat, None, &[u64::from_str_radix(person, 16).ok()?]);
        } else {
            self.signals.read(word)?;
        }
        Some(())
    }
}

/// Appends a word to the last payload, or to a new one where it does not fit.
fn add(payloads: &mut Vec<String>, head: &str, entry: &str) {
    match payloads.last_mut() {
        Some(last) if last.len() + entry.len() <= PAYLOAD_MAX_BYTES => last.push_str(entry),
        _ => payloads.push(format!("{head}{entry}")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{TenantId, UserId};
    use crate::realtime::signals::Marks;

    fn id() -> impl Strategy<Value = ChatId> {
        any::<u128>().prop_map(|id| ChatId(Uuid::from_u128(id)))
    }

    /// Texts of every length and script that a person's id may have.
    fn text() -> impl Strategy<Value = String> {
        prop_oneof!["[a-z:* ]{1,8}", "[^\\x00]{1,255}"]
    }

    fn user() -> impl Strategy<Value = UserId> {
        text().prop_filter_map("a user's id", |text| UserId::new(text).ok())
    }

    fn tenant() -> impl Strategy<Value = TenantId> {
        text().prop_filter_map("a tenant", |text| TenantId::new(text).ok())
    }

    fn signals() -> impl Strategy<Value = SignalHints> {
        let marks = (0..i64::MAX, 0..i64::MAX, any::<bool>());
        let marks = marks.prop_map(|(read, delivered, sent)| Marks {
            read,
            delivered,
            sent,
        });
        let few = 0..20;
        (
            prop::collection::hash_set(id(), few.clone()),
            prop::collection::hash_map((id(), user()), marks, few.clone()),
            prop::collection::hash_map((id(), user()), any::<u32>(), few.clone()),
            prop::collection::hash_set((tenant(), user()), few),
        )
            .prop_map(|(access, marks, typing, people)| SignalHints {
                access,
                marks,
                typing,
                people,
            })
    }

    fn hints() -> impl Strategy<Value = Hints> {
        let chats = prop::collection::hash_map(any::<u128>(), 1..i64::MAX, 0..600);
        let people = prop::collection::hash_set((any::<u64>(), any::<u128>()), 0..600);
        (chats, people, signals(), any::<bool>()).prop_map(
            |(chats, people, signals, revocations)| Hints {
                chats: chats
                    .into_iter()
                    .map(|(id, seq)| (ChatId(Uuid::from_u128(id)), seq))
                    .collect(),
                people: people
                    .into_iter()
                    .map(|(p, id)| (p, ChatId(Uuid::from_u128(id))))
                    .collect(),
                all: false,
                revocations,
                signals,
            },
        )
    }

    proptest! {
        #[test]
        fn payloads_fit_and_tell_everything(hints in hints(), server: u64) {
            let mut told = Hints::default();
            for payload in hints.pack(server) {
                prop_assert!(payload.len() <= PAYLOAD_MAX_BYTES);
                let (from, part) = Hints::parse(&payload).unwrap();
                prop_assert_eq!(from, server);
                told.chats.extend(part.chats);
                told.people.extend(part.people);
                told.revocations |= part.revocations;
                told.signals.access.extend(part.signals.access);
                told.signals.marks.extend(part.signals.marks);
                told.signals.typing.extend(part.signals.typing);
                told.signals.people.extend(part.signals.people);
            }
            prop_assert_eq!(told, hints);
        }

        #[test]
        fn any_text_is_hints_or_nothing(text in ".{0,200}", words in "1 [0-9a-f]{1,16}( [cpramsto*][0-9a-fA-Z_:-]{0,60}){0,8}") {
            Hints::parse(&text);
            prop_assert!(Hints::parse(&words).is_some());
        }
    }

    #[test]
    fn too_much_becomes_a_rescan() {
        let mut hints = Hints::default();
        for n in 0..20_000 {
            hints.add(ChatId(Uuid::from_u128(n)), Some(1), &[]);
        }
        let payloads = hints.pack(7);
        assert_eq!(payloads, ["1 0000000000000007 *"]);
        assert!(Hints::parse(&payloads[0]).unwrap().1.all);
    }

    #[test]
    fn signals_without_room_are_dropped_and_the_log_is_not() {
        let mut hints = Hints::default();
        let user = UserId::new("u".repeat(255)).unwrap();
        let chat = |n| ChatId(Uuid::from_u128(n));
        hints.add(chat(1), Some(7), &[3]);
        hints.signals.access.insert(chat(2));
        for n in 0..20_000 {
            hints.signals.typing.insert((chat(n), user.clone()), 6000);
        }
        let payloads = hints.pack(7);
        assert_eq!(payloads.len(), PAYLOADS_MAX);
        let (_, told) = Hints::parse(&payloads[0]).unwrap();
        assert_eq!((&told.chats, &told.people), (&hints.chats, &hints.people));
        assert_eq!(told.signals.access, hints.signals.access);
        assert!(!told.all);
    }

    #[test]
    fn whoever_sends_has_stopped_typing() {
        let mut hints = SignalHints::default();
        let (chat, user) = (ChatId(Uuid::nil()), UserId::new("alice").unwrap());
        hints.typing.insert((chat, user.clone()), 6000);
        let marks = Marks {
            read: 7,
            delivered: 0,
            sent: true,
        };
        hints.mark(chat, user, marks);
        assert!(hints.typing.is_empty());
    }
}
