//! The operations of one connection, each in its turn.
//!
//! An operation that has something to say stands in a line, each once. The first in the line says one thing
//! and goes to its end, so an operation that always has something to say delays the others by one answer
//! each. One that ends is dropped at once, whatever it was about to say.
//!
//! While the peer takes nothing, operations go on: one that is suspended may hold what others wait for, such as
//! a connection to the database. Each goes on until it has one thing to say, which is kept for it.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::StreamExt as _;
use futures_util::stream;
use futures_util::task::AtomicWaker;

use crate::graphql::Answer;
use crate::http::operation::Operation;

/// What an operation says.
#[derive(Debug)]
pub(in crate::http) enum Said {
    /// An answer.
    Answer(Arc<str>, Answer),
    /// It has ended.
    End(Arc<str>),
}

/// The operations that run.
#[derive(Default)]
pub(super) struct Operations {
    /// Boxed, because a map has room for three at least, and most connections have one.
    running: HashMap<Arc<str>, Box<Running>>,
    line: Arc<Line>,
    /// Those that keep something to be said, in the order in which they would have said it.
    parked: VecDeque<Arc<Place>>,
    started: u64,
}

impl fmt::Debug for Operations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operations")
            .field("running", &self.running.len())
            .finish_non_exhaustive()
    }
}

struct Running {
    operation: Operation,
    place: Arc<Place>,
    waker: Waker,
    /// What it would have said, or its end, while the peer took nothing. It is not polled before this is said.
    kept: Option<Kept>,
}

/// An answer to be said, or the end.
struct Kept(Option<Answer>);

/// Who waits for a turn, and the connection that gives turns.
#[derive(Debug, Default)]
struct Line {
    waiting: Mutex<VecDeque<Arc<Place>>>,
    connection: AtomicWaker,
}

/// One run of an operation. An id can run again, so it has a number besides.
#[derive(Debug)]
struct Place {
    id: Arc<str>,
    run: u64,
    waits: AtomicBool,
    /// Gone with its connection. The line holds those who stand in it, so holding it would keep both for ever.
    line: Weak<Line>,
}

impl Wake for Place {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(line) = self.line.upgrade()
            && self.line_up(&line)
        {
            line.connection.wake();
        }
    }
}

impl Place {
    /// Goes to the end of the line, unless it stands there already.
    fn line_up(self: &Arc<Self>, line: &Line) -> bool {
        let joins = !self.waits.swap(true, Ordering::AcqRel);
        if joins {
            let mut waiting = line.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.push_back(Arc::clone(self));
        }
        joins
    }
}

impl Line {
    fn first(&self) -> Option<Arc<Place>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let first = waiting.pop_front()?;
        if waiting.is_empty() {
            // A line is short and rarely stood in: at rest it costs nothing.
            *waiting = VecDeque::new();
        }
        Some(first)
    }

    /// Takes an operation that has ended out, for ever: whoever still wakes it does not line it up again.
    fn dismiss(&self, place: &Arc<Place>) {
        if place.waits.swap(true, Ordering::AcqRel) {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.retain(|other| !Arc::ptr_eq(other, place));
        }
    }

    fn length(&self) -> usize {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.len()
    }
}

impl Operations {
    /// How many run.
    pub(super) fn len(&self) -> usize {
        self.running.len()
    }

    /// Whether an operation with this id runs.
    pub(super) fn contains(&self, id: &str) -> bool {
        self.running.contains_key(id)
    }

    /// Takes up an operation. Its first turn comes when it is its turn.
    pub(super) fn start(&mut self, id: Arc<str>, operation: Operation) {
        self.started = self.started.wrapping_add(1);
        let place = Arc::new(Place {
            id: Arc::clone(&id),
            run: self.started,
            waits: AtomicBool::new(false),
            line: Arc::downgrade(&self.line),
        });
        place.line_up(&self.line);
        let waker = Waker::from(Arc::clone(&place));
        let running = Box::new(Running {
            operation,
            place,
            waker,
            kept: None,
        });
        self.running.insert(id, running);
    }

    /// Ends an operation, if it runs.
    pub(super) fn end(&mut self, id: &str) {
        if let Some(ended) = self.running.remove(id) {
            self.line.dismiss(&ended.place);
            if ended.kept.is_some() {
                let other = |place: &Arc<Place>| !Arc::ptr_eq(place, &ended.place);
                self.parked.retain(other);
            }
        }
        if self.running.is_empty() {
            self.running = HashMap::new();
        }
    }

    /// Ends what does not end by itself.
    pub(super) fn end_subscriptions(&mut self) {
        let running = self.running.iter();
        let subscriptions = running.filter(|(_, running)| !running.operation.ends);
        let ids: Vec<Arc<str>> = subscriptions.map(|(id, _)| Arc::clone(id)).collect();
        for id in ids {
            self.end(&id);
        }
    }

    /// The next thing that an operation says.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Said> {
        while let Some(place) = self.parked.pop_front() {
            let running = self.running.get_mut(&place.id);
            if let Some(Kept(answer)) = running.and_then(|running| running.kept.take()) {
                return Poll::Ready(self.say(&place, answer));
            }
        }
        self.parked = VecDeque::new();
        self.line.connection.register(cx.waker());
        // Who wakes itself without having anything to say must not hold the connection.
        for _ in 0..self.line.length() {
            let Some(place) = self.line.first() else {
                break;
            };
            if let Poll::Ready(answer) = self.turn(&place) {
                return Poll::Ready(self.say(&place, answer));
            }
        }
        self.wake_for_the_line(cx);
        Poll::Pending
    }

    /// Lets the operations go on while nothing can be said, each until it has something to say.
    pub(super) fn go_on(&mut self, cx: &mut Context<'_>) {
        self.line.connection.register(cx.waker());
        for _ in 0..self.line.length() {
            let Some(place) = self.line.first() else {
                break;
            };
            if let Poll::Ready(answer) = self.turn(&place) {
                self.park(place, answer);
            }
        }
        self.wake_for_the_line(cx);
    }

    fn wake_for_the_line(&self, cx: &Context<'_>) {
        if self.line.length() > 0 {
            cx.waker().wake_by_ref();
        }
    }

    fn park(&mut self, place: Arc<Place>, answer: Option<Answer>) {
        let Some(running) = self.running.get_mut(&place.id) else {
            return;
        };
        if !matches!(answer, Some(Answer::Next { .. })) {
            // Nothing follows, so it holds nothing more. Its id is its own until its client knows.
            running.operation.answers = stream::empty().boxed();
        }
        running.kept = Some(Kept(answer));
        self.parked.push_back(place);
    }

    fn say(&mut self, place: &Arc<Place>, answer: Option<Answer>) -> Said {
        let id = Arc::clone(&place.id);
        if matches!(answer, Some(Answer::Next { .. })) {
            place.line_up(&self.line);
        } else {
            // Nothing follows.
            self.end(&id);
        }
        match answer {
            Some(answer) => Said::Answer(id, answer),
            None => Said::End(id),
        }
    }

    /// What an operation has to say in its turn: an answer or its end.
    fn turn(&mut self, place: &Arc<Place>) -> Poll<Option<Answer>> {
        let running = self.running.get_mut(&place.id);
        let Some(running) = running.filter(|running| running.place.run == place.run) else {
            return Poll::Pending;
        };
        // From here on, a wake lines up anew.
        place.waits.store(false, Ordering::Release);
        if running.kept.is_some() {
            return Poll::Pending;
        }
        let mut cx = Context::from_waker(&running.waker);
        running.operation.answers.poll_next_unpin(&mut cx)
    }
}
