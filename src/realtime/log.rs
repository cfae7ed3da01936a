//! What the hub knows of one chat's log: a pure state machine, without locks, time or a database.
//!
//! It holds the newest entries in a bounded ring, knows how far the log is said to reach (the target), and
//! whether somebody reads what is missing. `model.rs` beside it checks the machine exhaustively, together
//! with a log that grows, hints that get lost, and subscribers that come and go.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::sabotage::{self, Sabotage};

/// An entry, as the machine needs it.
pub(super) trait Entry: Sized {
    /// Its place in the log.
    fn seq(&self) -> i64;

    /// Whether it only adds to the log, and changes nothing that stands in it already.
    fn only_adds(&self) -> bool;

    /// This entry as it reads once `later` stands in the log, where `later` changes what it shows.
    fn amended_by(&self, later: &Self) -> Option<Self>;
}

/// The tail of a log, and what is known of its head.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Log<E> {
    /// The newest entries, without a gap, up to `last`.
    ring: VecDeque<Arc<E>>,
    /// The newest entry read; `None` until the head is known to a subscriber.
    last: Option<i64>,
    /// The newest entry that anybody told of.
    target: i64,
    /// The newest entry that may have changed what older ones show.
    changed: i64,
    reading: Reading,
    /// Which beginning this is: what was read for an earlier one is not taken.
    life: u64,
}

/// How the reading of what is missing stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Reading {
    /// Nothing is missing, or nobody has been asked yet.
    Idle,
    /// Somebody has been asked to read.
    Wanted,
    /// Somebody reads. Whether more was told since they began.
    Running { told: bool },
}

/// A part of the log that is to be read: what stands behind `after`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Missing {
    pub(super) after: i64,
    life: u64,
}

/// What a log has for a subscriber.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum View<E> {
    /// The next entries, and the newest entry that may have changed what they show.
    Entries(Vec<Arc<E>>, i64),
    /// The next entries have left the ring: the database has them.
    TooOld,
    /// Nothing yet.
    Nothing,
}

/// What became of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    /// The tail has caught up, or belongs to another life.
    Done,
    /// There is more to read.
    Again,
    /// The hints told of more than the log holds: they were none.
    NothingThere,
}

impl<E> Default for Log<E> {
    fn default() -> Self {
        Self {
            ring: VecDeque::new(),
            last: None,
            target: 0,
            changed: 0,
            reading: Reading::Idle,
            life: 0,
        }
    }
}

impl<E: Entry> Log<E> {
    /// Begins behind `head`, if it has not begun. `life` is another number for each beginning.
    pub(super) fn begin(&mut self, head: i64, life: u64) {
        if self.last.is_none() {
            (self.last, self.changed, self.life) = (Some(head), head, life);
        }
    }

    /// How many entries are kept.
    pub(super) fn kept(&self) -> usize {
        self.ring.len()
    }

    /// Forgets the tail, because nobody is left who reads it.
    pub(super) fn evict(&mut self) {
        self.ring.clear();
        (self.last, self.reading) = (None, Reading::Idle);
    }

    /// Takes note of the newest entry, whoever told of it; says whether it was news.
    pub(super) fn tell(&mut self, seq: i64) -> bool {
        if seq <= self.target {
            return false;
        }
        self.target = seq;
        if let Reading::Running { told } = &mut self.reading {
            *told = true;
        }
        true
    }

    /// Asks for a read, where entries are missing and nobody was asked; says whether it did.
    pub(super) fn ask(&mut self) -> bool {
        let asks = self.reading == Reading::Idle && self.is_behind();
        if asks {
            self.reading = Reading::Wanted;
        }
        asks
    }

    /// Takes an entry from whoever wrote it, if it is the next: it need not be read then. Says whether it did.
    pub(super) fn hand(&mut self, entry: E, most: usize) -> bool {
        let before = self.last;
        self.push(entry, most);
        self.last != before
    }

