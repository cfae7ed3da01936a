//! A run in which all went well passes; each way in which it can go wrong is found, and by its own name.

use super::*;
use crate::history::{Ack, Attempt, Snapshot};

const CHAT: Uuid = Uuid::from_u128(7);

fn id(seq: i64) -> Uuid {
    Uuid::from_u128(1000 + u128::try_from(seq).unwrap())
}

fn entry(seq: i64, kind: Kind, subject: Option<&str>) -> Entry {
    let about = matches!(
        kind,
        Kind::Sent | Kind::Edited | Kind::Deleted | Kind::Restored
    );
    Entry {
        seq,
        kind,
        message: if about { id(seq) } else { Uuid::nil() },
        subject: subject.map(str::to_owned),
        occurred_at: seq * 10,
    }
}

fn attempt(seq: i64) -> Attempt {
    Attempt {
        chat: CHAT,
        sender: "alice".to_owned(),
        key: format!("key {seq}"),
    }
}

/// Ten entries: bob is added, four messages, bob is removed, two messages, bob is added again, a message.
fn rows() -> Rows {
    use Kind::{Added, Removed, Sent};
    let kinds = [
        Added, Sent, Sent, Sent, Sent, Removed, Sent, Sent, Added, Sent,
    ];
    let log: Vec<Entry> = (1..)
        .zip(kinds)
        .map(|(seq, kind)| entry(seq, kind, (kind != Sent).then_some("bob")))
        .collect();
    let sent = log.iter().filter(|entry| entry.kind == Sent);
    let messages = sent.map(|entry| Row {
        seq: entry.seq,
        id: entry.message,
        sender: "alice".to_owned(),
        key: Some(attempt(entry.seq).key),
        deleted: false,
    });
    let chat = ChatRows {
        last_seq: 10,
        messages: messages.collect(),
        log,
        marks: HashMap::from([("carol".to_owned(), 4)]),
    };
    HashMap::from([(CHAT, chat)])
}

fn session(rows: &Rows, after: i64, to: i64, end: End) -> Session {
    let seen = rows[&CHAT]
        .log
        .iter()
        .filter(|entry| entry.seq > after && entry.seq <= to);
    let seen = seen.map(|entry| Seen {
        seq: entry.seq,
        kind: entry.kind,
        message: entry.message,
        at: entry.seq * 10 + 1,
    });
    Session {
        server: 0,
        after,
        events: seen.collect(),
        end,
    }
}

fn stream(who: &str, sessions: Vec<Session>) -> Stream {
    Stream {
        who: who.to_owned(),
        chat: CHAT,
        sessions,
        complete: true,
        stalls: false,
    }
}

fn reading(head: i64, unread: i64, last_read: i64) -> Reading {
    Reading {
        reader: "carol".to_owned(),
        chat: CHAT,
        head,
        unread,
        last_read: (last_read > 0).then(|| id(last_read)),
        at_rest: false,
    }
}

/// A run in which every promise was kept.
fn good() -> (History, Rows) {
    let rows = rows();
    let whole = stream(
        "carol",
        vec![
            session(&rows, 0, 3, End::Lost),
            session(&rows, 3, 10, End::Left),
        ],
    );
    let guest = stream(
        "bob",
        vec![
            session(&rows, 0, 6, End::Completed),
            session(&rows, 6, 6, End::Refused("NOT_FOUND".to_owned())),
            // Behind the removal, but only once they were in again.
            Session {
                events: session(&rows, 6, 10, End::Left)
                    .events
                    .into_iter()
                    .map(|seen| Seen { at: 200, ..seen })
                    .collect(),
                ..session(&rows, 6, 10, End::Left)
            },
        ],
    );
    let sent = rows[&CHAT].messages.iter();
    let acks = sent.map(|row| Ack {
        attempt: attempt(row.seq),
        message: row.id,
        at: row.seq * 10,
    });
    let acks: Vec<Ack> = acks.collect();
    let mut attempts: Vec<Attempt> = acks.iter().map(|ack| ack.attempt.clone()).collect();
    // One was begun and came to nothing.
    attempts.push(attempt(99));
    let history = History {
        replays: vec![stream("replay", vec![session(&rows, 5, 10, End::Left)])],
        streams: vec![whole, guest],
        attempts,
        acks,
        readings: vec![reading(4, 1, 3), reading(10, 4, 4)],
        snapshots: vec![Snapshot {
            chat: CHAT,
            head: 5,
            count: 5,
            newest: 5,
        }],
        faults: Vec::new(),
    };
    (history, rows)
}

/// What is found once the good run is spoilt.
fn spoilt(spoil: impl FnOnce(&mut History, &mut Rows)) -> Vec<Invariant> {
    let (mut history, mut rows) = good();
    spoil(&mut history, &mut rows);
    let mut found: Vec<Invariant> = check(&history, &rows).iter().map(|v| v.invariant).collect();
    found.sort();
    found.dedup();
    found
}

#[test]
fn a_good_run_passes() {
    let (history, rows) = good();
    assert_eq!(check(&history, &rows), []);
    assert_eq!(history.delivered(), 20);
}

