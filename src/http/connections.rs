//! Who is connected, by WebSocket or by a stream over HTTP.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::app::Actor;
use crate::realtime::{Arrival, Realtime};

/// The connections of this server, and the subscriptions on them, counted by their users.
#[derive(Debug, Clone, Default)]
pub struct Connections(Arc<Both>);

#[derive(Debug, Default)]
struct Both {
    connections: Counts,
    subscriptions: Counts,
}

/// How many of something each user has.
#[derive(Debug, Clone, Default)]
struct Counts {
    taken: Arc<Mutex<HashMap<Actor, usize>>>,
    /// How many were refused.
    refused: Arc<AtomicU64>,
}

/// One of what a user has; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    counts: Counts,
    actor: Actor,
}

/// A place among the connections, given back when it is dropped. Each socket and each stream over HTTP holds one
/// from when its user is known to its end, so what else lasts as long as a user is connected belongs here.
#[derive(Debug)]
pub(super) struct Admission {
    _seat: Option<Seat>,
    /// The user is online while this is held.
    _arrival: Option<Arrival>,
}

impl Connections {
    /// How many connections of users are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.0.connections.all()
    }

    /// How many subscriptions of users run.
    #[must_use]
    pub fn subscriptions(&self) -> usize {
        self.0.subscriptions.all()
    }

    /// How many connections, and how many subscriptions, were refused because their user had too many.
    #[must_use]
    pub fn refusals(&self) -> (u64, u64) {
        let refused = |counts: &Counts| counts.refused.load(Ordering::Relaxed);
        (refused(&self.0.connections), refused(&self.0.subscriptions))
    }

    /// Admits a connection; `None` where its user has `most` already. Without a user it is not counted: it
    /// can follow nothing.
    pub(super) fn admit(
        &self,
        realtime: &Realtime,
        actor: Option<&Actor>,
        most: usize,
    ) -> Option<Admission> {
        let seat = match actor {
            Some(actor) => Some(self.0.connections.take(actor, most)?),
            None => None,
        };
        let arrival = actor.map(|who| realtime.arrive(&who.tenant, &who.user));
        Some(Admission {
            _seat: seat,
            _arrival: arrival,
        })
    }

    /// Admits a subscription of a user; `None` where they have `most` already, on all their connections to this
    /// server together.
    pub(super) fn subscribe(&self, actor: &Actor, most: usize) -> Option<Seat> {
        self.0.subscriptions.take(actor, most)
    }
}

impl Counts {
    fn take(&self, actor: &Actor, most: usize) -> Option<Seat> {
        let mut counts = self.lock();
        let taken = counts.get(actor).copied().unwrap_or_default();
        if taken >= most {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        counts.insert(actor.clone(), taken + 1);
        drop(counts);
        Some(Seat {
            counts: self.clone(),
            actor: actor.clone(),
        })
    }

    fn give_back(&self, actor: &Actor) {
        let mut counts = self.lock();
        let taken = counts.get(actor).copied().unwrap_or_default();
        if taken > 1 {
            counts.insert(actor.clone(), taken - 1);
        } else {
            counts.remove(actor);
            if counts.len() < counts.capacity() / 4 {
                counts.shrink_to_fit();
            }
        }
    }

    fn all(&self) -> usize {
        self.lock().values().sum()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Actor, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.counts.give_back(&self.actor);
    }
}
