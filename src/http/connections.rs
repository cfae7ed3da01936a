//! Who is connected, by WebSocket or by a stream over HTTP.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::app::Actor;
use crate::realtime::{Arrival, Realtime};

/// The connections of this server, counted by their users.
#[derive(Debug, Clone, Default)]
pub struct Connections(Arc<Mutex<HashMap<Actor, usize>>>);

/// A place among the connections, given back when it is dropped. Each socket and each stream over HTTP holds one
/// from when its user is known to its end, so what else lasts as long as a user is connected belongs here.
#[derive(Debug)]
pub(super) struct Admission {
    connections: Connections,
    actor: Option<Actor>,
    /// The user is online while this is held.
    _arrival: Option<Arrival>,
}

impl Connections {
    /// How many connections of users are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.counts().values().sum()
    }

    /// Admits a connection; `None` where its user has `most` already. Without a user it is not counted: it
    /// can follow nothing.
    pub(super) fn admit(
        &self,
        realtime: &Realtime,
        actor: Option<&Actor>,
        most: usize,
    ) -> Option<Admission> {
        let actor = actor.cloned();
        if let Some(actor) = &actor {
            let mut counts = self.counts();
            let open = counts.get(actor).copied().unwrap_or_default();
            if open >= most {
                return None;
            }
            counts.insert(actor.clone(), open + 1);
        }
        let arrival = actor
            .as_ref()
            .map(|who| realtime.arrive(&who.tenant, &who.user));
        Some(Admission {
            connections: self.clone(),
            actor,
            _arrival: arrival,
        })
    }

    fn leave(&self, actor: &Actor) {
        let mut counts = self.counts();
        let open = counts.get(actor).copied().unwrap_or_default();
        if open > 1 {
            counts.insert(actor.clone(), open - 1);
        } else {
            counts.remove(actor);
            if counts.len() < counts.capacity() / 4 {
                counts.shrink_to_fit();
            }
        }
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<Actor, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if let Some(actor) = &self.actor {
            self.connections.leave(actor);
        }
    }
}
