//! Lanes are claimed, and what is first in them is sent.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use diesel_async::AsyncConnection as _;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::super::{Error, IdMaker};
use super::{Causes, Inner, LOOK_AGAIN, LOOK_EVERY, about, content};
use crate::model::{Delivery, Failure, FailureKind, Lane, Notice, SinkId, SinkKind, wait_after};
use crate::sinks::{Configured, Parcel};
use crate::store;

/// After how many deliveries a lane is let go, so that others of its sink come to their turn.
const IN_A_ROW: usize = 16;

/// How long a try may go on when the server stops.
const FAREWELL: Duration = Duration::from_secs(5);

/// How many deliveries to each sink are under way.
#[derive(Debug, Default)]
pub(super) struct Busy(Mutex<HashMap<SinkId, i64>>);

impl Busy {
    fn counts(&self) -> MutexGuard<'_, HashMap<SinkId, i64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many more there may be.
    fn free(&self, sink: &Configured) -> i64 {
        let busy = self.counts().get(&sink.registered.id).copied();
        i64::from(sink.at_once) - busy.unwrap_or(0)
    }

    fn add(&self, sink: &SinkId, count: i64) {
        *self.counts().entry(sink.clone()).or_default() += count;
    }
}

/// A place for a delivery to a sink, given back when it is dropped.
struct Place {
    inner: Arc<Inner>,
    sink: SinkId,
}

impl Place {
    fn take(inner: &Arc<Inner>, sink: &SinkId) -> Self {
        inner.busy.add(sink, 1);
        Self {
            inner: Arc::clone(inner),
            sink: sink.clone(),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.inner.busy.add(&self.sink, -1);
        self.inner.due.notify_one();
    }
}

/// What came of a try.
enum Tried {
    Delivered,
    /// There is nothing to deliver any more.
    Skipped,
    Failed(Failure),
}

impl Inner {
    /// How long a try may take.
    fn within(&self, sink: Option<&Configured>) -> Duration {
        let wanted = sink.and_then(|sink| sink.sink.within());
        self.options.within.max(wanted.unwrap_or_default())
    }

    /// How long a claim lasts.
    fn lease(&self, sink: &SinkId) -> Duration {
        self.within(self.sinks.get(sink)).saturating_mul(3)
    }

    /// Claims lanes that are due, and has them worked on, until it is stopped: never in the middle of a claim, which others
    /// would take for that of a server that died.
    pub(super) async fn work_on(self: &Arc<Self>, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            match self.claim().await {
                Ok(lanes) => {
                    for (lane, head) in lanes {
                        let place = Place::take(self, &lane.sink);
                        let (inner, stop) = (Arc::clone(self), stop.clone());
                        let work = async move {
                            inner.drain(lane, head, &stop).await;
                            drop(place);
                        };
                        self.tasks.spawn(work);
                    }
                    let again = timeout(about(LOOK_EVERY), self.due.notified());
                    stop.run_until_cancelled(again).await;
                }
                Err(error) => {
                    tracing::warn!(error = %Causes(&error), "no deliveries could be claimed");
                    stop.run_until_cancelled(sleep(about(LOOK_AGAIN))).await;
                }
            }
        }
    }

    async fn claim(&self) -> Result<Vec<(Lane, Option<Delivery>)>, Error> {
        let free = self
            .sinks
            .all()
            .map(|sink| (&sink.registered.id, self.busy.free(sink)));
        let free = free.filter(|(_, free)| *free > 0);
        let free: Vec<_> = free
            .map(|(sink, free)| (sink, free, self.lease(sink)))
            .collect();
        if free.is_empty() {
            return Ok(Vec::new());
        }
        let (mut conn, _place) = self.connection().await?;
        let claim = IdMaker::claim();
        let lanes = store::deliveries::claim(&mut conn, &free, claim).await?;
        if lanes.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<i64> = lanes.iter().map(|lane| lane.id).collect();
        let mut heads = store::deliveries::heads(&mut conn, &ids).await?;
        let lanes = lanes.into_iter();
        Ok(lanes
            .map(|lane| {
                let head = heads.remove(&lane.id);
                (lane, head)
            })
            .collect())
    }

    /// Works on a lane until it is empty, or fails, or others are to come to their turn.
    async fn drain(&self, lane: Lane, head: Option<Delivery>, stop: &CancellationToken) {
        let claimed = lane.clone();
        if let Err(error) = self.try_to_drain(lane, head, stop).await {
            tracing::warn!(error = %Causes(&error), "a delivery could not be read or noted");
            // It is claimed anew when the claim is over, and counts as tried by a server that died, so that what can never
            // be read is given up at last. What was sent meanwhile is sent again, with the same id. Only where the database
            // was away it is let go, as soon as that is over.
            if matches!(error, Error::Unavailable(_)) {
                stop.run_until_cancelled(sleep(about(LOOK_AGAIN))).await;
                self.release(&claimed).await.ok();
            }
        }
    }

