//! Who is connected to this server. Arrivals and departures are written together, and told when they are:
//! every server then reads anew how it stands, so the order in which they hear of it does not matter.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::sync::Notify;
use tokio::time::{sleep, sleep_until, timeout};

use super::{SignalOptions, Signals, lock};
use crate::realtime::BackOff;
use crate::realtime::hub::ReadError;
use crate::store::presences::{self, Person};

/// How many arrivals or departures are written in one statement.
const SLICE: usize = 5_000;

/// A connection of a person to this server. Dropping it ends it.
#[derive(Debug)]
pub struct Arrival {
    signals: Arc<Signals>,
    person: Person,
}

impl Arrival {
    pub(super) fn new(signals: Arc<Signals>, person: Person) -> Self {
        signals.here.arrive(&person);
        Self { signals, person }
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        let grace = self.signals.options.signals.grace;
        self.signals
            .here
            .leave(&self.person, Instant::now() + grace);
    }
}

/// What is known of a person who is connected, or was not long ago.
#[derive(Debug, Default)]
struct Guest {
    connections: usize,
    /// Whether their arrival is written.
    written: bool,
    /// When they count as gone, once their last connection has ended.
    leaves_at: Option<Instant>,
}

/// The people who are connected to this server.
#[derive(Debug)]
pub(super) struct Here {
    server: i64,
    guests: Mutex<HashMap<Person, Guest>>,
    changed: Notify,
}

/// What there is to write, and when there may be more.
#[derive(Debug, Default)]
struct Moves {
    arrived: Vec<Person>,
    left: Vec<Person>,
    next: Option<Instant>,
    /// Whether anybody is here at all.
    anybody: bool,
}

impl Here {
    pub(super) fn new(server: u64) -> Self {
        Self {
            server: server.cast_signed(),
            guests: Mutex::default(),
            changed: Notify::new(),
        }
    }

    fn arrive(&self, person: &Person) {
        let mut guests = lock(&self.guests);
        let guest = guests.entry(person.clone()).or_default();
        guest.connections += 1;
        guest.leaves_at = None;
        let news = !guest.written;
        drop(guests);
        if news {
            self.changed.notify_one();
        }
    }

    fn leave(&self, person: &Person, at: Instant) {
        if let Some(guest) = lock(&self.guests).get_mut(person) {
            guest.connections = guest.connections.saturating_sub(1);
            if guest.connections == 0 {
                guest.leaves_at = Some(at);
            }
        }
        self.changed.notify_one();
    }

    fn moves(&self, now: Instant) -> Moves {
        let mut moves = Moves::default();
        for (person, guest) in lock(&self.guests).iter() {
            moves.anybody = true;
            if !guest.written {
                moves.arrived.push(person.clone());
            }
            match guest.leaves_at {
                Some(at) if at <= now => moves.left.push(person.clone()),
                Some(at) => moves.next = Some(moves.next.map_or(at, |next| next.min(at))),
                None => {}
            }
        }
        moves
    }

    /// Takes note that arrivals are written.
    fn written(&self, people: &[Person]) {
        let mut guests = lock(&self.guests);
        for person in people {
            if let Some(guest) = guests.get_mut(person) {
                guest.written = true;
            }
        }
    }

    /// Takes note that departures are written. Who came back meanwhile arrives anew.
    fn gone(&self, people: &[Person]) {
        let mut guests = lock(&self.guests);
        for person in people {
            if let Some(guest) = guests.get_mut(person) {
                guest.written = false;
                if guest.connections == 0 {
                    guests.remove(person);
                } else {
                    self.changed.notify_one();
                }
            }
        }
    }

    /// Has everybody's arrival be written again.
    fn unwritten(&self) {
        for guest in lock(&self.guests).values_mut() {
            guest.written = false;
        }
    }
}

/// Whether this server's row is there, and when to renew it.
struct Row {
    made: bool,
    renew_at: Instant,
}

/// Writes who comes and goes until the engine stops. Then the server's row is left to expire soon: whoever was
/// connected to this server finds another one meanwhile.
pub(super) async fn run(signals: Arc<Signals>) {
    let mut row = Row {
        made: false,
        renew_at: Instant::now(),
    };
    let stay = async {
        let mut back_off = BackOff::new(signals.options.back_off);
        loop {
            match timeout(signals.options.patience, signals.meet(&mut row)).await {
                Ok(Ok(next)) => {
                    back_off.reset();
                    signals.here.wait(next, &signals.options.signals).await;
                    continue;
                }
                Ok(Err(error)) => {
                    tracing::warn!(%error, "presence cannot be written");
                    // The row may be gone, and the people of this server with it.
                    row.renew_at = Instant::now();
                }
                Err(_) => tracing::warn!("presence cannot be written in time"),
            }
            back_off.wait().await;
        }
    };
    tokio::select! {
        () = stay => {}
        () = signals.shutdown.cancelled() => {}
    }
    if row.made {
        match timeout(signals.options.patience, signals.retire()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "this server's row is left to expire"),
            Err(_) => tracing::warn!("this server's row is left to expire"),
        }
    }
}

impl Here {
    /// Waits until there may be something to write.
    async fn wait(&self, next: Option<Instant>, options: &SignalOptions) {
        let next = async {
            match next {
                Some(next) => sleep_until(next.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = next => {}
            () = self.changed.notified() => sleep(options.gather).await,
        }
    }
}

impl Signals {
    /// Writes who came and went, renews the server's row, and says when to look again.
    async fn meet(&self, row: &mut Row) -> Result<Option<Instant>, ReadError> {
        let now = Instant::now();
        let moves = self.here.moves(now);
        if !moves.anybody {
            // The row expires by itself. Whoever comes next has it renewed, or made anew.
            row.renew_at = now;
            return Ok(None);
        }
        if row.renew_at <= now || !moves.arrived.is_empty() || !moves.left.is_empty() {
            self.write_moves(row, moves, now).await?;
        }
        let next = self.here.moves(now).next;
        Ok(Some(
            next.map_or(row.renew_at, |next| next.min(row.renew_at)),
        ))
    }

    async fn write_moves(
        &self,
        row: &mut Row,
        mut moves: Moves,
        now: Instant,
    ) -> Result<(), ReadError> {
        let (server, options) = (self.here.server, &self.options.signals);
        let mut conn = self.pool.get().await?;
        if row.renew_at <= now {
            if presences::renew(&mut conn, server, options.lease).await? {
                self.here.unwritten();
                moves = self.here.moves(now);
            }
            row.made = true;
            row.renew_at = now + options.renew;
            self.tell_presence(presences::bury(&mut conn).await?);
        }
        for people in moves.arrived.chunks(SLICE) {
            presences::arrive(&mut conn, server, people).await?;
            self.here.written(people);
            self.tell_presence(people.to_vec());
        }
        for people in moves.left.chunks(SLICE) {
            presences::leave(&mut conn, server, people).await?;
            self.here.gone(people);
            self.tell_presence(people.to_vec());
        }
        Ok(())
    }

    async fn retire(&self) -> Result<(), ReadError> {
        let mut conn = self.pool.get().await?;
        let grace = self.options.signals.grace;
        presences::retire(&mut conn, self.here.server, grace).await?;
        Ok(())
    }
}
