//! Notices that are due become deliveries, wait on, or go.

use chrono::Duration;
use diesel_async::AsyncConnection as _;
use tokio::time::sleep;

use super::super::Error;
use super::{Causes, Inner, LOOK_AGAIN, LOOK_EVERY, about};
use crate::model::Verdict;
use crate::store;

/// How many notices are looked at at a time.
const MOST: i64 = 200;

impl Inner {
    /// Tells people of what they have not read.
    pub(super) async fn notify_on(&self) {
        loop {
            match self.notify().await {
                Ok(0) => sleep(about(LOOK_EVERY)).await,
                Ok(_) => self.due.notify_one(),
                Err(error) => {
                    tracing::warn!(error = %Causes(&error), "notices could not be looked at");
                    sleep(about(LOOK_AGAIN)).await;
                }
            }
        }
    }

    /// Looks at notices that are due, and says how many there were.
    async fn notify(&self) -> Result<usize, Error> {
        let (mut conn, _place) = self.connection().await?;
        let delay = Duration::from_std(self.options.notify_after).unwrap_or(Duration::MAX);
        let notify = conn.transaction(async |conn| {
            let due = store::notices::due(conn, MOST).await?;
            let (mut done, mut told) = (Vec::new(), Vec::new());
            let now = self.clock.now();
            for (notice, facts) in &due {
                match facts.judge(now, delay) {
                    Verdict::Tell => {
                        told.push(notice);
                        done.push(notice);
                    }
                    Verdict::Drop => done.push(notice),
                    Verdict::Wait(until) => {
                        store::notices::postpone(conn, notice, until).await?;
                    }
                }
            }
            if !told.is_empty() {
                store::deliveries::of_notices(conn, &told).await?;
            }
            if !done.is_empty() {
                store::notices::remove(conn, &done).await?;
            }
            Ok::<_, Error>(due.len())
        });
        notify.await
    }
}
