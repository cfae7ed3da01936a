//! What hints look like on the wire between servers: the payloads of NOTIFY.
//!
//! A payload is words separated by spaces: a version, the sender's number, and entries. `c` tells how far a
//! chat's log has grown, `p` that a chat concerns a person, `*` that there was too much to tell: compare all.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use uuid::Uuid;

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
}

impl Hints {
    pub(super) fn is_empty(&self) -> bool {
        self.chats.is_empty() && self.people.is_empty() && !self.all
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
        let mut payloads: Vec<String> = Vec::new();
        for entry in chats.chain(people) {
            match payloads.last_mut() {
                Some(last) if last.len() + entry.len() <= PAYLOAD_MAX_BYTES => {
                    last.push_str(&entry);
                }
                _ => payloads.push(format!("{head}{entry}")),
            }
        }
        if self.all || payloads.len() > PAYLOADS_MAX {
            let mut rescan = head;
            write!(rescan, " *").ok();
            return vec![rescan];
        }
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
        } else if let Some((chat, seq)) = word.strip_prefix('c').and_then(|w| w.split_once(':')) {
            let chat = ChatId(Uuid::try_parse(chat).ok()?);
            self.add(chat, Some(seq.parse().ok()?), &[]);
        } else if let Some((person, chat)) = word.strip_prefix('p').and_then(|w| w.split_once(':'))
        {
            let chat = ChatId(Uuid::try_parse(chat).ok()?);
            self.add(chat, None, &[u64::from_str_radix(person, 16).ok()?]);
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hints() -> impl Strategy<Value = Hints> {
        let chats = prop::collection::hash_map(any::<u128>(), 1..i64::MAX, 0..600);
        let people = prop::collection::hash_set((any::<u64>(), any::<u128>()), 0..600);
        (chats, people).prop_map(|(chats, people)| Hints {
            chats: chats
                .into_iter()
                .map(|(id, seq)| (ChatId(Uuid::from_u128(id)), seq))
                .collect(),
            people: people
                .into_iter()
                .map(|(p, id)| (p, ChatId(Uuid::from_u128(id))))
                .collect(),
            all: false,
        })
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
            }
            prop_assert_eq!(told, hints);
        }

        #[test]
        fn any_text_is_hints_or_nothing(text in ".{0,200}", words in "1 [0-9a-f]{1,16}( [cp*][0-9a-f:]{0,60}){0,8}") {
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
}
