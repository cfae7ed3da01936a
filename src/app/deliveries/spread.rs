//! Entries of the outbox become deliveries.

use diesel_async::AsyncConnection as _;
use tokio::time::{sleep, timeout};

use super::super::Error;
use super::{Causes, Inner, LOOK_AGAIN, LOOK_EVERY, about};
use crate::store;

/// How many entries are taken at a time, where that goes well.
const MOST: i64 = 500;

impl Inner {
    /// Makes deliveries of what comes into the outbox.
    pub(super) async fn spread_on(&self) {
        let mut most = MOST;
        loop {
            let spread = self.spread(most).await;
            // So many may take longer than a statement may: in a large group, each is a row for everybody.
            most = match &spread {
                Ok(_) => most.saturating_mul(2).min(MOST),
                Err(_) => (most / 8).max(1),
            };
            match spread {
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

    /// Takes up to `most` entries out of the outbox and makes deliveries of them, both or neither. Says how many there were.
    async fn spread(&self, most: i64) -> Result<usize, Error> {
        let (mut conn, _place) = self.connection().await?;
        // Most often there is nothing, which takes no transaction.
        if !store::outbox::is_filled(&mut conn).await? {
            return Ok(0);
        }
        let spread = conn.transaction(async |conn| {
            let entries = store::outbox::take(conn, most).await?;
            let messages = store::notices::messages(conn, &entries).await?;
            if !messages.is_empty() {
                store::notices::put(conn, &messages, self.options.notify_after).await?;
            }
            // Last, since it locks lanes, for which whoever delivers waits.
            if !entries.is_empty() {
                store::deliveries::of_events(conn, &entries).await?;
            }
            Ok::<_, Error>(entries.len())
        });
        spread.await
    }
}