    async fn try_to_drain(
        &self,
        mut lane: Lane,
        head: Option<Delivery>,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        let Some(sink) = self.sinks.get(&lane.sink) else {
            return self.release(&lane).await;
        };
        let Some(mut delivery) = head else {
            return self.close(&lane).await;
        };
        if lane.was_left {
            // What stops one server after the other is given up at last.
            return self
                .failed(&lane, &delivery, FailureKind::ServerDied.into())
                .await;
        }
        for _ in 0..IN_A_ROW {
            let tried = tokio::select! {
                tried = self.send(&lane, &delivery, sink) => tried?,
                () = farewell(stop) => return self.release(&lane).await,
            };
            if let Tried::Failed(failure) = tried {
                return self.failed(&lane, &delivery, failure).await;
            }
            // As in the row: what fails next waits as after the first failure.
            lane.failures = 0;
            match self.finish(&lane, &delivery).await? {
                Some(next) => delivery = next,
                None => return Ok(()),
            }
            if stop.is_cancelled() {
                break;
            }
        }
        self.release(&lane).await
    }

    /// Tries what is first in a lane.
    async fn send(
        &self,
        lane: &Lane,
        delivery: &Delivery,
        sink: &Configured,
    ) -> Result<Tried, Error> {
        let kind = sink.registered.kind;
        let Some(parcel) = self.content(lane, delivery).await? else {
            self.metrics.skipped(kind);
            return Ok(Tried::Skipped);
        };
        let sent = sink.sink.send(&parcel, self.clock.now());
        let sent = timeout(self.within(Some(sink)), sent).await;
        let sent = sent.unwrap_or_else(|_| Err(FailureKind::TimedOut.into()));
        Ok(match sent {
            Ok(()) => {
                self.metrics.delivered(kind, parcel.at, self.clock.now());
                Tried::Delivered
            }
            Err(failure) => Tried::Failed(failure),
        })
    }

    async fn content(&self, lane: &Lane, delivery: &Delivery) -> Result<Option<Parcel>, Error> {
        let (mut conn, _place) = self.connection().await?;
        let (tenant, chat_id) = (&lane.sink.tenant, lane.chat_id);
        let (Some(user), Some(from_seq)) = (&lane.recipient, delivery.from_seq) else {
            return Ok(content::of_event(&mut conn, tenant, chat_id, delivery.seq).await?);
        };
        let notice = Notice {
            tenant: tenant.clone(),
            user: user.clone(),
            chat_id,
            from_seq,
            seq: delivery.seq,
        };
        Ok(content::of_notice(&mut conn, &notice, self.clock.now()).await?)
    }

    /// Removes what was delivered; says what is next. Nothing is, where the claim is over.
    async fn finish(&self, lane: &Lane, delivery: &Delivery) -> Result<Option<Delivery>, Error> {
        let (mut conn, _place) = self.connection().await?;
        let finish = conn.transaction(async |conn| {
            if !store::deliveries::hold(conn, lane, self.lease(&lane.sink), true).await? {
                return Ok(None);
            }
            let next = store::deliveries::finish(conn, lane.id, delivery.id).await?;
            if next.is_none() {
                store::deliveries::close(conn, lane.id).await?;
            }
            Ok::<_, Error>(next)
        });
        finish.await
    }

    /// Removes a lane in which nothing was, unless something has come.
    async fn close(&self, lane: &Lane) -> Result<(), Error> {
        let (mut conn, _place) = self.connection().await?;
        let close = conn.transaction(async |conn| {
            if !store::deliveries::hold(conn, lane, Duration::ZERO, false).await? {
                return Ok(());
            }
            if store::deliveries::heads(conn, &[lane.id]).await?.is_empty() {
                store::deliveries::close(conn, lane.id).await?;
            } else {
                store::deliveries::release(conn, &[lane.id], lane.holder).await?;
            }
            Ok::<_, Error>(())
        });
        close.await
    }

    async fn release(&self, lane: &Lane) -> Result<(), Error> {
        let (mut conn, _place) = self.connection().await?;
        store::deliveries::release(&mut conn, &[lane.id], lane.holder).await?;
        Ok(())
    }

    /// Notes a failed try: it is tried again later, or given up.
    async fn failed(
        &self,
        lane: &Lane,
        delivery: &Delivery,
        failure: Failure,
    ) -> Result<(), Error> {
        let kind = self.sinks.kind(&lane.sink).unwrap_or(SinkKind::Webhook);
        self.metrics.failed(kind, failure.kind);
        let wait = if failure.kind == FailureKind::ServerDied {
            // It says nothing of the sink.
            Duration::ZERO
        } else {
            let failures = lane.failures.saturating_add(1);
            wait_after(failures, failure.retry_after, fastrand::f64())
        };
        let tries = delivery.attempts.saturating_add(1);
        let kept = self.options.kept;
        let age = self.clock.now() - delivery.created_at;
        let is_old = age.to_std().is_ok_and(|age| age > kept);
        let (mut conn, _place) = self.connection().await?;
        if tries < failure.kind.tries(self.options.attempts) && !is_old {
            store::deliveries::fail(&mut conn, lane, delivery.id, failure.kind, wait).await?;
        } else {
            let given_up = (delivery.id, failure);
            let count = store::deliveries::give_up(&mut conn, lane, given_up, wait, kept).await?;
            self.metrics.given_up(kind, count);
            tracing::warn!(
                sink = lane.sink.name,
                tenant = lane.sink.tenant.as_str(),
                chat = %lane.chat_id,
                seq = delivery.seq,
                tries,
                count,
                failure = failure.kind.name(),
                "a delivery was given up"
            );
        }
        Ok(())
    }
}

/// The moment when a try that is under way ends because the server stops.
async fn farewell(stop: &CancellationToken) {
    stop.cancelled().await;
    sleep(FAREWELL).await;
}