    /// Takes up the read that was asked for, if anything is still missing.
    pub(super) fn take(&mut self) -> Option<Missing> {
        let after = self.last.filter(|_| self.reading == Reading::Wanted)?;
        if !self.is_behind() {
            self.reading = Reading::Idle;
            return None;
        }
        self.reading = Reading::Running { told: false };
        Some(Missing {
            after,
            life: self.life,
        })
    }

    /// Ends a read: appends what is strictly next, keeping `most` entries, and says whether to read again.
    pub(super) fn append(
        &mut self,
        read: Missing,
        entries: impl IntoIterator<Item = E>,
        most: usize,
    ) -> Read {
        let Some(told) = self.runs(read) else {
            return Read::Done;
        };
        for entry in entries {
            self.push(entry, most);
        }
        self.reading = Reading::Idle;
        if !self.is_behind() {
            return Read::Done;
        }
        // What was read may have been handed over meanwhile: then the rest of the log is still to be read.
        if told || self.last != Some(read.after) {
            self.reading = Reading::Wanted;
            return Read::Again;
        }
        // Nobody told anything while the log was read. A hint comes after its commit, so the entry was there
        // to be read: the hint was none.
        self.forget_target();
        Read::NothingThere
    }

    /// Ends a read that failed. It is to be tried again, unless nobody waits for it any more.
    pub(super) fn fail(&mut self, read: Missing) -> bool {
        let runs = self.runs(read).is_some();
        if runs {
            self.reading = Reading::Wanted;
        }
        runs
    }

    /// Gives a read up: what it read is not understood. The next who tells of the log has it tried again.
    pub(super) fn give_up(&mut self, read: Missing) {
        if self.runs(read).is_some() {
            self.reading = Reading::Idle;
            self.forget_target();
        }
    }

    /// What the ring has behind a cursor, up to `most` entries.
    pub(super) fn view(&self, cursor: i64, most: usize) -> View<E> {
        if self.last.is_none_or(|last| cursor >= last) {
            return View::Nothing;
        }
        let oldest = self.ring.front().map(|entry| entry.seq());
        // The ring has no gap, so the place of an entry follows from the oldest one's number.
        let skip = oldest.and_then(|oldest| usize::try_from(cursor + 1 - oldest).ok());
        let skip = skip.or_else(|| sabotaged_skip(cursor + 1 - oldest?));
        match skip {
            None => View::TooOld,
            Some(skip) => {
                let entries = self.ring.iter().skip(skip).take(most).cloned();
                View::Entries(entries.collect(), self.changed)
            }
        }
    }

    /// The newest entry read.
    pub(super) fn last(&self) -> Option<i64> {
        self.last
    }

    /// Whether a read is the one that runs, and whether more was told since it began.
    fn runs(&self, read: Missing) -> Option<bool> {
        match self.reading {
            Reading::Running { told } if read.life == self.life => Some(told),
            Reading::Running { .. } | Reading::Idle | Reading::Wanted => None,
        }
    }

    fn is_behind(&self) -> bool {
        self.last.is_some_and(|last| last < self.target)
    }

    fn forget_target(&mut self) {
        if let Some(last) = self.last {
            self.target = last;
        }
    }

    /// Appends the next entry; any other is not taken.
    fn push(&mut self, entry: E, most: usize) {
        if self.last.is_none_or(|last| entry.seq() != last + 1) {
            return;
        }
        self.last = Some(entry.seq());
        if !entry.only_adds() {
            self.changed = entry.seq();
            self.amend(&entry);
        }
        self.ring.push_back(Arc::new(entry));
        if self.ring.len() > most {
            self.ring.pop_front();
        }
    }

    /// Has the older entries show what they are about as `later` does: who reads them only now must not see
    /// what was edited or deleted since.
    fn amend(&mut self, later: &E) {
        for entry in &mut self.ring {
            if let Some(amended) = entry.amended_by(later) {
                *entry = Arc::new(amended);
            }
        }
    }
}

/// Where a broken server would go on for a reader whose next entry has left the ring, `place` from its oldest.
fn sabotaged_skip(place: i64) -> Option<usize> {
    let near = place == -1 && sabotage::is(Sabotage::RingOffByOne);
    (near || sabotage::is(Sabotage::DropOnOverflow)).then_some(0)
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
