//! What clients saw and did, as they wrote it down, and what the database holds in the end.

use std::collections::HashMap;

use uuid::Uuid;

/// A point in time: milliseconds since 1970 by the clock of the one machine that everything runs on.
pub(crate) type Millis = i64;

/// What kind of entry of a log it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Sent,
    Edited,
    Deleted,
    Restored,
    Added,
    Removed,
    Other,
}

/// An event as a subscriber got it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) seq: i64,
    pub(crate) kind: Kind,
    /// The message it is about; nil where it is about none.
    pub(crate) message: Uuid,
    pub(crate) at: Millis,
}

/// Why a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// The server said that the stream is complete.
    Completed,
    /// The server refused the subscription, with an error code.
    Refused(String),
    /// The server closed the connection, with a close code.
    Closed(u16),
    /// The connection broke, or nothing came of it.
    Lost,
    /// The client hung up.
    Left,
}

/// One subscription on one connection.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) server: usize,
    /// The place in the log it was asked to continue from.
    pub(crate) after: i64,
    pub(crate) events: Vec<Seen>,
    pub(crate) end: End,
}

/// All that one subscriber got of one chat, across its connections.
#[derive(Debug, Clone)]
pub(crate) struct Stream {
    pub(crate) who: String,
    pub(crate) chat: Uuid,
    pub(crate) sessions: Vec<Session>,
    /// Whether it must have reached the head in the end.
    pub(crate) complete: bool,
    /// Whether they stop reading now and then, and so are late by their own doing.
    pub(crate) stalls: bool,
}

/// A send that a sender began: it may or may not have become a row.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Attempt {
    pub(crate) chat: Uuid,
    pub(crate) sender: String,
    pub(crate) key: String,
}

/// An answer to a send.
#[derive(Debug, Clone)]
pub(crate) struct Ack {
    pub(crate) attempt: Attempt,
    pub(crate) message: Uuid,
    pub(crate) at: Millis,
}

/// What a reader read of a chat, in one request.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    pub(crate) reader: String,
    pub(crate) chat: Uuid,
    /// The head the answer was read at.
    pub(crate) head: i64,
    pub(crate) unread: i64,
    /// The newest message that is read.
    pub(crate) last_read: Option<Uuid>,
    /// Whether nothing was written meanwhile, so that the count must be exact.
    pub(crate) at_rest: bool,
}

/// What one statement saw of a chat's log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Snapshot {
    pub(crate) chat: Uuid,
    pub(crate) head: i64,
    pub(crate) count: i64,
    pub(crate) newest: i64,
}

/// Everything that was written down in a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    pub(crate) streams: Vec<Stream>,
    /// Streams that began at a cursor of another server, when all was over.
    pub(crate) replays: Vec<Stream>,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) acks: Vec<Ack>,
    pub(crate) readings: Vec<Reading>,
    pub(crate) snapshots: Vec<Snapshot>,
    /// Answers that no client should ever get.
    pub(crate) faults: Vec<String>,
}

impl History {
    pub(crate) fn merge(&mut self, other: Self) {
        self.streams.extend(other.streams);
        self.replays.extend(other.replays);
        self.attempts.extend(other.attempts);
        self.acks.extend(other.acks);
        self.readings.extend(other.readings);
        self.snapshots.extend(other.snapshots);
        self.faults.extend(other.faults);
    }

    /// How long after its sender each follower who always reads had each message, in order of length; less than
    /// nothing where the follower was told first.
    pub(crate) fn delays(&self) -> Vec<Millis> {
        let answered = self.acks.iter().map(|ack| (ack.message, ack.at));
        let answered: HashMap<Uuid, Millis> = answered.collect();
        let reading = self.streams.iter().filter(|stream| !stream.stalls);
        let sessions = reading.flat_map(|stream| &stream.sessions);
        let seen = sessions.flat_map(|session| &session.events);
        let sent = seen.filter(|seen| seen.kind == Kind::Sent);
        let mut delays: Vec<Millis> = sent
            .filter_map(|seen| Some(seen.at - answered.get(&seen.message)?))
            .collect();
        delays.sort_unstable();
        delays
    }

    /// How many events were delivered to those who followed.
    pub(crate) fn delivered(&self) -> usize {
        events(&self.streams)
    }

    /// How many events were delivered again when all was over.
    pub(crate) fn replayed(&self) -> usize {
        events(&self.replays)
    }
}

fn events(streams: &[Stream]) -> usize {
    let sessions = streams.iter().flat_map(|stream| &stream.sessions);
    sessions.map(|session| session.events.len()).sum()
}

/// An entry of a chat's log in the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) seq: i64,
    pub(crate) kind: Kind,
    /// The message it is about; nil where it is about none.
    pub(crate) message: Uuid,
    /// Who was added or removed.
    pub(crate) subject: Option<String>,
    pub(crate) occurred_at: Millis,
}

/// A message in the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) seq: i64,
    pub(crate) id: Uuid,
    pub(crate) sender: String,
    pub(crate) key: Option<String>,
    pub(crate) deleted: bool,
}

/// What the database holds of a chat.
#[derive(Debug, Clone, Default)]
pub(crate) struct ChatRows {
    pub(crate) last_seq: i64,
    /// Messages and events, ordered by seq.
    pub(crate) log: Vec<Entry>,
    pub(crate) messages: Vec<Row>,
    /// The read mark of each participant.
    pub(crate) marks: HashMap<String, i64>,
}

/// What the database holds.
pub(crate) type Rows = HashMap<Uuid, ChatRows>;
