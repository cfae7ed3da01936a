//! Payloads of notifications, whatever is in them: whoever may write to the database may notify.

use proptest::collection::vec;
use proptest::prelude::*;
use uuid::Uuid;

use super::Hints;
use crate::fuzz::{mutated, text, texts, within};
use crate::model::{ChatId, TenantId, UserId};
use crate::realtime::signals::Marks;

/// How many bytes a payload may take for each of its own. A chat takes 35 of them, and its place in a map, at the
/// worst moment of its growth, three times what it holds.
const MULTIPLE: usize = 16;

/// Hints as a server has them to tell: a few of each kind.
fn hints() -> impl Strategy<Value = Hints> {
    let chat = || any::<u128>().prop_map(|id| ChatId(Uuid::from_u128(id)));
    let user = || "[^\\x00]{1,30}".prop_filter_map("a user", |text| UserId::new(text).ok());
    let tenant = "[^\\x00]{1,30}".prop_filter_map("a tenant", |text| TenantId::new(text).ok());
    let marks = (any::<i64>(), any::<i64>(), any::<bool>());
    let log = (chat(), any::<i64>(), vec(any::<u64>(), 0..3));
    let marks = (chat(), user(), marks);
    let typing = (chat(), user(), any::<u32>());
    (
        vec(log, 0..5),
        vec(marks, 0..5),
        vec(typing, 0..5),
        vec((tenant, user()), 0..5),
        vec(chat(), 0..5),
        any::<(bool, bool)>(),
    )
        .prop_map(|(log, marks, typing, people, access, (all, revocations))| {
            let mut hints = Hints {
                all,
                revocations,
                ..Hints::default()
            };
            for (chat, seq, people) in log {
                hints.add(chat, Some(seq), &people);
            }
            for (chat, user, (read, delivered, sent)) in marks {
                hints.signals.mark(
                    chat,
                    user,
                    Marks {
                        read,
                        delivered,
                        sent,
                    },
                );
            }
            for (chat, user, millis) in typing {
                hints.signals.typing.insert((chat, user), millis);
            }
            hints.signals.people.extend(people);
            hints.signals.access.extend(access);
            hints
        })
}

fn payload() -> impl Strategy<Value = String> {
    (hints(), any::<u64>()).prop_map(|(hints, server)| {
        let payloads = hints.pack(server);
        payloads.first().cloned().unwrap_or_default()
    })
}

/// What is read is told on as it was read, if anybody tells it on.
fn reads(given: &str) {
    let Some((server, hints)) = within(MULTIPLE, given, || Hints::parse(given)) else {
        return;
    };
    let mut told = Hints::default();
    for payload in hints.pack(server) {
        let (from, part) = Hints::parse(&payload).expect("what we write we read");
        assert_eq!(from, server);
        told.chats.extend(part.chats);
        told.people.extend(part.people);
        told.all |= part.all;
        told.revocations |= part.revocations;
        told.signals.access.extend(part.signals.access);
        told.signals.marks.extend(part.signals.marks);
        told.signals.typing.extend(part.signals.typing);
        told.signals.people.extend(part.signals.people);
    }
    if hints.all {
        assert!(told.all, "a rescan is forgotten");
    } else {
        // A rescan stands for what there was too much of.
        assert_eq!(told, hints);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_hints_or_nothing(given in texts(400)) {
        reads(&given);
        reads(&format!("1 0 {given}"));
    }

    #[test]
    fn a_mutated_payload_is_hints_or_nothing(given in mutated(payload())) {
        reads(&text(given));
    }

    /// One word that cannot be read takes no other along.
    #[test]
    fn a_bad_word_spoils_no_good_one(payload in payload(), bad in "[a-zA-Z0-9:_-]{0,40}") {
        let (good, spoilt) = (Hints::parse(&payload), Hints::parse(&format!("{payload} {bad}")));
        prop_assert_eq!(good.is_some(), spoilt.is_some());
        if let (Some((_, good)), Some((_, spoilt))) = (good, spoilt) {
            let has = |kept: usize, all: usize| kept <= all;
            prop_assert!(good.chats.keys().all(|chat| spoilt.chats.contains_key(chat)));
            prop_assert!(good.people.is_subset(&spoilt.people));
            prop_assert!(good.signals.access.is_subset(&spoilt.signals.access));
            prop_assert!(good.signals.people.is_subset(&spoilt.signals.people));
            prop_assert!(has(good.signals.marks.len(), spoilt.signals.marks.len()));
            prop_assert!(!good.all || spoilt.all);
        }
    }
}