#[test]
fn a_gap_a_repetition_and_another_order_are_found() {
    use Invariant::I1;
    let events = |history: &mut History| std::mem::take(&mut history.streams[0].sessions[1].events);
    let spoil = |change: fn(&mut Vec<Seen>)| {
        spoilt(move |history, _| {
            let mut events = events(history);
            change(&mut events);
            history.streams[0].sessions[1].events = events;
        })
    };
    assert_eq!(spoil(|events| events.retain(|seen| seen.seq != 6)), [I1]);
    assert_eq!(spoil(|events| events.insert(2, events[1])), [I1]);
    assert_eq!(spoil(|events| events.swap(1, 2)), [I1]);
    assert_eq!(spoil(|events| events[3].message = id(77)), [I1]);
    assert_eq!(spoil(|events| events[3].kind = Kind::Edited), [I1]);
    // The client itself did not resume where it stood.
    assert_eq!(
        spoilt(|history, _| history.streams[0].sessions[1].after = 4),
        [I1]
    );
    let end = |history: &mut History, _: &mut Rows| {
        history.streams[0].sessions[1].end = End::Completed;
    };
    assert_eq!(spoilt(end), [I1]);
}

#[test]
fn a_stream_that_lags_behind_in_the_end_is_found() {
    let lag = |history: &mut History, _: &mut Rows| {
        history.streams[0].sessions[1].events.pop();
    };
    assert_eq!(spoilt(lag), [Invariant::I5]);
    let unheard = |history: &mut History, _: &mut Rows| history.streams[0].sessions.clear();
    assert_eq!(spoilt(unheard), [Invariant::I5]);
}

#[test]
fn a_replay_that_differs_is_found() {
    let differ = |history: &mut History, _: &mut Rows| {
        history.replays[0].sessions[0].events.remove(0);
    };
    assert_eq!(spoilt(differ), [Invariant::I6]);
}

#[test]
fn lost_doubled_and_invented_sends_are_found() {
    use Invariant::{I2, I3};
    let lost = |_: &mut History, rows: &mut Rows| {
        rows.get_mut(&CHAT).unwrap().messages.remove(0);
    };
    assert_eq!(spoilt(lost)[0], I2);
    let doubled = |_: &mut History, rows: &mut Rows| {
        let messages = &mut rows.get_mut(&CHAT).unwrap().messages;
        messages[1].key = messages[0].key.clone();
    };
    assert_eq!(spoilt(doubled), [I2]);
    let invented = |history: &mut History, _: &mut Rows| {
        history.attempts.remove(0);
    };
    assert_eq!(spoilt(invented), [I2]);
    let another = |history: &mut History, _: &mut Rows| history.acks[0].message = id(5);
    assert_eq!(spoilt(another), [I2]);
    let gap = |_: &mut History, rows: &mut Rows| {
        let chat = rows.get_mut(&CHAT).unwrap();
        chat.log.retain(|entry| entry.seq != 8);
        chat.messages.retain(|row| row.seq != 8);
    };
    assert!(spoilt(gap).contains(&I3));
    let torn = |history: &mut History, _: &mut Rows| history.snapshots[0].count = 4;
    assert_eq!(spoilt(torn), [I3]);
}

#[test]
fn events_behind_a_removal_are_found() {
    use Invariant::I7;
    // The session that was under way goes on, until they are in again and after.
    for to in [7, 10] {
        let on = move |history: &mut History, rows: &mut Rows| {
            let guest = &mut history.streams[1];
            guest.sessions[0] = session(rows, 0, to, End::Lost);
            guest.sessions.truncate(1);
            guest.complete = false;
        };
        assert_eq!(spoilt(on), [I7]);
    }
    // A subscription that should have been refused.
    let early = |history: &mut History, rows: &mut Rows| {
        let guest = &mut history.streams[1];
        guest.sessions.truncate(1);
        guest.sessions.push(session(rows, 6, 8, End::Lost));
        guest.complete = false;
    };
    assert_eq!(spoilt(early), [I7]);
}

#[test]
fn marks_that_move_back_and_wrong_counts_are_found() {
    use Invariant::I11;
    let back = |history: &mut History, _: &mut Rows| history.readings.push(reading(10, 5, 3));
    assert_eq!(spoilt(back), [I11]);
    for unread in [-1, 0, 3, 5] {
        let count = move |history: &mut History, _: &mut Rows| history.readings[1].unread = unread;
        assert_eq!(spoilt(count), [I11], "{unread}");
    }
    // A message that is deleted later may count or not, until all is at rest.
    let deleted = |unread: i64, at_rest: bool| {
        spoilt(move |history, rows| {
            let chat = rows.get_mut(&CHAT).unwrap();
            chat.last_seq = 11;
            chat.log.push(Entry {
                message: id(10),
                ..entry(11, Kind::Deleted, None)
            });
            chat.messages.last_mut().unwrap().deleted = true;
            for stream in history.streams.iter_mut().chain(&mut history.replays) {
                stream.complete = false;
            }
            history.readings[1].unread = unread;
            history.readings[1].at_rest = at_rest;
        })
    };
    assert_eq!(deleted(4, false), []);
    assert_eq!(deleted(3, false), []);
    assert_eq!(deleted(2, false), [I11]);
    assert_eq!(deleted(4, true), [I11]);
    assert_eq!(deleted(3, true), []);
}

#[test]
fn an_answer_that_nobody_should_get_is_found() {
    let fault = |history: &mut History, _: &mut Rows| history.faults.push("oh".to_owned());
    assert_eq!(spoilt(fault), [Invariant::I12]);
}
