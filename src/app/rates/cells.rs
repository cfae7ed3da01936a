//! Where the states of buckets are kept, in bounded memory.
//!
//! A bucket that is full is not kept: it is like one that was never asked. Where more than [`KEYS_MAX`] are kept, the
//! others of their kind share one bucket until some are full again, so a flood of keys buys an attacker neither
//! memory nor tokens.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use governor::clock::Clock;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::state::keyed::ShrinkableKeyedStateStore;

/// The most buckets of a kind that are kept.
pub(super) const KEYS_MAX: usize = 100_000;

/// What is asked of a bucket.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Asked<K> {
    /// To take a token.
    Take(K),
    /// To say whether there is one.
    Look(K),
}

impl<K> Asked<K> {
    fn key(&self) -> &K {
        let (Self::Take(key) | Self::Look(key)) = self;
        key
    }
}

/// The states of the buckets of one kind: for each, when it will be full.
#[derive(Debug)]
pub(super) struct Cells<K>(Mutex<Table<K>>);

#[derive(Debug)]
struct Table<K> {
    own: HashMap<K, Nanos>,
    /// The bucket of those that found no place.
    shared: Option<Nanos>,
}

impl<K> Default for Cells<K> {
    fn default() -> Self {
        let own = HashMap::new();
        Self(Mutex::new(Table { own, shared: None }))
    }
}

impl<K> Cells<K> {
    fn table(&self) -> MutexGuard<'_, Table<K>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq + Clone> StateStore for Cells<K> {
    type Key = Asked<K>;

    fn measure_and_replace<T, F, E>(&self, asked: &Asked<K>, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut table = self.table();
        let key = asked.key();
        let own = table.own.get(key).copied();
        let shares = own.is_none() && table.own.len() >= KEYS_MAX;
        let before = if shares { table.shared } else { own };
        let (decided, after) = decide(before)?;
        if matches!(asked, Asked::Take(_)) {
            if shares {
                table.shared = Some(after);
            } else if let Some(own) = table.own.get_mut(key) {
                *own = after;
            } else {
                table.own.insert(key.clone(), after);
            }
        }
        Ok(decided)
    }
}

impl<K: Hash + Eq + Clone> ShrinkableKeyedStateStore<Asked<K>> for Cells<K> {
    fn retain_recent(&self, drop_below: Nanos) {
        let mut table = self.table();
        table.own.retain(|_, full_at| *full_at > drop_below);
        if table.own.len() < table.own.capacity() / 4 {
            table.own.shrink_to_fit();
        }
    }

    fn len(&self) -> usize {
        self.table().own.len()
    }

    fn is_empty(&self) -> bool {
        self.table().own.is_empty()
    }
}

/// The time since the buckets were made, by whoever tells it.
#[derive(Clone)]
pub(super) struct Elapsed(Arc<dyn Fn() -> Duration + Send + Sync>);

impl Elapsed {
    /// The time as `tell` tells it.
    pub(super) fn new(tell: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }
}

impl Default for Elapsed {
    fn default() -> Self {
        let start = Instant::now();
        Self::new(move || start.elapsed())
    }
}

impl Clock for Elapsed {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0()
    }
}
