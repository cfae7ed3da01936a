//! The checker: a pure function from what was seen and what is stored to what was promised and not kept.

use std::collections::{HashMap, HashSet};
use std::fmt;

use uuid::Uuid;

use crate::history::{
    ChatRows, End, Entry, History, Kind, Reading, Row, Rows, Seen, Session, Stream,
};

/// A promise, as `docs/faults.md` numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Invariant {
    /// A subscriber gets after+1, after+2, …, each as the log has it.
    I1,
    /// An answered send is one row, and a key is never two.
    I2,
    /// The log is gapless, at every moment.
    I3,
    /// Who may see a chat gets to its head in time, whatever hints were lost.
    I5,
    /// Any cursor continues the same on any server.
    I6,
    /// Nothing behind a removal reaches the removed.
    I7,
    /// Unread counts equal a recount; read marks never move back.
    I11,
    /// Faults become answers that tell a client what to do.
    I12,
}

/// A promise that was not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) invariant: Invariant,
    pub(crate) what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.invariant, self.what)
    }
}

/// Compares histories with the database.
pub(crate) fn check(history: &History, rows: &Rows) -> Vec<Violation> {
    let mut found = Found::default();
    for (chat, rows) in rows {
        found.log(*chat, rows);
    }
    for stream in &history.streams {
        found.stream(stream, rows, Invariant::I1);
    }
    for stream in &history.replays {
        found.stream(stream, rows, Invariant::I6);
    }
    found.sends(history, rows);
    found.snapshots(history);
    found.readings(&history.readings, rows);
    for fault in &history.faults {
        found.add(Invariant::I12, fault.clone());
    }
    found.0
}

#[derive(Debug, Default)]
struct Found(Vec<Violation>);

impl Found {
    fn add(&mut self, invariant: Invariant, what: String) {
        self.0.push(Violation { invariant, what });
    }

    /// I3: the log is 1, 2, … up to the chat's own number.
    fn log(&mut self, chat: Uuid, rows: &ChatRows) {
        let seqs = rows.log.iter().map(|entry| entry.seq);
        if !seqs.eq(1..=rows.last_seq) {
            let mut numbers: HashMap<i64, usize> = HashMap::new();
            for entry in &rows.log {
                *numbers.entry(entry.seq).or_default() += 1;
            }
            let odd = (1..=rows.last_seq).find(|seq| numbers.get(seq) != Some(&1));
            let what = format!("the log of {chat} is not 1..={}; at {odd:?}", rows.last_seq);
            self.add(Invariant::I3, what);
        }
    }

    /// I1, I5 and I7 of one subscriber.
    fn stream(&mut self, stream: &Stream, rows: &Rows, order: Invariant) {
        let Stream { who, chat, .. } = stream;
        let Some(rows) = rows.get(chat) else {
            return self.add(order, format!("{who} follows {chat}, which does not exist"));
        };
        let log: HashMap<i64, &Entry> = rows.log.iter().map(|entry| (entry.seq, entry)).collect();
        let absences = absences(who, &rows.log);
        let mut place = None;
        for (number, session) in stream.sessions.iter().enumerate() {
            let name = format!("{who}, session {number} on server {}", session.server);
            if place.is_some_and(|place| place != session.after) {
                let what = format!("{name} resumes behind {}, not {place:?}", session.after);
                self.add(order, what);
            }
            place = Some(self.session(&name, session, &log, order));
            self.access(&name, who, session, &absences);
        }
        let place = place.unwrap_or(0);
        if stream.complete && place != rows.last_seq {
            let what = format!("{who} stands at {place} of {} in {chat}", rows.last_seq);
            self.add(Invariant::I5, what);
        }
    }

    /// The order and the content of what came on one connection; where it left off.
    fn session(
        &mut self,
        name: &str,
        session: &Session,
        log: &HashMap<i64, &Entry>,
        order: Invariant,
    ) -> i64 {
        let mut last = session.after;
        for seen in &session.events {
            if seen.seq != last + 1 {
                self.add(order, format!("{name} gets {} behind {last}", seen.seq));
            }
            last = seen.seq;
            let same = |entry: &&Entry| entry.kind == seen.kind && entry.message == seen.message;
            if !log.get(&seen.seq).is_some_and(same) {
                let has = log.get(&seen.seq);
                self.add(
                    order,
                    format!("{name} gets {seen:?}, and the log has {has:?}"),
                );
            }
        }
        last
    }

    /// I7: a session that was under way before its reader was taken in again sees nothing behind the removal.
    fn access(&mut self, name: &str, who: &str, session: &Session, absences: &[Absence]) {
        let Some(first) = session.events.first() else {
            return;
        };
        for absence in absences {
            let again = absence.ends_at.is_some_and(|at| first.at >= at);
            let behind = |seen: &&Seen| seen.seq > absence.begins;
            if let (false, Some(seen)) = (again, session.events.iter().find(behind)) {
                let what = format!(
                    "{name} gets {} after the removal at {}",
                    seen.seq, absence.begins
                );
                self.add(Invariant::I7, what);
            }
        }
        let removed = |seen: &Seen| absences.iter().any(|absence| absence.begins == seen.seq);
        if session.end == End::Completed && !session.events.last().is_some_and(removed) {
            self.add(
                Invariant::I1,
                format!("{name} of {who} ends without a reason"),
            );
        }
    }

