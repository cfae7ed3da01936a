//! The sweep: compares what subscribers know with the database, every second or two, and so bounds the harm
//! of any lost hint.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::time::sleep;

use super::feed::FeedState;
use super::hub::{Hub, ReadError};
use crate::model::{TenantId, UserId};
use crate::sabotage::{self, Sabotage};
use crate::store::participants::Membership;
use crate::store::{self, Connection};

/// How many heads are compared in one statement.
const SLICE: usize = 10_000;

/// The memberships of how many people are compared in one statement.
const PEOPLE: usize = 1_000;

/// Sweeps until the engine stops.
pub(super) async fn run(hub: Arc<Hub>) {
    let sweep = async {
        loop {
            let pause = hub
                .options
                .sweep
                .mul_f64(2.0 / 3.0 + fastrand::f64() * 2.0 / 3.0);
            tokio::select! {
                () = hub.sweep_wanted.notified() => {}
                () = sleep(pause) => {}
            }
            hub.metrics.sweeps.inc();
            if let Err(error) = once(&hub).await {
                hub.metrics.sweep_failures.inc();
                tracing::warn!(%error, "the sweep failed");
            }
        }
    };
    tokio::select! {
        () = sweep => {}
        () = hub.shutdown.cancelled() => {}
    }
}

async fn once(hub: &Hub) -> Result<(), ReadError> {
    if sabotage::is(Sabotage::NoSweep) {
        return Ok(());
    }
    let epoch = hub.with_connection(store::events::current_epoch).await?;
    hub.observe_epoch(epoch);
    for slice in hub.chats().chunks(SLICE) {
        let heads = async |conn: &mut Connection| store::chats::heads(conn, slice).await;
        for (chat, head) in hub.with_connection(heads).await? {
            if hub.grew(chat, head) {
                hub.repaired();
                tracing::debug!(%chat, head, "the sweep found what no hint had told");
            }
        }
    }
    compare(hub, &hub.feeds()).await
}

/// Compares the memberships of everybody who follows their chats.
async fn compare(hub: &Hub, feeds: &[Arc<FeedState>]) -> Result<(), ReadError> {
    let mut by_tenant: HashMap<&TenantId, Vec<&Arc<FeedState>>> = HashMap::new();
    for feed in feeds {
        by_tenant.entry(&feed.tenant).or_default().push(feed);
    }
    for (tenant, feeds) in by_tenant {
        for slice in feeds.chunks(PEOPLE) {
            compare_some(hub, tenant, slice).await?;
        }
    }
    Ok(())
}

async fn compare_some(
    hub: &Hub,
    tenant: &TenantId,
    feeds: &[&Arc<FeedState>],
) -> Result<(), ReadError> {
    let users: Vec<UserId> = feeds.iter().map(|feed| feed.user.clone()).collect();
    let read =
        async |conn: &mut Connection| store::participants::memberships(conn, tenant, &users).await;
    let mut memberships: HashMap<UserId, Vec<Membership>> = HashMap::new();
    for found in hub.with_connection_for(tenant, read).await? {
        let of_user = memberships.entry(found.user_id.clone()).or_default();
        of_user.push(found);
    }
    for feed in feeds {
        let own: Vec<&Membership> = memberships.get(&feed.user).into_iter().flatten().collect();
        for _ in 0..feed.compare(&own) {
            hub.repaired();
        }
    }
    Ok(())
}
