//! What is done for one file at a time: however often it is asked for at once, this server does it once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;

use crate::model::AttachmentId;

/// Uploads: who comes again takes over from who came before. A client whose network changed tries again while its first try
/// still hangs, so the later one is what it waits for.
#[derive(Debug, Clone, Default)]
pub(super) struct Latest {
    turns: Arc<Mutex<HashMap<AttachmentId, Turn>>>,
}

#[derive(Debug, Clone)]
struct Turn {
    over: CancellationToken,
    /// Tells it from others of the same file.
    number: u64,
}

/// One that ends when it is dropped, or when another takes over.
pub(super) struct Taken {
    latest: Latest,
    id: AttachmentId,
    turn: Turn,
}

impl Latest {
    /// Takes over.
    pub(super) fn take(&self, id: AttachmentId) -> Taken {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        let before = turns.get(&id);
        let turn = Turn {
            over: CancellationToken::new(),
            number: before.map_or(0, |before| before.number.wrapping_add(1)),
        };
        if let Some(before) = turns.insert(id, turn.clone()) {
            before.over.cancel();
        }
        drop(turns);
        let latest = self.clone();
        Taken { latest, id, turn }
    }
}

impl Taken {
    /// What `work` comes to; `None` as soon as another took over.
    pub(super) async fn during<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.turn.over.run_until_cancelled(work).await
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let turns = &self.latest.turns;
        let mut turns = turns.lock().unwrap_or_else(PoisonError::into_inner);
        let last = turns.get(&self.id).map(|turn| turn.number);
        if last == Some(self.turn.number) {
            turns.remove(&self.id);
        }
    }
}

/// What is finished: who comes later waits, and finds it done.
#[derive(Debug, Default)]
pub(super) struct OneByOne {
    places: Mutex<HashMap<AttachmentId, Weak<Place>>>,
}

type Place = tokio::sync::Mutex<()>;

impl OneByOne {
    /// Waits until nobody else is at the file. Dropped, it is the next one's turn.
    pub(super) async fn wait(&self, id: AttachmentId) -> OwnedMutexGuard<()> {
        let place = {
            let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
            // Those of whom nobody is left. There are as many as calls at the same time.
            places.retain(|_, place| place.strong_count() > 0);
            let place = places.get(&id).and_then(Weak::upgrade);
            let place = place.unwrap_or_default();
            places.insert(id, Arc::downgrade(&place));
            place
        };
        place.lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use uuid::Uuid;

    use super::*;

    #[tokio::test]
    async fn who_comes_later_takes_over_and_nothing_is_kept() {
        let latest = Latest::default();
        let (one, other) = (
            AttachmentId(Uuid::from_u128(1)),
            AttachmentId(Uuid::from_u128(2)),
        );
        let first = latest.take(one);
        let beside = latest.take(other);
        assert_eq!(first.during(ready(1)).await, Some(1));
        let second = latest.take(one);
        assert_eq!(first.during(pending::<()>()).await, None);
        // The one that ends late ends nobody else's.
        drop(first);
        let third = latest.take(one);
        assert_eq!(second.during(pending::<()>()).await, None);
        assert_eq!(third.during(ready(3)).await, Some(3));
        assert_eq!(beside.during(ready(4)).await, Some(4));
        drop((second, third, beside));
        assert!(latest.turns.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn who_comes_later_waits_for_the_same_and_nobody_else() {
        let turns = OneByOne::default();
        let (one, other) = (
            AttachmentId(Uuid::from_u128(1)),
            AttachmentId(Uuid::from_u128(2)),
        );
        let first = turns.wait(one).await;
        let second = turns.wait(one);
        let beside = turns.wait(other).await;
        tokio::pin!(second);
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(first);
        let second = second.await;
        drop((second, beside));
        turns.wait(other).await;
        assert_eq!(turns.places.lock().unwrap().len(), 1);
    }
}
