//! A chat's tail: a bounded ring of the newest entries of its log.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::watch;

use crate::model::Event;

/// The newest entries of a log, without a gap, and what wakes those who wait for the next.
#[derive(Debug)]
pub(super) struct Tail {
    ring: VecDeque<Arc<Event>>,
    /// The newest entry read; `None` until the head is known.
    last: Option<i64>,
    wake: watch::Sender<i64>,
}

/// What a tail has for a reader.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum View {
    /// The next entries.
    Events(Vec<Arc<Event>>),
    /// The next entries have left the ring: the log has them.
    TooOld,
    /// Nothing yet.
    Nothing,
}

impl Default for Tail {
    fn default() -> Self {
        Self {
            ring: VecDeque::new(),
            last: None,
            wake: watch::Sender::new(0),
        }
    }
}

impl Tail {
    pub(super) fn subscribe(&self) -> watch::Receiver<i64> {
        self.wake.subscribe()
    }

    pub(super) fn last(&self) -> Option<i64> {
        self.last
    }

    /// Begins behind `head`, if it has not begun.
    pub(super) fn begin(&mut self, head: i64) {
        self.last.get_or_insert(head);
    }

    /// Appends the next entry; any other is not taken.
    pub(super) fn append(&mut self, event: Event, most: usize) -> bool {
        if self.last.is_none_or(|last| event.seq != last + 1) {
            return false;
        }
        self.last = Some(event.seq);
        self.ring.push_back(Arc::new(event));
        if self.ring.len() > most {
            self.ring.pop_front();
        }
        true
    }

    /// Wakes those who wait, if there is something new.
    pub(super) fn wake(&self) {
        let last = self.last.unwrap_or_default();
        self.wake.send_if_modified(|told| {
            let news = last > *told;
            *told = last;
            news
        });
    }

    /// Up to `most` entries behind the cursor.
    pub(super) fn view(&self, cursor: i64, most: usize) -> View {
        if self.last.is_none_or(|last| cursor >= last) {
            return View::Nothing;
        }
        let oldest = self.ring.front().map(|event| event.seq);
        // The ring has no gap, so the place of an entry follows from the oldest one's number.
        let skip = oldest.and_then(|oldest| usize::try_from(cursor + 1 - oldest).ok());
        match skip {
            None => View::TooOld,
            Some(skip) => View::Events(self.ring.iter().skip(skip).take(most).cloned().collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use uuid::Uuid;

    use super::*;
    use crate::model::{Change, ChatId};

    fn event(seq: i64) -> Event {
        Event {
            chat_id: ChatId(Uuid::nil()),
            seq,
            occurred_at: DateTime::UNIX_EPOCH,
            actor: None,
            change: Change::ChatDeleted,
        }
    }

    fn tail(head: i64, to: i64, most: usize) -> Tail {
        let mut tail = Tail::default();
        tail.begin(head);
        for seq in head + 1..=to {
            assert!(tail.append(event(seq), most));
        }
        tail
    }

    fn seqs(view: View) -> Vec<i64> {
        match view {
            View::Events(events) => events.iter().map(|event| event.seq).collect(),
            View::TooOld | View::Nothing => panic!("{view:?}"),
        }
    }

    #[test]
    fn only_the_next_entry_is_taken() {
        let mut tail = tail(5, 7, 10);
        assert!(!tail.append(event(7), 10));
        assert!(!tail.append(event(9), 10));
        assert!(tail.append(event(8), 10));
        assert_eq!(tail.last(), Some(8));
        assert!(!Tail::default().append(event(1), 10));
    }

    #[test]
    fn every_cursor_sees_what_is_behind_it() {
        let tail = tail(0, 10, 4);
        assert_eq!(seqs(tail.view(6, 64)), [7, 8, 9, 10]);
        assert_eq!(seqs(tail.view(8, 64)), [9, 10]);
        assert_eq!(seqs(tail.view(6, 2)), [7, 8]);
        assert_eq!(tail.view(5, 64), View::TooOld);
        assert_eq!(tail.view(10, 64), View::Nothing);
        assert_eq!(tail.view(12, 64), View::Nothing);
    }

    #[test]
    fn a_tail_without_entries_sends_older_cursors_to_the_log() {
        let tail = tail(5, 5, 4);
        assert_eq!(tail.view(4, 64), View::TooOld);
        assert_eq!(tail.view(5, 64), View::Nothing);
        assert_eq!(Tail::default().view(0, 64), View::Nothing);
    }
}
