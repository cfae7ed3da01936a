//! Entries of the outbox become deliveries.

use diesel_async::AsyncConnection as _;
use tokio::time::{sleep, timeout};

use super::super::Error;
use super::{Causes, Inner, LOOK_AGAIN, LOOK_EVERY, about};
use crate::store;
use crate::store::outbox::Entry;

/// How many entries are taken at a time, where that goes well.
const MOST: i64 = 500;

/// How many times the same entry fails before nobody is notified of it, and it is delivered alone.
const IN_VAIN: u32 = 3;

/// How entries are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Taking {
    /// How many at a time.
    most: i64,
    /// The entry that failed last when it was taken alone, by its number, and how often in a row.
    failed: Option<(i64, u32)>,
}

impl Taking {
    fn new() -> Self {
        Self {
            most: MOST,
            failed: None,
        }
    }

    fn went_well(&mut self) {
        self.most = self.most.saturating_mul(2).min(MOST);
        self.failed = None;
    }

    /// `head` is the first entry, where it was taken, and `is_its_own` that the database answers and cannot do it.
    fn went_wrong(&mut self, head: Option<i64>, is_its_own: bool) {
        if self.most > 1 {
            // So many may take longer than a statement may: in a large group, each is a row for everybody.
            self.most = (self.most / 8).max(1);
        } else if let Some(head) = head.filter(|_| is_its_own) {
            let before = self.failed.filter(|(id, _)| *id == head);
            let before = before.map_or(0, |(_, times)| times);
            self.failed = Some((head, before.saturating_add(1)));
        }
    }

    /// Whether nobody is notified of what is taken: it is the one entry that failed too often.
    fn passes_over(&self, entries: &[Entry]) -> bool {
        let failed = self.failed.filter(|(_, times)| *times >= IN_VAIN);
        matches!((entries, failed), ([entry], Some((id, _))) if entry.id == id)
    }
}

impl Inner {
    /// Makes deliveries of what comes into the outbox.
    pub(super) async fn spread_on(&self) {
        let mut taking = Taking::new();
        loop {
            match self.spread(&mut taking).await {
                // There is nothing, or another server is at it.
                Ok(0) => {
                    timeout(about(LOOK_EVERY), self.realtime.committed())
                        .await
                        .ok();
                }
                Ok(_) => self.due.notify_one(),
                Err(error) => {
                    tracing::warn!(error = %Causes(&error), "the outbox could not be read");
                    sleep(about(LOOK_AGAIN)).await;
                }
            }
        }
    }

    /// Takes entries out of the outbox and makes deliveries of them, both or neither. Says how many there were.
    async fn spread(&self, taking: &mut Taking) -> Result<usize, Error> {
        let (mut conn, _place) = self.connection().await?;
        // Most often there is nothing, which takes no transaction.
        if !store::outbox::is_filled(&mut conn).await? {
            return Ok(0);
        }
        let mut head = None;
        let spread = conn.transaction(async |conn| {
            let entries = store::outbox::take(conn, taking.most).await?;
            head = entries.first().map(|entry| entry.id);
            if !taking.passes_over(&entries) {
                let messages = store::notices::messages(conn, &entries).await?;
                let (delay, alone) = (self.options.notify_after, taking.most == 1);
                if let (true, [message]) = (alone, messages.as_slice()) {
                    store::notices::put_in_parts(conn, message, delay).await?;
                } else if !messages.is_empty() {
                    store::notices::put(conn, &messages, delay).await?;
                }
            }
            // Last, since it locks lanes, for which whoever delivers waits.
            if !entries.is_empty() {
                store::deliveries::of_events(conn, &entries).await?;
            }
            Ok::<_, Error>(entries)
        });
        let spread = spread.await;
        match &spread {
            Ok(entries) if entries.is_empty() => {}
            Ok(entries) => {
                if taking.passes_over(entries) {
                    self.say_passed_over(entries);
                }
                taking.went_well();
            }
            // That the database is away, or has no time, says nothing of an entry.
            Err(error) => taking.went_wrong(head, !matches!(error, Error::Unavailable(_))),
        }
        Ok(spread?.len())
    }

    /// Says of what nobody is notified, so that everything behind it goes on.
    fn say_passed_over(&self, entries: &[Entry]) {
        for entry in entries {
            tracing::error!(
                tenant = entry.tenant.as_str(),
                chat = %entry.chat_id,
                seq = entry.seq,
                "nobody is notified of an event: it cannot be found out who is to be"
            );
            self.metrics.passed_over();
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::model::{ChatId, TenantId};

    fn entry(id: i64) -> Entry {
        Entry {
            id,
            tenant: TenantId::new("acme").unwrap(),
            chat_id: ChatId(Uuid::nil()),
            seq: 1,
        }
    }

    #[test]
    fn whatever_goes_wrong_less_is_taken() {
        let mut taking = Taking::new();
        let mut seen = Vec::new();
        for is_its_own in [false, true, false, true] {
            taking.went_wrong(Some(7), is_its_own);
            seen.push(taking.most);
        }
        assert_eq!(seen, [62, 7, 1, 1]);
        taking.went_well();
        assert_eq!(taking.most, 2);
    }

    #[test]
    fn an_entry_is_passed_over_that_fails_by_itself_and_no_other() {
        let mut taking = Taking {
            most: 1,
            failed: None,
        };
        for _ in 0..10 {
            // The database was away.
            taking.went_wrong(Some(7), false);
            taking.went_wrong(None, true);
        }
        assert!(!taking.passes_over(&[entry(7)]));
        for _ in 0..IN_VAIN - 1 {
            taking.went_wrong(Some(7), true);
        }
        assert!(!taking.passes_over(&[entry(7)]));
        taking.went_wrong(Some(7), true);
        assert!(taking.passes_over(&[entry(7)]));
        assert!(!taking.passes_over(&[entry(8)]));
        assert!(!taking.passes_over(&[entry(7), entry(8)]));
        // Another one came before it meanwhile.
        taking.went_wrong(Some(6), true);
        assert!(!taking.passes_over(&[entry(6)]) && !taking.passes_over(&[entry(7)]));
    }
}
