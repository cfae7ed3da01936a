//! The log of one chat, step by step.

use super::*;

/// An entry of a test: its number, the entry it is about, and what it shows.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Note {
    seq: i64,
    about: i64,
    text: &'static str,
}

impl Entry for Note {
    fn seq(&self) -> i64 {
        self.seq
    }

    fn only_adds(&self) -> bool {
        self.about == self.seq
    }

    fn amended_by(&self, later: &Self) -> Option<Self> {
        (self.about == later.about).then(|| Self {
            text: later.text,
            ..self.clone()
        })
    }
}

fn note(seq: i64) -> Note {
    let (about, text) = (seq, "sent");
    Note { seq, about, text }
}

/// A log that began at `head` and was read up to `to`.
fn log(head: i64, to: i64, most: usize) -> Log<Note> {
    let mut log = Log::default();
    log.begin(head, 1);
    if to > head {
        assert!(log.tell(to) && log.ask());
        let read = log.take().unwrap();
        assert_eq!(
            log.append(read, (head + 1..=to).map(note), most),
            Read::Done
        );
    }
    log
}

fn seqs(view: View<Note>) -> Vec<i64> {
    match view {
        View::Entries(entries, _) => entries.iter().map(|entry| entry.seq).collect(),
        View::TooOld | View::Nothing => panic!("{view:?}"),
    }
}

#[test]
fn only_the_next_entry_is_taken() {
    let mut log = log(5, 7, 10);
    assert!(log.tell(9) && log.ask());
    let read = log.take().unwrap();
    assert_eq!(
        log.append(read, [note(7), note(9), note(8)], 10),
        Read::Again
    );
    assert_eq!(log.last(), Some(8));
    let read = log.take().unwrap();
    assert_eq!(read.after, 8);
    assert_eq!(log.append(read, [note(9)], 10), Read::Done);
}

#[test]
fn what_is_handed_over_needs_no_read() {
    let mut log = log(5, 5, 10);
    assert!(log.tell(6) && log.hand(note(6), 10));
    assert!(!log.ask(), "nothing is missing");
    assert!(!log.hand(note(6), 10), "once is enough");
    // Of two that are handed over in the wrong order the later one is read.
    assert!(log.tell(8) && !log.hand(note(8), 10));
    assert!(log.ask() && log.hand(note(7), 10));
    let read = log.take().unwrap();
    assert_eq!(read.after, 7);
    // Handed over while it is read, it is taken once.
    assert!(log.hand(note(8), 10));
    assert_eq!(log.append(read, [note(8)], 10), Read::Done);
    assert_eq!(seqs(log.view(5, 64)), [6, 7, 8]);
    // What came in time is not read for nothing.
    assert!(log.tell(9) && log.ask() && log.hand(note(9), 10));
    assert_eq!(log.take(), None);
    assert!(log.tell(10) && log.ask(), "and the next read is asked for");
}

#[test]
fn every_cursor_sees_what_is_behind_it() {
    let log = log(0, 10, 4);
    assert_eq!(seqs(log.view(6, 64)), [7, 8, 9, 10]);
    assert_eq!(seqs(log.view(8, 64)), [9, 10]);
    assert_eq!(seqs(log.view(6, 2)), [7, 8]);
    assert_eq!(log.view(5, 64), View::TooOld);
    assert_eq!(log.view(10, 64), View::Nothing);
    assert_eq!(log.view(12, 64), View::Nothing);
}

#[test]
fn a_log_without_entries_sends_older_cursors_to_the_database() {
    let begun = log(5, 5, 4);
    assert_eq!(begun.view(4, 64), View::TooOld);
    assert_eq!(begun.view(5, 64), View::Nothing);
    assert_eq!(Log::<Note>::default().view(0, 64), View::Nothing);
}

#[test]
fn older_entries_show_what_they_are_about_as_it_is_now() {
    let mut log = log(0, 2, 10);
    assert!(log.tell(4) && log.ask());
    let edits = [(3, "better"), (4, "final")];
    let edits = edits.map(|(seq, text)| Note {
        seq,
        about: 1,
        text,
    });
    let read = log.take().unwrap();
    log.append(read, edits, 10);
    let View::Entries(entries, changed) = log.view(0, 64) else {
        panic!("nothing");
    };
    let texts: Vec<&str> = entries.iter().map(|entry| entry.text).collect();
    assert_eq!(
        (texts.as_slice(), changed),
        (&["final", "sent", "final", "final"][..], 4)
    );
}

#[test]
fn a_hint_during_a_read_is_read_next() {
    let mut log = log(5, 5, 10);
    assert!(log.tell(6) && log.ask());
    assert!(!log.ask(), "one reader at a time");
    let read = log.take().unwrap();
    assert!(log.tell(7));
    assert_eq!(log.append(read, [], 10), Read::Again, "the target stands");
    let read = log.take().unwrap();
    assert_eq!(log.append(read, [], 10), Read::NothingThere);
    assert!(log.tell(7), "a hint of nothing is forgotten");
}

#[test]
fn what_was_read_for_an_earlier_life_is_not_taken() {
    let mut log = log(5, 5, 10);
    assert!(log.tell(6) && log.ask());
    let late = log.take().unwrap();
    log.evict();
    log.begin(8, 2);
    assert!(log.tell(9) && log.ask());
    assert_eq!(log.append(late, [note(9)], 10), Read::Done);
    assert_eq!(log.last(), Some(8));
    let read = log.take().unwrap();
    assert!(!log.fail(late) && log.fail(read));
    assert_eq!(log.take(), Some(read), "a failed read is tried again");
}
