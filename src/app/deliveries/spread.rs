//! Entries of the outbox become deliveries.

use std::time::Duration;

use diesel_async::AsyncConnection as _;
use tokio::time::{sleep, timeout};

use super::super::Error;
use super::{Causes, Inner, LOOK_AGAIN, LOOK_EVERY, about};
use crate::store;
use crate::store::outbox::Entry;

/// How many entries are taken at a time, where that goes well.
const MOST: i64 = 500;

/// How many times one entry fails before nobody is notified of it, and it is delivered alone.
const IN_VAIN: u32 = 3;

/// How long a statement may take for one entry: in a large group it writes a row for everybody.
const LARGE_WITHIN: Duration = Duration::from_mins(5);

/// How entries are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taking {
    /// So many at a time.
    Together(i64),
    /// One, with time enough for the largest group, after so many failures.
    Alone(u32),
    /// One, of which nobody is notified: it cannot be found out who is to be.
    Unnoticed,
}

impl Taking {
    fn most(self) -> i64 {
        match self {
            Self::Together(most) => most,
            Self::Alone(_) | Self::Unnoticed => 1,
        }
    }

    /// After what went well.
    fn more(self) -> Self {
        let most = self.most().saturating_mul(2);
        Self::Together(most.min(MOST))
    }

    /// After what Postgres could not do, though it answers.
    fn less(self) -> Self {
        match self {
            // So many may take longer than a statement may.
            Self::Together(most) if most > 1 => match most / 8 {
                0 | 1 => Self::Alone(0),
                most => Self::Together(most),
            },
            Self::Together(_) => Self::Alone(0),
            Self::Alone(failures) if failures + 1 < IN_VAIN => Self::Alone(failures + 1),
            Self::Alone(_) | Self::Unnoticed => Self::Unnoticed,
        }
    }
}

impl Inner {
    /// Makes deliveries of what comes into the outbox.
    pub(super) async fn spread_on(&self) {
        let mut taking = Taking::Together(MOST);
        loop {
            match self.spread(taking).await {
                Ok(0) => {
                    taking = taking.more();
                    timeout(about(LOOK_EVERY), self.realtime.committed())
                        .await
                        .ok();
                }
                Ok(_) => {
                    taking = taking.more();
                    self.due.notify_one();
                }
                Err(error) => {
                    tracing::warn!(error = %Causes(&error), "the outbox could not be read");
                    // That the database is away says nothing of the entries.
                    if !matches!(error, Error::Unavailable(_)) {
                        taking = taking.less();
                    }
                    sleep(about(LOOK_AGAIN)).await;
                }
            }
        }
    }

    /// Takes entries out of the outbox and makes deliveries of them, both or neither. Says how many there were.
    async fn spread(&self, taking: Taking) -> Result<usize, Error> {
        let (mut conn, _place) = self.connection().await?;
        // Most often there is nothing, which takes no transaction.
        if !store::outbox::is_filled(&mut conn).await? {
            return Ok(0);
        }
        let spread = conn.transaction(async |conn| {
            if let Taking::Alone(_) = taking {
                store::outbox::allow(conn, LARGE_WITHIN).await?;
            }
            let entries = store::outbox::take(conn, taking.most()).await?;
            if taking == Taking::Unnoticed {
                self.pass_over(&entries);
            } else {
                let messages = store::notices::messages(conn, &entries).await?;
                if !messages.is_empty() {
                    store::notices::put(conn, &messages, self.options.notify_after).await?;
                }
            }
            // Last, since it locks lanes, for which whoever delivers waits.
            if !entries.is_empty() {
                store::deliveries::of_events(conn, &entries).await?;
            }
            Ok::<_, Error>(entries.len())
        });
        spread.await
    }

    /// Says of what nobody is notified, so that everything behind it goes on.
    fn pass_over(&self, entries: &[Entry]) {
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
    use super::*;

    #[test]
    fn what_fails_is_taken_with_less_and_at_last_without_notices() {
        let mut taking = Taking::Together(MOST);
        let mut seen = Vec::new();
        while taking != Taking::Unnoticed {
            seen.push(taking);
            taking = taking.less();
        }
        assert_eq!(
            seen,
            [
                Taking::Together(500),
                Taking::Together(62),
                Taking::Together(7),
                Taking::Alone(0),
                Taking::Alone(1),
                Taking::Alone(2),
            ]
        );
        assert_eq!(taking.less(), Taking::Unnoticed);
        assert_eq!(taking.more(), Taking::Together(2));
        assert_eq!(Taking::Together(400).more(), Taking::Together(MOST));
    }
}
