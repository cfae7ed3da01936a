//! The times of one connection, over one timer.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::http::SocketOptions;

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// The client has not said who it is.
    Init,
    /// The token's time is over.
    Expiry,
    /// The operations under way have had their time to end.
    Drain,
    /// The peer has been silent: it is to be pinged.
    Ping,
    /// The peer has not answered the ping.
    Dead,
    /// The peer has not taken what was written.
    Write,
}

/// As good as never: a setting may be longer than a clock can say.
const FAR: Duration = Duration::from_hours(24 * 365);

fn after(at: Instant, within: Duration) -> Instant {
    at.checked_add(within).unwrap_or_else(|| at + FAR)
}

/// The times of a connection.
#[derive(Debug)]
pub(super) struct Timers {
    sleep: Pin<Box<Sleep>>,
    heard: Instant,
    pinged: bool,
    /// Whether pings come in any case, and not only after a silence.
    steady: bool,
    end: Option<(Instant, Due)>,
    ping_after: Duration,
    pong_within: Duration,
    write_within: Duration,
}

impl Timers {
    /// The times of a new connection. `steady` says that its peer waits for pings, whatever it says itself.
    pub(super) fn new(options: &SocketOptions, steady: bool) -> Self {
        let now = Instant::now();
        // Clients that came together are not all pinged at once.
        let ping_after = options.ping_after.mul_f64(0.9 + fastrand::f64() / 10.0);
        Self {
            sleep: Box::pin(sleep_until(now)),
            heard: now,
            pinged: false,
            steady,
            end: now
                .checked_add(options.init_within)
                .map(|at| (at, Due::Init)),
            ping_after,
            pong_within: options.pong_within,
            write_within: options.write_within,
        }
    }

    /// Replaces how the connection ends by time: never, or at a time for a reason.
    pub(super) fn ends(&mut self, within: Option<Duration>, due: Due) {
        let at = within.and_then(|within| Instant::now().checked_add(within));
        self.end = at.map(|at| (at, due));
    }

    /// Something came from the peer.
    pub(super) fn heard(&mut self) {
        if !self.steady {
            self.heard = Instant::now();
        }
        self.pinged = false;
    }

    /// The peer was pinged.
    pub(super) fn pinged(&mut self) {
        self.pinged = true;
        self.heard = Instant::now();
    }

    /// What is due now. `writing` says since when something is being written.
    pub(super) fn poll_due(&mut self, cx: &mut Context<'_>, writing: Option<Instant>) -> Poll<Due> {
        loop {
            let (at, due) = self.next(writing);
            if at <= Instant::now() {
                return Poll::Ready(due);
            }
            // Times mostly move on: a timer that is early is left alone, and looks again when it fires.
            if self.sleep.is_elapsed() || self.sleep.deadline() > at {
                self.sleep.as_mut().reset(at);
            }
            ready!(self.sleep.as_mut().poll(cx));
        }
    }

    fn next(&self, writing: Option<Instant>) -> (Instant, Due) {
        let peer = if self.pinged {
            (after(self.heard, self.pong_within), Due::Dead)
        } else {
            (after(self.heard, self.ping_after), Due::Ping)
        };
        let write = writing.map(|since| (after(since, self.write_within), Due::Write));
        let first = [self.end, write].into_iter().flatten();
        first.fold(
            peer,
            |first, other| if other.0 < first.0 { other } else { first },
        )
    }
}