    /// I2: keys and rows.
    fn sends(&mut self, history: &History, rows: &Rows) {
        let mut by_key: HashMap<(Uuid, &str, &str), Vec<&Row>> = HashMap::new();
        for (chat, rows) in rows {
            for row in &rows.messages {
                let Some(key) = &row.key else { continue };
                by_key
                    .entry((*chat, &row.sender, key))
                    .or_default()
                    .push(row);
            }
        }
        let begun = history.attempts.iter();
        let begun: HashSet<_> = begun
            .map(|a| (a.chat, a.sender.as_str(), a.key.as_str()))
            .collect();
        for (place, rows) in &by_key {
            if rows.len() > 1 {
                self.add(Invariant::I2, format!("{place:?} is {} rows", rows.len()));
            }
            if !begun.contains(place) {
                self.add(
                    Invariant::I2,
                    format!("{place:?} is a row that nobody sent"),
                );
            }
        }
        for ack in &history.acks {
            let place = (
                ack.attempt.chat,
                ack.attempt.sender.as_str(),
                ack.attempt.key.as_str(),
            );
            let row = by_key.get(&place).and_then(|rows| rows.first());
            match row {
                None => self.add(
                    Invariant::I2,
                    format!("{place:?} was answered and is no row"),
                ),
                Some(row) if row.id != ack.message => {
                    let what = format!(
                        "{place:?} was answered as {} and is {}",
                        ack.message, row.id
                    );
                    self.add(Invariant::I2, what);
                }
                Some(_) => {}
            }
        }
    }

    /// I3, as it was at many moments.
    fn snapshots(&mut self, history: &History) {
        for seen in &history.snapshots {
            if seen.count != seen.head || seen.newest != seen.head {
                self.add(
                    Invariant::I3,
                    format!("of {}, one statement saw {seen:?}", seen.chat),
                );
            }
        }
    }

    /// I11, by each reader's readings in their order.
    fn readings(&mut self, readings: &[Reading], rows: &Rows) {
        let mut marks: HashMap<(&str, Uuid), i64> = HashMap::new();
        let indexes: HashMap<Uuid, Index<'_>> = rows
            .iter()
            .map(|(chat, rows)| (*chat, Index::new(rows)))
            .collect();
        for reading in readings {
            let Some(index) = indexes.get(&reading.chat) else {
                continue;
            };
            let seq = |id: Uuid| index.seqs.get(&id).copied();
            let mark = match reading.last_read.map(seq) {
                Some(None) => {
                    self.add(Invariant::I11, format!("{reading:?} names no message"));
                    continue;
                }
                Some(Some(seq)) => seq,
                None => 0,
            };
            let before = marks.insert((&reading.reader, reading.chat), mark);
            if before.is_some_and(|before| mark < before) {
                self.add(Invariant::I11, format!("{reading:?} is behind {before:?}"));
            }
            let (least, most) = index.recount(reading, mark);
            if reading.unread < least || reading.unread > most {
                let what = format!("{reading:?} counts other than {least} to {most}");
                self.add(Invariant::I11, what);
            }
        }
    }
}

/// A chat's rows, by message.
struct Index<'a> {
    rows: &'a ChatRows,
    seqs: HashMap<Uuid, i64>,
    /// The deletions and restorations of each message, in order.
    touched: HashMap<Uuid, Vec<&'a Entry>>,
}

impl<'a> Index<'a> {
    fn new(rows: &'a ChatRows) -> Self {
        let mut touched: HashMap<Uuid, Vec<&Entry>> = HashMap::new();
        let touches = |entry: &&Entry| matches!(entry.kind, Kind::Deleted | Kind::Restored);
        for entry in rows.log.iter().filter(touches) {
            touched.entry(entry.message).or_default().push(entry);
        }
        let seqs = rows.messages.iter().map(|row| (row.id, row.seq)).collect();
        Self {
            rows,
            seqs,
            touched,
        }
    }

    /// How many unread messages a reading may have counted: messages deleted or restored meanwhile may or may
    /// not have counted, except at rest. The server counts to 100.
    fn recount(&self, reading: &Reading, mark: i64) -> (i64, i64) {
        let own_mark = self.rows.marks.get(&reading.reader).copied();
        let from = if reading.at_rest {
            own_mark.unwrap_or(0)
        } else {
            mark
        };
        let begin = self.rows.messages.partition_point(|row| row.seq <= from);
        let (mut least, mut most) = (0, 0);
        for row in &self.rows.messages[begin..] {
            if row.seq > reading.head {
                break;
            }
            if row.sender == reading.reader {
                continue;
            }
            let (live, settled) = if reading.at_rest {
                (!row.deleted, true)
            } else {
                let touched = self.touched.get(&row.id).map_or(&[][..], Vec::as_slice);
                let later = touched.partition_point(|entry| entry.seq <= reading.head);
                let last = touched[..later].last();
                let live = last.is_none_or(|entry| entry.kind == Kind::Restored);
                (live, later == touched.len())
            };
            least += i64::from(live && settled);
            most += i64::from(live || !settled);
        }
        (least.min(100), most.min(100))
    }
}

/// A time in which someone was not in a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Absence {
    /// The entry that removed them.
    begins: i64,
    /// When they were added again.
    ends_at: Option<i64>,
}

fn absences(who: &str, log: &[Entry]) -> Vec<Absence> {
    let mut absences: Vec<Absence> = Vec::new();
    for entry in log
        .iter()
        .filter(|entry| entry.subject.as_deref() == Some(who))
    {
        match (entry.kind, absences.last_mut()) {
            (Kind::Removed, _) => absences.push(Absence {
                begins: entry.seq,
                ends_at: None,
            }),
            (Kind::Added, Some(last)) => last.ends_at = last.ends_at.or(Some(entry.occurred_at)),
            _ => {}
        }
    }
    absences
}

#[cfg(test)]
mod tests;
