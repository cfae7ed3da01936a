//! Typists: what people on this server said of their typing, told no more often than is useful.

use std::collections::HashMap;
use std::time::Instant;

use super::SignalOptions;
use crate::model::{ChatId, UserId};

/// The most typists that are known at a time. Beyond, what is said is not told: typing is only a signal.
const TYPISTS_MAX: usize = 100_000;

/// Someone who said that they type, or do not, not long ago.
#[derive(Debug)]
struct Typist {
    /// What was told last, and when.
    told: bool,
    told_at: Instant,
    /// What holds now.
    types: bool,
}

#[derive(Debug, Default)]
pub(super) struct Typists {
    all: HashMap<(ChatId, UserId), Typist>,
    /// When there may be something to tell or to forget: nobody is looked at before.
    look_at: Option<Instant>,
}

/// What to tell now: who types in which chat, or does not any more.
type Told = Vec<(ChatId, UserId, bool)>;

impl Typists {
    /// Takes note of what someone says; says whether to tell it now.
    pub(super) fn say(
        &mut self,
        chat: ChatId,
        user: &UserId,
        types: bool,
        now: Instant,
        options: &SignalOptions,
    ) -> bool {
        let key = (chat, user.clone());
        let known = self.all.contains_key(&key);
        if !known && self.all.len() >= TYPISTS_MAX {
            return false;
        }
        let typist = self.all.entry(key).or_insert(Typist {
            told: types,
            told_at: now,
            types,
        });
        typist.types = types;
        let rested = now.duration_since(typist.told_at) >= options.typing_pause;
        let tells = !known || (rested && (types || typist.told));
        if tells {
            typist.told = types;
            typist.told_at = now;
        }
        let until = typist.until(options);
        self.look_at = Some(self.look_at.map_or(until, |at| at.min(until)));
        tells
    }

    /// Forgets someone, whose typing has ended otherwise.
    pub(super) fn forget(&mut self, chat: ChatId, user: &UserId) {
        self.all.remove(&(chat, user.clone()));
    }

    /// What waited and is to be told now, and when to look again.
    pub(super) fn due(&mut self, now: Instant, options: &SignalOptions) -> (Told, Option<Instant>) {
        let mut told = Vec::new();
        if self.look_at.is_some_and(|at| at > now) {
            return (told, self.look_at);
        }
        let mut next: Option<Instant> = None;
        self.all.retain(|(chat, user), typist| {
            if typist.waits() && typist.until(options) <= now {
                typist.told = typist.types;
                typist.told_at = now;
                told.push((*chat, user.clone(), typist.types));
            }
            let until = typist.until(options);
            if until > now {
                next = Some(next.map_or(until, |next| next.min(until)));
            }
            until > now
        });
        self.look_at = next;
        (told, next)
    }
}

impl Typist {
    /// Whether what holds now is not told yet.
    fn waits(&self) -> bool {
        self.types != self.told
    }

    /// When what waits may be told, or else when the typist may be forgotten.
    fn until(&self, options: &SignalOptions) -> Instant {
        let rest = if self.waits() {
            options.typing_pause
        } else {
            options.typing
        };
        self.told_at + rest
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;

    const CHAT: ChatId = ChatId(Uuid::nil());

    fn at(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    #[test]
    fn renewals_are_told_once_a_pause() {
        let (mut typists, start) = (Typists::default(), Instant::now());
        let (alice, options) = (UserId::new("alice").unwrap(), SignalOptions::default());
        let told =
            (0..40).filter(|n| typists.say(CHAT, &alice, true, at(start, n * 100), &options));
        assert_eq!(told.collect::<Vec<_>>(), [0, 10, 20, 30]);
        let (told, _) = typists.due(at(start, 3950), &options);
        assert_eq!(told, []);
    }

    #[test]
    fn what_comes_too_soon_is_told_later_if_it_still_holds() {
        let (mut typists, start) = (Typists::default(), Instant::now());
        let (alice, options) = (UserId::new("alice").unwrap(), SignalOptions::default());
        assert!(typists.say(CHAT, &alice, true, start, &options));
        for (millis, types) in [(100, false), (200, true), (300, false)] {
            assert!(!typists.say(CHAT, &alice, types, at(start, millis), &options));
        }
        let (told, next) = typists.due(at(start, 400), &options);
        assert_eq!((told, next), (Vec::new(), Some(at(start, 1000))));
        let (told, _) = typists.due(at(start, 1000), &options);
        assert_eq!(told, [(CHAT, alice.clone(), false)]);
        let (told, next) = typists.due(at(start, 7000), &options);
        assert_eq!((told, next), (Vec::new(), None));
        assert!(typists.all.is_empty());
    }

    #[test]
    fn a_stop_is_told_also_where_no_start_was_heard() {
        let (mut typists, start) = (Typists::default(), Instant::now());
        let (alice, options) = (UserId::new("alice").unwrap(), SignalOptions::default());
        assert!(typists.say(CHAT, &alice, false, start, &options));
        assert!(!typists.say(CHAT, &alice, false, at(start, 2000), &options));
    }
}
