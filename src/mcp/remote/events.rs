//! Reading server-sent events (HTML, section 9.2), by the protocol of graphql-sse.

use std::collections::VecDeque;
use std::mem::take;

/// What a stream tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// A response, as JSON.
    Next(String),
    /// Nothing follows.
    Complete,
}

/// Reads events out of pieces of a body.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// The beginning of a line.
    line: Vec<u8>,
    name: String,
    data: String,
    told: VecDeque<Event>,
}

impl Events {
    /// The next event that was read.
    pub(super) fn next(&mut self) -> Option<Event> {
        self.told.pop_front()
    }

    /// Reads a piece. False where an event has more than `most` bytes.
    pub(super) fn read(&mut self, piece: &[u8], most: usize) -> bool {
        let mut lines = piece.split(|byte| *byte == b'\n').peekable();
        while let Some(end) = lines.next() {
            self.line.extend_from_slice(end);
            if self.line.len().saturating_add(self.data.len()) > most {
                return false;
            }
            if lines.peek().is_some() {
                let line = take(&mut self.line);
                self.take_line(&String::from_utf8_lossy(&line));
            }
        }
        true
    }

    fn take_line(&mut self, line: &str) {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() {
            self.dispatch();
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" => {
                if !self.data.is_empty() {
                    self.data.push('\n');
                }
                self.data.push_str(value);
            }
            // Comments, ids and the time of a retry.
            _ => {}
        }
    }

    fn dispatch(&mut self) {
        let (name, data) = (take(&mut self.name), take(&mut self.data));
        match name.as_str() {
            "next" => self.told.push_back(Event::Next(data)),
            "complete" => self.told.push_back(Event::Complete),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLD: &str = "retry: 1000\n\n:\n\nevent: next\nid: c1\ndata: {\"data\":\"\u{e9}\"}\n\n\
                        event: next\r\ndata: 1\r\ndata:2\r\n\r\nevent: other\ndata: 3\n\n\
                        event: complete\ndata:\n\nevent: next\ndata: cut";

    fn read_in_pieces(size: usize) -> Vec<Event> {
        let mut events = Events::default();
        for piece in TOLD.as_bytes().chunks(size) {
            assert!(events.read(piece, 1000));
        }
        std::iter::from_fn(|| events.next()).collect()
    }

    #[test]
    fn events_are_whole_however_their_bytes_come() {
        let told = [
            Event::Next("{\"data\":\"\u{e9}\"}".to_owned()),
            Event::Next("1\n2".to_owned()),
            Event::Complete,
        ];
        for size in 1..TOLD.len() {
            assert_eq!(read_in_pieces(size), told, "{size}");
        }
    }

    #[test]
    fn an_event_has_a_bound() {
        let mut events = Events::default();
        assert!(events.read(b"data: 12345\n", 20));
        assert!(!events.read(b"data: 1234567890123456", 20));
    }
}
