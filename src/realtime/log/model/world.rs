//! The world around a log: its database, its reader, and two subscribers.

use super::*;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct World {
    /// How long the log in the database is.
    pub(super) head: i64,
    pub(super) log: Log<i64>,
    pub(super) lives: u64,
    /// The newest hint on its way: older ones say nothing that it does not say.
    pub(super) hint: Option<i64>,
    /// The read that runs, and what it has found, once it has.
    pub(super) read: Option<(Missing, Option<i64>)>,
    pub(super) subscribers: [Subscriber; 2],
    /// Whether somebody was given anything but the next entry.
    pub(super) wrong: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Subscriber {
    pub(super) cursor: i64,
    pub(super) stage: Stage,
    pub(super) returns: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Stage {
    Away,
    /// Has read the head before interest is registered, as it must not be.
    HeadOnly(i64),
    /// Interest is registered; the head is read next.
    Watching,
    /// The head is read; the tail is begun next.
    Admitted(i64),
    /// Looks at the tail, or waits to be woken.
    Live {
        awake: bool,
    },
    /// Reads the database itself; has found entries up to there, once it has.
    Replaying(Option<i64>),
}

/// What a subscriber does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Come,
    ReadHead,
    Begin,
    Look,
    ReadPage,
    TakePage,
    Go,
}

impl World {
    pub(super) fn tell(&mut self, seq: i64) {
        self.log.tell(seq);
        self.log.ask();
    }

    pub(super) fn watched(&self) -> bool {
        let watches = |s: &Subscriber| !matches!(s.stage, Stage::Away | Stage::HeadOnly(_));
        self.subscribers.iter().any(watches)
    }

    pub(super) fn wake(&mut self) {
        for subscriber in &mut self.subscribers {
            if let Stage::Live { awake } = &mut subscriber.stage {
                *awake = true;
            }
        }
    }

    fn give(&mut self, who: usize, entries: impl IntoIterator<Item = i64>) {
        for entry in entries {
            self.wrong |= entry != self.subscribers[who].cursor + 1;
            self.subscribers[who].cursor = entry;
        }
    }

    fn look(&mut self, who: usize, broken: Broken) {
        match self.log.view(self.subscribers[who].cursor, 1) {
            View::Entries(entries, _) => self.give(who, entries.iter().map(|entry| **entry)),
            View::Nothing => self.subscribers[who].stage = Stage::Live { awake: false },
            View::TooOld if broken == Broken::SkipToRing => {
                let ring: Vec<i64> = self.log.ring.iter().map(|entry| **entry).collect();
                self.give(who, ring);
                self.subscribers[who].stage = Stage::Live { awake: false };
            }
            View::TooOld => self.subscribers[who].stage = Stage::Replaying(None),
        }
    }

    /// Whether nothing is left to happen but new writes, arrivals and departures.
    pub(super) fn is_at_rest(&self) -> bool {
        let rests = |s: &Subscriber| matches!(s.stage, Stage::Live { awake: false } | Stage::Away);
        self.subscribers.iter().all(rests)
            && self.hint.is_none()
            && self.read.is_none()
            && self.log.reading == Reading::Idle
    }

    /// What comes of what a subscriber does, where this is broken.
    pub(super) fn act(&mut self, who: usize, act: Act, broken: Broken) -> Option<()> {
        match act {
            Act::Come => {
                let stage = &mut self.subscribers[who].stage;
                *stage = if let Stage::HeadOnly(head) = *stage {
                    Stage::Admitted(head)
                } else {
                    Stage::Watching
                };
            }
            Act::ReadHead => {
                let stage = &mut self.subscribers[who].stage;
                *stage = if *stage == Stage::Away {
                    Stage::HeadOnly(self.head)
                } else {
                    Stage::Admitted(self.head)
                };
            }
            Act::Begin => {
                let Stage::Admitted(head) = self.subscribers[who].stage else {
                    return None;
                };
                self.lives += 1;
                self.log.begin(head, self.lives);
                self.tell(head);
                self.subscribers[who].stage = Stage::Live { awake: true };
            }
            Act::Look => self.look(who, broken),
            Act::ReadPage => {
                let to = self.head.min(self.subscribers[who].cursor + BATCH);
                self.subscribers[who].stage = Stage::Replaying(Some(to));
            }
            Act::TakePage => {
                let Stage::Replaying(Some(to)) = self.subscribers[who].stage else {
                    return None;
                };
                self.give(who, self.subscribers[who].cursor + 1..=to);
                self.subscribers[who].stage = Stage::Live { awake: true };
            }
            Act::Go => {
                self.subscribers[who].stage = Stage::Away;
                self.subscribers[who].returns -= 1;
                if broken == Broken::Inclusive && self.subscribers[who].cursor > 0 {
                    self.give(who, [self.subscribers[who].cursor]);
                }
                if !self.watched() {
                    self.log.evict();
                }
            }
        }
        Some(())
    }
}
