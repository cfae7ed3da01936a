//! Clearing away what was never sent: in steps that any server can take up where another left off.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::app::attachments::Attachments;
use crate::app::{App, Error};
use crate::blobs::{BlobError, Blobs};
use crate::model::{Attachment, AttachmentId};
use crate::store;

/// How much is cleared away in one go.
const TOGETHER: i64 = 100;

/// How many goes there are in one run.
const GOES: usize = 10;

/// How often it runs, at least and at most.
const EVERY_MIN: Duration = Duration::from_millis(200);
const EVERY_MAX: Duration = Duration::from_mins(10);

impl App {
    /// Clears away, from time to time, what was not sent in time, until `shutdown`.
    pub async fn attachments_tend(&self, shutdown: CancellationToken) {
        let Some(attachments) = &self.attachments else {
            return;
        };
        let every = attachments.rules.unsent_for / 24;
        let every = every.clamp(EVERY_MIN, EVERY_MAX);
        let tending = async {
            // Where the last run ended, if it did not come to the end.
            let mut last = None;
            loop {
                // Servers that started together need not come together.
                tokio::time::sleep(every.mul_f64(0.5 + fastrand::f64())).await;
                if let Err(error) = Box::pin(self.attachments_clear(attachments, &mut last)).await {
                    tracing::warn!(%error, "attachments that were not sent are not cleared away");
                }
            }
        };
        tokio::select! {
            () = tending => {}
            () = shutdown.cancelled() => {}
        }
    }

    /// First they are marked, so that nobody sends them any more; then their bytes go; then they are forgotten. Where a
    /// server ends in between, the next one goes on.
    async fn attachments_clear(
        &self,
        attachments: &Attachments,
        last: &mut Option<Attachment>,
    ) -> Result<(), Error> {
        let Attachments { blobs, rules, .. } = attachments;
        let before = self.clock.now() - rules.unsent_for;
        if let Err(error) = blobs.sweep(rules.unsent_for).await {
            tracing::warn!(%error, "uploads that broke off are not cleared away");
        }
        let mut failed = None;
        for _ in 0..GOES {
            let given_up = {
                let mut conn = self.connection().await?;
                store::attachments::give_up(&mut conn, before, TOGETHER).await?;
                store::attachments::given_up(&mut conn, before, last.as_ref(), TOGETHER).await?
            };
            let (gone, refused) = remove(blobs, &given_up).await;
            failed = refused.or(failed);
            if !gone.is_empty() {
                let mut conn = self.connection().await?;
                store::attachments::forget(&mut conn, &gone).await?;
            }
            let is_all = i64::try_from(given_up.len()).is_ok_and(|count| count < TOGETHER);
            let is_away = gone.is_empty() && matches!(failed, Some(BlobError::Unavailable(_)));
            // What a store refuses to remove does not keep the rest: it is tried again when the end is reached.
            *last = given_up.into_iter().last().filter(|_| !is_all);
            if is_all || is_away {
                break;
            }
        }
        failed.map_or(Ok(()), |error| Err(error.into()))
    }
}

/// Removes the bytes of files: says of which they are gone, and why others stay.
async fn remove(blobs: &Blobs, files: &[Attachment]) -> (Vec<AttachmentId>, Option<BlobError>) {
    let (mut gone, mut failed) = (Vec::with_capacity(files.len()), None);
    for file in files {
        match blobs.delete(file).await {
            Ok(()) => gone.push(file.id),
            Err(error) => failed = Some(error),
        }
    }
    (gone, failed)
}
