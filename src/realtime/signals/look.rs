//! Reads what the board wants to know, one reading at a time: who may see a chat, where the marks of its
//! people stand, and who of them is there.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use tokio::time::{sleep, sleep_until, timeout};

use super::Signals;
use super::board::Wanted;
use super::followed::AccessAnswer;
use crate::model::UserId;
use crate::realtime::BackOff;
use crate::realtime::hub::ReadError;
use crate::store::signals::Signalled;
use crate::store::{self, Connection};

/// Of how many chats the people are read in one statement.
const SLICE: usize = 100;

/// Of how many chats access is read or compared in one statement.
const ACCESS_SLICE: usize = 10_000;

/// Reads until the engine stops: at once what is wanted, and with each sweep whether access changed.
pub(super) async fn run(signals: Arc<Signals>) {
    let look = async {
        let mut back_off = BackOff::new(signals.options.back_off);
        let mut sweep_at = Instant::now();
        let mut compare_at = Instant::now() + signals.options.signals.compare;
        loop {
            tokio::select! {
                () = signals.unread.notified() => {}
                () = sleep_until(sweep_at.min(compare_at).into()) => {}
            }
            let now = Instant::now();
            if compare_at <= now {
                compare_at = now + signals.options.signals.compare;
                signals.board().compare_all();
            }
            let sweeps = sweep_at <= now;
            if sweeps {
                let jitter = 2.0 / 3.0 + fastrand::f64() * 2.0 / 3.0;
                sweep_at = now + signals.options.sweep.mul_f64(jitter);
            }
            match timeout(signals.options.patience, signals.look(sweeps)).await {
                Ok(Ok(())) => {
                    back_off.reset();
                    // What is told in a moment is read together.
                    sleep(signals.options.tick).await;
                }
                Ok(Err(error)) => {
                    tracing::warn!(%error, "signals cannot be compared");
                    back_off.wait().await;
                }
                Err(_) => tracing::warn!("signals cannot be compared in time"),
            }
        }
    };
    tokio::select! {
        () = look => {}
        () = signals.shutdown.cancelled() => {}
    }
}

/// What is wanted, put back unless it was read, also where the reading is cut off.
struct Errand<'a> {
    signals: &'a Signals,
    wanted: Wanted,
}

impl Drop for Errand<'_> {
    fn drop(&mut self) {
        if !self.wanted.is_empty() {
            let wanted = std::mem::take(&mut self.wanted);
            self.signals.board().put_back(wanted);
            self.signals.unread.notify_one();
        }
    }
}

impl Signals {
    async fn look(&self, sweeps: bool) -> Result<(), ReadError> {
        if self.board().is_empty() {
            return Ok(());
        }
        let mut conn = self.pool.get().await?;
        if sweeps {
            self.compare_access(&mut conn).await?;
        }
        let wanted = self.board().take_wanted();
        let mut errand = Errand {
            signals: self,
            wanted,
        };
        self.read_access(&mut conn, &mut errand.wanted).await?;
        self.read_people(&mut conn, &mut errand.wanted).await?;
        let people = &errand.wanted.people;
        if !people.is_empty() {
            let presences = store::presences::of_people(&mut conn, people).await?;
            self.board().presences_read(presences);
            errand.wanted.people.clear();
        }
        Ok(())
    }

    /// Finds what no hint has told: a change of access.
    async fn compare_access(&self, conn: &mut Connection) -> Result<(), ReadError> {
        let chats = self.board().chats();
        for slice in chats.chunks(ACCESS_SLICE) {
            let versions = store::signals::access_versions(conn, slice).await?;
            let mut board = self.board();
            for (chat, version) in versions {
                if board.access_seen(chat, version) {
                    tracing::debug!(%chat, "the sweep found a change of access");
                }
            }
        }
        Ok(())
    }

    async fn read_access(
        &self,
        conn: &mut Connection,
        wanted: &mut Wanted,
    ) -> Result<(), ReadError> {
        let chats: Vec<_> = wanted.access.keys().copied().collect();
        let users: Vec<UserId> = wanted.followers.iter().cloned().collect();
        let of = Arc::new(std::mem::take(&mut wanted.followers));
        for slice in chats.chunks(ACCESS_SLICE) {
            let mut found = store::signals::access(conn, slice, &users).await?;
            let mut board = self.board();
            for chat in slice {
                let Some(question) = wanted.access.remove(chat) else {
                    continue;
                };
                let answer = AccessAnswer {
                    access: found.remove(chat),
                    of: Arc::clone(&of),
                };
                board.access_read(*chat, question, answer);
            }
        }
        Ok(())
    }

    async fn read_people(
        &self,
        conn: &mut Connection,
        wanted: &mut Wanted,
    ) -> Result<(), ReadError> {
        while !wanted.chats.is_empty() {
            let rest = wanted.chats.len().saturating_sub(SLICE);
            let slice = wanted.chats.get(rest..).unwrap_or_default();
            let limit = self.options.signals.people.into();
            let people = store::signals::people(conn, slice, limit).await?;
            let mut by_chat: HashMap<_, Vec<Signalled>> = HashMap::new();
            for person in people {
                by_chat.entry(person.chat_id).or_default().push(person);
            }
            let mut board = self.board();
            for chat in slice {
                let people = by_chat.remove(chat).unwrap_or_default();
                let repaired = board.people_read(*chat, people);
                if repaired > 0 {
                    tracing::debug!(%chat, repaired, "a comparison found what no hint had told");
                }
            }
            wanted.chats.truncate(rest);
        }
        Ok(())
    }
}
