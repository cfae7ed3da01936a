//! What is done for one file at a time: who comes again takes over from who came before.
//!
//! A client whose network changed tries again while its first try still hangs, so the later one is what it waits for. And
//! however often one ticket is used at once, this server does no more than once what it stands for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::model::AttachmentId;

/// What is under way.
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
}
