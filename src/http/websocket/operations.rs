//! The operations of one connection, each in its turn.
//!
//! An operation that has something to say stands in a line, each once. The first in the line says one thing
//! and goes to its end, so an operation that always has something to say delays the others by one answer
//! each. One that ends is dropped at once, whatever it was about to say.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::StreamExt as _;
use futures_util::task::AtomicWaker;

use crate::graphql::Answer;
use crate::http::operation::Operation;

/// What an operation says.
#[derive(Debug)]
pub(super) enum Said {
    /// An answer.
    Answer(Arc<str>, Answer),
    /// It has ended.
    End(Arc<str>),
}

/// The operations that run.
#[derive(Default)]
pub(super) struct Operations {
    running: HashMap<Arc<str>, Running>,
    line: Arc<Line>,
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
}

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
    line: Arc<Line>,
}

impl Wake for Place {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.line_up() {
            self.line.connection.wake();
        }
    }
}

impl Place {
    /// Goes to the end of the line, unless it stands there already.
    fn line_up(self: &Arc<Self>) -> bool {
        let joins = !self.waits.swap(true, Ordering::AcqRel);
        if joins {
            let waiting = self.line.waiting.lock();
            let mut waiting = waiting.unwrap_or_else(PoisonError::into_inner);
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
            line: Arc::clone(&self.line),
        });
        place.line_up();
        let waker = Waker::from(Arc::clone(&place));
        let running = Running {
            operation,
            place,
            waker,
        };
        self.running.insert(id, running);
    }

    /// Ends an operation, if it runs.
    pub(super) fn end(&mut self, id: &str) {
        self.running.remove(id);
        if self.running.is_empty() {
            self.running = HashMap::new();
        }
    }

    /// Ends what does not end by itself.
    pub(super) fn end_subscriptions(&mut self) {
        self.running.retain(|_, running| running.operation.ends);
    }

    /// The next thing that an operation says.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Said> {
        self.line.connection.register(cx.waker());
        // Who wakes itself without having anything to say must not hold the connection.
        for _ in 0..self.line.length() {
            let Some(place) = self.line.first() else {
                break;
            };
            if let Poll::Ready(said) = self.turn(&place) {
                return Poll::Ready(said);
            }
        }
        if self.line.length() > 0 {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn turn(&mut self, place: &Arc<Place>) -> Poll<Said> {
        // From here on, a wake lines up anew.
        place.waits.store(false, Ordering::Release);
        let running = self.running.get_mut(&place.id);
        let Some(running) = running.filter(|running| running.place.run == place.run) else {
            return Poll::Pending;
        };
        let mut cx = Context::from_waker(&running.waker);
        match running.operation.answers.poll_next_unpin(&mut cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => {
                self.end(&place.id);
                Poll::Ready(Said::End(Arc::clone(&place.id)))
            }
            Poll::Ready(Some(answer)) => {
                if matches!(answer, Answer::Failed { .. }) {
                    // Nothing follows.
                    self.end(&place.id);
                } else {
                    place.line_up();
                }
                Poll::Ready(Said::Answer(Arc::clone(&place.id), answer))
            }
        }
    }
}
