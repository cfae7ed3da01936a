//! A chat's tail: a bounded ring of the newest entries of its log.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::watch;

use crate::model::Event;
use crate::sabotage::{self, Sabotage};

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
        self.amend(&event);
        self.ring.push_back(Arc::new(event));
        if self.ring.len() > most {
            self.ring.pop_front();
        }
        true
    }

    /// Has the older entries about a message show it as the newest one does: who reads them only now must
    /// not see what was edited or deleted since.
    fn amend(&mut self, event: &Event) {
        let Some(message) = event.change.message() else {
            return;
        };
        // A message's own entry is the first about it, so a send amends nothing.
        if message.seq == event.seq {
            return;
        }
        for entry in &mut self.ring {
            let about = entry.change.message().map(|message| message.seq);
            if about == Some(message.seq) {
                let change = entry.change.with_message(message);
                *entry = Arc::new(Event {
                    change,
                    ..Event::clone(entry)
                });
            }
        }
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
        let skip = skip.or_else(|| sabotaged_skip(cursor + 1 - oldest?));
        match skip {
            None => View::TooOld,
            Some(skip) => View::Events(self.ring.iter().skip(skip).take(most).cloned().collect()),
        }
    }
}

/// Where a broken server would go on for a reader whose next entry has left the ring, `place` from its oldest.
fn sabotaged_skip(place: i64) -> Option<usize> {
    let near = place == -1 && sabotage::is(Sabotage::RingOffByOne);
    (near || sabotage::is(Sabotage::DropOnOverflow)).then_some(0)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use uuid::Uuid;

    use super::*;
    use crate::model::{Change, ChatId, Message, MessageId, UserId};

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

    fn message(seq: i64, body: &str) -> Box<Message> {
        Box::new(Message {
            chat_id: ChatId(Uuid::nil()),
            seq,
            id: MessageId(Uuid::nil()),
            sender_id: UserId::new("alice").unwrap(),
            body: body.to_owned(),
            reply_to_seq: None,
            created_at: DateTime::UNIX_EPOCH,
            edited_at: None,
            deleted_at: None,
            deleted_by: None,
        })
    }

    #[test]
    fn older_entries_show_a_message_as_it_is_now() {
        let mut tail = tail(0, 0, 10);
        let changes = [
            Change::MessageSent(message(1, "draft")),
            Change::MessageSent(message(2, "another")),
            Change::MessageEdited(message(1, "better")),
            Change::MessageEdited(message(1, "final")),
        ];
        for (seq, change) in (1..).zip(changes) {
            let event = Event {
                change,
                ..event(seq)
            };
            assert!(tail.append(event, 10));
        }
        let View::Events(events) = tail.view(0, 64) else {
            panic!("nothing");
        };
        let bodies = events.iter().map(|event| event.change.message());
        let bodies: Vec<&str> = bodies.map(|m| m.unwrap().body.as_str()).collect();
        assert_eq!(bodies, ["final", "another", "final", "final"]);
        assert!(matches!(events[0].change, Change::MessageSent(_)));
    }

    #[test]
    fn a_tail_without_entries_sends_older_cursors_to_the_log() {
        let tail = tail(5, 5, 4);
        assert_eq!(tail.view(4, 64), View::TooOld);
        assert_eq!(tail.view(5, 64), View::Nothing);
        assert_eq!(Tail::default().view(0, 64), View::Nothing);
    }
}
